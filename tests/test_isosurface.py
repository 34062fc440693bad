"""Isosurfaces: areas and volumes known exactly, closed across the faces of the cell, and what the pictures show."""

import re
import sys
from pathlib import Path

import matplotlib
import matplotlib.image
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from pymatgen.core import Lattice, Structure

import elfzoo.isosurface as pictures
from elfzoo import plot
from elfzoo import surface as surface_module
from elfzoo.analysis import networking
from elfzoo.analysis.percolation import available
from elfzoo.errors import ElfzooError, FieldFileError
from elfzoo.field import Field
from elfzoo.grid import Grid
from elfzoo.interpolate import fourier_resample
from elfzoo.io import read_field
from elfzoo.isosurface import Isosurface, isosurface, plot_isosurface
from elfzoo.render import Canvas, view_of
from tests.analysis.field_oracle import FourierSeries

pytest.importorskip("skimage")
needs_kernel = pytest.mark.skipif(not available(), reason="the compiled kernel was not built")

HYDRIDES = Path(__file__).parents[1] / "benchmarks" / "data" / "hydrides"
TRICLINIC = Lattice.from_parameters(3.4, 3.9, 3.6, 78, 97, 109)
LEFT_HANDED = Lattice(TRICLINIC.matrix[[1, 0, 2]])


def bumps(lattice: Lattice, centres: list[list[float]], radii: list[float], spacing: float = 0.1) -> Field:
    """Gaussians around centres, of which the highest counts: 1 on spheres of these radii, Å."""
    grid = Grid.from_spacing(lattice.matrix, spacing)
    distances = lattice.get_all_distances(grid.frac_coords(), centres)
    values = np.exp(1 - (distances / radii) ** 2).max(axis=1)
    return Field(values.reshape(grid.shape), Structure(lattice, ["H"] * len(centres), centres))


def waves(shape: tuple[int, int, int] = (24, 24, 24), lattice: Lattice = TRICLINIC) -> Field:
    """cos x + 0.7 cos y + 0.4 cos z, with φ = 0.1."""
    axes = np.meshgrid(*(2 * np.pi * np.arange(n) / n for n in shape), indexing="ij")
    values = np.cos(axes[0]) + 0.7 * np.cos(axes[1]) + 0.4 * np.cos(axes[2])
    return Field(values, Structure(lattice, ["H"], [[0, 0, 0]]), quantity="waves")


def areas(surface: Isosurface) -> np.ndarray:
    a, b, c = np.moveaxis(surface.vertices[surface.faces], 1, 0)
    return np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2


def unpaired(surface: Isosurface, chosen: np.ndarray, lattice: Lattice, periodic: bool) -> int:
    """Edges of the chosen triangles that do not meet exactly one other edge, which goes the opposite way."""
    frac = surface.vertices @ lattice.inv_matrix
    places = np.round(frac * 1e10).astype(int)
    if periodic:
        places %= 10**10
    vertex = np.unique(places, axis=0, return_inverse=True)[1].reshape(-1)[surface.faces[chosen]]
    ways = np.concatenate([vertex[:, [0, 1]], vertex[:, [1, 2]], vertex[:, [2, 0]]])
    ways = ways[ways[:, 0] != ways[:, 1]]
    edge, which = np.unique(np.sort(ways, axis=1), axis=0, return_inverse=True)
    there = np.bincount(which.reshape(-1), ways[:, 0] < ways[:, 1], minlength=len(edge))
    back = np.bincount(which.reshape(-1), ways[:, 0] > ways[:, 1], minlength=len(edge))
    return int(((there != 1) | (back != 1)).sum())


@pytest.mark.parametrize("lattice", [TRICLINIC, LEFT_HANDED, Lattice.hexagonal(3.5, 3.2)])
def test_area_and_volume_of_a_sphere(lattice):
    """It lies across a corner of the cell, so that all faces cut it."""
    radius = 1.1
    surface = isosurface(bumps(lattice, [[0.02, 0.95, 0.03]], [radius]), 1.0)
    assert areas(surface)[~surface.cut].sum() == pytest.approx(4 * np.pi * radius**2, rel=0.005)
    assert surface.shares * lattice.volume == pytest.approx([4 / 3 * np.pi * radius**3], rel=0.01)
    assert surface.regions.dimensionality.tolist() == [0]
    assert surface.cut.any()


