"""Makes the two tables of free atoms, form factors of valence densities and core radii, from GPAW's PBE setups.

Source: the radial all-electron orbitals of gpaw-data's PBE PAW setups (scalar-relativistic, spherical, not spin
polarised), which a setup takes as valence; semicore shells such as 3s and 3p of Ca are among them.

A setup's core radius is the largest of its augmentation radii: outside of it pseudo-orbitals and all-electron orbitals
are the same, inside of it ELF depends on how an engine softens the core. Inside, the density is replaced by
``exp(polynomial in r²)`` that has the same charge, value, slope and curvature at the radius (as Troullier and Martins
do with orbitals, Phys. Rev. B 43, 1993 (1991)). It is positive everywhere and band-limited: at the Nyquist wave number
of a 0.10 Å grid, no form factor exceeds 5e-6 of the charge, and cut off there, no density falls below -1e-5 e/Å³.

Neither of the densities in a setup is like that. The all-electron valence density has up to 8e-3 of the charge there
(Ni) and rings down to -0.19 e/Å³ (Br); the soft density needs compensation charges to hold all electrons, and with them
it is -4.7 e/Å³ in the core of Cs.
"""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import atomic_numbers, chemical_symbols
from ase.units import Bohr
from jaxtyping import Float
from scipy.interpolate import make_interp_spline
from scipy.optimize import brentq

from elfzoo.errors import ElfzooError
from elfzoo.io.files import write_bytes
from elfzoo.reference.engines.base import EngineError

__all__ = ["FreeAtom", "free_atom", "make_tables", "valence_density"]

K_MAX = np.sqrt(3) * np.pi / 0.08  # rad/Å; the corner of what a grid of 0.08 Å resolves
N_K = 448  # quadratically spaced, dense where the form factors of diffuse atoms bend
NEGLIGIBLE = 1e-13  # e/Å³; densities end there
SOFT = frozenset({"H", "He"})  # all their electrons are valence: nothing to mask
ALL_ELECTRON_TOLERANCE = 1e-5


@dataclass(frozen=True, eq=False)
class FreeAtom:
    """A free atom's soft valence density on quadrature nodes.

    Args:
        valence: number of valence electrons.
        r_core: Å; outside of it the density is the all-electron valence density.
        r: (nodes,) Å.
        density: (nodes,) e/Å³.
        weights: (nodes,) Å³: shells of volume 4πr²dr, so that ``weights @ density`` is the charge.
    """

    valence: int
    r_core: float
    r: Float[np.ndarray, " nodes"]
    density: Float[np.ndarray, " nodes"]
    weights: Float[np.ndarray, " nodes"]

    def form_factor(self, k: Float[np.ndarray, " waves"]) -> Float[np.ndarray, " waves"]:
        """f(k) = ∫ 4πr² n(r) sin(kr)/(kr) dr in electrons; k in rad/Å."""
        return np.sinc(np.outer(k, self.r) / np.pi) @ (self.weights * self.density)


def make_tables(folder: str | Path, symbols: Sequence[str] | None = None) -> None:
    """Write ``free_atoms.npz`` and ``core_radii.json``; the same bytes each time.

    Args:
        folder: where to; it must exist.
        symbols: chemical symbols; every element of gpaw-data by default.

    Raises:
        EngineError: GPAW or gpaw-data is not installed, or has no setup of an element.
        FieldFileError: the folder cannot be written to.
    """
    symbols = sorted(symbols or _elements(), key=atomic_numbers.__getitem__)
    atoms = {symbol: free_atom(symbol) for symbol in symbols}
    k = K_MAX * np.linspace(0, 1, N_K) ** 2
    factors = np.array([atom.form_factor(k) for atom in atoms.values()], dtype=np.float32)
    factors[:, 0] = [atom.valence for atom in atoms.values()]
    numbers = np.array([atomic_numbers[symbol] for symbol in symbols], dtype=np.int64)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, numbers=numbers, k=k, form_factors=factors)
    write_bytes(Path(folder) / "free_atoms.npz", [buffer.getvalue()])
    write_bytes(Path(folder) / "core_radii.json", [_radii_text(atoms).encode()])


def free_atom(symbol: str) -> FreeAtom:
    """The free atom of gpaw-data's PBE setup, softened inside of its largest augmentation radius.

    Raises:
        EngineError: GPAW or gpaw-data is not installed, or has no such setup.
        ElfzooError: the orbitals in the setup do not hold the valence electrons that it states.
    """
    setup = _setup(symbol)
    r, density = valence_density(setup)
    charge = float(4 * np.pi * r**2 * density @ setup.rgd.dr_g * Bohr)
    valence = round(float(setup.Nv))
    if not abs(charge - valence) < ALL_ELECTRON_TOLERANCE:
        raise ElfzooError(f"the orbitals in {symbol}'s setup hold {charge:.6f} electrons; expected {setup.Nv}")
    return _soften(r, density, valence, float(max(setup.rcut_j)) * Bohr)


def valence_density(setup: Any) -> tuple[Float[np.ndarray, " radii"], Float[np.ndarray, " radii"]]:
    """Radii (Å) and spherical all-electron valence density (e/Å³) on the radial grid of a GPAW ``SetupData``."""
    occupied = [(f, phi) for f, phi in zip(setup.f_j, setup.phi_jg, strict=True) if f > 0]
    density = sum(f * phi**2 for f, phi in occupied) / (4 * np.pi)
    return setup.rgd.r_g * Bohr, density / Bohr**3


def _soften(r: np.ndarray, density: np.ndarray, valence: int, r_core: float) -> FreeAtom:
    """Keep the density outside of ``r_core``; inside, exp(polynomial in r²) of the remaining charge."""
    used = slice(np.searchsorted(r, r_core) - 12, np.argmax((density < NEGLIGIBLE) & (r > r_core)))
    log_density = make_interp_spline(r[used], np.log(density[used]), k=5)
    outside, outer_weights = _shells(r_core, float(r[used][-1]), panels=40)
    outer = np.exp(log_density(outside))
    inside, inner_weights = _shells(0.0, r_core, panels=4)
    inner = _inner_density(inside, inner_weights, log_density, r_core, valence - outer_weights @ outer)
    join = np.concatenate
    return FreeAtom(
        valence, r_core, join([inside, outside]), join([inner, outer]), join([inner_weights, outer_weights])
    )


def _inner_density(r: np.ndarray, weights: np.ndarray, log_density: Any, r_core: float, charge: float) -> np.ndarray:
    """Density at ``r`` < ``r_core`` of this charge that continues ``log_density`` with two derivatives.

    With t = (r/r_core)² - 1, ln n is the Taylor polynomial of second order at t = 0 minus a t³; the charge grows with
    a without end, so there is exactly one a.
    """
    value, slope, curvature = (float(log_density(r_core, order)) for order in range(3))
    first = slope * r_core / 2
    second = (curvature * r_core**2 - slope * r_core) / 4
    t = (r / r_core) ** 2 - 1

    def density(a: float) -> np.ndarray:
        return np.exp(value + first * t + second / 2 * t**2 - a * t**3)

    return density(brentq(lambda a: np.log(weights @ density(a) / charge), -200.0, 200.0, xtol=1e-13))


def _shells(start: float, stop: float, panels: int) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Legendre nodes and weights 4πr²dr on ``panels`` equal parts of [start, stop]; exact up to K_MAX."""
    x, w = np.polynomial.legendre.leggauss(48)
    width = (stop - start) / panels
    r = (start + width * (np.arange(panels)[:, None] + (x + 1) / 2)).ravel()
    return r, 4 * np.pi * r**2 * np.tile(w * width / 2, panels)


def _radii_text(atoms: dict[str, FreeAtom]) -> str:
    radii = {symbol: 0.0 if symbol in SOFT else round(atom.r_core, 4) for symbol, atom in atoms.items()}
    content = {
        "source": f"gpaw-data {metadata.version('gpaw-data')}, PBE PAW setups",
        "definition": "largest augmentation radius of the setup; 0 for H and He, which have no core electrons",
        "unit": "Å",
        "radii": radii,
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _elements() -> list[str]:
    folder = _setups()
    return [symbol for symbol in chemical_symbols[1:] if (folder / f"{symbol}.PBE.gz").is_file()]


def _setup(symbol: str) -> Any:
    """gpaw-data's own setup, whatever GPAW_SETUP_PATH says."""
    path = _setups() / f"{symbol}.PBE.gz"
    if not path.is_file():
        raise EngineError(f"gpaw-data {metadata.version('gpaw-data')} has no PBE setup of {symbol}")
    try:
        from gpaw.setup_data import SetupData
    except ImportError as error:
        raise EngineError("GPAW is not installed; pip install gpaw gpaw-data") from error
    setup = SetupData(symbol, "PBE", readxml=False)
    setup.read_xml(source=gzip.decompress(path.read_bytes()))
    return setup


def _setups() -> Any:
    try:
        return resources.files("gpaw_data") / "setups"
    except ModuleNotFoundError as error:
        raise EngineError("GPAW's setups are not installed; pip install gpaw gpaw-data") from error
