"""Divide and conquer on cells small enough for a test."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import divide_and_conquer as dc
import harris_fragments
from harris_speed import random_cell

from elfzoo.config import parse
from elfzoo.errors import ElfzooError
from elfzoo.transforms.harris import HarrisConfig
from elfzoo.transforms.harris.kmesh import KMeshConfig

MESH = KMeshConfig(spacing=0.5)
SMALL = {"spacing": 0.25, "basis": {"shells": [{"l": 0, "zeta": 1.0}], "r_cut": 2.0}}


@pytest.fixture(scope="module")
def periodic():
    """Eight atoms at random, with one orbital each."""
    return dc.prepared(random_cell(8), parse(HarrisConfig, SMALL))


def molecules() -> Structure:
    """Three of them, further from their images than orbitals of 2 Å reach."""
    places = [[0, 0, 0], [0.75, 0, 0], [0, 1.5, 0], [0.2, 1.5, 0.7], [1.5, 1.4, 0.2], [1.5, 1.5, 1.0]]
    return Structure(Lattice.cubic(8.0), ["H"] * 6, np.array(places) + 3.1, coords_are_cartesian=True)


@pytest.mark.parametrize("cuts", [1, 2])
def test_fragments_that_hold_everything_give_the_exact_result(cuts):
    problem = dc.prepared(molecules(), parse(HarrisConfig, {"spacing": 0.25, "basis": {"r_cut": 2.0}}))
    parts = dc.fragments(problem.structure, cuts, 3.9)
    assert len(parts) == {1: 1, 2: 4}[cuts] and all(len(part.atom) == 6 for part in parts)
    exact, (matrix, solved, filled) = dc.exact(problem, KMeshConfig(large_spacing=2.0)), divided(problem, parts)
    # of all at once the occupied space is found in single precision
    np.testing.assert_allclose(matrix, exact, atol=1e-5 * np.abs(exact).max())
    for block in harris_fragments.boxes(problem):
        whole = dc.matrix_elf(problem, exact, block)
        np.testing.assert_allclose(dc.space_elf(problem, parts, solved, filled, block), whole, atol=2e-5)
        np.testing.assert_allclose(dc.matrix_elf(problem, matrix, block), whole, atol=2e-5)


def divided(problem: dc.Problem, parts: list) -> tuple:
    solved = [dc.solve(problem, part) for part in parts]
    filled = dc.filling(problem, solved)
    return dc.joined(problem, parts, solved, filled), solved, filled


@pytest.mark.parametrize("cuts", [1, 2, 3])
def test_cores_take_every_atom_once_and_fragments_every_near_image(cuts):
    structure, buffer = random_cell(8), 3.0
    parts = dc.fragments(structure, cuts, buffer)
    assert sorted(np.concatenate([part.points for part in parts])) == list(range(8))
    for part in parts:
        near = {(i, *shift) for site in part.points for i, shift in _neighbours(structure, site, buffer)}
        assert len(near) == len(part.atom)


@pytest.mark.parametrize("cuts", [1, 2])
def test_all_electrons_are_in_the_cores(periodic, cuts):
    matrix, *_ = divided(periodic, dc.fragments(periodic.structure, cuts, 3.0))
    assert (matrix * periodic.matrices.overlap).sum() == pytest.approx(8, abs=1e-9)
    turned = matrix[periodic.pairs.turned()].transpose(0, 2, 1)
    np.testing.assert_allclose(matrix, turned, atol=1e-12)


def test_cores_that_cannot_hold_the_electrons_are_told(periodic):
    few = [dc.States(np.zeros(3), np.zeros((3, 3)), np.ones(3), 0.0)]
    with pytest.raises(ElfzooError, match=r"at most 6\.0 of 8 electrons"):
        dc.filling(periodic, few)


@pytest.mark.parametrize("how", harris_fragments.JOINED)
def test_a_larger_buffer_errs_less(periodic, how):
    chosen = harris_fragments.boxes(periodic)
    whole = harris_fragments.matrix_values(periodic, dc.exact(periodic, MESH), chosen)
    cases = [harris_fragments.case(periodic, whole, chosen, 1, buffer) for buffer in (1.5, 2.5, 3.5)]
    errors = [found["errors"][how] for found in cases]
    assert errors == sorted(errors, reverse=True) and errors[-1] < 0.3 * errors[0]


def test_one_fragment_at_the_level_of_the_whole_errs_as_all_do_at_theirs(periodic):
    chosen = harris_fragments.boxes(periodic)
    whole = harris_fragments.matrix_values(periodic, dc.exact(periodic, MESH), chosen)
    level = dc.fermi_level_of(periodic, MESH)
    found = [harris_fragments.case(periodic, whole, chosen, 2, 4.5, at) for at in (None, level)]
    assert len(found[0]["fragment_atoms"]) == len(found[1]["fragment_atoms"]) == len(found[0]["fragment_seconds"])
    assert len(found[1]["fragment_seconds"]) == 1 and found[1]["errors"]["matrix"] is None
    assert found[1]["errors"]["space"] == pytest.approx(found[0]["errors"]["space"], rel=0.8)
    assert [harris_fragments.kind(row)[0] for row in found] == [False, True]


def test_the_level_is_that_of_the_occupations():
    problem = dc.prepared(molecules(), parse(HarrisConfig, SMALL))
    solved = [dc.solve(problem, dc.fragments(problem.structure, 1, 3.9)[0])]
    level = dc.fermi_level_of(problem, KMeshConfig(large_spacing=2.0))
    again = 2 / (1 + np.exp((solved[0].energies - level) / problem.width))
    np.testing.assert_allclose(again, dc.filling(problem, solved)[0], atol=1e-8)


def test_cases_are_measured_and_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(harris_fragments, "structures", lambda: [random_cell(8)])
    monkeypatch.setattr(harris_fragments, "CONFIG", parse(HarrisConfig, SMALL | {"k_mesh": {"spacing": 1.0}}))
    out = ["--cuts", "1", "--out", str(tmp_path / "fragments.json"), "--snapshots", "0", "--buffers"]
    harris_fragments.main([*out, "2"])
    first = json.loads((tmp_path / "fragments.json").read_text())
    (found,) = first["cases"].values()
    assert found["atoms"] == 8 and 0.005 < found["errors"]["space"] < 0.1 and len(found["fragment_atoms"]) == 1
    monkeypatch.setattr(harris_fragments, "measured", None)  # not asked again
    harris_fragments.main([*out, "2"])
    assert json.loads((tmp_path / "fragments.json").read_text()) == first


def made(atoms: int, buffer: float, error: float) -> dict:
    """Four fragments of 100 atoms in all, at a microsecond for each cubed atom."""
    seconds = [1e-6 * atoms**3] * 4
    measured = {"errors": {"space": error, "matrix": 0.3}, "fragment_atoms": [atoms] * 4, "fragment_seconds": seconds}
    return {"atoms": 100, "cuts": 2, "buffer": buffer, "seconds": sum(seconds)} | measured


def test_the_crossing_is_where_one_problem_costs_as_much():
    cases = {"near": made(100, 3.0, 0.01), "far": made(400, 5.0, 0.0005)}
    found = harris_fragments.summary(cases, {})
    assert found["dense"]["seconds_per_atom_cubed"] == pytest.approx(1e-6)
    assert found["dense"]["fitted_power"] == pytest.approx(3)
    assert [row["acceptable"] for row in found["rows"]] == [False, True] and found["extrapolated"] is None
    assert found["cheapest_acceptable"] == found["rows"][1]
    assert found["rows"][1]["crossing"] == pytest.approx((4 * 400**3 / 100) ** 0.5)


def test_a_buffer_that_would_do_is_extrapolated():
    cases = {"near": made(100, 3.0, 0.04), "far": made(200, 4.0, 0.02)}
    found = harris_fragments.summary(cases, {"2": 100.0, "8": 700.0, "9": 1100.0})
    assert found["cheapest_acceptable"] is None
    buffer = 4 + np.log2(20)  # 8.3 Å
    assert found["extrapolated"] == pytest.approx({"buffer": buffer, "crossing": 700 + 400 * (buffer - 8)})
    beyond = harris_fragments.summary(cases, {"2": 100.0, "8": 700.0})["extrapolated"]
    assert beyond["buffer"] == pytest.approx(buffer) and beyond["crossing"] is None


def test_the_record_says_what_its_cases_say():
    record = json.loads(harris_fragments.RECORD.read_text())
    summary = json.loads(json.dumps(harris_fragments.summary(record["cases"], record["counted"])))
    fitted = summary["dense"].pop("fitted_power")
    assert record["dense"].pop("fitted_power") == pytest.approx(fitted, rel=1e-9)
    assert {key: record[key] for key in summary} == summary


def _neighbours(structure: Structure, site: int, radius: float) -> list[tuple[int, tuple[int, ...]]]:
    sites = structure.get_sites_in_sphere(structure[site].coords, radius)
    return [(found.index, tuple(np.rint(found.image).astype(int))) for found in sites]