@pytest.mark.parametrize("lattice", [TRICLINIC, LEFT_HANDED])
def test_normals_and_triangles_look_outwards(lattice):
    centre, radius = np.array([0.5, 0.45, 0.55]), 1.1
    surface = isosurface(bumps(lattice, [centre.tolist()], [radius]), 1.0)
    outward = (surface.vertices - centre @ lattice.matrix) / radius
    assert not surface.cut.any()
    np.testing.assert_allclose(np.linalg.norm(outward, axis=1), 1, atol=0.004)
    assert ((outward * surface.normals).sum(axis=1) > 0.995).all()
    a, b, c = np.moveaxis(surface.vertices[surface.faces], 1, 0)
    assert ((np.cross(b - a, c - a) * outward[surface.faces[:, 0]]).sum(axis=1) > 0).mean() > 0.999


@pytest.mark.parametrize("seed", range(3))
def test_surfaces_are_closed(seed, monkeypatch):
    """The surface continues across every face of the cell; with the cuts it is closed within the cell."""
    monkeypatch.setattr(surface_module, "FINEST", 0.1)
    series = FourierSeries.random(np.random.default_rng(seed), 8)
    values, lattice = series.grid((20, 18, 22)), TRICLINIC if seed else LEFT_HANDED
    isovalue = float(values.min() + 0.55 * np.ptp(values))
    surface = isosurface(Field(values, Structure(lattice, ["H"], [[0, 0, 0]])), isovalue)
    assert surface.cut.any() and surface.region.min() > 0
    assert unpaired(surface, ~surface.cut, lattice, periodic=True) == 0
    assert unpaired(surface, np.ones_like(surface.cut), lattice, periodic=False) == 0
    assert surface.shares.sum() == pytest.approx((series.grid((60, 54, 66)) >= isovalue).mean(), abs=0.003)


def test_triangles_know_their_region():
    centres = [[0.05, 0.1, 0.95], [0.5, 0.55, 0.45]]
    surface = isosurface(bumps(TRICLINIC, centres, [0.8, 1.1]), 1.0)
    middle = surface.vertices[surface.faces].mean(axis=1) @ TRICLINIC.inv_matrix
    nearest = TRICLINIC.get_all_distances(middle, centres).argmin(axis=1)
    assert (surface.region == np.where(nearest == 1, 1, 2)).all()  # the larger one comes first
    for number, radius in ((1, 1.1), (2, 0.8)):
        assert surface.shares[number - 1] * TRICLINIC.volume == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.015)
        found = areas(surface)[(surface.region == number) & ~surface.cut].sum()
        assert found == pytest.approx(4 * np.pi * radius**2, rel=0.01)


@pytest.mark.parametrize(("isovalue", "reach"), [(1.4, 0), (1.0, 1), (0.4, 2), (0.0, 3)])
def test_regions_of_waves(isovalue, reach):
    assert isosurface(waves(), isovalue).regions.dimensionality.tolist() == [reach]


@needs_kernel
def test_networking_value_shows_the_network():
    surface = isosurface(waves())
    assert surface.isovalue == pytest.approx(0.1, abs=1e-4)
    assert surface.regions.dimensionality.tolist() == [3]
    field = read_field(HYDRIDES / "LaH10_Fm-3m_eq.npz")
    hydride = isosurface(field)
    assert hydride.regions.dimensionality.tolist() == [3, 0]
    inside = (fourier_resample(field.values.astype(float), (90, 90, 90)) >= hydride.isovalue).mean()
    assert hydride.shares.sum() == pytest.approx(inside, abs=0.003)
    assert hydride.regions.isovalue < hydride.isovalue < hydride.regions.isovalue + 0.005


