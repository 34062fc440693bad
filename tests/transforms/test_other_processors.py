"""The kernel's portable vectors on a processor that is not here: built for 64-bit ARM (NEON), run by QEMU.

Needs a cross compiler and QEMU's user emulation (Debian: gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user).
"""

import shutil
import subprocess
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from scipy import ndimage

from elfzoo.interpolate import Order, PeriodicSpline
from elfzoo.nn import mlp
from elfzoo.nn.pauli import CHI, DENSITY, UNIFORM
from elfzoo.periodic import CellList, periodic_images, wrap
from elfzoo.transforms import PowerSpectrumConfig, fused
from elfzoo.transforms.atomic_orbitals import orbital_norm
from elfzoo.transforms.harris.orbitals import BOHR, BasisConfig, Shell, orbitals, shell_norm
from elfzoo.transforms.probe_fields import n_steps
from elfzoo.transforms.radial_density import SCALE
from tests.models.test_latent_field import make as make_latent
from tests.models.test_probe_graph import make
from tests.transforms.test_latent_fields import EVERY as EVERY_LATENT
from tests.transforms.test_latent_fields import exact as exact_latent
from tests.transforms.test_power_spectrum import CELLS, CONFIGS, random_case, reference
from tests.transforms.test_probe_fields import CELLS as CELLS_OF_FIELDS
from tests.transforms.test_probe_fields import EVERY, exact, points_in

COMPILER, EMULATOR = "aarch64-linux-gnu-gcc", "qemu-aarch64"
FLAGS = ("-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast", "-static")
HERE = Path(__file__).parent
NATIVE = Path(fused.__file__).parent / "native"

pytestmark = pytest.mark.skipif(
    not (shutil.which(COMPILER) and shutil.which(EMULATOR)), reason=f"no {COMPILER} or no {EMULATOR}"
)


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("arm") / "kernel"
    sources = [str(HERE / "kernel_driver.c"), str(NATIVE / "baseline.c")]
    subprocess.run([COMPILER, *FLAGS, f"-I{NATIVE}", *sources, "-o", str(program), "-lm"], check=True)
    return program


def integers(*values: int) -> bytes:
    return np.array(values, np.int64).tobytes()


def singles(*values: float) -> bytes:
    return np.array(values, np.float32).tobytes()


def run(
    program: Path,
    config: PowerSpectrumConfig,
    cells: CellList,
    weights: np.ndarray,
    points: np.ndarray,
    network: tuple[np.ndarray, np.ndarray, float, list[tuple[np.ndarray, np.ndarray]]] | None = None,
) -> np.ndarray:
    job = integers(0, config.n_radial, config.l_max, config.channels, config.smooth)
    job += singles(config.r_cut, config.spacing, config.sigma, config.softening)
    job += images(cells, np.ascontiguousarray(weights, np.float32)[cells.atom])
    if network is None:
        job += integers(0, 0)
    else:
        mean, scale, clamp, layers = network
        job += integers(len(layers), len(mean), *(len(bias) for _, bias in layers)) + singles(clamp)
        job += mean.astype(np.float32).tobytes() + scale.astype(np.float32).tobytes()
        job += b"".join(fused._panels(w).tobytes() + b.astype(np.float32).tobytes() for w, b in layers)
    wide = config.n_features if network is None else 1
    return answer(program, job, points, wide)


def images(cells: CellList, weights: np.ndarray) -> bytes:
    found = integers(len(cells.positions), len(cells.start), *cells.shape)
    found += np.array([*cells.origin, 1 / cells.width], np.float64).tobytes()
    found += np.ascontiguousarray(cells.positions, np.float64).tobytes() + weights.tobytes()
    return found + np.ascontiguousarray(cells.start, np.int32).tobytes()


def answer(program: Path, job: bytes, points: np.ndarray, wide: int) -> np.ndarray:
    job += integers(len(points), wide) + np.ascontiguousarray(points, np.float64).tobytes()
    found = subprocess.run([EMULATOR, str(program)], input=job, stdout=subprocess.PIPE, check=True).stdout
    return np.frombuffer(found, np.float32).reshape(len(points), wide)


@pytest.mark.parametrize("config", CONFIGS, ids=["paper", "smooth l 4", "two channels"])
@pytest.mark.parametrize("cell", ["skewed", *(name for name in CELLS if name != "skewed")][:2])
def test_features_equal_the_reference(kernel: Path, cell: str, config: PowerSpectrumConfig, rng) -> None:
    points, positions, weights = random_case(CELLS[cell], config, rng, points=131)
    expected = reference(points, positions, CELLS[cell], weights, config).numpy()
    cells = CellList.build(periodic_images(positions, CELLS[cell], config.r_cut))
    found = run(kernel, config, cells, weights, wrap(points, CELLS[cell]))
    assert np.abs(found - expected).max() < 2e-5 * np.abs(expected).max()


