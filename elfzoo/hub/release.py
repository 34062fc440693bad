"""A release is one folder: config.json, model.safetensors and README.md (the card), alike on disk, in the wheel and on
the Hub."""

from __future__ import annotations

import hashlib
import json
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from elfzoo._version import __version__
from elfzoo.card import CONFIG, README, WEIGHTS, Card, read_card
from elfzoo.config import to_dict
from elfzoo.errors import WeightsError
from elfzoo.io.files import write_bytes
from elfzoo.models.base import Model
from elfzoo.posterior import UNCERTAINTY, find_posterior
from elfzoo.registry import architecture_of, create_model

__all__ = ["PICKLES", "load_release", "pickles_among", "read_weights", "save_release", "weights_sha256"]

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


def load_release(folder: str | Path, weights: Path | None = None) -> Model:
    """The model of a release, its weights checked against the card and loaded strictly.

    Args:
        folder: of the release.
        weights: the file with its weights, where that is not in the folder.

    Raises:
        WeightsError: weights missing, truncated, changed or not fitting the configuration, or an uncertainty of other
            weights. Pickles are never opened.
    """
    card = read_card(folder)
    path = weights or Path(folder) / WEIGHTS
    data = read_weights(path, card)
    with _single_precision():
        model = create_model(card.architecture, card.config, card.target)
    try:
        model.load_state_dict(load(data), strict=True)
    except (RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())
        raise WeightsError(f"{path} does not fit {card.architecture}: {reason}") from None
    model.card, model.posterior = card, find_posterior(folder, card.weights_sha256)
    return model


@contextmanager
def _single_precision() -> Iterator[None]:
    """Whatever the user's default is, for which weights were not made."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def save_release(model: Model, folder: str | Path, name: str, readme: str = "", **facts: Any) -> Card:
    """Write a release; it appears whole or not at all. The model's posterior goes with it if it is of these weights.

    Args:
        model: with trained weights.
        folder: made if needed; an existing release there is replaced.
        name: immutable name of the release.
        readme: text of the card.
        facts: further entries of :class:`Card`.
    """
    weights = _saved(model)
    card = Card(
        name=name,
        architecture=architecture_of(model),
        config=to_dict(model.config),
        weights_sha256=hashlib.sha256(weights).hexdigest(),
        target=model.target,
        elfzoo=__version__,
        **facts,
    )
    with _replaced(Path(folder), card) as place:
        # the configuration comes last: without it the folder is no release, and with it everything else is there
        write_bytes(place / WEIGHTS, [weights])
        if model.posterior is not None and model.posterior.weights_sha256 == card.weights_sha256:
            model.posterior.write(place)
        if readme:
            write_bytes(place / README, [readme.encode()])
        write_bytes(place / CONFIG, [(json.dumps(to_dict(card), indent=2) + "\n").encode()])
    return card


@contextmanager
def _replaced(folder: Path, card: Card) -> Iterator[Path]:
    """Where to write a release: the folder itself, or beside one that is there a new one, which takes its place.

    What else lies in the old one goes with it, but for an uncertainty and a text of other weights.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / CONFIG).is_file():
        yield folder
        return
    folder = folder.resolve()
    aside = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}")
    new, old = aside.with_suffix(".new"), aside.with_suffix(".old")
    try:
        shutil.copytree(folder, new)
        other = read_card(folder).weights_sha256 != card.weights_sha256
        apart = other or not _is_certain_of(folder, card.weights_sha256)
        for name in (CONFIG, WEIGHTS, *((README,) if other else ()), *((UNCERTAINTY,) if apart else ())):
            (new / name).unlink(missing_ok=True)
        yield new
        folder.rename(old)
        new.rename(folder)
    finally:
        for left in (new, old):
            if left.exists() and folder.exists():
                shutil.rmtree(left, ignore_errors=True)


def _is_certain_of(folder: Path, weights_sha256: str) -> bool:
    """Whether the uncertainty in a folder, if there is one, belongs to these weights."""
    try:
        return find_posterior(folder, weights_sha256) is not None
    except WeightsError:
        return False


def weights_sha256(model: Model) -> str:
    """Of the file that a model's weights would be stored in, as they are now."""
    return hashlib.sha256(_saved(model)).hexdigest()


def _saved(model: Model) -> bytes:
    return save({k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()})


def read_weights(path: Path, card: Card) -> bytes:
    """The weights of a release as they are in its file.

    Raises:
        WeightsError: missing, truncated or changed. Pickles are never opened.
    """
    if not path.is_file():
        raise WeightsError(f"{path.parent} has no {path.name}{pickles_among(p.name for p in path.parent.glob('*'))}")
    data = path.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != card.weights_sha256:
        raise WeightsError(
            f"{path} ({len(data)} bytes) is truncated or changed: sha256 {found[:12]}…, "
            f"the card says {card.weights_sha256[:12]}…; fetch the release again"
        )
    return data


def pickles_among(names: Iterable[str]) -> str:
    """The end of a sentence about missing weights: which pickles there are in their place, if any."""
    pickles = sorted(name for name in names if name.endswith(PICKLES))
    return f"; it has {', '.join(pickles)}, which elfzoo never opens (pickles can run code)" if pickles else ""
