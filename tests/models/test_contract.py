"""Every registered architecture and every shipped release keeps the contract; broken models are found out."""

import numpy as np
import pytest
import torch

import elfzoo
from elfzoo.models import GridMLP, PointModel
from elfzoo.registry import find_architecture
from elfzoo.testing import ContractError, check_model, enliven
from elfzoo.transforms import power_spectrum
from elfzoo.transforms.harris import harris_inputs
from elfzoo.transforms.harris.plane_waves import plane_wave_inputs


@pytest.fixture(autouse=True, scope="module")
def each_structure_is_diagonalised_once():
    """The contract asks for the same small cells again and again, with other points."""
    known = {}

    def once(solve):
        def solved(structure, config, window):
            facts = (structure.lattice.matrix, structure.frac_coords, np.array(structure.atomic_numbers))
            key = (config, window, *(part.tobytes() for part in facts))
            if key not in known:
                known[key] = solve(structure, config, window)
            return known[key]

        return solved

    with pytest.MonkeyPatch.context() as patch:
        for module, solve in (("harris", harris_inputs), ("harris_pw", plane_wave_inputs)):
            for name in (solve.__name__, f"stored_{solve.__name__.removeprefix('harris_')}"):
                patch.setattr(f"elfzoo.models.{module}.{name}", once(solve))
        yield


VARIANTS = {
    "paper": {},
    "smooth": {"descriptor": {"smooth": True, "l_max": 4, "n_radial": 7}, "clamp": 5.0},
    "two channels": {"descriptor": {"smooth": True, "channels": 2, "n_radial": 4, "r_cut": 4.0}},
}


@pytest.mark.parametrize("name", elfzoo.list_models())
def test_architectures(name):
    if missing := find_architecture(name).missing_packages():
        pytest.skip(f"no {', '.join(missing)}")
    torch.manual_seed(0)
    deviations = check_model(enliven(elfzoo.create_model(name)))
    assert {d.invariance for d in deviations} >= {"supercell", "basis", "rotation", "reflection", "origin"}


@pytest.mark.parametrize("variant", VARIANTS)
def test_grid_mlp_variants(variant):
    torch.manual_seed(1)
    check_model(enliven(elfzoo.create_model("grid_mlp", VARIANTS[variant])))


@pytest.mark.parametrize("name", elfzoo.list_pretrained())
@pytest.mark.filterwarnings("ignore:.*is an extrapolation")
def test_releases(name):
    model = elfzoo.load_pretrained(name)
    if missing := model.missing_packages():
        pytest.skip(f"no {', '.join(missing)}")
    check_model(model)


class _OneImage(GridMLP):
    """The error of the public code: one minimum image by rounding."""

    evaluator = PointModel.evaluator

    def transform(self, data):
        frac = (data.pos[None] - data.probe_pos[:, None]) @ torch.linalg.inv(data.cell[0])
        shift = -torch.round(frac) @ data.cell[0]
        probe, atom = torch.meshgrid(torch.arange(len(shift)), torch.arange(len(data.z)), indexing="ij")
        data.probe_edge_index = torch.stack([atom.ravel(), probe.ravel()])
        data.probe_edge_shift = shift.reshape(-1, 3)
        return data


class _Directional(GridMLP):
    """Looks along z."""

    evaluator = PointModel.evaluator

    def encode(self, batch):
        vectors = batch.edge_vectors() * torch.tensor([1.0, 1.0, 1.2])
        atom, probe = batch.probe_edge_index
        weights = self.embedding(batch.z)[atom]
        return power_spectrum(vectors, weights, probe, len(batch.probe_pos), self.config.descriptor)


class _Unbounded(GridMLP):
    def predict(self, *args, **kwargs):
        field = super().predict(*args, **kwargs)
        return field.replace(values=field.values * 2) if hasattr(field, "values") else field


class _Idle(GridMLP):
    """A parameter that takes no part."""

    def __init__(self, config):
        super().__init__(config)
        self.spare = torch.nn.Parameter(torch.ones(1))


@pytest.mark.parametrize(
    ("cls", "message"),
    [
        (_OneImage, "supercell is declared exact|basis is declared exact"),
        (_Directional, "rotation is declared exact"),
        (_Unbounded, r"values outside of \[0, 1\]"),
    ],
)
def test_broken_models_are_found_out(cls, message):
    torch.manual_seed(0)
    with pytest.raises(ContractError, match=message):
        check_model(enliven(cls(GridMLP.config_class())))


def test_idle_parameters_are_found_out(monkeypatch):
    monkeypatch.setattr("elfzoo.testing._check_save_and_load", lambda *args: None)  # the class is not registered
    with pytest.raises(ContractError, match=r"without a gradient.*spare"):
        check_model(enliven(_Idle(GridMLP.config_class())))


def test_a_constant_model_proves_nothing():
    model = elfzoo.create_model("grid_mlp")
    with torch.no_grad():
        for parameter in model.network.parameters():
            parameter.zero_()
    with pytest.raises(ContractError, match="hardly varies"):
        check_model(model)
