"""Fields that are written while they are predicted: the same field as in memory, in little memory."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from pymatgen.core import Structure

import elfzoo
from elfzoo import Grid, create_model, read_field
from elfzoo.errors import ElfzooError, ElfzooWarning, FieldFileError, QuantityError
from elfzoo.models.base import Model
from elfzoo.models.stream import predict_to

SMALL = {
    "grid_mlp": {"hidden": [8], "descriptor": {"n_radial": 4}},
    "probe_graph": {},
    "patch_cnn": {},
}
DIFFERENCE = {"quantity": "density_difference", "link": "identity", "scale": 0.1}


def small(name: str = "grid_mlp", target: dict | None = None) -> Model:
    torch.manual_seed(2)
    model = create_model(name, SMALL[name], target)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


@pytest.mark.parametrize("shape", [(9, 10, 11), (24, 5, 6), (3, 4, 40), (5, 6, 37)])
@pytest.mark.parametrize("threads", [1, 2])
def test_bit_for_bit_the_field_of_predict(
    skewed_hydride: Structure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: tuple, threads: int
) -> None:
    """Blocks that end inside of tiles, rows and columns included."""
    model = small()
    monkeypatch.setattr(type(model), "block_size", 200)
    monkeypatch.setattr(type(model), "workers", threads)
    streamed = read_field(predict_to(model, tmp_path / "elf.h5", skewed_hydride, shape))
    whole = read_field(model.predict(skewed_hydride, shape).write(tmp_path / "whole.h5"))
    assert streamed.values.dtype == whole.values.dtype == np.float32
    np.testing.assert_array_equal(streamed.values, whole.values)
    assert streamed.values.std() > 1e-3
    assert (streamed.meta, streamed.quantity, streamed.recipe) == (whole.meta, whole.quantity, whole.recipe)
    assert streamed.structure == whole.structure
    with h5py.File(tmp_path / "elf.h5") as a, h5py.File(tmp_path / "whole.h5") as b:
        assert set(a) == set(b) and dict(a.attrs) == dict(b.attrs)
        for name in a:
            for key in ("dtype", "shape", "compression", "shuffle", "fletcher32"):
                assert getattr(a[name], key) == getattr(b[name], key)


@pytest.mark.parametrize("name", ["probe_graph", "patch_cnn"])
def test_every_model_of_points(skewed_hydride: Structure, tmp_path: Path, name: str) -> None:
    model = small(name)
    grid = Grid((6, 5, 7), skewed_hydride.lattice.matrix)
    streamed = read_field(predict_to(model, tmp_path / "elf.h5", skewed_hydride, grid))
    np.testing.assert_array_equal(streamed.values, model.predict(skewed_hydride, grid).values)


def test_a_model_in_training_streams_what_it_predicts(skewed_hydride: Structure, tmp_path: Path) -> None:
    """Dropout of the element embedding takes part in the set-up alone."""
    torch.manual_seed(2)
    model = create_model("probe_graph", {"element_dropout": 0.9})
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    streamed = read_field(predict_to(model.train(), tmp_path / "elf.h5", skewed_hydride, (4, 5, 6)))
    np.testing.assert_array_equal(streamed.values, model.eval().predict(skewed_hydride, (4, 5, 6)).values)


def test_the_default_grid_and_superposed_densities(tmp_path: Path) -> None:
    model = small(target=DIFFERENCE)
    structure = Structure(2.0 * np.eye(3), ["H", "H"], [[0.1, 0, 0], [0.5, 0.5, 0.4]])
    streamed = read_field(predict_to(model, tmp_path / "n.hdf5", structure, spacing=0.25))
    whole = model.predict(structure, spacing=0.25)
    assert streamed.quantity == "density" and streamed.grid.shape == whole.grid.shape
    np.testing.assert_allclose(streamed.values, whole.values, atol=1e-4 * np.abs(whole.values).max())
    learned = read_field(predict_to(model, tmp_path / "d.h5", structure, spacing=0.25, quantity="density_difference"))
    np.testing.assert_array_equal(
        learned.values, model.predict(structure, spacing=0.25, quantity="density_difference").values
    )


def test_memory_does_not_grow_with_the_grid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What NumPy and Python hold at the peak is a few blocks, of a field of 8 MB as of one of 1 MB."""
    model = small()
    monkeypatch.setattr(type(model), "evaluator", lambda self, structure: lambda points: np.sin(points[:, 0]))
    monkeypatch.setattr(type(model), "block_size", 8192)
    monkeypatch.setattr(type(model), "workers", 1)
    structure = Structure(6.0 * np.eye(3), ["H"], [[0, 0, 0]])
    peaks = []
    for points in (64, 127):
        tracemalloc.start()
        predict_to(model, tmp_path / "elf.h5", structure, (points,) * 3)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert max(peaks) < 8192 * 120 < 4 * 64**3 < 4 * 127**3
    field = read_field(tmp_path / "elf.h5")
    np.testing.assert_allclose(field.values[:, 3, 5], 1 / (1 + np.exp(-np.sin(np.arange(127) * 6 / 127))), rtol=1e-6)


