"""From numbers to places on a chart: linear and logarithmic axes that begin and end at round numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["Scale", "scale_of"]

STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
FEW, MANY = 5, 9  # ticks, about
FINE, FINER = (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)  # in each power of ten
SAME = 1e-9  # relative; what differs by less is one value
SMALLEST, LARGEST = 1e-3, 1e4  # between these, ticks are plain numbers
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Scale:
    """An axis.

    Args:
        ticks: round numbers, the first and the last of which are the ends of the axis.
        start, end: places of the ends, in the chart's unit.
        log: whether it is logarithmic.
    """

    ticks: tuple[float, ...]
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """The place of a number."""
        low, high, at = (math.log(x) if self.log else x for x in (self.ticks[0], self.ticks[-1], value))
        return self.start + (self.end - self.start) * (at - low) / (high - low)

    def holds(self, value: float | None) -> bool:
        """Whether a number has a place."""
        return value is not None and math.isfinite(value) and (value > 0 or not self.log)

    def label(self, tick: float) -> str:
        """A tick in words."""
        if self.log and not SMALLEST <= tick < LARGEST:
            power = math.floor(math.log10(tick) + SAME)
            return f"{tick / 10.0**power:g}·10".removeprefix("1·") + str(power).translate(RAISED)
        return f"{tick:g}".replace("-", "−")


def scale_of(values: Iterable[float | None], start: float, end: float, log: bool = False, zero: bool = False) -> Scale:
    """The axis that all values fit on; with ``zero`` it begins at or below 0."""
    known = [v for v in values if v is not None and math.isfinite(v) and (v > 0 or not log)] or [1.0]
    low, high = min(known), max(known)
    if log:
        return Scale(_log_ticks(low, high), start, end, log=True)
    return Scale(_ticks(min(low, 0.0) if zero else low, high), start, end)


def _ticks(low: float, high: float) -> tuple[float, ...]:
    size = max(abs(low), abs(high)) or 1.0
    if high - low < SAME * size:
        low, high = low - size / 2, high + size / 2
    rough = (high - low) / FEW
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(s * power for s in STEPS if s * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return tuple(float(f"{i * step:.12g}") for i in range(first, last + 1))


def _log_ticks(low: float, high: float) -> tuple[float, ...]:
    """Some numbers in each power of ten; where these are many, powers alone, every second or third of many."""
    for digits, most in ((FINER, FEW), (FINE, MANY)):
        ticks = _among(digits, low, high)
        if len(ticks) <= most:
            return ticks
    first, last = math.floor(math.log10(low) + SAME), math.ceil(math.log10(high) - SAME)
    every = math.ceil((last - first) / FEW)
    return tuple(10.0**p for p in range(first, first + every * math.ceil((last - first) / every) + 1, every))


def _among(digits: Sequence[float], low: float, high: float) -> tuple[float, ...]:
    """The digits times powers of ten between which the values lie, at least two."""
    powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 2)
    ticks = [float(f"{digit}e{power}") for power in powers for digit in digits]
    start = max(i for i, tick in enumerate(ticks) if tick <= low * (1 + SAME))
    end = min(i for i, tick in enumerate(ticks) if tick >= high * (1 - SAME))
    return tuple(ticks[start : max(end, start + 1) + 1])
