import copy
import pickle
import threading
from collections.abc import Iterator
from typing import ClassVar

import jaxtyping
import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

import elfzoo
from elfzoo import Grid
from elfzoo.config import config_class
from elfzoo.errors import ElfzooError
from elfzoo.models import FieldModel
from elfzoo.models.base import evaluating
from elfzoo.testing import TRANSFORMATIONS, check_model, enliven
from elfzoo.transforms import fused


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return enliven(elfzoo.create_model("grid_mlp", {"descriptor": {"smooth": True, "n_radial": 5}, "hidden": [16]}))


def test_grid_and_loose_points_agree_in_the_callers_order(model, skewed_hydride, rng):
    field = model.predict(skewed_hydride, grid=(6, 5, 7))
    order = rng.permutation(field.grid.size)
    loose = model.predict(skewed_hydride, points=field.grid.frac_coords(order))
    np.testing.assert_allclose(loose, field.values.ravel()[order], atol=1e-5)


def test_points_outside_the_cell_are_the_same_points(model, skewed_hydride, rng):
    points = rng.random((30, 3))
    moved = points + rng.integers(-5, 6, size=(30, 3))
    np.testing.assert_allclose(*(model.predict(skewed_hydride, points=p) for p in (points, moved)), atol=1e-5)


def test_default_grid_follows_the_spacing(model, skewed_hydride):
    field = model.predict(skewed_hydride, spacing=0.3)
    assert max(field.grid.spacing) <= 0.3
    assert field.quantity == "elf"
    assert field.structure is skewed_hydride


def test_a_grid_object_is_used_as_it_is(model, skewed_hydride):
    assert model.predict(skewed_hydride, Grid((3, 4, 5), skewed_hydride.lattice.matrix)).values.shape == (3, 4, 5)


def test_symmetry_gives_the_same_field_from_fewer_points(model, diamond, monkeypatch):
    whole = model.predict(diamond, grid=(8, 8, 8))
    visited = []
    evaluator = type(model).evaluator

    def counting(self, structure):
        inner = evaluator(self, structure)
        return lambda points: visited.append(len(points)) or inner(points)

    monkeypatch.setattr(type(model), "evaluator", counting)
    unfolded = model.predict(diamond, grid=(8, 8, 8), symmetry=True)
    np.testing.assert_allclose(unfolded.values, whole.values, atol=2e-6)
    assert sum(visited) < 512 / 10


def test_blocks_and_threads_do_not_matter(model, skewed_hydride, monkeypatch):
    whole = model.predict(skewed_hydride, grid=(9, 8, 7)).values
    monkeypatch.setattr("elfzoo.models.kernel_model.FUSED_BLOCK", 50)
    monkeypatch.setattr("elfzoo.models.kernel_model.TORCH_BLOCK", 50)
    np.testing.assert_allclose(model.predict(skewed_hydride, grid=(9, 8, 7)).values, whole, atol=1e-5)


def test_without_the_compiled_kernel(model, skewed_hydride, monkeypatch):
    with_kernel = model.predict(skewed_hydride, grid=(6, 5, 7)).values
    monkeypatch.setattr(fused, "available", lambda: False)
    assert not model._fused
    np.testing.assert_allclose(model.predict(skewed_hydride, grid=(6, 5, 7)).values, with_kernel, atol=1e-5)


def test_a_grid_of_another_cell(model, skewed_hydride):
    with pytest.raises(ElfzooError, match="is not the structure's"):
        model.predict(skewed_hydride, Grid((3, 4, 5), np.eye(3) * 3.0))


@pytest.mark.parametrize("points", [[[0.0, 0.1]], [[0.1, 0.2, 0.3, 0.4]], np.full((1, 3), np.nan)])
def test_bad_points(model, skewed_hydride, points):
    with pytest.raises(ElfzooError, match="finite fractional coordinates"):
        model.predict(skewed_hydride, points=points)


