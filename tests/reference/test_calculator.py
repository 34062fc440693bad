"""The potential as a calculator: a list with a skin that is renewed in time, and refusals."""

import numpy as np
import pytest
from ase import Atoms

from elfzoo.errors import ElfzooError
from elfzoo.reference import calculator as module
from elfzoo.reference.calculator import SKIN, PotentialCalculator
from elfzoo.reference.potential import neighbours, one_thread
from tests.reference.test_potential import SMALL, energy, forces, make, random_positions


@pytest.fixture(autouse=True)
def one_core():
    with one_thread():
        yield


def atoms_with(calculator: PotentialCalculator, positions: np.ndarray, lattice: np.ndarray) -> Atoms:
    return Atoms(f"H{len(positions)}", positions=positions, cell=lattice, pbc=True, calculator=calculator)


def test_the_list_with_a_skin_gives_the_forces_of_a_fresh_list(monkeypatch):
    lattice, potential, rng = np.eye(3) * 4.2, make(), np.random.default_rng(2)
    built = []
    monkeypatch.setattr(module, "neighbours", lambda *args: built.append(1) or neighbours(*args))
    system = atoms_with(PotentialCalculator(potential), random_positions(lattice, 8), lattice)
    for step in range(40):
        found = system.get_forces()
        np.testing.assert_allclose(found, forces(potential, system.positions, lattice), atol=1e-9)
        assert system.get_potential_energy() == pytest.approx(energy(potential, system.positions, lattice), rel=1e-12)
        system.positions += rng.normal(scale=0.02, size=(8, 3))
        if step == 25:
            system.wrap()
    assert 2 < len(built) < 30


def test_one_atom_that_moves_half_the_skin_renews_the_list(monkeypatch):
    lattice, built = np.eye(3) * 8.0, []
    monkeypatch.setattr(module, "neighbours", lambda *args: built.append(1) or neighbours(*args))
    positions = np.array([[1.0, 1, 1], [1.0 + SMALL.r_cut + SKIN + 0.01, 1, 1]])
    system = atoms_with(PotentialCalculator(make()), positions, lattice)
    lone = system.get_potential_energy()
    for moved, lists in ((0.499, 1), (0.502, 2), (1.3, 3)):
        system.positions = positions - [[0, 0, 0], [moved * SKIN, 0, 0]]
        expected = energy(make(), system.positions, lattice)
        assert system.get_potential_energy() == pytest.approx(expected, rel=1e-12)
        assert len(built) == lists
    assert system.get_potential_energy() != lone


def test_another_cell_or_number_of_atoms_renews_the_list():
    lattice, calculator = np.eye(3) * 4.0, PotentialCalculator(make())
    system = atoms_with(calculator, random_positions(lattice, 6), lattice)
    system.get_forces()
    system.set_cell(lattice * [1.0, 1.0, 0.95])  # the positions stay
    expected = forces(make(), system.positions, np.array(system.cell))
    np.testing.assert_allclose(system.get_forces(), expected, atol=1e-9)
    for count in (6, 5, 9):
        other = random_positions(lattice, count, seed=count)
        found = atoms_with(calculator, other, lattice).get_forces()
        np.testing.assert_allclose(found, forces(make(), other, lattice), atol=1e-9)


def test_what_the_potential_does_not_know_is_refused():
    calculator, lattice = PotentialCalculator(make()), np.eye(3) * 5.0
    positions = np.array([[0.0, 0, 0], [1.0, 0, 0]])
    with pytest.raises(ElfzooError, match="periodic hydrogen only; got Atoms"):
        Atoms("HHe", positions=positions, cell=lattice, pbc=True, calculator=calculator).get_forces()
    with pytest.raises(ElfzooError, match="periodic hydrogen only"):
        Atoms("H2", positions=positions, cell=lattice, pbc=[True, True, False], calculator=calculator).get_forces()
    with pytest.raises(ElfzooError, match="upon each other"):
        atoms_with(calculator, np.zeros((2, 3)), lattice).get_forces()
