"""What a release says about itself, and the releases that ship with the package."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import field
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from elfzoo.config import config_class, parse
from elfzoo.errors import ConfigError, WeightsError
from elfzoo.field import Recipe
from elfzoo.target import Target

__all__ = [
    "CONFIG",
    "HISTORY",
    "README",
    "WEIGHTS",
    "Card",
    "Domain",
    "HubSource",
    "read_card",
    "read_history",
    "read_text",
    "shipped_releases",
]

CONFIG, WEIGHTS, README = "config.json", "model.safetensors", "README.md"
FRONT_MATTER, COMMENT = re.compile(r"\A---\n.*?\n---\n", re.S), re.compile(r"<!--.*?-->\n?", re.S)
HISTORY = "log.csv"  # of the training: a line for each epoch; a release may come without it


@config_class
class HubSource:
    """Where the weights of a release lie that ships its card alone.

    Args:
        repo: ``organisation/repository``.
        revision: commit, 40 hexadecimal digits: a branch could move.
    """

    repo: str
    revision: str

    def __post_init__(self) -> None:
        if re.fullmatch(r"[0-9a-f]{40}", self.revision) is None:
            raise ConfigError(f"a release is pinned by its commit, 40 hexadecimal digits; got {self.revision!r}")


@config_class
class Domain:
    """What the training structures are like: outside of it a model extrapolates.

    Args:
        structures: how many there are.
        volume_per_atom: smallest and largest, Å³.
        nearest_distance: smallest and largest distance of an atom from its nearest neighbour, Å.
        pressure: lowest and highest that the labels state, GPa; null where they state none.
        groups: where there are several kinds of matter (:func:`elfzoo.posterior.group_of`), volumes and distances of
            each.
    """

    structures: int
    volume_per_atom: tuple[float, float]
    nearest_distance: tuple[float, float]
    pressure: tuple[float, float] | None = None
    groups: dict[str, dict[Literal["volume_per_atom", "nearest_distance"], tuple[float, float]]] = field(
        default_factory=dict
    )

    def limits(self, name: Literal["volume_per_atom", "nearest_distance"], group: str) -> tuple[float, float]:
        """Smallest and largest, of structures of a group where they are told apart."""
        return self.groups[group][name] if group in self.groups else getattr(self, name)

    def __str__(self) -> str:
        volume, distance = ("{:.2f} to {:.2f}".format(*pair) for pair in (self.volume_per_atom, self.nearest_distance))
        pressure = "" if self.pressure is None else ", {:.0f} to {:.0f} GPa".format(*self.pressure)
        return f"{self.structures} structures, {volume} Å³ per atom, nearest neighbours at {distance} Å{pressure}"


@config_class
class Card:
    """What a release says about itself, in ``config.json``.

    Args:
        name: immutable, ``architecture.data-vN``.
        architecture: registry name.
        config: configuration of the architecture.
        weights_sha256: of ``model.safetensors``.
        elements: symbols that the training data contain.
        domain: what the training structures are like.
        target: what it predicts; ELF where nothing is said.
        engine, functional, pseudopotential: recipe of the training labels.
        training: configuration of the training run, data hashes, hardware and run time.
        license: of the weights.
        hub: where the weights are fetched from, for a release whose folder does not hold them.
        elfzoo: version that wrote the release.
    """

    name: str
    architecture: str
    config: dict[str, Any]
    weights_sha256: str
    elements: tuple[str, ...] = ()
    domain: Domain | None = None
    target: Target = field(default_factory=Target)
    engine: str | None = None
    functional: str | None = None
    pseudopotential: str | None = None
    training: dict[str, Any] = field(default_factory=dict)
    license: str = "MIT"
    hub: HubSource | None = None
    elfzoo: str = ""

    @property
    def recipe(self) -> Recipe | None:
        """Recipe of the labels, and so of the predictions."""
        if self.engine is None or self.functional is None or self.pseudopotential is None:
            return None
        return Recipe(self.engine, self.functional, self.pseudopotential)


def shipped_releases() -> dict[str, Path]:
    """Folders of the releases in the installed package, by name."""
    root = Path(str(resources.files("elfzoo.model_cards")))
    return {path.parent.name: path.parent for path in sorted(root.glob(f"*/{CONFIG}"))}


def read_card(folder: str | Path) -> Card:
    """Read ``config.json`` of a release.

    Raises:
        WeightsError: no such file, or not JSON.
        ConfigError: unknown or missing keys.
    """
    path = Path(folder) / CONFIG
    try:
        return parse(Card, json.loads(path.read_text()), where=str(path))
    except FileNotFoundError:
        raise WeightsError(f"{folder} is no release: it has no {CONFIG}") from None
    except json.JSONDecodeError as error:
        raise WeightsError(f"{path} is damaged: {error}") from None


def read_text(folder: str | Path) -> str | None:
    """What a release's README says, without front matter and comments; None where there is none."""
    path = Path(folder) / README
    if not path.is_file():
        return None
    return COMMENT.sub("", FRONT_MATTER.sub("", path.read_text(encoding="utf-8")))


def read_history(path: Path) -> dict[str, list[float]]:
    """The columns of a training's :data:`HISTORY`, a value for each epoch."""
    rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    return {key: [float(row[key]) for row in rows] for key in rows[0]}
