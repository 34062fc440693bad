"""Figures: what is drawn where, on skewed cells too, and files that appear whole or not at all."""

import re
from pathlib import Path

import matplotlib
import matplotlib.image
import numpy as np
import pytest
from matplotlib.collections import PathCollection, QuadMesh
from pymatgen.core import Lattice, Structure

from elfzoo import plot
from elfzoo.errors import ElfzooError, FieldFileError, RecipeError
from elfzoo.field import Field
from elfzoo.interpolate import fourier_resample
from elfzoo.io import read_field
from elfzoo.paths import Plane

DATA = Path(__file__).parents[1] / "benchmarks" / "data"


@pytest.fixture(scope="module")
def hexagonal() -> Field:
    return read_field(DATA / "crystal-h" / "hexagonal_018.npz")


@pytest.fixture(scope="module")
def hydride() -> Field:
    return read_field(DATA / "hydrides" / "LaH10_Fm-3m_eq.npz")


@pytest.fixture(autouse=True)
def coarse_pictures(monkeypatch) -> None:
    monkeypatch.setattr(plot, "PIXELS", 41)
    monkeypatch.setattr(plot, "DPI", 50)


def shifted(field: Field, by: float = 0.01) -> Field:
    return field.replace(values=field.values.astype(float) * (1 - by) + by / 2)


def mesh_of(axes) -> QuadMesh:
    (mesh,) = (artist for artist in axes.collections if isinstance(artist, QuadMesh))
    return mesh


def test_hexagonal_slice_has_its_true_shape(hexagonal, drawn):
    plot.plot_slice(hexagonal, "a.png", Plane.axis("z", 0.25, hexagonal.structure))
    axes = drawn[0].axes[0]
    corners = mesh_of(axes).get_coordinates()
    along, across = corners[-1, 0] - corners[0, 0], corners[0, -1] - corners[0, 0]
    a, b = hexagonal.structure.lattice.abc[:2]
    assert np.linalg.norm(along) == pytest.approx(a) and np.linalg.norm(across) == pytest.approx(b)
    assert along @ across / (a * b) == pytest.approx(-0.5, abs=1e-3)
    assert axes.get_aspect() == 1.0


def test_slice_shows_the_values_of_the_field(hexagonal, drawn):
    """41 pixels, borders included, fall on the 40 points of the grid and on their first periodic image."""
    plot.plot_slice(hexagonal, "a.png", Plane.axis("z", 0.25, hexagonal.structure))
    mesh = mesh_of(drawn[0].axes[0])
    expected = np.pad(hexagonal.values[:, :, 8], ((0, 1), (0, 1)), mode="wrap")
    np.testing.assert_allclose(mesh.get_array(), expected, atol=1e-6)
    assert mesh.get_clim() == (0.0, 1.0)


def test_other_quantities_span_their_own_range(hexagonal, drawn):
    plot.plot_slice(hexagonal.replace(values=hexagonal.values * 7, quantity="density"), "a.png")
    axes = drawn[0].axes[0]
    mesh = mesh_of(axes)
    assert mesh.get_clim() == (mesh.get_array().min(), mesh.get_array().max())
    assert axes.get_title(loc="left") == "electron density, e/Å³"


def test_a_comparison_of_densities_is_named_and_scaled_as_such(hexagonal, drawn):
    reference = hexagonal.replace(values=hexagonal.values * 7.0, quantity="density")
    plot.plot_comparison(reference, shifted(reference, 0.02), "a.png")
    titles = [axes.get_title(loc="left") for axes in drawn[0].axes]
    assert titles[:2] == ["(a) reference electron density", "(b) predicted electron density"]
    meshes = [mesh_of(axes) for axes in drawn[0].axes[:2]]
    assert meshes[0].get_clim() == meshes[1].get_clim() and meshes[0].get_clim()[1] > 5
    parity, values = drawn[0].axes[3:5]
    assert parity.get_xlabel() == "reference electron density, e/Å³" and parity.get_xlim()[1] > 6.5
    assert values.get_xlim()[1] > 6.5 and values.get_xlabel() == "electron density, e/Å³"


