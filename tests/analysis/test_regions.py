"""Connected regions of a crystal: closed forms, a flood fill through the cells as oracle, rolls and supercells."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from elfzoo.analysis import percolation_thresholds, regions
from elfzoo.analysis.percolation import available
from elfzoo.errors import ElfzooError
from elfzoo.field import Field
from elfzoo.io import read_field

CRYSTALS = Path(__file__).parents[2] / "benchmarks" / "data" / "crystal-h"
STEPS = [tuple(s * x for x in step) for step in itertools.product((0, 1), repeat=3) if any(step) for s in (1, -1)]
TRICLINIC = Lattice.from_parameters(2.1, 2.4, 1.9, 78, 97, 109)
seeds = st.integers(0, 2**32 - 1)


def field_of(values: np.ndarray, lattice: Lattice = TRICLINIC) -> Field:
    return Field(np.asarray(values, dtype=float), Structure(lattice, ["H"], [[0, 0, 0]]))


def waves(periods: tuple[int, int, int] = (1, 1, 1), shape: tuple[int, int, int] = (16, 12, 8)) -> np.ndarray:
    """cos x + 0.7 cos y + 0.4 cos z, whose regions enclose, then reach along z, along y and z, and everywhere."""
    axes = np.meshgrid(*(2 * np.pi * p * np.arange(n) / n for p, n in zip(periods, shape, strict=True)), indexing="ij")
    return np.cos(axes[0]) + 0.7 * np.cos(axes[1]) + 0.4 * np.cos(axes[2])


def random_field(seed: int, most: int = 5) -> Field:
    """Noise, or whole numbers so that many values are equal; 0.5 is an isovalue worth asking for."""
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in rng.integers(1, most, size=3))
    return field_of(rng.random(shape) if rng.random() < 0.7 else rng.integers(0, 2, size=shape))


def flood(region: np.ndarray, start: tuple[int, ...]) -> tuple[set[tuple[int, ...]], int]:
    """Walk a region through the infinite crystal: its grid points, and the rank of the vectors to its own images."""
    cell_of, queue, windings = {start: (0, 0, 0)}, [start], {(0, 0, 0)}
    for point in queue:
        for step in STEPS:
            target = np.add(point, step)
            there = tuple((target % region.shape).tolist())
            cell = tuple(np.add(cell_of[point], target // region.shape).tolist())
            if region[there] and there not in cell_of:
                cell_of[there] = cell
                queue.append(there)
            if region[there]:
                windings.add(tuple(np.subtract(cell, cell_of[there]).tolist()))
    return set(cell_of), int(np.linalg.matrix_rank(np.array(sorted(windings))))


def assert_same(found, other, labels: np.ndarray) -> None:
    """One to one, ``labels`` being those of ``other`` on the grid of ``found``."""
    pairs = np.unique(np.stack([found.labels.ravel(), labels.ravel()]), axis=1)
    pairs = pairs[:, pairs.any(axis=0)]
    assert pairs.shape[1] == len(found) == len(other) and pairs.all()
    assert (found.dimensionality[pairs[0] - 1] == other.dimensionality[pairs[1] - 1]).all()
    np.testing.assert_allclose(found.volumes, other.volumes)


@pytest.mark.parametrize("periods", [(1, 1, 1), (2, 1, 1), (2, 3, 2)])
@pytest.mark.parametrize(("saddle", "below"), [(1.3, 1), (0.7, 2), (0.1, 3)])
def test_waves_join_at_their_saddles(periods, saddle, below):
    """Maxima, columns, layers, one network: a direction joins at each saddle, whose place is on the grid."""
    field = field_of(waves(periods, (16, 12, 8)))
    p, q, r = periods
    count = [p * q * r, p * q, p, 1]
    for isovalue, dimensionality in ((saddle + 1e-6, below - 1), (saddle - 1e-6, below)):
        found = regions(field, isovalue)
        assert found.dimensionality.tolist() == [dimensionality] * count[dimensionality]


def test_volumes_are_those_of_the_points():
    field = field_of(waves((2, 1, 1), (20, 20, 20)))
    found = regions(field, 1.5)
    inside = field.values >= 1.5
    assert ((found.labels > 0) == inside).all()
    assert found.volumes == pytest.approx([TRICLINIC.volume * inside.sum() / 8000 / 2] * 2)
    assert [(found.labels == number).sum() for number in (1, 2)] == [inside.sum() / 2] * 2


def test_rods_that_do_not_touch_and_a_slab():
    values = np.zeros((8, 8, 8))
    values[:, 1:4, 1:3] = 1.0  # along x
    values[1:3, :, 5:7] = 1.0  # along y
    found = regions(field_of(values), 0.5)
    assert found.dimensionality.tolist() == [1, 1]
    assert found.volumes == pytest.approx(TRICLINIC.volume * np.array([48, 32]) / 512)
    assert found.labels[0, 1, 1] == 1 and found.labels[1, 0, 5] == 2 and found.labels[5, 5, 5] == 0
    values[4, 4, 4] = values[:, :, 7] = 1.0
    assert regions(field_of(values), 0.5).dimensionality.tolist() == [2, 1, 0]


def test_regions_that_reach_across_the_cell_at_a_slant():
    diagonal = np.eye(6)[:, :, None] * np.array([1.0, 0, 0, 0])
    assert regions(field_of(diagonal), 0.5).dimensionality.tolist() == [1]
    other = regions(field_of(diagonal[::-1]), 0.5)  # (1, -1, 0) is no edge of the triangulation
    assert other.dimensionality.tolist() == [0] * 6


def test_a_region_that_closes_after_two_cells():
    """A strand that climbs by half a cell along x while it crosses the cell along z: two strands are one region."""
    values = np.zeros((8, 4, 8))
    for z in range(8):
        values[[z // 2, z // 2 + 4], 0, z] = 1.0
    found = regions(field_of(values), 0.5)
    assert found.dimensionality.tolist() == [1] and (found.labels > 0).sum() == 16
    values[0, 0, 0] = 0.0
    assert regions(field_of(values), 0.5).dimensionality.tolist() == [0]


@given(seed=seeds)
def test_against_a_flood_fill(seed):
    field = random_field(seed)
    found, region = regions(field, 0.5), field.values >= 0.5
    assert ((found.labels > 0) == region).all()
    assert (np.diff(found.volumes) <= 1e-12).all() and len(found.dimensionality) == len(found)
    for number in range(1, len(found) + 1):
        points = set(map(tuple, np.argwhere(found.labels == number).tolist()))
        walked, rank = flood(region, min(points))
        assert walked == points and rank == found.dimensionality[number - 1]
        assert found.volumes[number - 1] == pytest.approx(TRICLINIC.volume * len(points) / region.size)


@given(seed=seeds)
def test_rolls_and_permuted_axes(seed):
    field, rng = random_field(seed), np.random.default_rng(seed)
    found, roll = regions(field, 0.5), rng.integers(9, size=3)
    rolled = regions(field.replace(values=np.roll(field.values, roll, (0, 1, 2))), 0.5)
    assert_same(found, rolled, np.roll(rolled.labels, -roll, (0, 1, 2)))
    axes = rng.permutation(3)
    lattice = Lattice(TRICLINIC.matrix[axes])
    turned = regions(field_of(field.values.transpose(axes), lattice), 0.5)
    assert_same(found, turned, turned.labels.transpose(np.argsort(axes)))


@settings(max_examples=15)
@given(seed=seeds)
def test_supercells(seed):
    """As many grid points each or more, the same reach, and all the volume of the copies."""
    field, rng = random_field(seed), np.random.default_rng(seed)
    copies = rng.integers(1, 4, size=3)
    found = regions(field, 0.5)
    tiled = regions(field_of(np.tile(field.values, copies), Lattice(TRICLINIC.matrix * copies[:, None])), 0.5)
    home = np.tile(found.labels, copies)
    for number, (volume, dimensionality) in enumerate(zip(found.volumes, found.dimensionality, strict=True), 1):
        own = np.unique(tiled.labels[home == number])
        assert tiled.volumes[own - 1].sum() == pytest.approx(volume * copies.prod())
        assert (tiled.dimensionality[own - 1] == dimensionality).all()
        assert len(own) == copies.prod() if dimensionality == 0 else len(own) <= copies.prod()
        assert (home[np.isin(tiled.labels, own)] == number).all()


@pytest.mark.skipif(not available(), reason="the compiled kernel was not built")
@given(seed=seeds)
def test_thresholds_of_percolation(seed):
    values = random_field(seed).values
    field, thresholds = field_of(values), percolation_thresholds(values)
    for directions, threshold in enumerate(thresholds.best, 1):
        assert regions(field, threshold).dimensionality.max() >= directions
        assert regions(field, np.nextafter(threshold, np.inf)).dimensionality.max(initial=0) < directions


def test_isovalues_out_of_range():
    field = field_of(waves())
    assert len(regions(field, 2.2)) == 0 and regions(field, 2.2).labels.max() == 0
    everything = regions(field, -5.0)
    assert everything.dimensionality.tolist() == [3] and everything.volumes == pytest.approx([TRICLINIC.volume])
    assert repr(everything) == "Regions(1 at -5, the widest spans 3 directions)"
    assert "0 at 2.2" in repr(regions(field, 2.2))


def test_a_crystal_of_columns():
    """Chains of hydrogen along the three axes, as in A15."""
    field = read_field(CRYSTALS / "cubic_019.npz")
    found = regions(field, 0.5)
    assert found.dimensionality.tolist() == [1] * 3
    np.testing.assert_allclose(found.volumes, found.volumes[0], rtol=0.02)
    assert found.volumes.sum() == pytest.approx(field.structure.volume * (field.values >= 0.5).mean())


@pytest.mark.parametrize("isovalue", [np.nan, np.inf])
def test_refusals(isovalue):
    values = waves()
    with pytest.raises(ElfzooError, match="isovalue must be a finite number"):
        regions(field_of(values), isovalue)
    values[1, 2, 3] = np.nan
    with pytest.raises(ElfzooError, match="finite"):
        regions(field_of(values), 0.5)
