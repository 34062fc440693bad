"""Trained models by name or folder. A release is one folder: config.json, model.safetensors and README.md (the card),
alike on disk and in the wheel."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from elfzoo._version import __version__
from elfzoo.card import CONFIG, Card, read_card, shipped_releases
from elfzoo.config import to_dict
from elfzoo.errors import UnknownNameError, WeightsError
from elfzoo.io.files import write_bytes
from elfzoo.models.base import Model
from elfzoo.registry import architecture_of, create_model

__all__ = ["list_pretrained", "load_pretrained", "load_release", "save_release"]

WEIGHTS, README = "model.safetensors", "README.md"


def list_pretrained() -> list[str]:
    """Names of the releases that ship with the package, sorted."""
    return sorted(shipped_releases())


def load_pretrained(name_or_folder: str | Path, device: str = "cpu", dtype: torch.dtype | None = None) -> Model:
    """A trained model, ready to predict.

    Args:
        name_or_folder: a release that ships with the package (:func:`list_pretrained`), or a folder that holds
            ``config.json`` and ``model.safetensors``.
        device: where to put it.
        dtype: precision of the weights; single unless stated.

    Raises:
        UnknownNameError: no such release or folder, with the nearest names.
        WeightsError: weights missing, truncated, changed or not fitting; pickles are never opened.
    """
    releases = shipped_releases()
    if str(name_or_folder) in releases:
        folder = releases[str(name_or_folder)]
    elif Path(name_or_folder).is_dir():
        folder = Path(name_or_folder)
    else:
        raise UnknownNameError("shipped release or folder", str(name_or_folder), releases)
    return load_release(folder).to(device=device, dtype=dtype).eval()


def load_release(folder: str | Path) -> Model:
    """The model of a release, its weights checked against the card and loaded strictly.

    Raises:
        WeightsError: weights missing, truncated, changed or not fitting the configuration. Pickles are never opened.
    """
    folder = Path(folder)
    card = read_card(folder)
    data = _read_weights(folder, card)
    model = create_model(card.architecture, card.config, card.target)
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
    weights = save({k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()})
    card = Card(
        name=name,
        architecture=architecture_of(model),
        config=to_dict(model.config),
        weights_sha256=hashlib.sha256(weights).hexdigest(),
        target=model.target,
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
