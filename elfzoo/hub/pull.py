"""Releases and data sets from the Hub into a folder of one's own, and whether what is there is sound."""

from __future__ import annotations

import os
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pymatgen.core import Lattice, Structure

from elfzoo.card import Card, read_card
from elfzoo.errors import HubError
from elfzoo.hub.client import fetch_folder, fetch_release, sha256_of
from elfzoo.hub.load import locate
from elfzoo.hub.push import CHECKSUMS
from elfzoo.hub.release import load_release

__all__ = ["Verified", "pull", "pull_dataset", "verify", "verify_dataset"]


@dataclass(frozen=True)
class Verified:
    """A release that loads and predicts.

    Args:
        card: of the release.
        weights: the file.
        parameters: how many numbers it holds.
    """

    card: Card
    weights: Path
    parameters: int


def pull(repo: str, folder: str | Path, revision: str | None = None) -> Path:
    """Copy a release from the Hub; its weights have the hash that its card states.

    Args:
        repo: ``organisation/repository``.
        folder: must not exist yet, or be empty; its files appear whole or not at all.
        revision: commit, tag or branch; the main branch unless stated.

    Raises:
        HubError, WeightsError, ConfigError: as :func:`elfzoo.load_pretrained`; the folder exists.
    """
    _refuse_existing(Path(folder))
    commit = fetch_release(repo, revision).name
    return _copy(fetch_folder(repo, commit), Path(folder))


def pull_dataset(repo: str, folder: str | Path, revision: str | None = None) -> Path:
    """Copy a data set from the Hub; every file has the SHA-256 that stands in ``SHA256SUMS``.

    Args:
        repo, folder, revision: as in :func:`pull`. To be found as a data set of elfzoo the folder is called like it.

    Raises:
        HubError: not reached, not allowed, no data set of elfzoo, a damaged file; the folder exists.
    """
    _refuse_existing(Path(folder))
    cached = fetch_folder(repo, revision, "dataset")
    verify_dataset(cached)
    return _copy(cached, Path(folder))


def verify(name_or_folder: str | Path, revision: str | None = None) -> Verified:
    """Load a release and predict a small cell with it.

    Raises:
        ElfzooError: what is wrong with it.
    """
    folder, weights = locate(name_or_folder, revision)
    model, card = load_release(folder, weights).eval(), read_card(folder)
    element = card.elements[0] if card.elements else "H"
    cell = Structure(Lattice.cubic(3.0), [element, element], [[0.1, 0.1, 0.1], [0.4, 0.3, 0.6]])
    values = model.predict(cell, grid=(12, 12, 12)).values
    if not np.isfinite(values).all():
        raise HubError(f"{card.name} predicts values that are not finite")
    return Verified(card, weights, sum(p.numel() for p in model.parameters()))


def verify_dataset(folder: str | Path) -> int:
    """Compare the files of a data set with its ``SHA256SUMS``; their number.

    Raises:
        HubError: no such list, a missing file, or one with another content.
    """
    folder = Path(folder)
    if not (folder / CHECKSUMS).is_file():
        raise HubError(f"{folder} has no {CHECKSUMS}; expected a data set that elfzoo hub push wrote")
    lines = (folder / CHECKSUMS).read_text(encoding="utf-8").splitlines()
    for line in lines:
        expected, _, name = line.partition("  ")
        if not (folder / name).is_file():
            raise HubError(f"{folder} lacks {name}, which its {CHECKSUMS} names")
        if (found := sha256_of(folder / name)) != expected:
            raise HubError(f"{folder / name} is damaged: sha256 {found[:12]}…, expected {expected[:12]}…")
    return len(lines)


def _refuse_existing(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise HubError(f"{folder} exists; expected the name of a new folder, or of an empty one")


def _copy(source: Path, folder: Path) -> Path:
    """The files of a folder of the cache, whose entries are links, into a new one, or into one that is empty.

    An empty folder stays the one it was: a shell may be in it.
    """
    whole = folder.resolve()  # of "." the name is empty
    name = f".{whole.name}.{uuid.uuid4().hex[:8]}.tmp"
    part = whole / name if whole.is_dir() else whole.with_name(name)
    try:
        shutil.copytree(source, part)
        if whole.is_dir():
            for path in list(part.iterdir()):
                os.replace(path, whole / path.name)
        else:
            os.replace(part, whole)
    except OSError as error:
        raise HubError(f"cannot write {folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder
