"""What a stored field says about itself."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from scipy import constants

from elfzoo.field import Recipe, read_field
from elfzoo.io.symmetric import write_reference
from elfzoo.reference.candidate import Candidate
from elfzoo.reference.check import REQUIRED_META
from elfzoo.reference.engines import Label, Relaxation
from elfzoo.reference.recipe import find_recipe
from elfzoo.reference.record import kinetic_pressure, reference_field

RECIPE = find_recipe("crystal-h")
CUBE = Structure(Lattice.cubic(2.66 ** (1 / 3)), ["H"], [[0, 0, 0]])
CANDIDATE = Candidate("cube", "a group", "made up", make=lambda parents: CUBE, facts={"crystal_system": "cubic"})
FACTS = {
    "engine": "Quantum ESPRESSO 6.7 pw.x, pp.x (plot_num 8)",
    "pseudopotential_sha256": {"H": "ab"},
    "k_mesh": [16, 16, 16],
    "wall_seconds": 12.5,
    "scf_steps": 9,
}
LABEL = Label(np.full((4, 4, 4), 0.5), CUBE, np.array([[0.0, 3.0, -4.0]]), 70.0, -13.0, FACTS)


def meta(label=LABEL, candidate=CANDIDATE, recipe=RECIPE, relaxation=None):
    return reference_field(label, candidate, recipe, relaxation).meta


@pytest.mark.parametrize("key", REQUIRED_META)
def test_what_a_check_asks_for_is_there(key):
    assert meta()[key] is not None


def test_the_record_is_json_and_survives_storage(tmp_path):
    field = reference_field(LABEL, CANDIDATE, RECIPE, Relaxation(CUBE, True, 7, {"engine": "x", "k_mesh": [1, 2, 3]}))
    assert json.loads(json.dumps(field.meta)) == field.meta
    write_reference(field, tmp_path / "a.npz")
    again = read_field(tmp_path / "a.npz")
    assert field.meta.items() <= again.meta.items() and again.recipe == field.recipe


def test_a_density_records_its_electrons(tmp_path):
    facts = FACTS | {"valence": {"H": 1.0}, "valence_electrons": 1.0}
    values = np.full((4, 4, 4), 1.0002 / CUBE.volume)
    density = replace(LABEL, values=values, facts=facts, quantity="density")
    recipe = replace(RECIPE, label=replace(RECIPE.label, quantity="density"))
    field = reference_field(density, CANDIDATE, recipe, None)
    assert field.quantity == "density" and field.meta["electrons"] == 1.0002
    assert field.meta["valence"] == {"H": 1.0} and field.meta["recipe_hash"] != RECIPE.hash
    write_reference(field, tmp_path / "n.npz")
    assert read_field(tmp_path / "n.npz").quantity == "density"
    assert "electrons" not in meta()


def test_who_made_it():
    field = reference_field(LABEL, CANDIDATE, RECIPE, None)
    assert field.recipe == Recipe("Quantum ESPRESSO 6.7", "PBE", "GTH-PBE-q1")
    assert field.meta["recipe_hash"] == RECIPE.hash and field.meta["dataset"] == "crystal-h"
    assert field.meta["group"] == "a group" and field.meta["crystal_system"] == "cubic"
    gpaw = replace(LABEL, facts=FACTS | {"engine": "GPAW 26.7.0 plane waves, soft densities, spectral gradients"})
    assert reference_field(gpaw, CANDIDATE, find_recipe("metals"), None).recipe == Recipe(
        "GPAW 26.7.0", "PBE", "gpaw-data"
    )


def test_settings_and_results():
    found = meta()
    assert found["cutoff_eV"] == RECIPE.label.cutoff and found["k_shift"] is False and found["spin"] == "none"
    assert (found["smearing"], found["smearing_width_eV"]) == ("fermi-dirac", 0.12926)
    assert found["energy_eV"] == -13.0 and found["largest_force_eV_A"] == 5.0 and found["scf_converged"] is True
    assert found["space_group"] == "Pm-3m (221)" and found["volume_per_atom_A3"] == pytest.approx(2.66, abs=1e-6)
    mesh = np.ceil(2 * np.pi / CUBE.lattice.a / 0.3)
    assert found["k_spacing"] == pytest.approx(2 * np.pi / CUBE.lattice.a / mesh, abs=1e-6)


def test_pressure_at_rest():
    found = meta()
    assert (found["pressure_GPa"], found["pressure_stress_GPa"], found["pressure_kinetic_GPa"]) == (70.0, 70.0, 0.0)
    assert found["temperature_K"] is None


def test_pressure_with_moving_ions():
    """n k T is 7.8 GPa at 2.66 Å³ per atom and 1500 K."""
    found = meta(candidate=replace(CANDIDATE, facts={"temperature_K": 1500.0}))
    exact = constants.k * 1500 / 2.66e-30 / 1e9
    assert exact == pytest.approx(7.8, abs=0.02)
    assert kinetic_pressure(1500.0, 2.66) == pytest.approx(exact, rel=1e-7)
    assert found["pressure_kinetic_GPa"] == round(exact, 4) and found["pressure_stress_GPa"] == 70.0
    assert found["pressure_GPa"] == pytest.approx(70.0 + exact, abs=1e-4) and found["temperature_K"] == 1500.0


def test_relaxation():
    assert meta()["relaxation"] is None
    relaxation = Relaxation(CUBE, False, 20, {"engine": "x", "wall_seconds": 3.0})
    expected = {"converged": False, "steps": 20, "engine": "x", "wall_seconds": 3.0}
    assert meta(relaxation=relaxation)["relaxation"] == expected


def test_what_was_computed_wins_over_what_was_meant():
    """A candidate's space group is that of its prototype; strained, it has another."""
    assert meta(candidate=replace(CANDIDATE, facts={"space_group": "P1"}))["space_group"] == "Pm-3m (221)"
