"""States by folding against dense diagonalisation."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from scipy import linalg

from elfzoo.transforms.harris import HarrisConfig, folding, matrices
from elfzoo.transforms.harris.bloch import at_k
from elfzoo.transforms.harris.field import chi_of, harris_densities, matrices_of
from elfzoo.transforms.harris.folding import folded_states

ATOMS, EDGE = 24, 4.0  # a dense fluid: 2.7 Å³ for each
POINTS = {"real": (0.5, 0.5, 0.0), "complex": (0.25, 0.1, 0.4)}


def fluid() -> Structure:
    rng, chosen = np.random.default_rng(3), []
    while len(chosen) < ATOMS:
        point = rng.random(3)
        apart = [np.linalg.norm(EDGE * ((point - other + 0.5) % 1 - 0.5)) for other in chosen]
        if min(apart, default=9.0) > 0.8:
            chosen.append(point)
    return Structure(Lattice.cubic(EDGE), ["H"] * ATOMS, chosen)


@pytest.fixture(scope="module")
def problems() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Overlaps and Hamiltonian at k-points."""
    _, _, pairs, found = matrices_of(fluid(), HarrisConfig(spacing=0.16))
    both = at_k((found.overlap, found.hamiltonian), pairs, np.array(list(POINTS.values())))
    return dict(zip(POINTS, map(tuple, both), strict=True))


@pytest.mark.parametrize("bands", [20, 40])  # of 24 atoms: one orbital of each is enough, or two
@pytest.mark.parametrize("k", POINTS)
def test_energies_and_states_are_those_of_a_dense_diagonalisation(problems, k: str, bands: int) -> None:
    s, h = problems[k]
    assert np.iscomplexobj(s) == (k == "complex")
    e, c = linalg.eigh(h, s, subset_by_index=(0, ATOMS // 2 - 1))
    found = folded_states(s, h, ATOMS, bands, 14)
    assert found is not None and found.shape == (len(s), bands)
    x = found.numpy().astype(h.dtype)
    energies, turn = linalg.eigh(x.conj().T @ h @ x, x.conj().T @ s @ x)
    np.testing.assert_allclose(energies[: len(e)], e, atol=2e-6)
    missing = x @ turn @ (turn.conj().T @ (x.conj().T @ (s @ c))) - c  # of the exact ones
    assert np.einsum("ib,ij,jb->b", missing.conj(), s, missing).real.max() < 1e-6


def test_elf_hardly_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    fields, folded = [], []

    def told(*args):
        folded.append(found := folded_states(*args))
        return found

    monkeypatch.setattr(matrices, "folded_states", told)
    for size in (10**9, 0):
        monkeypatch.setattr(matrices, "FOLDED", size)
        d = harris_densities(fluid(), HarrisConfig(spacing=0.25))
        fields.append(1 / (1 + chi_of(d.n, d.tau, d.gradient) ** 2))
    assert folded and all(found is not None for found in folded)
    assert 0 < np.abs(fields[1] - fields[0]).mean() < 3e-5


def test_with_as_many_bands_as_orbitals_nothing_is_folded(problems) -> None:
    s, h = problems["real"]
    assert folded_states(s, h, ATOMS, 9 * ATOMS, 14) is None
    assert folded_states(s[::9, ::9].copy(), h[::9, ::9].copy(), ATOMS, 20, 14) is None


def test_what_does_not_converge_is_diagonalised(problems, monkeypatch: pytest.MonkeyPatch) -> None:
    s, h = problems["complex"]
    exact = linalg.eigh(h, s, subset_by_index=(0, 19), eigvals_only=True)
    monkeypatch.setattr(matrices, "FOLDED", 0)
    monkeypatch.setattr(folding, "CONVERGED", 0.0)
    assert folded_states(s, h, ATOMS, 20, 14) is None
    e, _ = matrices._states(s, h, 20, 14, ATOMS)
    np.testing.assert_allclose(e, exact, atol=1e-5)


def test_orbitals_that_depend_on_each_other_are_left_to_others(problems) -> None:
    s, h = (x.copy() for x in problems["real"])
    for x in (s, h):  # the second orbital of the first atom is its first one
        x[1], x[:, 1] = x[0], x[:, 0]
        x[1, 1] = x[0, 0]
    assert folded_states(s, h, ATOMS, 20, 14) is None