def test_atoms_near_the_plane_are_marked():
    """Against every image in a block of cells, in Cartesian coordinates."""
    rng = np.random.default_rng(1)
    species = rng.choice(["H", "La"], 200)
    structure = Structure(Lattice.from_parameters(12, 13, 14, 80, 95, 110), species, rng.random((200, 3)))
    plane = Plane((0.1, 0.0, -0.1), (1.0, 0.0, 0.5), (0.0, 2.0, 0.0), (5, 5))
    coords, symbols = plot.atoms_on(plane, structure)
    block = structure * (6, 6, 6)
    lattice = structure.lattice.matrix
    positions = block.cart_coords - 2 * lattice.sum(axis=0)
    origin, u, v = np.array([plane.origin, plane.edge_u, plane.edge_v]) @ lattice
    normal = np.cross(u, v) / np.linalg.norm(np.cross(u, v))
    height = (positions - origin) @ normal
    weights = np.linalg.lstsq(np.stack([u, v], 1), (positions - origin - np.outer(height, normal)).T, rcond=None)[0].T
    expected = (np.abs(height) < plot.NEAR_PLANE) & (np.abs(weights - 0.5) < 0.5 + 1e-6).all(axis=1)
    assert len(coords) == expected.sum() > 8
    np.testing.assert_allclose(np.sort(coords[:, 2]), np.sort(height[expected]), atol=1e-9)
    assert sorted(symbols) == sorted(np.array([s.specie.symbol for s in block])[expected])


def test_marks_tell_elements_and_heights(drawn):
    structure = Structure(Lattice.cubic(4), ["H", "La", "H"], [[0.5, 0.5, 0.5], [0.25, 0.25, 0.5], [0.2, 0.8, 0.54]])
    field = Field(np.random.default_rng(0).random((8, 8, 8)), structure)
    plot.plot_slice(field, "a.png", Plane.axis("z", 0.5, structure))
    marks = [artist for artist in drawn[0].axes[0].collections if isinstance(artist, PathCollection)]
    placed = {
        tuple(np.round(mark.get_offsets()[0], 3)): len(mark.get_facecolor())
        for mark in marks
        if len(mark.get_offsets())
    }
    assert placed == {(2.0, 2.0): 1, (1.0, 1.0): 1, (0.8, 3.2): 0}  # the third is 0.16 Å above, so open
    assert [text.get_text() for text in drawn[0].legends[0].get_texts()] == ["H", "La"]


def test_default_plane_passes_through_the_most_atoms():
    layers = [[0.1, 0.2, 0.3], [0.4, 0.7, 0.3], [0.8, 0.5, 0.301], [0.3, 0.7, 0.9]]
    structure = Structure(Lattice.hexagonal(4, 5), ["H"] * 4, layers)
    assert plot.default_plane(structure).origin == pytest.approx((0, 0, 0.3), abs=0.002)
    wrapped = Structure(Lattice.orthorhombic(4, 5, 6), ["H"] * 3, [[0.999, 0, 0], [0.001, 0.4, 0.3], [0.5, 0.7, 0.7]])
    plane = plot.default_plane(wrapped)
    assert abs((plane.origin[0] + 0.5) % 1 - 0.5) < 0.002 and plane.edge_u == (0.0, 1.0, 0.0)


def test_comparison_shows_reference_prediction_and_residual(hexagonal, drawn):
    prediction = shifted(hexagonal)
    plot.plot_comparison(hexagonal, prediction, "a.png", Plane.axis("z", 0.25, hexagonal.structure))
    truth, guess, residual = (mesh_of(axes) for axes in drawn[0].axes[:3])
    np.testing.assert_allclose(residual.get_array(), guess.get_array() - truth.get_array(), atol=1e-12)
    assert truth.get_clim() == guess.get_clim() == (0.0, 1.0)
    assert residual.get_clim() == (-np.abs(residual.get_array()).max(), np.abs(residual.get_array()).max())
    assert residual.cmap.name != truth.cmap.name == guess.cmap.name