@pytest.fixture
def untyped() -> Iterator[None]:
    """Annotations unchecked, as in use outside the tests, so that our own messages are seen."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"grid": 32}, "three positive whole numbers of points; got 32"),
        ({"grid": "abc"}, "three positive whole numbers of points; got 'abc'"),
        ({"grid": (4, np.nan, 4)}, r"three positive whole numbers of points; got \(4, nan, 4\)"),
        ({"spacing": "0.1"}, "a positive number of Å; got '0.1'"),
        ({"spacing": None}, "a positive number of Å; got None"),
        ({"spacing": None, "symmetry": True}, "a positive number of Å; got None"),
        ({"points": "ab"}, r"fractional coordinates of shape \(points, 3\); got 'ab'"),
        (
            {"points": [[0, 0, 0], [1, 1]]},
            r"fractional coordinates of shape \(points, 3\); got \[\[0, 0, 0\], \[1, 1\]\]",
        ),
        ({"points": torch.zeros(1, 3, requires_grad=True)}, "fractional coordinates .* requires grad"),
    ],
)
def test_arguments_of_the_wrong_kind_are_told_what_was_expected(model, skewed_hydride, wrong, message):
    with pytest.raises(ElfzooError, match=message):
        model.predict(skewed_hydride, **wrong)


def test_no_points_at_all(model, skewed_hydride):
    assert model.predict(skewed_hydride, points=np.zeros((0, 3))).shape == (0,)


def test_grid_and_points_together(model, skewed_hydride):
    with pytest.raises(ElfzooError, match="not both"):
        model.predict(skewed_hydride, grid=(2, 2, 2), points=np.zeros((1, 3)))


@config_class
class _WavesConfig:
    """The toy below has nothing to configure but its depth."""

    depth: float = 1.0


class _Waves(FieldModel):
    """A field model whose answer is known: a structure factor with three waves per reciprocal lattice vector."""

    config_class = _WavesConfig
    invariances: ClassVar = dict.fromkeys(TRANSFORMATIONS, "approximate")

    def __init__(self, config):
        super().__init__(config)
        self.depth = torch.nn.Parameter(torch.tensor(config.depth))

    def forward(self, structures, grids):
        return [self.depth * torch.tensor(self.wave(s, g)) for s, g in zip(structures, grids, strict=True)]

    def wave(self, structure, grid):
        delta = grid.positions()[:, None] - structure.cart_coords[None]
        k = 2 * np.pi / 2.0 * np.eye(3)
        return np.cos(delta @ k).sum(axis=(1, 2)).reshape(grid.shape) / len(structure)


def test_field_model_answers_any_cell_grid_and_point(rng):
    """On any basis of the lattice, tiled or not, the interpolated answer is the analytic one."""
    cube = Structure(Lattice.cubic(2.0), ["H"], [[0.1, 0.2, 0.3]])
    model = _Waves(_WavesConfig(depth=0.7))
    skewed, points, _ = TRANSFORMATIONS["basis"](cube, rng.random((40, 3)))
    cell, grid = model.working_cell(skewed)
    assert min(cell.lattice.abc) >= model.min_length
    assert np.allclose(sorted(cell.lattice.abc), 4.0)
    assert max(grid.spacing) <= model.working_spacing
    expected = 1 / (1 + np.exp(-0.7 * np.cos((points @ skewed.lattice.matrix - cube.cart_coords) * np.pi).sum(1)))
    np.testing.assert_allclose(model.predict(skewed, points=points), expected, atol=1e-5)
    field = model.predict(skewed, grid=(3, 5, 4))
    loose = model.predict(skewed, points=field.grid.frac_coords())
    np.testing.assert_allclose(field.values.ravel(), loose, atol=1e-6)


def test_field_model_passes_the_contract_but_for_the_registry(monkeypatch):
    monkeypatch.setattr("elfzoo.testing._check_save_and_load", lambda *args: None)
    found = check_model(_Waves(_WavesConfig(depth=1.5)))
    assert {d.declared for d in found} == {"approximate"}


def test_the_last_one_to_leave_puts_a_model_back_into_training():
    model = torch.nn.Sequential(torch.nn.Dropout(), torch.nn.Sequential(torch.nn.Dropout()))
    model[0].eval()  # frozen
    first, second, part = evaluating(model), evaluating(model), evaluating(model[1])
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert not any(module.training for module in model.modules())
    part.__enter__()
    second.__exit__(None, None, None)
    assert [module.training for module in model.modules()] == [True, False, False, False]
    part.__exit__(None, None, None)
    assert [module.training for module in model.modules()] == [True, False, True, True]


def test_copies_of_a_model_that_is_predicting_are_models_of_their_own():
    model = torch.nn.Sequential(torch.nn.Dropout())
    with evaluating(model):
        copies = copy.deepcopy(model), pickle.loads(pickle.dumps(model))
        for other in copies:
            with evaluating(other.train()):
                assert not other[0].training
            assert other[0].training
        assert not model[0].training
    assert model[0].training


def test_a_thread_that_ends_leaves_the_dropout_of_another_off(skewed_hydride):
    """The long prediction begins before the short one ends, and goes on after it."""
    torch.manual_seed(0)
    model = enliven(elfzoo.create_model("patch_cnn", {"dropout": 0.8, "widths": [2], "hidden": [16]})).eval()
    expected = model.predict(skewed_hydride, grid=(4, 4, 4)).values
    began, ended, evaluator = threading.Event(), threading.Event(), model.evaluator
    found = []

    def slow(structure):
        evaluate = evaluator(structure)
        began.set()
        assert ended.wait(60)
        return evaluate

    with evaluating(model.train()):
        model.evaluator = slow
        long = threading.Thread(target=lambda: found.append(model.predict(skewed_hydride, grid=(4, 4, 4)).values))
        long.start()
        assert began.wait(60)
    ended.set()
    long.join()
    np.testing.assert_allclose(found[0], expected, atol=1e-6)
    assert all(module.training for module in model.modules())


SMALL_ONES = {
    "grid_mlp": {"descriptor": {"smooth": True, "n_radial": 5}, "hidden": [16]},
    "patch_cnn": {"patch": {"n_voxels": 4, "r_cut": 0.8}, "widths": [4, 6], "hidden": [8]},
    "probe_graph": {"layers": 1, "states": "8x0e + 4x1o", "fields": "6x0e + 3x1o", "hidden": [16]},
    "latent_field": {"layers": 1, "states": "8x0e + 4x1o", "fields": "6x0e + 3x1o", "hidden": [16]},
    "harris_delta": {"harris": {"k_mesh": {"spacing": 1.5}, "spacing": 0.2}},
}


@pytest.mark.parametrize("name", SMALL_ONES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_predicts_about_the_same(name, dtype, rng):
    torch.manual_seed(0)
    model = enliven(elfzoo.create_model(name, SMALL_ONES[name])).eval()
    structure, points = Structure(Lattice.cubic(1.6), ["H"], [[0.1, 0.2, 0.3]]), rng.random((20, 3))
    expected = model.predict(structure, points=points)
    found = model.to(dtype).predict(structure, points=points)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=0.1)
    assert model.double().evaluator(structure)(points).dtype == np.float64
