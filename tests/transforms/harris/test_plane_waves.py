"""Fields of one diagonalisation by GPAW: what is made of its densities, and, where it is installed, the real ones."""

import importlib.util

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

import elfzoo
from elfzoo.datasets import Hydrides
from elfzoo.errors import ConfigError, ElfzooError
from elfzoo.grid import Grid
from elfzoo.reference.engines import gpaw
from elfzoo.reference.engines.base import EngineError
from elfzoo.symmetry import space_group_operations
from elfzoo.transforms.harris.field import Densities
from elfzoo.transforms.harris.plane_waves import (
    PlaneWaveConfig,
    _without_vacuum,
    on_symmetry_elements,
    plane_wave_inputs,
    stored_plane_wave_inputs,
)

BOHR = 0.529177210903
EDGE = 4.0  # Å
HELIUM = Structure(Lattice.cubic(EDGE), ["He"], [[0, 0, 0]])
needs_gpaw = pytest.mark.skipif(importlib.util.find_spec("gpaw") is None, reason="no GPAW")


def test_vacuum_has_no_localisation():
    """As the labels by GPAW have it: an ELF of 0 where there is next to no density, whatever else is there."""
    grid, n = Grid((2, 2, 2), np.eye(3)), np.full((2, 2, 2), 0.01)
    n[0, 0] = 1e-6, -1e-9
    tau, gradient = np.full_like(n, 1e-10), np.full_like(n, 1e-12)
    found = _without_vacuum(Densities(grid, n, tau, gradient))
    assert found.n.min() == 1e-6
    elf = 1 / (1 + np.clip(found.chi(), 1e-2, 1e2) ** 2)
    assert elf[0, 0].max() < 1e-3 and elf[1].min() > 0.99


def density(x: np.ndarray) -> np.ndarray:
    return 0.05 + 0.02 * np.cos(2 * np.pi * x / EDGE)


def kinetic(x: np.ndarray) -> np.ndarray:
    return 0.04 + 0.01 * np.cos(2 * np.pi * x / EDGE)


@pytest.fixture
def waves(monkeypatch):
    """An engine whose density and kinetic-energy density are one wave along x; returns the cells it was asked for."""
    asked = []

    def answer(structure, settings, steps, folder, symmetry):
        asked.append((structure, settings, steps))
        x = np.broadcast_to(np.arange(8)[:, None, None] / 8 * EDGE, (8, 6, 6))
        return density(x), kinetic(x)

    monkeypatch.setattr(gpaw, "one_diagonalisation", answer)
    return asked


def test_fields_are_those_of_the_densities_at_any_point(waves, rng):
    """Becke and Edgecombe's formula with the analytic gradient, all waves kept."""
    points = rng.random((200, 3)) * EDGE
    logit, log_n, weizsaecker = plane_wave_inputs(HELIUM, PlaneWaveConfig(), None).at(points).T
    x = points[:, 0]
    n, slope = density(x), -0.02 * 2 * np.pi / (EDGE / BOHR) * np.sin(2 * np.pi * x / EDGE)
    uniform = 0.3 * (3 * np.pi**2) ** (2 / 3) * n ** (5 / 3)
    np.testing.assert_allclose(logit, -2 * np.log((kinetic(x) - slope**2 / (8 * n)) / uniform), atol=2e-4)
    np.testing.assert_allclose(log_n, np.log(n), atol=2e-4)
    np.testing.assert_allclose(weizsaecker, np.log1p(slope**2 / (8 * n) / uniform), atol=2e-4)


def test_a_window_fades_out_what_is_faster(waves):
    inputs = plane_wave_inputs(HELIUM, PlaneWaveConfig(), (0.5, 1.0))  # the slowest wave has 1.57 rad/Å
    assert np.ptp(inputs.values[0]) < 1e-9


def test_a_supercell_is_its_primitive_cell_and_settings_arrive(waves, rng):
    config = PlaneWaveConfig(cutoff=321.0, k_spacing=0.5, width=0.2, steps=3)
    points = rng.random((20, 3)) * EDGE
    one = plane_wave_inputs(HELIUM, config, None).at(points)
    np.testing.assert_array_equal(plane_wave_inputs(HELIUM * (2, 1, 3), config, None).at(points), one)
    assert [len(structure) for structure, *_ in waves] == [1, 1]
    _, settings, steps = waves[0]
    assert (settings.cutoff, settings.k_spacing, settings.smearing_width, steps) == (321.0, 0.5, 0.2, 3)