@needs_kernel
def test_networking_values_that_are_known_are_not_searched_again(monkeypatch):
    field = waves()
    found, sought = networking(field), isosurface(field)
    monkeypatch.setattr(surface_module, "networking", None)
    known = isosurface(field, found=found)
    assert (known.isovalue, known.regions.isovalue) == (sought.isovalue, sought.regions.isovalue)
    np.testing.assert_array_equal(known.vertices, sought.vertices)


def test_the_drawn_grid_suits_the_eye():
    """Coarse fields are refined, fine ones thinned, and large cells stay affordable."""
    small = Structure(Lattice.cubic(3.0), ["H"], [[0, 0, 0]])
    for n, drawn in ((20, 60), (50, 50 + 10), (64, 64), (100, 60)):
        found = isosurface(Field(waves((n, n, n)).values, small), 0.5)
        assert found.regions.labels.shape == (drawn,) * 3
    large = Structure(Lattice.cubic(12.0), ["H"], [[0, 0, 0]])
    assert isosurface(Field(waves().values, large), 0.5).regions.labels.shape == (80, 80, 80)


# ---- the depth buffer ----


def test_spheres_and_what_they_hide():
    far, near = np.array([[50.0, 40.0, 0.0]]), np.array([[60.0, 40.0, 15.0]])
    radii, red, blue = np.array([20.0]), np.array([[1.0, 0, 0]]), np.array([[0, 0, 1.0]])
    pictures_of = []
    for order in ((far, red, near, blue), (near, blue, far, red)):
        canvas = Canvas.blank(80, 100)
        canvas.add_spheres(order[0], radii, order[1])
        canvas.add_spheres(order[2], radii, order[3])
        pictures_of.append(canvas)
    np.testing.assert_array_equal(pictures_of[0].rgb, pictures_of[1].rgb)
    canvas = pictures_of[0]
    assert canvas.depth[40, 60] == 35 and canvas.depth[40, 31] == pytest.approx(np.sqrt(20**2 - 19**2))
    assert (canvas.rgb[40, 60].argmax(), canvas.rgb[40, 35].argmax()) == (2, 0)
    alone = Canvas.blank(80, 100)
    alone.add_spheres(far, radii, red)
    assert np.isfinite(alone.depth).sum() == pytest.approx(np.pi * 400, rel=0.01)


def test_triangles_are_filled_once_and_seen_from_outside():
    """A square of two triangles, tilted: no seam, depths on its plane, nothing from behind or off the canvas."""
    corners = np.array([[-5.0, 10, 0], [30, 10, 35], [30, 50, 35], [-5, 50, 0]])
    facing = corners[[[0, 2, 1], [0, 3, 2]]]
    normals, colours = np.tile([0, 0, 1.0], (2, 3, 1)), np.full((2, 3), 0.5)
    canvas = Canvas.blank(40, 100)
    canvas.add_triangles(facing, normals, colours)
    assert np.isfinite(canvas.depth).sum() == 30 * 31
    y, x = np.nonzero(np.isfinite(canvas.depth))
    np.testing.assert_allclose(canvas.depth[y, x], x + 5, atol=1e-9)
    behind = Canvas.blank(40, 100)
    behind.add_triangles(facing[:, ::-1], normals, colours)
    assert not np.isfinite(behind.depth).any()
    behind.add_triangles(facing[:0], normals[:0], colours[:0])


