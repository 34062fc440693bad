"""The linter: silent on good fields, and one finding for each way to spoil them."""

from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Structure

from elfzoo.check import Finding, check_field, check_file, fix_qe_elf
from elfzoo.check.symmetry import describe_operation
from elfzoo.errors import ElfzooError
from elfzoo.field import Field, Recipe
from elfzoo.interpolate import resample
from elfzoo.io import read_field, write_fields

DATA = Path(__file__).parents[1] / "benchmarks" / "data"
SOLIDS = [
    path for folder in ("crystal-h", "hydrides", "metals") for path in sorted((DATA / folder).glob("*.npz"))[::8]
]  # `elfzoo check` on all of them is the business of whoever adds one
FLUIDS = sorted((DATA / "fluid-h").glob("*_D_f02000.npz"))


@pytest.fixture(scope="module")
def fluid() -> Field:
    return read_field(DATA / "fluid-h" / "fluid_115.1GPa_D_f02000.npz")


@pytest.fixture(scope="module")
def hexagonal() -> Field:
    return read_field(DATA / "crystal-h" / "hexagonal_012.npz")


@pytest.fixture(scope="module")
def cubic() -> Field:
    return read_field(DATA / "crystal-h" / "cubic_027.npz")


@pytest.fixture(scope="module")
def metal() -> Field:
    return read_field(DATA / "metals" / "Cu_fcc_V0.8.npz")


def found(field: Field) -> dict[str, Finding]:
    return {finding.code: finding for finding in check_field(field)}


def wave(shape: tuple[int, int, int], structure: Structure, **more) -> Field:
    """A field with one smooth maximum at each lattice point, where the atom is."""
    x, y, z = np.meshgrid(*(np.cos(2 * np.pi * np.arange(n) / n) for n in shape), indexing="ij")
    return Field(0.5 + 0.15 * (x + y + z), structure, **more)


@pytest.mark.parametrize("path", [*SOLIDS, *FLUIDS], ids=lambda path: path.stem)
def test_reference_fields_are_good(path):
    assert check_file(path) == []


def test_there_are_reference_fields():
    assert len(SOLIDS) >= 30 and len(FLUIDS) == 3


# values


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_non_finite_values(fluid, bad):
    values = fluid.values.copy()
    values[3, 4, 5] = bad
    (finding,) = check_field(fluid.replace(values=values))
    assert (finding.level, finding.code) == ("error", "non-finite")
    assert "1 of 373248" in finding.message and "(3, 4, 5)" in finding.message


def test_constant_field(fluid):
    (finding,) = check_field(fluid.replace(values=np.full((8, 8, 8), 0.5)))
    assert (finding.level, finding.code) == ("error", "constant") and "0.5" in finding.message


@pytest.mark.parametrize(("lowest", "level"), [(-0.01, "warning"), (-0.3, "error")])
def test_values_out_of_range(fluid, lowest, level):
    values = fluid.values.copy()
    values[fluid.values == fluid.values.min()] = lowest
    finding = found(fluid.replace(values=values))["range"]
    assert finding.level == level and f"{lowest:.4g} to" in finding.message


def test_printed_digits_may_step_over_one(fluid):
    assert "range" not in found(fluid.replace(values=fluid.values.astype(float) + (1.0000005 - fluid.values.max())))


def test_values_divided_by_the_volume(fluid):
    volume = fluid.structure.volume
    (finding,) = check_field(fluid.replace(values=fluid.values / volume))
    assert (finding.level, finding.code) == ("error", "volume-scaled")
    assert f"multiply by {volume:.6g}" in finding.remedy
    (finding,) = check_field(fluid.replace(values=fluid.values * volume))
    assert (finding.level, finding.code) == ("error", "volume-scaled") and "divide" in finding.remedy


