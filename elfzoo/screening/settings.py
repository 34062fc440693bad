"""What decides the numbers of a screening; what does not, such as the threshold, can change between runs."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from elfzoo.config import config_class, to_dict
from elfzoo.errors import ConfigError, ElfzooError
from elfzoo.io.files import write_bytes

__all__ = ["ScreenSettings", "changed", "keep_settings", "read_settings"]

FILE = "settings.json"


@config_class
class ScreenSettings:
    """What is computed of each structure.

    Args:
        model: name of the release.
        weights_sha256: of its weights: a name on the Hub could move.
        spacing: Å, of the predicted field.
        phi_spacing: Å, of the grid that cross-checks φ and so gives its error.
        persistence: ELF; pairs of critical points closer in value are noise.
        symmetry: one point of each orbit of the space group is computed, the others are copied.
        members: fields drawn for the model's error of φ (:func:`elfzoo.uncertainty.networking_with_error`); 0 for none.
        config_sha256: of the model's configuration: what has no weights, a configuration may change.
        uncertainty_sha256: of the file that the model's error comes from; empty without members.
    """

    model: str
    weights_sha256: str
    spacing: float = 0.1
    phi_spacing: float = 0.08
    persistence: float = 0.001
    symmetry: bool = False
    members: int = 0
    config_sha256: str = ""
    uncertainty_sha256: str = ""

    def __post_init__(self) -> None:
        for name in ("spacing", "phi_spacing"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} is a length in Å above 0; got {getattr(self, name)}")
        if not 0 <= self.persistence < 1:
            raise ConfigError(f"persistence is a difference of ELF, from 0 to below 1; got {self.persistence}")
        if self.members < 0 or self.members == 1:
            raise ConfigError(f"a spread of φ needs two members or more, 0 for none; got {self.members}")


def keep_settings(settings: ScreenSettings, folder: Path) -> None:
    """Write the settings of a new run, or see that a run which goes on has the same.

    Raises:
        ElfzooError: the folder holds results of other settings.
    """
    path = folder / FILE
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        _begin(path, (json.dumps(to_dict(settings), indent=1) + "\n").encode())
    there, now = read_settings(folder), to_dict(settings)
    differ = changed(there, now)
    if differ:
        changes = "; ".join(f"{name} {there.get(name)!r}, now {now[name]!r}" for name in differ)
        raise ElfzooError(f"{folder} holds results of other settings ({changes}); choose another output")


def _begin(path: Path, content: bytes) -> None:
    """Write a file unless another process, begun at the same time, was first; whole or not at all."""
    ours = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    write_bytes(ours, [content])
    try:
        os.link(ours, path)
    except FileExistsError:
        pass
    except OSError:  # a disk without hard links
        ours.replace(path)
    finally:
        ours.unlink(missing_ok=True)


def changed(there: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Names of settings that are others; what an earlier version did not keep, or a hash that is empty, cannot tell."""
    known = [f.name for f in fields(ScreenSettings) if f.name in there and "" not in (there[f.name], now[f.name])]
    return [name for name in known if there[name] != now[name]]


def read_settings(folder: Path) -> dict[str, Any]:
    """The settings in a folder; what an earlier version did not have is what it is by default.

    Raises:
        ElfzooError: there are none, or they are damaged.
    """
    try:
        return {"members": 0} | json.loads((folder / FILE).read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise ElfzooError(f"cannot read {folder / FILE}: {error}") from error
