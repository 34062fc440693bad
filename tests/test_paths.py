"""Lines and planes: where their points are, and how their texts are read."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from elfzoo.errors import ElfzooError
from elfzoo.grid import Grid
from elfzoo.paths import Line, Plane, parse_line, parse_plane

indices = st.tuples(*[st.integers(-5, 5)] * 3)
skews = st.tuples(*[st.floats(60, 120)] * 3)
HEXAGONAL = Structure(Lattice.hexagonal(2.0, 3.0), ["H"], [[0, 0, 0]])


def test_line_has_both_ends_and_true_distances():
    line = Line((0.0, 0.0, 0.0), (1.0, 1.0, 0.5), 5)
    points = line.frac_coords()
    np.testing.assert_allclose(points[[0, 2, 4]], [[0, 0, 0], [0.5, 0.5, 0.25], [1, 1, 0.5]])
    lattice = HEXAGONAL.lattice.matrix
    steps = np.linalg.norm(np.diff(points, axis=0) @ lattice, axis=1)
    np.testing.assert_allclose(line.distances(lattice), np.append(0, np.cumsum(steps)))
    assert line.distances(lattice)[-1] == pytest.approx(np.hypot(2.0, 1.5))  # a + b is 2 Å long at 120°


def test_line_is_read():
    assert parse_line("0,0,0:0.5,0.5,0.5:200") == Line((0.0, 0.0, 0.0), (0.5, 0.5, 0.5), 200)
    assert parse_line(" 0, 0,-1 : 1/3, 2/3, 1e-1 : 7 ") == Line((0.0, 0.0, -1.0), (1 / 3, 2 / 3, 0.1), 7)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0,0,0:1,1,1", "a line is 'start:end:points'"),
        ("0,0:1,1,1:10", "'0,0' in .* as three numbers"),
        ("0,0,0:1,x,1:10", "'x' in .* as a number"),
        ("0,0,1/0:1,1,1:10", "'1/0' in .* as a number"),
        ("0,0,0:1,1,1:ten", "'ten' in .* as a number of points"),
        ("0,0,0:1,1,1:-5", "'-5' in .* as a number of points"),
        ("0,0,0:1,1,1:1", "at least 2 points"),
        ("0,0,0:0,0,0:10", "two different ends"),
        ("0,0,0:nan,0,0:10", "finite"),
    ],
)
def test_bad_lines_are_explained(text, message):
    with pytest.raises(ElfzooError, match=message):
        parse_line(text)


@pytest.mark.parametrize(("axis", "number"), [("x", 0), ("y", 1), ("z", 2)])
def test_axis_slice_is_a_slice_of_the_grid(axis, number):
    grid = Grid((8, 8, 12), HEXAGONAL.lattice.matrix)
    plane = Plane.axis(axis, 0.25, HEXAGONAL, spacing=0.25)
    everything = grid.frac_coords().reshape(*grid.shape, 3)
    expected = np.take(everything, grid.shape[number] // 4, axis=number)
    assert plane.shape == expected.shape[:2]
    np.testing.assert_allclose(plane.frac_coords(), expected.reshape(-1, 3), atol=1e-15)


@given(hkl=indices, angles=skews, fraction=st.floats(-2, 2))
def test_miller_plane_is_one_primitive_mesh(hkl, angles, fraction):
    assume(any(hkl) and 150 < sum(angles) < 330 and 2 * max(angles) < sum(angles) - 20)
    structure = Structure(Lattice.from_parameters(3, 4, 5, *angles), ["H"], [[0, 0, 0]])
    plane = Plane.miller(hkl, fraction, structure, 0.5)
    reduced = np.array(hkl) // np.gcd.reduce(hkl)
    np.testing.assert_allclose(plane.frac_coords() @ reduced, fraction, atol=1e-9)
    u, v = np.array([plane.edge_u, plane.edge_v])
    np.testing.assert_array_equal(np.cross(u, v), reduced)  # primitive and right-handed about the normal
    edge_u, edge_v = np.array([u, v]) @ structure.lattice.matrix
    area = np.linalg.norm(np.cross(edge_u, edge_v))
    assert area == pytest.approx(structure.volume / structure.lattice.d_hkl(tuple(reduced)), rel=1e-6)
    assert edge_u @ edge_u <= edge_v @ edge_v * (1 + 1e-9)
    assert abs(edge_u @ edge_v) <= edge_u @ edge_u / 2 * (1 + 1e-9)


def test_cubic_planes_have_their_textbook_edges():
    cubic = Structure(Lattice.cubic(2.0), ["H"], [[0, 0, 0]])
    plane = Plane.miller((1, 1, 0), 0.5, cubic, 0.1)
    lengths = np.linalg.norm(np.array([plane.edge_u, plane.edge_v]) @ cubic.lattice.matrix, axis=1)
    np.testing.assert_allclose(lengths, [2, 2 * np.sqrt(2)])
    assert plane.shape == (20, 29)
    np.testing.assert_allclose(plane.axes(cubic.lattice.matrix)[2], np.array([1, 1, 0]) / np.sqrt(2), atol=1e-15)
    flat = Plane.miller((0, 0, -2), 0.25, cubic)
    np.testing.assert_allclose(flat.frac_coords()[:, 2], -0.25)


@given(seed=st.integers(0, 1000))
def test_projection_keeps_distances_and_gives_heights(seed):
    rng = np.random.default_rng(seed)
    lattice = np.eye(3) * 3 + rng.uniform(-0.5, 0.5, (3, 3))
    plane = Plane((0.1, 0.2, 0.3), (1.0, 0.5, 0.0), (0.0, 1.0, 1.0), (3, 4))
    np.testing.assert_allclose(plane.axes(lattice) @ plane.axes(lattice).T, np.eye(3), atol=1e-12)
    own = plane.project(plane.frac_coords(), lattice)
    np.testing.assert_allclose(own[:, 2], 0, atol=1e-12)
    assert own[4, 0] > 0 and own[4, 1] == pytest.approx(0, abs=1e-12) and own[1, 1] > 0
    points = rng.random((6, 3))
    distances = np.linalg.norm((points[1:] - points[:-1]) @ lattice, axis=1)
    projected = plane.project(points, lattice)
    np.testing.assert_allclose(np.linalg.norm(np.diff(projected, axis=0), axis=1), distances)


def test_planes_are_read():
    assert parse_plane("z=0.25", HEXAGONAL, 0.1) == Plane.axis("z", 0.25, HEXAGONAL, 0.1)
    assert parse_plane(" y = 1/3 ", HEXAGONAL) == Plane.axis("y", 1 / 3, HEXAGONAL)
    assert parse_plane("1,1,0=0.5", HEXAGONAL, 0.2) == Plane.miller((1, 1, 0), 0.5, HEXAGONAL, 0.2)
    explicit = Plane((0.0, 0.0, 0.5), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (200, 100))
    assert parse_plane("0,0,0.5:1,0,0:0,1,0:200x100", HEXAGONAL) == explicit


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("w=0.5", "'w' in .* as three numbers"),
        ("z=", "'' in 'z=' as a number"),
        ("z=nan", "finite"),
        ("1.5,0,0=0", "Miller indices are integers"),
        ("0,0,0=0", "belong to no plane"),
        ("0,0,0:1,0,0:0,1,0", "a plane is"),
        ("0,0,0:1,0,0:0,1,0:200", "a plane is"),
        ("0,0,0:1,0,0:0,1,0:20xa", "'a' in .* as a number of points"),
        ("0,0,0:1,0,0:0,1,0:0x5", "two positive numbers of points"),
        ("0,0,0:1,0,0:2,0,0:5x5", "not parallel"),
        ("", "a plane is"),
    ],
)
def test_bad_planes_are_explained(text, message):
    with pytest.raises(ElfzooError, match=message):
        parse_plane(text, HEXAGONAL)


def test_bad_slices_are_explained():
    with pytest.raises(ElfzooError, match="x, y or z; got 'w'"):
        Plane.axis("w", 0.5, HEXAGONAL)
    with pytest.raises(ElfzooError, match="positive number of Å; got 0"):
        Plane.axis("z", 0.5, HEXAGONAL, 0.0)