FULL = """
import resource, numpy
from elfzoo.errors import FieldFileError
from elfzoo.field import Field
from elfzoo.io.hdf5 import stream

values = numpy.random.default_rng(0).random((16, 16, 16))
field = Field(values, __import__("pymatgen.core").core.Structure(numpy.eye(3), ["H"], [[0, 0, 0]]))
for limit in 100, 5000, 15_000:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        with stream(field, __import__("pathlib").Path("elf.h5"), (4, 16, 16)) as put:
            for x in range(0, 16, 4):
                put((slice(x, x + 4), slice(16), slice(16)), values[x : x + 4])
    except FieldFileError as error:
        print(error)
"""


def test_a_full_disk_leaves_what_was_there(tmp_path: Path) -> None:
    """In a process of its own: the library that writes HDF5 must come out of it, too."""
    (tmp_path / "elf.h5").write_text("mine")
    path = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", FULL], env=path, cwd=tmp_path, capture_output=True, text=True)
    said = "cannot write elf.h5: File too large; what was there before is unchanged\n"
    assert (done.stdout, done.returncode, done.stderr) == (3 * said, 0, "")
    assert os.listdir(tmp_path) == ["elf.h5"] and (tmp_path / "elf.h5").read_text() == "mine"


def test_an_interrupted_run_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, calls = small(), []

    def evaluate(points: np.ndarray) -> np.ndarray:
        calls.append(len(points))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return points[:, 0]

    monkeypatch.setattr(type(model), "evaluator", lambda self, structure: evaluate)
    monkeypatch.setattr(type(model), "block_size", 64)
    monkeypatch.setattr(type(model), "workers", 1)
    with pytest.raises(KeyboardInterrupt):
        predict_to(model, tmp_path / "elf.h5", Structure(np.eye(3), ["H"], [[0, 0, 0]]), (12, 12, 12))
    assert len(calls) == 3 and os.listdir(tmp_path) == []


def test_what_cannot_work_is_said_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, structure = small(), Structure(2 * np.eye(3), ["H"], [[0, 0, 0]])
    monkeypatch.setattr(type(model), "evaluator", lambda *_: pytest.fail("work was begun"))
    for name in ("elf.cube", "elf.h5.gz"):
        with pytest.raises(ElfzooError, match=r"HDF5 alone; expected a name that ends in \.h5"):
            predict_to(model, tmp_path / name, structure)
    with pytest.raises(ElfzooError, match=r"SymmetryUNet works on the whole cell at once"):
        predict_to(create_model("symmetry_unet"), tmp_path / "elf.h5", structure)
    with pytest.raises(QuantityError):
        predict_to(model, tmp_path / "elf.h5", structure, quantity="density")
    with pytest.raises(ElfzooError, match="is not the structure's"):
        predict_to(model, tmp_path / "elf.h5", structure, Grid((4, 4, 4), 3 * np.eye(3)))
    monkeypatch.undo()
    with pytest.raises(FieldFileError, match=r"elf.h5 may take 4000000\.0 GB; .* GB are free"):
        predict_to(model, tmp_path / "elf.h5", structure, (100_000,) * 3)
    with pytest.raises(FieldFileError, match=r"cannot write .*no"):
        predict_to(model, tmp_path / "no" / "elf.h5", structure, (4, 4, 4))
    assert os.listdir(tmp_path) == []


def test_elements_that_the_model_does_not_know_are_warned_of(tmp_path: Path) -> None:
    model = elfzoo.load_pretrained("grid_mlp.smooth-h-v3")
    with pytest.warns(ElfzooWarning, match="extrapolation"):
        predict_to(model, tmp_path / "elf.h5", Structure(3 * np.eye(3), ["Ca"], [[0, 0, 0]]), (4, 4, 4))