def test_what_ase_reads_from_an_elfcar(hexagonal, tmp_path):
    """ASE takes every VASP grid for a density and divides it by the volume."""
    from ase.calculators.vasp import VaspChargeDensity

    path = hexagonal.write(tmp_path / "ELFCAR")
    read = VaspChargeDensity(str(path)).chg[0]
    assert set(found(hexagonal.replace(values=read))) == {"volume-scaled"}
    assert check_file(path) == []


def test_a_low_maximum_that_no_volume_explains(fluid):
    assert found(fluid.replace(values=fluid.values * 1e-4))["low-maximum"].level == "warning"


def test_other_quantities_are_left_alone(fluid):
    (finding,) = check_field(fluid.replace(values=fluid.values * 50, quantity="potential"))
    assert (finding.level, finding.code) == ("info", "quantity")


def test_a_density_has_its_electrons(fluid):
    count = len(fluid.structure)
    values = fluid.values * count / (fluid.values.mean() * fluid.structure.volume)
    density = fluid.replace(values=values, quantity="density", meta={})
    (finding,) = check_field(density)
    assert (finding.level, finding.code) == ("info", "electrons") and f"holds {count}.00" in finding.message
    told = density.replace(meta={"valence_electrons": count})
    assert check_field(told) == []
    (finding,) = check_field(told.replace(values=told.values * 1.002))
    assert (finding.level, finding.code) == ("error", "electrons") and f"expected {count}" in finding.message


def test_a_density_that_is_negative_or_not_finite(fluid):
    values = fluid.values.astype(float) - 0.2
    found = {f.code: f.level for f in check_field(fluid.replace(values=values, quantity="density"))}
    assert found == {"negative": "warning", "electrons": "info"}
    values[0, 0, 0] = np.inf
    (finding,) = check_field(fluid.replace(values=values, quantity="density"))
    assert (finding.level, finding.code) == ("error", "non-finite")


# spin


def test_two_channels_that_differ(hexagonal, tmp_path):
    down = hexagonal.replace(values=hexagonal.values**2, spin="down")
    path = write_fields({"up": hexagonal.replace(spin="up"), "down": down}, tmp_path / "ELFCAR")
    (finding,) = check_file(path)
    assert (finding.level, finding.code) == ("warning", "spin-channels")
    assert f"up to {(hexagonal.values - hexagonal.values**2).max():.2g}" in finding.message


def test_two_equal_channels_are_a_total(hexagonal, tmp_path):
    path = write_fields({spin: hexagonal.replace(spin=spin) for spin in ("up", "down")}, tmp_path / "ELFCAR")
    assert check_file(path) == []


def test_findings_of_one_channel_name_it(hexagonal, tmp_path):
    values = hexagonal.values.copy()
    values[0, 0, 0] = 1.5
    down = hexagonal.replace(values=values, spin="down")
    path = write_fields({"up": hexagonal.replace(spin="up"), "down": down}, tmp_path / "ELFCAR")
    first, second = check_file(path)
    assert (first.level, first.code) == ("error", "range") and first.message.startswith("spin down: ")
    assert second.code == "spin-channels"


def test_one_channel_alone(hexagonal):
    labelled = found(hexagonal.replace(spin="up"))["spin-channel"]
    assert labelled.level == "info" and "spin-up" in labelled.message
    mistaken = found(hexagonal.replace(meta={**hexagonal.meta, "spin": "alpha"}))["spin-channel"]
    assert mistaken.level == "warning" and "'alpha'" in mistaken.message


# sampling


def test_coarse_grid(metal):
    coarse = metal.replace(values=metal.values[::2, ::2, ::2])
    finding = found(coarse)["coarse-grid"]
    assert f"{coarse.grid.spacing[0]:.3f} x " in finding.message and coarse.grid.spacing[0] == pytest.approx(
        0.198, abs=0.001
    )
    assert "coarse-grid" not in found(metal)


