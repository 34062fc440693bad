"""What JSON can hold of nested results."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["json_values"]


def json_values(value: Any, digits: int | None = None) -> Any:
    """JSON values of mappings, sequences, arrays and numbers; what is not a finite number is None.

    Args:
        value: anything made of these; what is neither of them stays as it is.
        digits: significant digits that floats are rounded to; all of them unless stated.
    """
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {key: json_values(item, digits) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [json_values(item, digits) for item in value]
    if not isinstance(value, float):
        return value
    if not math.isfinite(value):
        return None
    return value if digits is None else float(f"{value:.{digits}g}")
