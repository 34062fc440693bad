"""A trained model by name: shipped with the package, a folder of one's own, or a repository on the Hub."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from pymatgen.core import Element

from elfzoo.card import WEIGHTS, Card, read_card, shipped_releases
from elfzoo.errors import ConfigError, ElfzooError, HubError, UnknownNameError
from elfzoo.hub.release import load_release
from elfzoo.models.base import Model
from elfzoo.registry import find_architecture

__all__ = ["RECOMMENDED", "list_pretrained", "load_pretrained", "locate", "recommend"]

# the most accurate on the board of those that see the geometry alone, for hydrogen and for everything else
RECOMMENDED = ("probe_graph.h-v2", "probe_graph.multi-v5")


def list_pretrained(engines: bool = True) -> list[str]:
    """Names of the releases that come with the package, sorted.

    Args:
        engines: also those whose architecture requires an optional package, such as a DFT engine.
    """
    found = sorted(shipped_releases().items())
    return [name for name, folder in found if engines or not _requires(read_card(folder))]


def recommend(elements: Iterable[str]) -> str:
    """The release to begin with, for structures of these elements: what predict and finetune take unless told.

    The first of :data:`RECOMMENDED` that has learned from all of the elements; the last where none has.

    Args:
        elements: symbols, in any order; of a pymatgen Structure, ``structure.symbol_set``.

    Raises:
        ElfzooError: something else than symbols of elements.
    """
    found = [elements] if isinstance(elements, str) else list(elements)
    wrong = [element for element in found if not (isinstance(element, str) and Element.is_valid_symbol(element))]
    if wrong:
        raise ElfzooError(f"expected symbols of elements, such as structure.symbol_set; got {wrong[0]!r}")
    wanted, cards = set(found), shipped_releases()
    known = (name for name in RECOMMENDED if name in cards and wanted <= set(read_card(cards[name]).elements))
    return next(known, RECOMMENDED[-1])


def _requires(card: Card) -> tuple[str, ...]:
    return find_architecture(card.architecture).requires


def load_pretrained(
    name_or_folder: str | Path,
    revision: str | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
) -> Model:
    """A trained model, ready to predict.

    What ships with the package is taken first, then folders, then the Hub with its local cache: a commit that was
    fetched before needs no network. Endpoint, token, cache and offline mode are those of huggingface_hub:
    ``HF_ENDPOINT``, ``HF_TOKEN``, ``HF_HUB_CACHE``, ``HF_HUB_OFFLINE``.

    Args:
        name_or_folder: a release of the package (:func:`list_pretrained`); a folder that holds ``config.json`` and
            ``model.safetensors``; or ``organisation/repository`` on the Hub.
        revision: commit, tag or branch of the repository; a commit gives the same weights for ever.
        device: where to put it.
        dtype: precision of the weights; single unless stated.

    Raises:
        UnknownNameError: no such release or folder, with the nearest names.
        HubError: the Hub was not reached, refused, or has no such repository or revision.
        WeightsError: weights missing, truncated, changed or not fitting; pickles are never opened.
        ConfigError: a configuration that this version of elfzoo does not know, or another precision.
    """
    if dtype not in (None, torch.float32, torch.float64):
        raise ConfigError(f"a model predicts in single or double precision; got dtype={dtype}")
    folder, weights = locate(name_or_folder, revision)
    return load_release(folder, weights).to(device=device, dtype=dtype).eval()


def locate(name_or_folder: str | Path, revision: str | None = None, whole: bool = False) -> tuple[Path, Path]:
    """The folder of a release and the file of its weights, fetched from the Hub where needed.

    Args:
        name_or_folder, revision: as in :func:`load_pretrained`.
        whole: fetch also what predicting does not need, such as the text of the card.

    Raises:
        UnknownNameError, HubError, WeightsError, ConfigError: as :func:`load_pretrained`.
    """
    name, releases = str(name_or_folder), shipped_releases()
    if name in releases:
        return _shipped(name, releases[name], revision)
    if Path(name_or_folder).is_dir():
        _no_revision(f"the folder {name}", revision)
        return Path(name_or_folder), Path(name_or_folder) / WEIGHTS

    from elfzoo.hub import client  # huggingface_hub takes half a second, which shipped weights need not wait for

    if not client.is_repo_id(name):
        raise UnknownNameError("shipped release, folder or repository (organisation/name)", name, releases)
    folder = client.fetch_release(name, revision)
    return client.fetch_folder(name, folder.name) if whole else folder, folder / WEIGHTS


def _shipped(name: str, folder: Path, revision: str | None) -> tuple[Path, Path]:
    """Of a release of the package, whose weights may have been left on the Hub."""
    _no_revision(f"{name}, which is immutable and comes with the package,", revision)
    card = read_card(folder)
    if card.hub is None or (folder / WEIGHTS).is_file():
        return folder, folder / WEIGHTS

    from elfzoo.hub import client

    return folder, client.fetch_weights(card.hub.repo, card.hub.revision, card.weights_sha256)


def _no_revision(what: str, revision: str | None) -> None:
    if revision is not None:
        raise HubError(f"{what} has no revisions; got revision={revision!r}, which is for repositories on the Hub")
