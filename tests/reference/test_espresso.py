"""Quantum ESPRESSO: inputs, outputs that pw.x 6.7 really wrote, and small calculations where it is installed."""

from __future__ import annotations

import hashlib
import shlex
import shutil
from importlib import resources

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from scipy import constants

from elfzoo.reference.engines import EngineError, RelaxSettings, Settings, espresso
from elfzoo.reference.engines.espresso import EspressoEngine, copy_pseudopotentials, pw_input, relax_input
from elfzoo.symmetry import grid_orbits

needs_espresso = pytest.mark.skipif(
    not (shutil.which("pw.x") and shutil.which("pp.x")),
    reason="Quantum ESPRESSO is not installed: apt-get install quantum-espresso quantum-espresso-data",
)
RY = constants.value("Rydberg constant times hc in eV")
BOHR = constants.value("Bohr radius") * 1e10
H2 = Structure(Lattice.tetragonal(1.9, 2.4), ["H", "H"], [[0, 0, 0.16], [0, 0, -0.16]])

SCF_OUTPUT = """
     Program PWSCF v.6.7MaX starts on 21Nov2026 at  9: 2:27
     number of electrons       =         2.00
     atomic species   valence    mass     pseudopotential
        H              1.00     1.00790      H( 1.00)
        Ca            10.00    40.07800      Ca( 1.00)
     number of k points=     1  Fermi-Dirac smearing, width (Ry)=  0.0220
     iteration #  1     ecut=    20.00 Ry     beta= 0.50
     total energy              =      -2.30763714 Ry
     iteration #  2     ecut=    20.00 Ry     beta= 0.50
     total energy              =      -2.31163284 Ry
     End of self-consistent calculation
!    total energy              =      -2.31213514 Ry
     estimated scf accuracy    <          6.9E-10 Ry
     smearing contrib. (-TS)   =      -0.00000000 Ry
     internal energy E=F+TS    =      -2.31213514 Ry
     convergence has been achieved in   7 iterations

     Forces acting on atoms (cartesian axes, Ry/au):

     atom    1 type  1   force =     0.00000000    0.00000000    0.07810918
     atom    2 type  1   force =     0.00000000    0.00000000   -0.07810918

     Total force =     0.110463     Total SCF correction =     0.000015

     Computing stress (Cartesian axis) and pressure

          total   stress  (Ry/bohr**3)                   (kbar)     P=     -219.69
  -0.00147415   0.00000000   0.00000000         -216.85        0.00        0.00
   JOB DONE.
"""
CONTRIBUTIONS = """
     The non-local contrib.  to forces
     atom    1 type  1   force =     0.00000000    0.00000000    0.50000000
     atom    2 type  1   force =     0.00000000    0.00000000   -0.50000000
     The ionic contribution  to forces
     atom    1 type  1   force =     0.00000000    0.00000000   -0.40000000
     atom    2 type  1   force =     0.00000000    0.00000000    0.40000000

     Total force ="""
RELAX_OUTPUT = """
     convergence has been achieved in   9 iterations

CELL_PARAMETERS (angstrom)
   2.126361083   0.000000000   0.000000000
   0.000000000   2.126361083   0.000000000
   0.000000000   0.000000000   1.615317923

ATOMIC_POSITIONS (crystal)
H             0.0000000000        0.0000000000        0.1711967947
H             0.0000000000        0.0000000000       -0.1711967947

     convergence has been achieved in   7 iterations

CELL_PARAMETERS (angstrom)
   2.363926731   0.000000000   0.000000000
   0.000000000   2.363926731   0.000000000
   0.000000000   0.000000000   1.552167639

ATOMIC_POSITIONS (crystal)
H             0.0000000000        0.0000000000        0.1881293118    0   0   1
H             0.0000000000        0.0000000000       -0.1881293118    0   0   1
"""
CRASH = """
 %%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%
     Error in routine scale_h (1):
     Not enough space allocated for radial FFT: try restarting with a larger cell_factor.
 %%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%

     stopping ...
"""


def settings(**changes) -> Settings:
    given = {
        "engine": "espresso",
        "pseudopotential": "GTH-PBE-q1",
        "cutoff": 100 * RY,
        "smearing": "fermi-dirac",
        "smearing_width": 0.01 * RY,
    }
    return Settings(**(given | {"k_mesh": (2, 2, 3)} | changes))


