"""What a release says about itself, and the releases that ship with the package."""

from __future__ import annotations

import csv
import json
from dataclasses import field
from importlib import resources
from pathlib import Path
from typing import Any

from elfzoo.config import config_class, parse
from elfzoo.errors import WeightsError
from elfzoo.field import Recipe
from elfzoo.target import Target

__all__ = ["CONFIG", "HISTORY", "Card", "read_card", "read_history", "shipped_releases"]

CONFIG = "config.json"
HISTORY = "log.csv"  # of the training: a line for each epoch; a release may come without it


@config_class
class Card:
    """What a release says about itself, in ``config.json``.

    Args:
        name: immutable, ``architecture.data-vN``.
        architecture: registry name.
        config: configuration of the architecture.
        weights_sha256: of ``model.safetensors``.
        elements: symbols that the training data contain.
        target: what it predicts; ELF where nothing is said.
        engine, functional, pseudopotential: recipe of the training labels.
        training: configuration of the training run, data hashes, hardware and run time.
        license: of the weights.
        elfzoo: version that wrote the release.
    """

    name: str
    architecture: str
    config: dict[str, Any]
    weights_sha256: str
    elements: tuple[str, ...] = ()
    target: Target = field(default_factory=Target)
    engine: str | None = None
    functional: str | None = None
    pseudopotential: str | None = None
    training: dict[str, Any] = field(default_factory=dict)
    license: str = "MIT"
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


def read_history(path: Path) -> dict[str, list[float]]:
    """The columns of a training's :data:`HISTORY`, a value for each epoch."""
    rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    return {key: [float(row[key]) for row in rows] for key in rows[0]}