@pytest.mark.parametrize("lattice", [TRICLINIC, LEFT_HANDED, Lattice.cubic(2), Lattice.hexagonal(2, 5)])
def test_views_are_rotations(lattice):
    view = view_of(lattice.matrix)
    np.testing.assert_allclose(view @ view.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(view) == pytest.approx(-1)  # y goes down
    a, _, c = lattice.matrix @ view.T
    assert abs(c[0]) < 1e-9 and c[1] < 0 < c[2] and a[2] > 0


# ---- pictures ----


@pytest.fixture
def coarse(monkeypatch) -> None:
    monkeypatch.setattr(plot, "DPI", 60)
    monkeypatch.setattr(pictures, "DPI", 60)
    monkeypatch.setattr(surface_module, "FINEST", 0.1)


def said(figure: Figure) -> list[str]:
    legends = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    return [text.get_text() for text in figure.texts] + legends


@pytest.mark.parametrize("suffix", [".png", ".pdf", ".svg", ".html"])
def test_files_are_written_and_repeatable(tmp_path, suffix, coarse):
    before = dict(matplotlib.rcParams)
    field = bumps(TRICLINIC, [[0.1, 0.2, 0.3]], [1.0])
    first = plot_isosurface(field, tmp_path / f"a{suffix}", 1.0)
    second = plot_isosurface(field, str(tmp_path / f"b{suffix}"), 1.0)
    assert first.read_bytes() == second.read_bytes()
    assert first.read_bytes().startswith(
        {".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml"}.get(suffix, b"<!doctype html>")
    )
    assert dict(matplotlib.rcParams) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"a{suffix}", f"b{suffix}"]


@needs_kernel
def test_pictures_say_what_they_show(drawn, coarse):
    field = read_field(HYDRIDES / "LaH10_Fm-3m_eq.npz")
    plot_isosurface(field, "a.png")
    title, *elements, network, shell = said(drawn[0])
    assert title == "LaH$_{10}$, ELF = 0.555, the networking value φ" and elements == ["H", "La"]
    assert re.fullmatch("3D network, 2[12] % of the volume", network) and shell == "enclosed region, 12 %"
    assert [text.get_text() for text in drawn[0].axes[0].texts] == ["a", "b", "c"]
    plot_isosurface(waves(), "a.png", 0.4)
    assert said(drawn[1])[0] == "H, WAVES = 0.400"
    assert said(drawn[1])[1].startswith("2D layer, ")


def test_pages_need_no_network(tmp_path, coarse):
    field = bumps(TRICLINIC, [[0.1, 0.2, 0.3], [0.6, 0.6, 0.8]], [1.0, 0.7])
    page = plot_isosurface(field, tmp_path / "a.html", 1.0).read_text(encoding="utf-8")
    assert "<script src" not in page and page.count('"legendgroup":"') == 4  # two regions and their cuts
    assert r"H\u003csub\u003e2\u003c\u002fsub\u003e, ELF = 1.000" in page
    assert "enclosed region, 9.5 % of the volume" in page and '"name":"H"' in page


def test_many_regions_share_colours_but_those_that_span_do_not(drawn, coarse):
    """Twelve bumps, then the same with two rods."""
    n = np.arange(40) / 40
    x, y, z = np.meshgrid(n, n, n, indexing="ij")
    values = np.cos(4 * np.pi * x) + np.cos(4 * np.pi * y) + np.cos(6 * np.pi * z)
    structure = Structure(Lattice.cubic(4), ["H"], [[0, 0, 0]])
    plot_isosurface(Field(values, structure), "a.png", 2.0)
    assert said(drawn[0])[1].startswith("12 enclosed regions, ")
    rods = np.exp(-((x - 0.25) ** 2 + (y - 0.25) ** 2) / 0.003) + np.exp(-((x - 0.75) ** 2 + (y - 0.75) ** 2) / 0.003)
    plot_isosurface(Field(values + 9 * rods, structure), "a.png", 2.0)
    first, second, others = said(drawn[1])[1:]
    assert first.startswith("1D column, ") and second.startswith("1D column, ") and "12 enclosed regions" in others
    patches = drawn[1].legends[0].findobj(Rectangle)
    assert [patch.get_facecolor()[:3] for patch in patches] == [to_rgb(colour) for colour in pictures.PALETTE]


