"""Releases: a folder with config.json, model.safetensors and README.md (the card), alike on disk and in the wheel."""

from __future__ import annotations

import hashlib
import json
from dataclasses import field
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from safetensors.torch import load, save

from elfzoo.config import config_class, parse, to_dict
from elfzoo.errors import WeightsError
from elfzoo.field import Recipe
from elfzoo.io.files import write_bytes

if TYPE_CHECKING:
    from elfzoo.models.base import Model

__all__ = ["Card", "load_release", "read_card", "save_release", "shipped_releases"]

CONFIG, WEIGHTS, README = "config.json", "model.safetensors", "README.md"


@config_class
class Card:
    """What a release says about itself, in ``config.json``.

    Args:
        name: immutable, ``architecture.data-vN``.
        architecture: registry name.
        config: configuration of the architecture.
        weights_sha256: of ``model.safetensors``.
        elements: symbols that the training data contain.
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


def load_release(folder: str | Path) -> Model:
    """The model of a release, its weights checked against the card and loaded strictly.

    Raises:
        WeightsError: weights missing, truncated, changed or not fitting the configuration. Pickles are never opened.
    """
    from elfzoo.registry import create_model

    folder = Path(folder)
    card = read_card(folder)
    data = _read_weights(folder, card)
    model = create_model(card.architecture, card.config)
    try:
        model.load_state_dict(load(data), strict=True)
    except (RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())
        raise WeightsError(f"{folder / WEIGHTS} does not fit {card.architecture}: {reason}") from None
    model.card = card
    return model


def save_release(model: Model, folder: str | Path, name: str, readme: str = "", **facts: Any) -> Card:
    """Write a release; it appears whole or not at all.

    Args:
        model: with trained weights.
        folder: made if needed; an existing release there is replaced.
        name: immutable name of the release.
        readme: text of the card.
        facts: further entries of :class:`Card`.
    """
    from elfzoo import __version__
    from elfzoo.registry import architecture_of

    weights = save({k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()})
    card = Card(
        name=name,
        architecture=architecture_of(model),
        config=to_dict(model.config),
        weights_sha256=hashlib.sha256(weights).hexdigest(),
        elfzoo=__version__,
        **facts,
    )
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    # the configuration comes last: without it the folder is no release, and with it everything else is there
    write_bytes(folder / WEIGHTS, [weights])
    if readme:
        write_bytes(folder / README, [readme.encode()])
    write_bytes(folder / CONFIG, [(json.dumps(to_dict(card), indent=2) + "\n").encode()])
    return card


def _read_weights(folder: Path, card: Card) -> bytes:
    path = folder / WEIGHTS
    if not path.is_file():
        pickles = sorted(p.name for p in folder.glob("*") if p.suffix in (".bin", ".pt", ".pth", ".ckpt", ".pkl"))
        reason = f"; it has {', '.join(pickles)}, which elfzoo never opens (pickles can run code)" if pickles else ""
        raise WeightsError(f"{folder} has no {WEIGHTS}{reason}")
    data = path.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != card.weights_sha256:
        raise WeightsError(
            f"{path} ({len(data)} bytes) is truncated or changed: sha256 {found[:12]}…, "
            f"the card says {card.weights_sha256[:12]}…; fetch the release again"
        )
    return data