def test_the_origin_goes_where_a_grid_has_the_symmetry():
    """Diamond with atoms at (x, y, z) and (x + 1/4, ...): no grid of whole steps suits its glides there."""
    lattice = Lattice([[0, 1.8, 1.8], [1.8, 0, 1.8], [1.8, 1.8, 0]])
    shift = np.array([0.0123, 0.0456, 0.0789])
    off = Structure(lattice, ["C", "C"], np.array([[0, 0, 0], [0.25, 0.25, 0.25]]) + shift)
    cell, origin = on_symmetry_elements(off)
    assert len(cell) == 2 and np.abs(origin).max() > 0.01
    Grid.for_symmetry(lattice.matrix, 0.3, *space_group_operations(cell))  # raises where none suits
    back = Structure(lattice, ["C", "C"], cell.cart_coords + origin, coords_are_cartesian=True)
    assert all(min(a.distance(b) for b in off) < 1e-9 for a in back)
    kept, nowhere = on_symmetry_elements(cell)
    assert kept is cell and not nowhere.any()


def test_fields_move_with_the_crystal(waves, rng):
    points, shift = rng.random((50, 3)) * EDGE, np.array([0.0123, 0.345, 0.678])
    moved = Structure(HELIUM.lattice, ["He"], [shift / EDGE])
    expected = plane_wave_inputs(HELIUM, PlaneWaveConfig(), None).at(points)
    np.testing.assert_allclose(
        plane_wave_inputs(moved, PlaneWaveConfig(), None).at(points + shift), expected, atol=1e-9
    )


def test_what_was_computed_is_kept_under_everything_that_decides_it(waves, monkeypatch, tmp_path):
    monkeypatch.setenv("ELFZOO_HARRIS_CACHE", str(tmp_path))
    for config, window in (
        (PlaneWaveConfig(), None),
        (PlaneWaveConfig(steps=3), None),
        (PlaneWaveConfig(), (9.0, 12.0)),
    ):
        for cell in (HELIUM, HELIUM * (2, 1, 1)):
            stored_plane_wave_inputs(cell, config, window)
    assert len(waves) == len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("wrong", [{"cutoff": 0.0}, {"k_spacing": -1.0}, {"width": 0.0}, {"steps": 0}])
def test_settings_are_positive(wrong):
    with pytest.raises((ConfigError, ValueError), match="positive"):
        PlaneWaveConfig(**wrong)


def test_where_gpaw_fails_the_cutoff_of_the_labels_is_tried(waves, monkeypatch):
    answer, tried = gpaw.one_diagonalisation, []

    def failing(structure, settings, steps, folder, symmetry):
        tried.append(settings.cutoff)
        if settings.cutoff < limit:
            raise EngineError("linearly dependent")
        return answer(structure, settings, steps, folder, symmetry)

    monkeypatch.setattr(gpaw, "one_diagonalisation", failing)
    limit = 700.0
    assert plane_wave_inputs(HELIUM, PlaneWaveConfig(), None).values.shape[0] == 3 and tried == [500.0, 800.0]
    limit = 900.0
    with pytest.raises(EngineError, match="linearly dependent"):
        plane_wave_inputs(HELIUM, PlaneWaveConfig(), None)
    with pytest.raises(EngineError, match="linearly dependent"):
        plane_wave_inputs(HELIUM, PlaneWaveConfig(cutoff=850.0), None)
    assert tried == [500.0, 800.0, 500.0, 800.0, 850.0]


def test_too_many_atoms_are_refused_before_anything_is_computed(waves, rng):
    crowd = Structure(Lattice.cubic(12.0), ["H"] * 129, rng.random((129, 3)))
    with pytest.raises(ElfzooError, match=r"at most 128 in the primitive cell, got 129 \(H2\)"):
        plane_wave_inputs(crowd, PlaneWaveConfig(), None)
    assert not waves


def test_without_gpaw_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "gpaw", None)
    with pytest.raises(ElfzooError, match=r"GPAW is not installed.*pip install"):
        elfzoo.create_model("harris_pw").predict(HELIUM, grid=(4, 4, 4), progress=False)


@needs_gpaw
def test_an_element_without_a_setup_is_refused_by_name():
    with pytest.raises(ElfzooError, match="no PBE setup for Cm"):
        plane_wave_inputs(Structure(Lattice.cubic(4.0), ["Cm"], [[0, 0, 0]]), PlaneWaveConfig(), None)


@needs_gpaw
def test_a_real_hydride_is_near_its_self_consistent_field():
    data = Hydrides(split="train")
    name = next(i for i, file in enumerate(data.raw_file_names) if file.startswith("LiH"))
    structure, reference = data[name]
    found = elfzoo.create_model("harris_pw").predict(structure, grid=reference.grid, progress=False)
    assert elfzoo.analysis.field_metrics(reference.values, found.values).mae < 0.03