def test_comparison_counts_every_voxel(hexagonal, drawn):
    prediction = shifted(hexagonal)
    plot.plot_comparison(hexagonal, prediction, "a.png")
    parity, values, residuals = drawn[0].axes[3:6]
    assert mesh_of(parity).get_array().sum() == pytest.approx(100)
    for axes, histograms in ((values, 2), (residuals, 1)):
        assert [patch.get_data().values.sum() for patch in axes.patches] == pytest.approx([100] * histograms)
    error = prediction.values - hexagonal.values
    (text,) = (text.get_text() for text in parity.texts)
    numbers = [float(number) for number in re.findall(r"0\.\d{4}", text)]
    r2 = 1 - (error**2).sum() / ((hexagonal.values - hexagonal.values.mean()) ** 2).sum()
    assert numbers == pytest.approx([np.abs(error).mean(), np.sqrt((error**2).mean()), r2], abs=6e-5)


def test_equal_fields_can_be_compared(hexagonal, drawn):
    plot.plot_comparison(hexagonal, hexagonal, "a.png")
    low, high = mesh_of(drawn[0].axes[2]).get_clim()
    assert low == -high < 0


def test_other_grids_and_recipes_only_when_asked(hexagonal, hydride, drawn):
    finer = hexagonal.replace(values=fourier_resample(hexagonal.values, (48, 48, 48)))
    with pytest.raises(ElfzooError, match="grids differ"):
        plot.plot_comparison(hexagonal, finer, "a.png")
    plot.plot_comparison(hexagonal, finer, "a.png", resample=True)
    assert mesh_of(drawn[0].axes[2]).get_clim()[1] == pytest.approx(1e-6)
    other = hexagonal.replace(recipe=hydride.recipe)
    with pytest.raises(RecipeError):
        plot.plot_comparison(hexagonal, other, "a.png")
    plot.plot_comparison(hexagonal, other, "a.png", mixed_recipes=True)


@pytest.mark.parametrize("suffix", [".png", ".pdf", ".svg"])
def test_files_are_written_and_repeatable(hydride, tmp_path, suffix):
    before = dict(matplotlib.rcParams)
    first = plot.plot_comparison(hydride, shifted(hydride), tmp_path / f"a{suffix}")
    second = plot.plot_comparison(hydride, shifted(hydride), str(tmp_path / f"b{suffix}"))
    assert first.read_bytes() == second.read_bytes()
    assert first.read_bytes().startswith({".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml"}[suffix])
    assert dict(matplotlib.rcParams) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"a{suffix}", f"b{suffix}"]


def test_picture_has_colours(hexagonal, tmp_path):
    path = plot.plot_slice(hexagonal, tmp_path / "a.PNG")
    pixels = matplotlib.image.imread(path, format="png")
    assert pixels.shape[1] == 170
    assert len(np.unique(pixels.reshape(-1, pixels.shape[2]), axis=0)) > 200


def test_figures_say_what_and_where(hydride, drawn):
    structure = hydride.structure
    plot.plot_slice(hydride, "a.svg", Plane.axis("x", 0.125, structure))
    plot.plot_slice(hydride, "a.svg", Plane.miller((1, 1, 0), 0.5, structure))
    assert drawn[0].get_suptitle() == "LaH$_{10}$, x = 0.125"
    assert drawn[1].get_suptitle().startswith("LaH$_{10}$\nplane through (0.25,0.25,0) along (")


def test_bad_names_and_folders(hexagonal, tmp_path):
    with pytest.raises(ElfzooError, match=r"\.png, \.pdf, \.svg; got .*a\.jpg"):
        plot.plot_slice(hexagonal, tmp_path / "a.jpg")
    with pytest.raises(FieldFileError, match="cannot write"):
        plot.plot_slice(hexagonal, tmp_path / "nowhere" / "a.png")


def test_a_failed_figure_leaves_the_old_one(hexagonal, tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    values = hexagonal.values.copy()
    values[0, 0, 0] = np.nan
    with pytest.raises(ElfzooError, match="finite"):
        plot.plot_slice(hexagonal.replace(values=values), path)
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]
