"""The shipped tables against GPAW's setups."""

import json
import sys
from importlib import resources

import numpy as np
import pytest
from ase.data import atomic_numbers
from ase.units import Bohr

from elfzoo.core_radii import core_radius
from elfzoo.reference.engines.base import EngineError
from elfzoo.reference.free_atoms import free_atom, make_tables, valence_density
from elfzoo.transforms.free_atoms import form_factor, valence_electrons

pytest.importorskip("gpaw", reason="the tables are made from GPAW's setups")
pytest.importorskip("gpaw_data", reason="the tables are made from GPAW's setups")

ELEMENTS = ["H", "Li", "S", "Mg", "Ni", "La"]


def setup_of(symbol):
    from gpaw.setup_data import SetupData

    return SetupData(symbol, "PBE")


@pytest.mark.parametrize("symbol", ELEMENTS)
def test_shipped_tables_are_those_of_the_setups(symbol):
    setup, z = setup_of(symbol), atomic_numbers[symbol]
    assert valence_electrons(np.array([z]))[0] == setup.Nv
    radius = 0.0 if z <= 2 else max(setup.rcut_j) * Bohr
    assert core_radius(z) == pytest.approx(radius, abs=1e-4)
    k = np.linspace(0.01, 67, 700)
    error = np.abs(form_factor(z, k) - free_atom(symbol).form_factor(k)).max()
    assert error < 1e-6 * setup.Nv


@pytest.mark.parametrize("symbol", ELEMENTS)
def test_soft_inside_exact_outside(symbol):
    atom, (r, density) = free_atom(symbol), valence_density(setup_of(symbol))
    outside = atom.r > atom.r_core
    near = r > 0.9 * atom.r_core
    expected = np.interp(atom.r[outside], r[near], np.log(density[near] + 1e-99))
    measured = np.log(atom.density[outside])
    dense = atom.r[outside] < 5.0  # linear interpolation of the logarithm is the coarser of the two
    np.testing.assert_allclose(measured[dense], expected[dense], atol=2e-2)
    assert atom.density.min() > 0
    assert atom.weights @ atom.density == pytest.approx(atom.valence, abs=1e-10)
    inside = atom.density[~outside]
    assert inside.max() < density.max() * 1.3


@pytest.mark.parametrize("symbol", ["H", "Li", "S"])
def test_long_waves_are_those_of_all_electrons(symbol):
    """Equal charge and equal density outside leave the form factor at small k unchanged to second order."""
    atom, setup = free_atom(symbol), setup_of(symbol)
    r, density = valence_density(setup)
    k = np.linspace(0, 2.5, 6)
    shells = 4 * np.pi * r**2 * density * setup.rgd.dr_g * Bohr
    exact = np.sinc(np.outer(k, r) / np.pi) @ shells
    np.testing.assert_allclose(atom.form_factor(k), exact, atol=0.01 * atom.valence)


def test_same_bytes_each_time(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        make_tables(tmp_path / name, symbols=["Ca", "H"])
    for file in ("free_atoms.npz", "core_radii.json"):
        first, second = ((tmp_path / name / file).read_bytes() for name in ("one", "two"))
        assert first == second
    with np.load(tmp_path / "one" / "free_atoms.npz") as arrays:
        assert arrays["numbers"].tolist() == [1, 20]
        assert arrays["form_factors"][:, 0].tolist() == [1.0, 10.0]


def test_the_shipped_file_states_its_source(tmp_path):
    make_tables(tmp_path, symbols=["O"])
    made = json.loads((tmp_path / "core_radii.json").read_text())
    shipped = json.loads((resources.files("elfzoo") / "transforms/tables/core_radii.json").read_text())
    assert shipped.keys() == made.keys()
    assert shipped["source"].startswith("gpaw-data ")
    assert shipped["radii"]["O"] == made["radii"]["O"]


def test_says_what_is_missing(monkeypatch):
    with pytest.raises(EngineError, match="no PBE setup of Tc"):
        free_atom("Tc")
    monkeypatch.setitem(sys.modules, "gpaw_data", None)
    with pytest.raises(EngineError, match="pip install gpaw"):
        free_atom("H")
