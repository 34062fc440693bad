"""Pass, fail, abstain: a table of cases."""

from __future__ import annotations

import pytest

from elfzoo.errors import ConfigError
from elfzoo.screening import Criterion


@pytest.mark.parametrize(
    ("phi", "error", "margin", "verdict"),
    [
        (0.70, 0.05, 0.0, "pass"),
        (0.50, 0.05, 0.0, "fail"),
        (0.62, 0.05, 0.0, "abstain"),
        (0.58, 0.05, 0.0, "abstain"),
        (0.70, 0.05, 0.1, "abstain"),  # the margin counts
        (0.50, 0.05, 0.1, "abstain"),
        (0.60, 0.00, 0.0, "pass"),  # at the threshold
        (0.5999, 0.0, 0.0, "fail"),
    ],
)
def test_verdicts(phi: float, error: float, margin: float, verdict: str) -> None:
    found, reason = Criterion(0.6, margin, ("H",)).judge("H3", {"phi": phi, "phi_error": error})
    assert found == verdict and (reason is None) == (verdict != "abstain")


def test_unknown_elements_abstain_whatever_phi_is() -> None:
    good = {"phi": 0.9, "phi_error": 0.0}
    verdict, reason = Criterion(0.6, 0.0, ("H", "Ca")).judge("La1 H10", good)
    assert verdict == "abstain" and reason is not None and reason.endswith("La")
    assert Criterion(0.6, 0.0, ("H", "La")).judge("La1 H10", good) == ("pass", None)
    assert Criterion(0.6).judge("La1 H10", good) == ("pass", None)  # a card that names no elements


def test_no_verdict_without_threshold_or_phi() -> None:
    assert Criterion().judge("H3", {"phi": 0.9, "phi_error": 0.0}) == (None, None)
    assert Criterion(0.6).judge("H3", {"phi": None}) == Criterion(0.6).judge(None, {}) == (None, None)


def test_numbers_that_are_no_elf_are_refused() -> None:
    for wrong in ({"threshold": 1.2}, {"threshold": float("nan")}, {"margin": -0.1}):
        with pytest.raises(ConfigError):
            Criterion(**wrong)