def test_aliasing_tells_the_axis(fluid, rng):
    coarse = found(fluid.replace(values=fluid.values[::3, ::3, ::3]))
    assert coarse["aliasing"].level == coarse["coarse-grid"].level == "warning"
    stripes = 0.03 * np.cos(np.pi * np.arange(72))[None, :, None]
    finding = found(fluid.replace(values=np.clip(fluid.values + stripes, 0, 1)))["aliasing"]
    assert "along b" in finding.message
    noise = rng.normal(scale=0.03, size=fluid.values.shape)
    assert "aliasing" in found(fluid.replace(values=np.clip(fluid.values + noise, 0, 1)))


# symmetry


def test_field_without_the_symmetry_of_its_structure(cubic):
    values = cubic.values.copy()
    values[:4] = values[:4] * 0.9 + 0.05
    slight = found(cubic.replace(values=values))["symmetry"]
    assert slight.level == "warning" and "P4_132" in slight.message and "symprec 0.001" in slight.message
    rolled = found(cubic.replace(values=np.roll(cubic.values, 5, axis=0)))
    assert rolled["symmetry"].level == "error"


def test_worst_operation_is_told():
    """A tetragonal cell with a field that lacks only what exchanges a and b."""
    structure = Structure([[3, 0, 0], [0, 3, 0], [0, 0, 4]], ["Al"], [[0, 0, 0]])
    field = wave((24, 24, 32), structure)
    assert check_field(field) == []
    spoiled = field.replace(values=field.values + 0.04 * np.cos(2 * np.pi * np.arange(24) / 24)[:, None, None])
    finding = found(spoiled)["symmetry"]
    assert "changes by up to 0.080" in finding.message and finding.level == "warning"
    assert finding.message.split("(")[1][:2] in ("y,", "-y")