def test_pixels_of_the_regions(tmp_path, monkeypatch):
    """Seen against black: the bump is blue, the atom is white, the paper is black and covers the rest."""
    monkeypatch.setattr(plot, "DPI", 100)
    monkeypatch.setattr(pictures, "DPI", 100)
    field = bumps(Lattice.cubic(4), [[0.5, 0.5, 0.5]], [1.2])
    path = plot_isosurface(
        field.replace(structure=Structure(Lattice.cubic(4), ["H"], [[0, 0, 0]])), tmp_path / "a.png", 1.0
    )
    black = plot_isosurface(field, tmp_path / "b.png", 1.0, background="black")
    pixels, dark = matplotlib.image.imread(path), matplotlib.image.imread(black)
    assert pixels.shape[1] == 340 and tuple(pixels[2, 2]) == (1, 1, 1, 1) and tuple(dark[2, 2]) == (0, 0, 0, 1)
    blue = (pixels[..., 2] > pixels[..., 0] + 0.2) & (pixels[..., 3] == 1)
    edge = 310 / (np.ptp((np.array(list(np.ndindex(2, 2, 2))) * 4 @ view_of(4 * np.eye(3)).T)[:, 0]) + 0.3)
    assert blue.sum() == pytest.approx(np.pi * (1.2 * edge) ** 2, rel=0.1)
    clear = matplotlib.image.imread(plot_isosurface(field, tmp_path / "c.png", 1.0, background="none"))
    assert clear[2, 2, 3] == 0 and (clear[..., 3] == 1).sum() > blue.sum()


def test_atoms_on_faces_appear_on_all_of_them():
    structure = Structure(Lattice.cubic(4), ["H", "La", "H"], [[0, 0, 0.9999], [0.5, 0.5, 1e-5], [0.3, 0.4, -0.5]])
    positions, radii, symbols = pictures._atoms(structure)
    assert [symbols.count(symbol) for symbol in ("H", "La")] == [9, 2]
    assert np.unique(np.round(positions[[s == "La" for s in symbols]], 2), axis=0).tolist() == [[2, 2, 0], [2, 2, 4]]
    assert radii[symbols.index("La")] > radii[symbols.index("H")]


# ---- refusals ----


def test_isovalues_without_a_surface():
    field = waves()
    for isovalue in (3.0, -2.2, np.nan):
        with pytest.raises(ElfzooError, match=r"no surface at isovalue .*: the field spans -2\.1 to 2\.1"):
            isosurface(field, isovalue)
    with pytest.raises(ElfzooError, match=r"no surface at isovalue 0\.5: the field spans"):
        isosurface(field.replace(values=np.full((8, 8, 8), 0.5)), 0.5)
    broken = field.values.copy()
    broken[0, 0, 0] = np.inf
    with pytest.raises(ElfzooError, match="finite"):
        isosurface(field.replace(values=broken), 0.5)


def test_bad_names_and_colours(tmp_path):
    with pytest.raises(ElfzooError, match=r"\.png, \.pdf, \.svg or \.html; got .*a\.jpg"):
        plot_isosurface(waves(), tmp_path / "a.jpg")
    with pytest.raises(ElfzooError, match="colour that matplotlib knows; got 'whitish'"):
        plot_isosurface(waves(), tmp_path / "a.png", background="whitish")


@pytest.mark.parametrize("suffix", [".png", ".html"])
def test_folders_that_are_missing_and_files_that_stay(tmp_path, suffix, coarse):
    with pytest.raises(FieldFileError, match="cannot write"):
        plot_isosurface(waves(), tmp_path / "nowhere" / f"a{suffix}", 0.5)
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"old")
    with pytest.raises(ElfzooError, match="no surface"):
        plot_isosurface(waves(), path, 9.0)
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_missing_packages_are_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "plotly", None)
    with pytest.raises(ElfzooError, match="plotly is not installed; install it with: pip install plotly"):
        plot_isosurface(waves(), tmp_path / "a.html", 0.5)
    monkeypatch.setitem(sys.modules, "skimage.measure", None)
    with pytest.raises(ElfzooError, match="scikit-image is not installed; install it with: pip install scikit-image"):
        plot_isosurface(waves(), tmp_path / "a.png", 0.5)
    assert not list(tmp_path.iterdir())
