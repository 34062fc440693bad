"""Spin channels that may be mistaken for the total ELF, which is neither of them nor their mean."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from elfzoo.check.finding import Finding
from elfzoo.field import Field
from elfzoo.io import EQUAL_CHANNELS

__all__ = ["channels_differ", "check_channels", "check_spin_label"]

REMEDY = "Use a calculation without spin polarisation where a total ELF is wanted, and name the channel elsewhere"
CHANNEL = {"up", "down", "alpha", "beta", "spin_up", "spin_down"}


def check_channels(fields: Mapping[str, Field]) -> list[Finding]:
    """Finding ``spin-channels``: a file with two channels that differ, so that neither is the total ELF."""
    if not channels_differ(fields):
        return []
    message = (
        f"the file holds two spin channels ({', '.join(fields)}) that differ by up to {_difference(fields):.2g}; "
        "neither is the total ELF"
    )
    return [Finding("warning", "spin-channels", message, REMEDY)]


def check_spin_label(field: Field) -> list[Finding]:
    """Finding ``spin-channel``: one channel alone, a warning where only the metadata tell so."""
    if field.spin is not None:
        message = f"this is the spin-{field.spin} channel of a spin-polarised calculation, not the total ELF"
        return [Finding("info", "spin-channel", message, REMEDY)]
    label = str(field.meta.get("spin", "")).strip().lower()
    if label in CHANNEL:
        message = f"the field is used as a total, but its metadata call it the channel spin = {label!r}"
        return [Finding("warning", "spin-channel", message, REMEDY)]
    return []


def channels_differ(fields: Mapping[str, Field]) -> bool:
    """Whether there are two channels, and they are not those of a closed shell."""
    if len(fields) != 2:
        return False
    whole = all(np.isfinite(field.values).all() for field in fields.values())
    return not whole or _difference(fields) > EQUAL_CHANNELS


def _difference(fields: Mapping[str, Field]) -> float:
    """Largest difference of two channels where both are finite."""
    up, down = (field.values for field in fields.values())
    finite = np.isfinite(up) & np.isfinite(down)
    return float(np.abs(up[finite] - down[finite]).max(initial=0.0))
