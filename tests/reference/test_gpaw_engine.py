"""GPAW: the ELF of exact densities, grids and k-points, and small calculations where it is installed."""

import importlib.util
import json
import sys

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from elfzoo.grid import Grid
from elfzoo.reference.engines import EngineError, RelaxSettings, Settings
from elfzoo.reference.engines import gpaw as engine
from elfzoo.reference.engines.gpaw import GpawEngine, elf_from_densities, gradient_squared, pauli_elf, symmetrised
from elfzoo.symmetry import space_group_operations

needs_gpaw = pytest.mark.skipif(
    importlib.util.find_spec("gpaw") is None or importlib.util.find_spec("gpaw_data") is None,
    reason="GPAW is not installed: pip install --prefer-binary gpaw gpaw-data",
)
SKEWED = np.array([[4.0, 0.3, -0.2], [1.1, 5.0, 0.4], [-0.7, 0.9, 6.0]])  # bohr
WAVES = {(0, 0, 0): 1.0, (1, 0, 0): 0.2, (0, 2, -1): 0.1, (1, -1, 2): 0.15, (2, 1, 1): -0.1}  # f = Σ c cos(2π m·x)
SETTINGS = {"engine": "gpaw", "pseudopotential": "gpaw-data", "smearing": "fermi-dirac", "smearing_width": 0.1}


@pytest.fixture
def screw() -> Structure:
    """P6₁22: a screw axis 6₁ in a hexagonal cell, atoms free along a line."""
    return Structure.from_spacegroup("P6_122", Lattice.hexagonal(2.0, 4.2), ["H"], [[0.28, 0, 0]])


@pytest.fixture
def lithium() -> Structure:
    return Structure(Lattice.cubic(3.44 / 2).matrix @ [[-1, 1, 1], [1, -1, 1], [1, 1, -1]], ["Li"], [[0, 0, 0]])


def settings(**changes) -> Settings:
    return Settings(**SETTINGS, **({"cutoff": 150.0, "k_mesh": (2, 2, 1), "grid_spacing": 0.25} | changes))


