"""Fields and cells as the viewer gets them."""

from __future__ import annotations

import base64
import zlib
from typing import Any

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from scipy.spatial.transform import Rotation

from elfzoo import Field
from elfzoo.interpolate import spline_interpolate
from elfzoo.render import view_of
from elfzoo.site.scene import POINTS, Canvas, Shown, field_script

CELL = Structure(Lattice.from_parameters(3.1, 2.9, 3.4, 80, 95, 110), ["Ca", "H"], [[0, 0, 0.5], [0.3, 0.4, 0.6]])


def waves(shape: tuple[int, int, int], structure: Structure = CELL) -> Field:
    x, y, z = np.meshgrid(*(2 * np.pi * np.arange(n) / n for n in shape), indexing="ij")
    return Field(0.5 + 0.2 * np.cos(x) * np.cos(y) + 0.25 * np.sin(z + x), structure)


def unpacked(packed: dict[str, Any]) -> np.ndarray:
    """The values again, by another way than the page's: whole rows at a time."""
    low_bytes, high_bytes = np.frombuffer(zlib.decompress(base64.b64decode(packed["data"])), np.uint8).reshape(2, -1)
    steps = (low_bytes + 256 * high_bytes.astype(np.uint16)).reshape(packed["shape"])
    levels = np.cumsum(steps, axis=2, dtype=np.uint16)
    return packed["low"] + levels * (packed["high"] - packed["low"]) / packed["levels"]


def test_a_small_field_is_drawn_at_its_points() -> None:
    field = waves((30, 28, 34))
    canvas = Canvas.of(field)
    assert canvas.shape == field.grid.shape and canvas.span == (0.0, 1.0)
    assert np.abs(unpacked(canvas.packed(field)) - field.values).max() <= 0.5 / 4095 + 1e-12


def test_a_large_field_is_sampled_and_stays_small(rng: np.random.Generator) -> None:
    cube = Structure(Lattice.cubic(12.0), ["H"], [[0, 0, 0]])
    field = waves((96, 96, 90), cube)
    canvas = Canvas.of(field)
    assert np.prod(canvas.shape) <= POINTS < 96 * 96 * 90
    drawn = unpacked(canvas.packed(field))
    points = rng.integers(0, canvas.shape, (200, 3))
    exact = spline_interpolate(field.values, points / np.array(canvas.shape))
    assert np.abs(drawn[tuple(points.T)] - exact).max() < 0.5 / 4095 + 1e-9
    assert len(field_script("reference", canvas.packed(field))) < 5e5


def test_fields_on_other_grids_are_drawn_at_the_same_points() -> None:
    coarse, fine = waves((30, 28, 34)), waves((60, 56, 68))
    canvas = Canvas.of(coarse, fine)
    assert np.abs(unpacked(canvas.packed(fine)) - coarse.values).max() <= 0.5 / 4095 + 1e-6


def test_the_range_of_a_density_is_its_own() -> None:
    field = waves((12, 12, 12)).replace(quantity="density")
    field = field.replace(values=7 * field.values)
    canvas = Canvas.of(field)
    assert canvas.span == (field.values.min(), field.values.max())
    scene = canvas.scene([Shown("reference", "x")])
    assert (field.values >= scene["isovalue"]).mean() == pytest.approx(0.2, abs=0.02)
    assert Canvas.of(field.replace(values=np.full((4, 4, 4), 2.0))).span == (2.0, 3.0)


def test_atoms_on_a_face_are_on_all_of_them() -> None:
    atoms = Canvas.of(waves((12, 12, 12))).scene([], phi=0.5)["atoms"]
    assert [atom["element"] for atom in atoms] == ["Ca"] * 4 + ["H"]
    edges = CELL.lattice.matrix
    expected = [i * edges[0] + j * edges[1] + 0.5 * edges[2] for i in (0, 1) for j in (0, 1)]
    assert np.allclose(sorted(atom["position"] for atom in atoms[:4]), sorted(map(list, expected)), atol=1e-4)
    assert all(0.05 < atom["radius"] < 0.5 and len(atom["colour"]) == 7 for atom in atoms)


@pytest.mark.parametrize("handed", [1, -1])
def test_the_crystal_is_turned_as_in_the_pictures(handed: int) -> None:
    lattice = CELL.lattice.matrix * np.array([1, 1, handed])[:, None]
    scene = Canvas.of(waves((12, 12, 12), Structure(lattice, ["H"], [[0, 0, 0]]))).scene([])
    right, up, toward = Rotation.from_quat(scene["view"]).as_matrix()
    expected = view_of(lattice)
    assert np.allclose([right, -up, toward], expected, atol=1e-5)


def test_no_value_can_end_a_script() -> None:
    script = field_script("</script><b>&", {"data": "x"})
    assert "<" not in script and "&" not in script
