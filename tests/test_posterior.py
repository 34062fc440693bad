"""The posterior of a linear layer: exact against other formulas for the same thing; and its file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from elfzoo.errors import WeightsError
from elfzoo.posterior import UNCERTAINTY, Posterior, find_posterior, read_posterior

WEIGHTS = "ab" * 32


def posterior(rows: np.ndarray, alpha: float = 0.3, s: float = 0.7, **changes: object) -> Posterior:
    values, vectors = np.linalg.eigh(rows.T @ rows)
    return Posterior(WEIGHTS, values, vectors, alpha, s, **changes)  # type: ignore[arg-type]


def test_it_is_that_of_bayesian_linear_regression(rng: np.random.Generator) -> None:
    """Noise α and prior deviation α / s; the oracle is a Gaussian process, which knows of points and of no weights."""
    alpha, s = 0.3, 0.7
    trained, asked = rng.normal(size=(40, 6)), rng.normal(size=(9, 6))
    prior = (alpha / s) ** 2
    between = prior * trained @ trained.T + alpha**2 * np.eye(40)
    towards = prior * asked @ trained.T
    expected = np.diag(prior * asked @ asked.T - towards @ np.linalg.solve(between, towards.T))
    found = posterior(trained, alpha, s).deviation(asked)
    np.testing.assert_allclose(found**2, expected, rtol=1e-10)


def test_fewer_points_than_weights_leave_the_prior(rng: np.random.Generator) -> None:
    trained = rng.normal(size=(2, 5))
    across = np.linalg.svd(trained)[2][2:]  # directions that no training point has
    found = posterior(trained, alpha=0.2, s=0.5).deviation(across)
    np.testing.assert_allclose(found, 0.2 / 0.5, rtol=1e-9)


def test_farther_from_the_data_is_less_certain(rng: np.random.Generator) -> None:
    trained, asked = rng.normal(size=(50, 4)), rng.normal(size=(7, 4))
    found = posterior(trained)
    np.testing.assert_allclose(found.deviation(5 * asked), 5 * found.deviation(asked))
    assert found.deviation(trained).max() < found.alpha  # a training point determines itself to the noise at least
    assert (posterior(np.concatenate([trained, trained])).deviation(asked) < found.deviation(asked)).all()


def test_members_are_drawn_from_it(rng: np.random.Generator) -> None:
    found, asked = posterior(rng.normal(size=(30, 3))), rng.normal(size=(5, 3))
    changes = found.draw(20_000, seed=1) @ asked.T
    np.testing.assert_allclose(changes.std(axis=0), found.deviation(asked), rtol=0.03)
    assert np.abs(changes.mean(axis=0)).max() < 0.03 * found.deviation(asked).max()
    np.testing.assert_array_equal(found.draw(4, seed=2), found.draw(4, seed=2))
    assert not found.replace(alpha=0.0).draw(4).any()


# ---- the file ----


@pytest.fixture
def stored(rng: np.random.Generator, tmp_path: Path) -> Posterior:
    found = posterior(rng.normal(size=(30, 6)), quantiles={"0.5": 0.1, "1": 0.4}, unfamiliar=0.07, facts={"model": "x"})
    assert found.write(tmp_path) == tmp_path / UNCERTAINTY
    return found


def test_round_trip(stored: Posterior, tmp_path: Path, rng: np.random.Generator) -> None:
    again = find_posterior(tmp_path, WEIGHTS)
    assert again is not None
    for name in ("weights_sha256", "alpha", "s", "quantiles", "unfamiliar", "phi_scale", "facts"):
        assert getattr(again, name) == getattr(stored, name)
    asked = rng.normal(size=(5, 6))
    np.testing.assert_allclose(again.deviation(asked), stored.deviation(asked), rtol=1e-5)
    before = (tmp_path / UNCERTAINTY).read_bytes()
    again.write(tmp_path)
    assert (tmp_path / UNCERTAINTY).read_bytes() == before


def test_a_release_without_it(tmp_path: Path) -> None:
    assert find_posterior(tmp_path, WEIGHTS) is None


def test_other_weights_are_refused(stored: Posterior, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="belongs to other weights"):
        find_posterior(tmp_path, "cd" * 32)


def test_damage_is_found(stored: Posterior, tmp_path: Path) -> None:
    whole = (tmp_path / UNCERTAINTY).read_bytes()
    changed = bytearray(whole)
    changed[-3] ^= 1
    version = whole.replace(b'\\"version\\": 1', b'\\"version\\": 9')
    assert version != whole
    for name, data, message in (
        ("truncated", whole[: len(whole) // 2], "damaged"),
        ("empty", b"", "damaged"),
        ("changed", bytes(changed), "changed"),
        ("later", version, "format 9"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(WeightsError, match=message):
            read_posterior(tmp_path / name, WEIGHTS)


def test_weights_are_no_posterior(tmp_path: Path) -> None:
    from elfzoo.card import shipped_releases

    release = next(iter(shipped_releases().values()))
    shutil.copy(release / "model.safetensors", tmp_path / UNCERTAINTY)
    sha256 = json.loads((release / "config.json").read_text())["weights_sha256"]
    with pytest.raises(WeightsError, match="no posterior"):
        find_posterior(tmp_path, sha256)