def relax_settings(**changes) -> RelaxSettings:
    given = {
        "pressure": 100.0,
        "pseudopotential": "pslibrary PBE kjpaw",
        "cutoff": 45 * RY,
        "density_cutoff": 225 * RY,
        "k_spacing": 1.4,
        "smearing_width": 0.02 * RY,
    }
    return RelaxSettings(**(given | changes))


def fields(text: str) -> dict[str, str]:
    """``key=value`` of the namelists."""
    return {
        key.strip(): value.strip(" '")
        for line in text.splitlines()
        if "=" in line
        for key, _, value in [entry.partition("=") for entry in line.split(",") if "=" in entry]
    }


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """Put shell scripts on the PATH in the place of all programs."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    espresso._version.cache_clear()

    def add(name: str, output: str, code: int = 0) -> None:
        lines = [f"echo {shlex.quote(line)}" for line in output.splitlines()]
        (folder / name).write_text("\n".join(["#!/bin/sh", *lines, f"exit {code}", ""]))
        (folder / name).chmod(0o755)

    yield add
    espresso._version.cache_clear()


def test_units_are_codata():
    np.testing.assert_allclose([espresso.RYDBERG, espresso.BOHR], [RY, BOHR], rtol=1e-9)


def test_input_of_an_scf(screw):
    grid = espresso.label_grid(screw, settings(), 0.2)
    text = pw_input(screw, settings(convergence=1e-8), grid)
    given = fields(text)
    assert given["calculation"] == "scf" and given["tstress"] == given["tprnfor"] == ".true."
    assert given["input_dft"] == "PBE" and given["ibrav"] == "0" and (given["nat"], given["ntyp"]) == ("6", "1")
    assert float(given["ecutwfc"]) == 100.0 and float(given["degauss"]) == 0.01
    assert float(given["conv_thr"]) == pytest.approx(6e-8 / RY, rel=1e-3)
    assert tuple(int(given[f"nr{i}"]) for i in (1, 2, 3)) == grid.shape
    assert (given["occupations"], given["smearing"]) == ("smearing", "fd")
    lines = text.splitlines()
    assert lines[lines.index("ATOMIC_SPECIES") + 1] == " H 1.0079 H-GTH-PBE-q1.gth"
    cell = lines.index("CELL_PARAMETERS angstrom") + 1
    np.testing.assert_allclose(np.loadtxt(lines[cell : cell + 3]), screw.lattice.matrix, atol=1e-12)
    atoms = lines.index("ATOMIC_POSITIONS crystal") + 1
    coords = np.loadtxt(lines[atoms : atoms + 6], usecols=(1, 2, 3))
    np.testing.assert_allclose(coords, screw.frac_coords, atol=1e-12)
    assert lines[atoms + 6 :] == ["K_POINTS automatic", " 2 2 3 0 0 0"]
    assert "nr1" not in pw_input(screw, settings(), None)


@pytest.mark.parametrize(
    ("smearing", "name"), [("fermi-dirac", "fd"), ("methfessel-paxton", "mp"), ("marzari-vanderbilt", "mv")]
)
def test_smearings(smearing, name):
    assert fields(pw_input(H2, settings(smearing=smearing), None))["smearing"] == name


@pytest.mark.parametrize(
    ("mesh", "shift", "card"),
    [
        ((2, 2, 3), False, "K_POINTS automatic\n 2 2 3 0 0 0\n"),
        ((2, 2, 3), True, "K_POINTS automatic\n 2 2 3 1 1 1\n"),
        ((1, 1, 1), False, "K_POINTS automatic\n 1 1 1 0 0 0\n"),
        ((1, 1, 1), True, "K_POINTS crystal\n1\n 0.25 0.25 0.25 1.0\n"),  # Baldereschi's point
        ((1, 1, 2), True, "K_POINTS automatic\n 1 1 2 1 1 1\n"),
    ],
)
def test_k_points(mesh, shift, card):
    text = pw_input(H2, settings(k_mesh=mesh, k_shift=shift), None)
    assert text.endswith(card)
    assert ("nosym" in text) == ("0.25" in card)  # or pw.x adds the points that the lattice's symmetry makes of it


def test_k_points_by_spacing():
    """2π/1.9 Å = 3.31 and 2π/2.4 Å = 2.62 rad/Å."""
    text = pw_input(H2, settings(k_mesh=None, k_spacing=1.31), None)
    assert text.endswith(" 3 3 2 0 0 0\n")


def test_elements_in_the_order_of_their_numbers():
    structure = Structure(Lattice.cubic(3.0), ["S", "H", "H"], [[0, 0, 0], [0.5, 0, 0], [0, 0.5, 0]])
    lines = relax_input(structure, relax_settings()).splitlines()
    species = lines.index("ATOMIC_SPECIES")
    assert lines[species + 1 : species + 3] == [" H 1.0079 H.pbe-kjpaw.UPF", " S 32.0650 S.pbe-kjpaw.UPF"]
    atoms = lines.index("ATOMIC_POSITIONS crystal")
    assert [line.split()[0] for line in lines[atoms + 1 : atoms + 4]] == ["S", "H", "H"]


def test_input_of_a_relaxation():
    text = relax_input(H2, relax_settings(force_tolerance=RY / BOHR * 2e-3, max_steps=17, max_seconds=99))
    given = fields(text)
    assert given["calculation"] == "vc-relax" and (given["nstep"], given["max_seconds"]) == ("17", "99")
    assert float(given["press"]) == 1000.0 and float(given["press_conv_thr"]) == 30.0  # kbar
    assert float(given["forc_conv_thr"]) == 2e-3
    assert (float(given["ecutwfc"]), float(given["ecutrho"]), float(given["degauss"])) == (45.0, 225.0, 0.02)
    assert text.endswith("K_POINTS automatic\n 3 3 2 0 0 0\n")


def test_spacing_of_the_density():
    """100 Ry: G_max is 10 per bohr, that of the density 20, and half its wavelength is π/20 bohr."""
    assert espresso.density_spacing(100 * RY) == pytest.approx(np.pi / 20 * BOHR)


def test_forces_energy_and_pressure():
    forces = espresso.read_forces(SCF_OUTPUT, 2)
    np.testing.assert_allclose(forces, np.array([[0, 0, 1], [0, 0, -1]]) * 0.07810918 * RY / BOHR)
    pressure, energy = espresso.read_pressure_energy(SCF_OUTPUT)
    assert pressure == -21.969 and energy == pytest.approx(-2.31213514 * RY)


def test_valence_electrons():
    expected = {"valence": {"H": 1.0, "Ca": 10.0}, "valence_electrons": 2.0}
    assert espresso.read_valence(SCF_OUTPUT) == expected
    with pytest.raises(EngineError, match="lacks the table of atomic species"):
        espresso.read_valence(SCF_OUTPUT.replace("( 1.00)", "(*****)"))
    with pytest.raises(EngineError, match="lacks what matches 'number of electrons"):
        espresso.read_valence(SCF_OUTPUT.replace("electrons   ", "elephants   "))


def test_total_forces_and_not_their_parts():
    output = SCF_OUTPUT.replace("     Total force =", CONTRIBUTIONS)
    np.testing.assert_array_equal(espresso.read_forces(output, 2), espresso.read_forces(SCF_OUTPUT, 2))


def test_the_last_of_several_steps():
    later = SCF_OUTPUT.replace("0.07810918", "0.01000000").replace("-219.69", "512.00").replace("-2.31213514", "-2.4")
    assert espresso.read_forces(SCF_OUTPUT + later, 2)[0, 2] == pytest.approx(0.01 * RY / BOHR)
    assert espresso.read_pressure_energy(SCF_OUTPUT + later) == pytest.approx((51.2, -2.4 * RY))


@pytest.mark.parametrize(
    ("output", "left"),
    [
        (SCF_OUTPUT.partition("Forces acting")[0], 0),
        (SCF_OUTPUT.replace("-0.07810918", "***********"), 1),
        (SCF_OUTPUT.partition("     atom    2")[0], 1),
    ],
)
def test_forces_that_are_not_all_there(output, left):
    with pytest.raises(EngineError, match=f"^pw.x printed the forces on {left} of 2 atoms$"):
        espresso.read_forces(output, 2)


@pytest.mark.parametrize(("old", "new"), [("-219.69", "*******"), ("!    total", "     total")])
def test_output_that_lacks_a_number(old, new):
    with pytest.raises(EngineError, match=r"the output of pw\.x lacks"):
        espresso.read_pressure_energy(SCF_OUTPUT.replace(old, new))


def test_end_of_a_relaxation():
    relaxed, steps = espresso.read_trajectory_end(RELAX_OUTPUT + "   JOB DONE.\n", H2)
    assert steps == 2 and [site.specie.symbol for site in relaxed] == ["H", "H"]
    np.testing.assert_allclose(relaxed.lattice.abc, [2.363926731, 2.363926731, 1.552167639])
    np.testing.assert_allclose(relaxed.frac_coords[:, 2], [0.1881293118, -0.1881293118])


def test_of_a_relaxation_that_died_the_last_structure_that_was_computed_counts():
    relaxed, steps = espresso.read_trajectory_end(RELAX_OUTPUT + CRASH, H2)
    assert steps == 1 and relaxed.lattice.c == pytest.approx(1.615317923)
    with pytest.raises(EngineError, match="the relaxation made no step"):
        espresso.read_trajectory_end(RELAX_OUTPUT[:400], H2)


def test_pseudopotentials_are_copied_and_hashed(tmp_path):
    hashes = copy_pseudopotentials(H2, "GTH-PBE-q1", tmp_path)
    shipped = resources.files("elfzoo.reference").joinpath("pseudo", "H-GTH-PBE-q1.gth").read_bytes()
    assert hashes == {"H": hashlib.sha256(shipped).hexdigest()}
    assert (tmp_path / "H-GTH-PBE-q1.gth").read_bytes() == shipped


def test_pseudopotentials_of_ones_own(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "H.pbe-kjpaw.UPF").write_bytes(b"mine")
    monkeypatch.setenv("ESPRESSO_PSEUDO", str(tmp_path / "mine"))
    hashes = copy_pseudopotentials(H2, "pslibrary PBE kjpaw", tmp_path)
    assert hashes == {"H": hashlib.sha256(b"mine").hexdigest()}


def test_pseudopotentials_that_are_not_there(tmp_path, monkeypatch):
    with pytest.raises(EngineError, match=r"called 'SSSP'; known: GTH-PBE-q1, GTH-PBE, pslibrary"):
        copy_pseudopotentials(H2, "SSSP", tmp_path)
    monkeypatch.setenv("ESPRESSO_PSEUDO", str(tmp_path))
    sodium = Structure(Lattice.cubic(3.0), ["Na"], [[0, 0, 0]])
    with pytest.raises(
        EngineError, match=rf"no pseudopotential file Na-GTH-PBE-q1.gth: looked in {tmp_path}, .*set ES"
    ):
        copy_pseudopotentials(sodium, "GTH-PBE-q1", tmp_path)


def test_labels_need_norm_conserving_sets(tmp_path):
    with pytest.raises(EngineError, match=r"a norm-conserving set \(GTH-PBE, GTH-PBE-q1\); got 'pslibrary PBE"):
        EspressoEngine().label(H2, settings(pseudopotential="pslibrary PBE kjpaw"), tmp_path)


@pytest.mark.parametrize(("banner", "version"), [("6.7MaX", "6.7"), ("6.4.1", "6.4"), ("7.6", "7.6")])
def test_versions(programs, banner, version):
    programs("pw.x", f"\n     Program PWSCF v.{banner} starts on 21Nov2026 at  9: 2: 0\n")
    programs("pp.x", "")
    assert EspressoEngine().version() == f"Quantum ESPRESSO {version}"


@pytest.mark.parametrize("banner", ["6.8", "7.0", "7.2", "7.5"])
def test_versions_with_a_wrong_elf_are_refused(programs, banner):
    programs("pw.x", f"     Program PWSCF v.{banner} starts on\n")
    programs("pp.x", "")
    with pytest.raises(EngineError, match=rf"Quantum ESPRESSO {banner} writes a wrong ELF without spin .*; use 6.7"):
        EspressoEngine().version()


def test_programs_that_are_missing_or_something_else(programs):
    with pytest.raises(
        EngineError, match=r"pw.x is not on the PATH; install it with: apt-get install quantum-espresso"
    ):
        EspressoEngine().version()
    programs("pw.x", "Usage: pw.x FILE")
    with pytest.raises(EngineError, match=r"pp.x is not on the PATH"):
        EspressoEngine().version()
    programs("pp.x", "")
    with pytest.raises(EngineError, match=r"pw.x does not tell its version.*got 'Usage: pw.x FILE"):
        EspressoEngine().version()


def test_an_scf_that_does_not_converge(programs, tmp_path):
    """pw.x says JOB DONE and ends with code 2."""
    programs("pp.x", "")
    programs("pw.x", SCF_OUTPUT.replace("convergence has been achieved in", "convergence NOT achieved after"), code=2)
    for task in (EspressoEngine().label, EspressoEngine().forces):
        with pytest.raises(EngineError, match=r"^the SCF did not converge in 2 steps$"):
            task(H2, settings(), tmp_path)


def test_a_crash_says_what_pw_said(programs, tmp_path):
    programs("pp.x", "")
    programs("pw.x", "Program PWSCF v.6.7 starts" + CRASH, code=1)
    message = (
        r"^scf ended with code 1: .*Error in routine scale_h \(1\): \| Not enough space .*cell_factor\. \| stopping"
    )
    with pytest.raises(EngineError, match=message):
        EspressoEngine().label(H2, settings(), tmp_path)


def test_forces_alone(programs, tmp_path):
    programs("pp.x", "")
    programs("pw.x", SCF_OUTPUT)
    forces, pressure, energy = EspressoEngine().forces(H2, settings(), tmp_path)
    assert forces.shape == (2, 3) and pressure == -21.969 and energy == pytest.approx(-2.31213514 * RY)


@pytest.mark.parametrize(("end", "code", "converged"), [("bfgs converged in  3", 0, True), ("", 3, False)])
def test_a_relaxation_states_whether_it_ended(programs, tmp_path, end, code, converged):
    programs("pp.x", "")
    programs("pw.x", "Program PWSCF v.6.7 starts" + RELAX_OUTPUT + end + "\n   JOB DONE.\n", code=code)
    relaxation = EspressoEngine().relax(H2, relax_settings(pseudopotential="GTH-PBE-q1"), tmp_path)
    assert (relaxation.converged, relaxation.steps) == (converged, 2)
    assert relaxation.facts["engine"] == "Quantum ESPRESSO 6.7 pw.x vc-relax"
    assert relaxation.facts["k_mesh"] == [3, 3, 2] and relaxation.structure.lattice.c == pytest.approx(1.552167639)


@pytest.fixture
def screw() -> Structure:
    """P6₁22: a screw axis 6₁ in a hexagonal cell, atoms free along a line."""
    return Structure.from_spacegroup("P6_122", Lattice.hexagonal(2.0, 4.2), ["H"], [[0.28, 0, 0]])


@needs_espresso
def test_a_label(screw, tmp_path):
    """Its ELF has the symmetry of a 6₁ screw axis, which only exact grids keep."""
    given = settings(cutoff=30 * RY, k_mesh=(2, 2, 1), smearing_width=0.3, grid_spacing=0.2, low_pass=(8.0, 10.0))
    label = EspressoEngine().label(screw, given, tmp_path)
    grid = espresso.label_grid(screw, given)
    assert label.values.shape == grid.shape and 0 <= label.values.min() < 0.3 < 0.7 < label.values.max() <= 1
    _, orbit = grid_orbits(screw, grid)
    means = np.bincount(orbit, label.values.ravel()) / np.bincount(orbit)
    assert np.abs(label.values.ravel() - means[orbit]).max() < 1e-3
    assert label.facts["engine"].startswith("Quantum ESPRESSO ") and label.facts["k_mesh"] == [2, 2, 1]
    assert label.facts["calculation_grid"][2] % 6 == 0 and label.facts["scf_steps"] > 3
    assert set(label.facts["pseudopotential_sha256"]) == {"H"} and label.forces.shape == (6, 3)
    assert not (tmp_path / "scratch").exists() and not (tmp_path / "elf.cube").exists()


@needs_espresso
def test_a_density_has_its_electrons_and_the_symmetry_on_the_grid_of_the_elf(screw, tmp_path):
    shared = {"cutoff": 30 * RY, "k_mesh": (2, 2, 1), "smearing_width": 0.3, "grid_spacing": 0.2}
    given = settings(**shared, quantity="density", low_pass=(13.0, 15.5))
    label = EspressoEngine().label(screw, given, tmp_path)
    grid = espresso.label_grid(screw, settings(**shared))
    assert label.values.shape == grid.shape and label.quantity == "density"
    assert label.facts["valence"] == {"H": 1.0} and label.facts["valence_electrons"] == 6.0
    assert label.values.mean() * screw.volume == pytest.approx(6, rel=1e-4)  # a cube file has six digits
    assert 0 < label.values.min() < 0.3 and 1.2 < label.values.max() < 3.0  # e/Å³
    assert grid.frac_coords()[label.values.argmax()] @ screw.lattice.matrix == pytest.approx(
        nearest(screw, grid.frac_coords()[label.values.argmax()]), abs=0.2
    )
    _, orbit = grid_orbits(screw, grid)
    means = np.bincount(orbit, label.values.ravel()) / np.bincount(orbit)
    assert np.abs(label.values.ravel() - means[orbit]).max() < 1e-4
    assert "plot_num 0" in label.facts["engine"] and not (tmp_path / "density.cube").exists()


def nearest(structure, frac):
    """Cartesian position of the image of an atom that is nearest to a point."""
    images = structure.frac_coords - np.round(structure.frac_coords - frac)
    positions = images @ structure.lattice.matrix
    return positions[np.linalg.norm(positions - frac @ structure.lattice.matrix, axis=1).argmin()]


@needs_espresso
def test_forces_are_the_gradient_of_the_energy(tmp_path):
    """Of a molecule that is stretched and moved along its axis, by central differences."""
    given, step = settings(cutoff=40 * RY, k_mesh=(1, 1, 1), k_shift=True, convergence=1e-9, smearing_width=0.1), 0.01

    def energy(atom: int, shift: float) -> float:
        moved = H2.copy()
        moved.translate_sites([atom], [0, 0, shift], frac_coords=False)
        return EspressoEngine().forces(moved, given, tmp_path)[2]

    forces, pressure, _ = EspressoEngine().forces(H2, given, tmp_path)
    gradient = (energy(0, step) - energy(0, -step)) / (2 * step)
    assert forces[0, 2] == pytest.approx(-gradient, abs=0.02) and abs(gradient) > 1
    np.testing.assert_allclose(forces.sum(axis=0), 0, atol=1e-5)
    assert np.isfinite(pressure)


@needs_espresso
def test_elf_of_one_orbital_is_one(tmp_path):
    """Two electrons in a real orbital leave nothing to Pauli's principle."""
    molecule = Structure(Lattice.cubic(3.0), ["H", "H"], [[0, 0, 0.37 / 3], [0, 0, -0.37 / 3]])
    given = settings(cutoff=40 * RY, k_mesh=(1, 1, 1), smearing_width=0.1, grid_spacing=0.15)
    label = EspressoEngine().label(molecule, given, tmp_path)
    distance = molecule.lattice.get_all_distances(
        np.stack(np.indices(label.values.shape), -1).reshape(-1, 3) / label.values.shape, molecule.frac_coords
    )
    inside = label.values.ravel()[distance.min(axis=1) < 1.0]
    assert inside.min() > 0.99


@needs_espresso
def test_a_relaxation_reaches_its_pressure(tmp_path):
    """A simple cubic crystal, whose volume alone is free."""
    try:
        espresso._pseudopotential("H.pbe-kjpaw.UPF")
    except EngineError as error:
        pytest.skip(str(error))
    cubic = Structure(Lattice.cubic(1.4), ["H"], [[0, 0, 0]])
    shared = {"pseudopotential": "pslibrary PBE kjpaw", "cutoff": 30 * RY, "smearing_width": 0.5}
    given = relax_settings(density_cutoff=120 * RY, k_spacing=1.6, pressure_tolerance=1.0, pressure=150.0, **shared)
    relaxation = EspressoEngine().relax(cubic, given, tmp_path)
    assert relaxation.converged and relaxation.steps > 1
    np.testing.assert_allclose(relaxation.structure.lattice.angles, 90, atol=1e-6)
    again = EspressoEngine().forces(relaxation.structure, settings(k_mesh=(3, 3, 3), **shared), tmp_path)
    assert again[1] == pytest.approx(150.0, abs=5.0)  # plane waves of another cell