def orbital(shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A positive periodic field and its gradient squared, both by their formula."""
    frac = Grid(shape, SKEWED).frac_coords()
    value, gradient = np.zeros(len(frac)), np.zeros((len(frac), 3))
    for m, amplitude in WAVES.items():
        phase = 2 * np.pi * frac @ m
        value += amplitude * np.cos(phase)
        gradient -= amplitude * np.sin(phase)[:, None] * (2 * np.pi * np.linalg.inv(SKEWED) @ m)
    return value.reshape(shape), (gradient**2).sum(axis=1).reshape(shape)


@pytest.mark.parametrize("shape", [(6, 6, 6), (9, 7, 8)])
def test_spectral_gradient_is_exact_in_a_skewed_cell(shape):
    value, squared = orbital(shape)
    np.testing.assert_allclose(gradient_squared(value, SKEWED), squared, atol=1e-12)


def test_gradient_of_a_nyquist_wave_vanishes_at_the_points():
    assert np.abs(gradient_squared(np.tile([1.0, -1.0], (4, 3, 2)), SKEWED)).max() < 1e-12


@pytest.mark.parametrize(("excess", "elf"), [(0.0, 1.0), (0.5, 0.8), (1.0, 0.5), (2.0, 0.2)])
def test_elf_of_a_uniform_density(excess, elf):
    """Kinetic-energy density in units of the uniform electron gas, whose ELF is one half."""
    density = np.full((3, 4, 5), 0.03)
    kinetic = excess * 0.3 * (3 * np.pi**2) ** (2 / 3) * density ** (5 / 3)
    np.testing.assert_allclose(elf_from_densities(density, kinetic, SKEWED, (4, 6, 3)), elf, atol=1e-12)


def test_elf_of_one_orbital_is_one():
    """Two electrons in ψ: n = 2ψ², τ = |∇ψ|², nothing left for Pauli's principle."""
    psi, squared = orbital((12, 12, 12))
    np.testing.assert_allclose(elf_from_densities(2 * psi**2, squared, SKEWED, (12, 12, 12)), 1.0, atol=1e-12)


@pytest.mark.parametrize("shape", [(24, 20, 18), (7, 7, 7), (5, 24, 9), (12, 11, 10)])
def test_elf_on_another_grid_is_that_of_the_series_at_its_points(shape):
    """Finer, much coarser than the band limit, and mixed."""

    def densities(shape):
        psi, squared = orbital(shape)
        return psi**2, squared / 2 + 0.05 * psi, 4 * psi**2 * squared

    density, kinetic, _ = densities((12, 11, 10))
    np.testing.assert_allclose(
        elf_from_densities(density, kinetic, SKEWED, shape), pauli_elf(*densities(shape)), atol=1e-11
    )


def test_vacuum_and_a_negative_excess_stay_in_range():
    density, kinetic = np.array([-1e-9, 0.0, 1e-9, 0.01]), np.array([0.0, 0.0, 1e-3, -1e-3])
    np.testing.assert_array_equal(pauli_elf(density, kinetic, np.zeros(4)), [0, 0, 0, 1])


def test_symmetrised_fields_are_mapped_onto_themselves(screw, rng):
    grid = Grid((10, 10, 24), screw.lattice.matrix)
    noisy = 0.5 + 1e-4 * rng.uniform(size=grid.shape)
    elf, deviation = symmetrised(noisy, screw)
    assert 1e-5 < deviation < 1e-4
    assert largest_asymmetry(elf, screw) < 1e-15
    np.testing.assert_allclose(symmetrised(elf, screw)[0], elf, atol=1e-15)


def test_a_broken_symmetry_is_refused(screw, rng):
    with pytest.raises(EngineError, match="breaks the space group"):
        symmetrised(rng.uniform(size=(10, 10, 24)), screw)


def test_calculation_grid_holds_products_of_orbitals(screw):
    wave = np.sqrt(2 * 400 / 27.211386) / 0.529177  # rad/Å
    grid = Grid(tuple(engine.calculation_grid(screw, 400.0)), screw.lattice.matrix)
    assert (np.array(grid.shape) >= 4 * wave * np.array(screw.lattice.abc) / (2 * np.pi)).all()
    assert all(grid.is_mapped_by(r, t) for r, t in zip(*space_group_operations(screw), strict=True))


def test_operations_are_a_group_that_has_each_rotation_once(screw, diamond):
    for structure, order in ((screw, 12), (diamond, 24)):  # the centred cell keeps what leaves the origin in place
        rotations, translations = engine._operations(structure)
        assert len(np.unique(rotations, axis=0)) == len(rotations) == order
        place = {r.tobytes(): t for r, t in zip(rotations, translations, strict=True)}
        for r, t in zip(rotations, translations, strict=True):
            product = rotations @ r, rotations @ t + translations
            difference = [place[p.tobytes()] - s for p, s in zip(*product, strict=True)]
            assert np.abs(difference - np.round(difference)).max() < 1e-12


def test_k_points():
    assert engine._k_points((1, 1, 1), False).tolist() == [[0, 0, 0]]
    assert sorted({x for x, _, _ in engine._k_points((4, 2, 1), False).tolist()}) == [-0.25, 0, 0.25, 0.5]
    np.testing.assert_allclose(np.abs(engine._k_points((2, 2, 2), True)), 0.25)
    np.testing.assert_allclose(engine._k_points((1, 2, 1), True), [[0.5, 0.25, 0.5], [0.5, -0.25, 0.5]])


def test_one_shifted_point_is_baldereschis_and_computed_without_symmetry(screw):
    """As by Quantum ESPRESSO: of its star under the space group four points would be made."""
    job = engine._job("label", screw, settings(k_mesh=(1, 1, 1), k_shift=True))
    assert job["k_points"] == [[0.25, 0.25, 0.25]]
    assert (job["rotations"], job["translations"]) == ([np.eye(3, dtype=int).tolist()], [[0, 0, 0]])
    assert Grid(tuple(job["grid"]), screw.lattice.matrix).is_mapped_by(*(x[-1] for x in space_group_operations(screw)))
    for changes in ({"k_mesh": (2, 2, 1), "k_shift": True}, {"k_mesh": (1, 1, 1)}):
        assert len(engine._job("label", screw, settings(**changes))["rotations"]) == 12


def test_a_missing_gpaw_is_one_sentence_with_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "gpaw", None)
    with pytest.raises(EngineError, match=r"apt-get install gcc libxc-dev .* pip install --prefer-binary gpaw"):
        GpawEngine().version()


@needs_gpaw
@pytest.mark.parametrize(
    ("species", "changes", "message"),
    [
        ("U", {}, "no PBE setup for U"),
        ("Li", {"pseudopotential": "GTH-PBE-q1"}, "got 'GTH-PBE-q1'"),
        ("Li", {"pseudopotential": "gpaw-data 0.0.1"}, "got 'gpaw-data 0.0.1'"),
        ("Li", {"smearing": "methfessel-paxton"}, "fermi-dirac"),
    ],
)
def test_what_gpaw_cannot_do_is_refused_before_it_starts(species, changes, message, tmp_path):
    wanted = Settings(**(SETTINGS | {"cutoff": 150.0, "k_mesh": (1, 1, 1)} | changes))
    with pytest.raises(EngineError, match=message):
        GpawEngine().label(Structure(Lattice.cubic(3.4), [species], [[0, 0, 0]]), wanted, tmp_path)
    assert not list(tmp_path.iterdir())