def test_symmetry_by_interpolation_where_the_grid_does_not_suit():
    """A third of a step along c puts mirrors between the points; a shifted grid origin is found all the same."""
    field = read_field(DATA / "crystal-h" / "hexagonal_008.npz")
    n = field.grid.shape[2]
    waves = np.exp(-2j * np.pi * np.arange(n // 2 + 1) / (3 * n))
    structure = field.structure.copy().translate_sites(range(len(field.structure)), [0, 0, 1 / (3 * n)])
    field = field.replace(values=np.fft.irfft(np.fft.rfft(field.values) * waves, n), structure=structure)
    finding = found(field)["grid-symmetry"]
    assert finding.level == "warning" and "12 of 24" in finding.message and "18 x 18 x 36" in finding.message
    assert "symmetry" in found(field.replace(values=np.roll(field.values, 3, axis=2)))


def test_grid_that_breaks_a_screw_axis():
    """3_1 in quartz's group: 32 points do not divide by three, and 36 are suggested."""
    lattice = [[3, 0, 0], [-1.5, 3 * np.sqrt(0.75), 0], [0, 0, 3.6]]
    structure = Structure.from_spacegroup("P3_121", lattice, ["Si"], [[0.47, 0, 1 / 3]])
    rng = np.random.default_rng(0)
    values = rng.random((36, 36, 36))
    finding = found(Field(values[:, :, :32], structure))["grid-symmetry"]
    assert "36 x 36 x 36 points would suit it" in finding.remedy and "1/3" in finding.message
    assert "grid-symmetry" not in found(Field(values, structure))


def test_grid_with_unequal_axes_in_a_cubic_cell():
    structure = Structure(3 * np.eye(3), ["Al"], [[0, 0, 0]])
    finding = found(wave((24, 24, 30), structure))["grid-symmetry"]
    assert "30 x 30 x 30 points would suit it" in finding.remedy
    assert "symmetry" not in found(wave((24, 24, 30), structure))  # the field itself is cubic


def test_operations_are_written_as_in_the_tables():
    rotation = np.array([[0, -1, 0], [1, -1, 0], [0, 0, -1]])
    assert describe_operation(rotation, np.array([-1e-9, 1 / 3 + 1e-7, 0.5])) == "-y, x-y+1/3, -z+1/2"


# atoms


@pytest.mark.parametrize("order", [(2, 1, 0), (1, 2, 0), (2, 0, 1), (1, 0, 2)])
def test_wrong_axis_order(fluid, order):
    finding = found(fluid.replace(values=np.ascontiguousarray(fluid.values.transpose(order))))["axis-order"]
    assert finding.level == "error" and f"({', '.join('abc'[i] for i in order)})" in finding.message


def test_axes_that_the_symmetry_tells_apart(hexagonal):
    swapped = hexagonal.replace(values=np.ascontiguousarray(hexagonal.values.transpose(2, 1, 0)))
    assert found(swapped)["axis-order"].level == "error"


def test_c_order_read_as_fortran_order(fluid):
    """On a grid of three different numbers of points, where the shape hides nothing."""
    uneven = resample(fluid, (60, 72, 64))
    uneven = uneven.replace(values=uneven.values.clip(0, 1))
    mixed = uneven.values.ravel(order="F").reshape(uneven.values.shape)
    assert found(uneven) == {}
    assert "(c, b, a)" in found(uneven.replace(values=mixed))["axis-order"].message


def test_fortran_order_read_as_c_order(fluid, tmp_path):
    """The other way round: a file whose values should have x fastest, and have z."""
    uneven = resample(fluid, (60, 72, 64))
    values = uneven.values.clip(0, 1).ravel().reshape(uneven.values.shape, order="F")
    path = uneven.replace(values=values).write(tmp_path / "ELFCAR")
    (finding,) = (finding for finding in check_file(path) if finding.code == "axis-order")
    assert finding.level == "error" and "(a, b, c), slowest first" in finding.message


@pytest.mark.parametrize("shift", [(36, 0, 0), (36, 36, 36), (5, -7, 11), (0, 0, 9)])
def test_wrong_origin(fluid, shift):
    finding = found(fluid.replace(values=np.roll(fluid.values, shift, (0, 1, 2))))["origin"]
    moved = np.array([float(x) for x in finding.message.split("(")[1].split(")")[0].split(",")])
    np.testing.assert_allclose((moved - np.array(shift) / 72 + 0.5) % 1 - 0.5, 0, atol=2e-3)


def test_wrong_atoms(fluid):
    structure = fluid.structure.copy()
    lowest = np.unravel_index(fluid.values.argmin(), fluid.values.shape)
    structure.replace(7, "H", np.array(lowest) / fluid.values.shape)
    finding = found(fluid.replace(structure=structure))["atoms"]
    assert finding.level == "warning" and "1 of 128" in finding.message
    place = ", ".join(f"{x:.4f}" for x in structure[7].frac_coords)
    assert place in finding.message
    assert "atoms" not in found(fluid.replace(structure=structure, spin="up"))


def test_a_maximum_at_the_bond_centre_is_no_error():
    """H2 whose ELF has one maximum between the nuclei, as correlated or smeared calculations give."""
    structure = Structure(np.eye(3) * 3, ["H", "H"], [[0.5, 0.5, 0.38], [0.5, 0.5, 0.62]])
    x, y, z = np.meshgrid(*[np.arange(48) / 16 - 1.5] * 3, indexing="ij")
    field = Field(np.exp(-(x**2 + y**2 + z**2) / (2 * 0.6**2)), structure)
    assert found(field) == {}


# Quantum ESPRESSO


@pytest.mark.parametrize(
    ("engine", "level"),
    [
        ("Quantum ESPRESSO 6.7", None),
        ("Quantum ESPRESSO 6.8", "error"),
        ("Quantum ESPRESSO v.7.3.1 pw.x", "error"),
        ("PWSCF v7.5", "error"),
        ("Quantum ESPRESSO 7.6", None),
        ("Quantum ESPRESSO 10.1", None),
        ("VASP 6.4", None),
    ],
)
def test_wrong_versions_of_quantum_espresso(hexagonal, engine, level):
    for field in (
        hexagonal.replace(recipe=Recipe(engine, "PBE", "GTH"), meta={}),
        hexagonal.replace(recipe=None, meta={"engine": engine}),
    ):
        finding = found(field).get("qe-elf")
        assert (finding.level if finding else None) == level
        assert "qe-elf" not in found(field.replace(spin="up"))
        assert "qe-elf" not in found(field.replace(meta={**field.meta, "spin_polarised": True}))


def test_cube_that_does_not_tell_its_version(hexagonal, tmp_path):
    path = hexagonal.write(tmp_path / "elf.cube")
    lines = path.read_text().splitlines(keepends=True)
    assert check_file(path) == []
    path.write_text("".join([" Cubefile created from PWScf calculation\n", " ELF\n", *lines[2:]]))
    (finding,) = check_file(path)
    assert (finding.level, finding.code) == ("info", "qe-elf")


def test_mending_is_exact(fluid):
    """χ of the uniform gas is 1, so its ELF is 0.5; without the factor it reads 1 / (1 + 2^(-4/3)) = 0.716."""
    chi = np.array([0.0, 0.3, 1.0, 1e4]).reshape(1, 2, 2)
    wrong = 1 / (1 + (chi / 2 ** (2 / 3)) ** 2)
    assert wrong[0, 1, 0] == pytest.approx(0.7159, abs=1e-4)
    mended = fix_qe_elf(fluid.replace(values=wrong)).values
    np.testing.assert_allclose(mended, 1 / (1 + chi**2), rtol=1e-14)
    ends = fix_qe_elf(fluid.replace(values=np.array([[[0.0, 1.0]]]))).values
    np.testing.assert_array_equal(ends, [[[0.0, 1.0]]])


@pytest.mark.parametrize("name", ["ELFCAR", "elf.cube", "elf.xsf", "elf.npz", "elf.h5"])
def test_mended_fields_are_remembered(hexagonal, tmp_path, name):
    wrong = hexagonal.replace(recipe=Recipe("Quantum ESPRESSO 7.2", "PBE", "GTH"), meta={})
    mended = read_field(fix_qe_elf(wrong).write(tmp_path / name))
    assert mended.recipe == wrong.recipe
    assert "qe-elf" in found(wrong) and "qe-elf" not in found(mended)
    with pytest.raises(ElfzooError, match="mended before"):
        fix_qe_elf(mended)


def test_mending_is_refused_where_it_would_spoil(hexagonal):
    with pytest.raises(ElfzooError, match="spin-up"):
        fix_qe_elf(hexagonal.replace(spin="up"))
    with pytest.raises(ElfzooError, match="metadata say it is one"):
        fix_qe_elf(hexagonal.replace(meta={"spin_polarised": True}))
    with pytest.raises(ElfzooError, match="between 0 and 1"):
        fix_qe_elf(hexagonal.replace(values=hexagonal.values * 2))


# files and findings


def test_files_that_cannot_be_read(tmp_path):
    (finding,) = check_file(tmp_path / "ELFCAR")
    assert (finding.level, finding.code) == ("error", "unreadable") and str(tmp_path) in finding.message
    (tmp_path / "a.cube").write_text("nothing\nof use\n")
    assert check_file(tmp_path / "a.cube")[0].code == "unreadable"


def test_worst_findings_come_first_and_read_well(cubic):
    spoiled = cubic.replace(values=np.roll(cubic.values, 5, axis=0)[::3, ::3, ::3], spin="up")
    levels = [finding.level for finding in check_field(spoiled)]
    assert levels == sorted(levels, key=["error", "warning", "info"].index) and len(set(levels)) == 3
    for finding in check_field(spoiled):
        assert str(finding).startswith(f"{finding.level} [{finding.code}] ") and not finding.remedy.endswith(".")