def test_network_equals_torch(kernel: Path, rng) -> None:
    config = CONFIGS[2]
    points, positions, weights = random_case(CELLS["skewed"], config, rng, points=70)
    torch.manual_seed(0)
    network = mlp([config.n_features, 50, 6, 13, 1])
    features = reference(points, positions, CELLS["skewed"], weights, config)
    mean, std = features.mean(0), features.std(0)
    with torch.no_grad():
        expected = network(((features - mean) / std).clamp(-1.5, 1.5).float())[:, 0].numpy()
    linear = [m for m in network if isinstance(m, torch.nn.Linear)]
    layers = [(m.weight.detach().numpy(), m.bias.detach().numpy()) for m in linear]
    cells = CellList.build(periodic_images(positions, CELLS["skewed"], config.r_cut))
    job = (mean.numpy(), 1 / std.numpy(), 1.5, layers)
    found = run(kernel, config, cells, weights, wrap(points, CELLS["skewed"]), job)[:, 0]
    np.testing.assert_allclose(found, expected, atol=2e-4)


@pytest.mark.parametrize("variant", ["as released", "free-atom densities", "odd features"])
def test_fields_of_atoms_equal_the_reference(kernel: Path, variant: str, rng) -> None:
    model, structure = make(**EVERY[variant]), CELLS_OF_FIELDS["skewed"]
    layout, (atoms, inverse) = model.layout, model._surroundings(structure)
    points = points_in(structure, 90, rng)
    every = atoms._tables(sorted(set(atoms.cells.atom.tolist())))
    job = integers(1, n_steps(layout.expansion), layout.expansion.l_max, layout.width, layout.free_atoms)
    job += integers(len(layout.kinds), *(number for kind in layout.kinds for number in kind))
    job += singles(layout.expansion.r_cut, SCALE, atoms.reach, layout.expansion.softening)
    job += images(atoms.cells, inverse)
    job += b"".join(every[atom].numpy().tobytes() for atom in atoms.cells.atom) + integers(0, 0)
    found, expected = answer(kernel, job, points, layout.n_features), exact(model, structure, points)
    assert np.abs(found - expected).max() < 2e-5 * np.abs(expected).max()


@pytest.mark.parametrize("parts", [2, 4])
def test_confined_orbitals_equal_the_reference(kernel: Path, parts: int, rng) -> None:
    basis = BasisConfig((Shell(0, 0.4), Shell(1, 1.6), Shell(2, 1.1)), 2.6, 0.2)
    points, centres = rng.normal(size=(48, 3)), rng.normal(size=(4, 3)) * 2
    potential = rng.normal(size=48)
    shells = [shell_norm(shell) for shell in basis.shells]
    job = integers(2, 3, *(shell.l for shell in basis.shells))
    job += singles(basis.r_cut / BOHR, basis.softening, *(shell.zeta for shell in basis.shells), *shells)
    job += integers(48, 4, parts) + points.T.astype(np.float32).tobytes() + centres.astype(np.float32).tobytes()
    job += potential.astype(np.float32).tobytes() * (parts == 2)
    found = subprocess.run([EMULATOR, str(kernel)], input=job, stdout=subprocess.PIPE, check=True).stdout
    phi, slopes, laplacian = orbitals(points[None] - centres[:, None], basis)
    expected = [phi, potential * phi - 0.5 * laplacian] if parts == 2 else [phi, *slopes]
    for part, truth in zip(np.frombuffer(found, np.float32).reshape(parts, *phi.shape), expected, strict=True):
        np.testing.assert_allclose(part, truth, atol=3e-6 * np.abs(truth).max())


@pytest.mark.parametrize("variant", ["tensors", "as released"])
def test_latent_functions_equal_the_reference(kernel: Path, variant: str, rng) -> None:
    model, structure = make_latent(**EVERY_LATENT[variant]), CELLS_OF_FIELDS["skewed"]
    layout, (cells, coefficients) = model.layout, model._surroundings(structure)
    points, shells = points_in(structure, 90, rng), layout.shells
    job = integers(3, len(shells), *(degree for degree, _ in shells))
    job += singles(layout.orbitals.r_cut / BOHR, layout.orbitals.softening, *(zeta for _, zeta in shells))
    job += singles(*(orbital_norm(*shell) for shell in shells))
    job += integers(layout.n_functions, layout.scalars, len(layout.kinds), *(n for kind in layout.kinds for n in kind))
    job += singles(BOHR, DENSITY, UNIFORM, CHI) + images(cells, np.zeros((0, 1), np.float32))
    job += b"".join(coefficients[atom].tobytes() for atom in cells.atom)
    found, expected = answer(kernel, job, points, layout.n_features), exact_latent(model, structure, points)
    assert np.abs(found - expected).max() < 3e-5 * np.abs(expected).max()


@pytest.mark.parametrize("order", get_args(Order))
def test_periodic_splines_equal_those_of_scipy(kernel: Path, order: Order, rng) -> None:
    spline = PeriodicSpline.through(rng.normal(size=(5, 3, 8)), order)
    points = rng.random((60, 3)) * spline.coefficients.shape
    job = integers(4, order, len(points), *spline._continued.shape) + spline._continued.tobytes() + points.tobytes()
    found = subprocess.run([EMULATOR, str(kernel)], input=job, stdout=subprocess.PIPE, check=True).stdout
    expected = ndimage.map_coordinates(spline.coefficients, points.T, order=order, mode="grid-wrap", prefilter=False)
    np.testing.assert_allclose(np.frombuffer(found), expected, atol=1e-12)