@needs_gpaw
def test_label_with_a_screw_axis_equals_one_without_symmetry(screw, tmp_path, monkeypatch):
    label = GpawEngine().label(screw, settings(), tmp_path / "with")
    monkeypatch.setattr(engine, "_operations", lambda structure: (np.eye(3, dtype=int)[None], np.zeros((1, 3))))
    plain = GpawEngine().label(screw, settings(), tmp_path / "without")
    assert label.values.shape == Grid.for_symmetry(screw.lattice.matrix, 0.25, *space_group_operations(screw)).shape
    assert 0 <= label.values.min() < 0.2 and 0.9 < label.values.max() <= 1
    assert largest_asymmetry(label.values, screw) < 1e-12 and label.facts["symmetry_deviation"] < 1e-12
    assert label.facts["k_points"] < plain.facts["k_points"]  # the symmetry was used, and changes nothing:
    np.testing.assert_allclose(label.values, plain.values, atol=1e-5)
    np.testing.assert_allclose(label.forces, plain.forces, atol=1e-3)
    assert label.largest_force > 0.1 and label.stress_pressure == pytest.approx(plain.stress_pressure, abs=0.01)
    assert label.energy == pytest.approx(plain.energy, abs=1e-5)


@needs_gpaw
def test_a_density_has_the_electrons_that_the_soft_one_lacks(tmp_path):
    molecule = Structure(Lattice.tetragonal(1.9, 2.4), ["H", "H"], [[0, 0, 0.16], [0, 0, -0.16]])
    wanted = settings(k_mesh=(1, 1, 1), cutoff=250.0, quantity="density", grid_spacing=0.2, low_pass=(13.0, 15.5))
    label = GpawEngine().label(molecule, wanted, tmp_path)
    assert label.quantity == "density"
    assert label.facts["valence"] == {"H": 1.0} and label.facts["valence_electrons"] == 2.0
    assert label.values.mean() * molecule.volume == pytest.approx(2, rel=1e-9)
    assert 0 < label.values.min() < 0.2 and 1.2 < label.values.max() < 4
    assert largest_asymmetry(label.values, molecule) < 1e-12


@needs_gpaw
def test_label_of_lithium(lithium, tmp_path):
    label = GpawEngine().label(lithium, settings(k_mesh=(3, 3, 3)), tmp_path)
    assert label.largest_force < 1e-10 and largest_asymmetry(label.values, lithium) < 1e-12
    assert label.facts["k_mesh"] == [3, 3, 3] and len(label.facts["pseudopotential_sha256"]["Li.PBE.gz"]) == 64
    assert json.loads(json.dumps(label.facts)) == label.facts and label.facts["engine"].startswith("GPAW 2")


@needs_gpaw
def test_a_calculation_that_does_not_converge_says_so(lithium, tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "MAX_SCF_STEPS", 2)
    with pytest.raises(EngineError, match="did not converge within 2 steps"):
        GpawEngine().label(lithium, settings(k_mesh=(1, 1, 1)), tmp_path)


@needs_gpaw
def test_relaxation_reaches_its_pressure_and_keeps_the_space_group(lithium, tmp_path):
    wanted = RelaxSettings(
        pressure=10.0,
        pseudopotential="gpaw-data",
        cutoff=150.0,
        density_cutoff=600.0,
        k_spacing=1.2,
        smearing_width=0.2,
        pressure_tolerance=1.0,
    )
    relaxation = GpawEngine().relax(lithium, wanted, tmp_path)
    assert relaxation.converged and 0 < relaxation.steps < 15
    assert relaxation.facts["pressure"] == pytest.approx(10, abs=1) and relaxation.structure.volume < lithium.volume
    assert relaxation.structure.get_space_group_info(1e-6) == ("Im-3m", 229)


def largest_asymmetry(elf: np.ndarray, structure: Structure) -> float:
    """Largest difference between the field and its image, over all operations."""
    points = np.indices(elf.shape).reshape(3, -1).T / elf.shape
    deviation = 0.0
    for rotation, translation in zip(*space_group_operations(structure), strict=True):
        image = np.round((points @ rotation.T + translation) * elf.shape).astype(int) % elf.shape
        deviation = max(deviation, float(np.abs(elf[tuple(image.T)] - elf.ravel()).max()))
    return deviation
