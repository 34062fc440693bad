"""How many points of the reference a prediction has, how many of its own are there, and how far they moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["matching_metrics"]


def matching_metrics(name: str, parts: Sequence[Mapping[str, Any]], reference: int, predicted: int) -> dict[str, float]:
    """Recall, precision and mean displacement (Å) of matched points, pooled over structures.

    Args:
        name: that the metrics begin with.
        parts: of each structure, with its pairs ``matched`` and their ``mean_displacement``.
        reference, predicted: points on either side, of all structures.
    """
    matched = sum(part["matched"] for part in parts)
    moved = sum(part["mean_displacement"] * part["matched"] for part in parts if part["matched"])
    return {
        f"{name}_recall": matched / reference if reference else np.nan,
        f"{name}_precision": matched / predicted if predicted else np.nan,
        f"{name}_displacement": moved / matched if matched else np.nan,
    }
