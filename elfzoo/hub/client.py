"""What travels between a folder and the Hub, through huggingface_hub.

Endpoint, token, cache and offline mode are those of huggingface_hub (``HF_ENDPOINT``, ``HF_TOKEN``, ``HF_HUB_CACHE``,
``HF_HUB_OFFLINE``). Its cache keeps downloads whole or not at all and lets several processes load at once; what it does
not know is what a file must contain. So weights are checked against the configuration of the same commit, and wrong
ones leave the cache.
"""

from __future__ import annotations

import errno
import hashlib
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal, TypeVar

from huggingface_hub import HfApi, constants, hf_hub_download, snapshot_download, try_to_load_from_cache
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from elfzoo._version import __version__
from elfzoo.card import CONFIG, WEIGHTS, read_card
from elfzoo.errors import ConfigError, HubError, UnknownNameError, WeightsError
from elfzoo.hub.release import pickles_among
from elfzoo.posterior import UNCERTAINTY
from elfzoo.registry import find_architecture

__all__ = [
    "RepoType",
    "fetch_folder",
    "fetch_release",
    "fetch_weights",
    "hub_errors",
    "is_repo_id",
    "list_files",
    "sha256_of",
]

RepoType = Literal["model", "dataset"]
REPO_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
# whatever library speaks HTTP for huggingface_hub: the base of its errors, which covers broken connections too
NETWORK_ERRORS = tuple(base for base in HfHubHTTPError.__bases__ if base is not OSError)
TRIES = 2  # downloads of weights that do not have the hash of their configuration

WAITS = (1, 2, 4)  # seconds before contents are asked for once more after an error of the server

T = TypeVar("T")


def is_repo_id(name: str) -> bool:
    """Whether a name is ``organisation/repository``."""
    return REPO_ID.fullmatch(name) is not None


def fetch_release(repo: str, revision: str | None = None) -> Path:
    """The folder of a release in the local cache, fetched where it is not there yet.

    A commit (40 hexadecimal digits) that is in the cache needs no network. For a branch or tag the Hub is asked; where
    it cannot be reached, what the cache has of that branch is taken.

    Args:
        repo: ``organisation/repository``.
        revision: commit, tag or branch; the main branch unless stated.

    Returns:
        A folder with ``config.json`` and ``model.safetensors`` of one commit, its name.

    Raises:
        HubError: not reached, not allowed, no such repository or revision, no release.
        WeightsError: weights that are not those of the configuration, or pickled.
        ConfigError: a configuration that this version of elfzoo does not know.
    """
    folder = _download(repo, CONFIG, revision).parent
    card = read_card(folder)
    try:
        find_architecture(card.architecture)
    except UnknownNameError as error:
        raise ConfigError(
            f"{repo} was written by elfzoo {card.elfzoo}, and {error}; this is elfzoo {__version__}"
        ) from None
    fetch_weights(repo, folder.name, card.weights_sha256)
    _fetch_optional(repo, folder.name, UNCERTAINTY)
    return folder


def fetch_weights(repo: str, commit: str, sha256: str) -> Path:
    """Weights of a commit in the local cache. What has another hash is fetched once more, and never kept.

    Raises:
        HubError: as in :func:`fetch_release`.
        WeightsError: they have another hash on the Hub too.
    """
    for attempt in range(TRIES):
        path = _download(repo, WEIGHTS, commit, force=attempt > 0)
        found = sha256_of(path)
        if found == sha256:
            return path
        _forget(path)
    raise WeightsError(
        f"{WEIGHTS} of {repo} at {commit[:12]} is not what its configuration says: sha256 {found[:12]}…, expected "
        f"{sha256[:12]}…; it was fetched {TRIES} times and is not kept"
    )


def fetch_folder(repo: str, revision: str | None = None, repo_type: RepoType = "model") -> Path:
    """Every file of a repository at one commit, in the local cache.

    Raises:
        HubError: as in :func:`fetch_release`.
    """
    with hub_errors(repo, revision, repo_type):
        return Path(snapshot_download(repo, revision=revision, repo_type=repo_type, library_name="elfzoo"))


def list_files(repo: str, revision: str | None = None, repo_type: RepoType = "model") -> list[str]:
    """Names of a repository's files.

    Raises:
        HubError: as in :func:`fetch_release`.
    """
    with hub_errors(repo, revision, repo_type):
        return sorted(HfApi().list_repo_files(repo, revision=revision, repo_type=repo_type))


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal digits."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


@contextmanager
def hub_errors(repo: str, revision: str | None = None, repo_type: RepoType = "model") -> Iterator[None]:
    """Errors of huggingface_hub in one sentence each, with what to do about them.

    Raises:
        HubError: in their place.
    """
    kind = "data set" if repo_type == "dataset" else "model"
    try:
        yield
    except Exception as error:
        reason = _reason(error, f"{kind} {repo}", revision)
        if reason is None:
            raise
        raise HubError(reason) from error


def _reason(error: Exception, what: str, revision: str | None) -> str | None:
    """What went wrong, or None where it is not the Hub's business."""
    known: Sequence[tuple[type[Exception] | tuple[type[Exception], ...], Callable[[], str]]] = (
        (GatedRepoError, lambda: f"the {what} asks for consent first: accept its conditions on its page, then log in"),
        (RepositoryNotFoundError, lambda: _hidden(error, what)),
        (RevisionNotFoundError, lambda: f"the {what} has no revision {revision!r}; expected a branch, tag or commit"),
        (LocalEntryNotFoundError, lambda: _not_reached(what)),
        (EntryNotFoundError, lambda: f"the {what} lacks a file that was asked for: {_line(error)}"),
        (HFValidationError, lambda: f"no name of a repository: {_line(error)}"),
        (HfHubHTTPError, lambda: _refused(error, what)),
        (
            NETWORK_ERRORS,
            lambda: f"the connection to {constants.ENDPOINT} broke at the {what}: {_line(error)}; try again",
        ),
        (OSError, lambda: _local(error, what)),
    )
    return next((say() for kinds, say in known if isinstance(error, kinds)), None)


def _hidden(error: Exception, what: str) -> str:
    return (
        f"no {what} that you may see at {constants.ENDPOINT} (HTTP {_status(error)}): check the name; if it is "
        "private, log in with `hf auth login` or set HF_TOKEN"
    )


def _refused(error: Exception, what: str) -> str:
    status = _status(error)
    if status in (401, 403):
        return f"{constants.ENDPOINT} does not allow this for the {what} (HTTP {status}): check HF_TOKEN and its rights"
    return f"{constants.ENDPOINT} answered HTTP {status} for the {what}: {_line(error)}; try again later"


def _not_reached(what: str) -> str:
    if constants.HF_HUB_OFFLINE:
        return f"the {what} is not in the local cache, and HF_HUB_OFFLINE forbids to fetch it"
    return f"the {what} is not in the local cache, and {constants.ENDPOINT} could not be reached; check the network"


def _local(error: Exception, what: str) -> str:
    assert isinstance(error, OSError)
    if error.errno is None:  # huggingface_hub's own: a file whose size is not the one that was announced
        return f"the {what} did not arrive whole: {_line(error)}"
    hint = "; free some space or set HF_HUB_CACHE" if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
    return f"cannot keep the {what} in the cache {constants.HF_HUB_CACHE}: {error.strerror}{hint}"


def _status(error: Exception) -> int | str:
    return error.response.status_code if isinstance(error, HfHubHTTPError) else "?"


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


def _download(repo: str, file: str, revision: str | None, force: bool = False) -> Path:
    """One file of a model in the cache.

    Raises:
        WeightsError: it is missing, and there are pickles in its place.
        HubError: every other reason.
    """

    def ask() -> str:
        return hf_hub_download(
            repo, file, revision=revision, force_download=force, library_name="elfzoo", library_version=__version__
        )

    with hub_errors(repo, revision):
        try:
            return Path(_patiently(ask))
        except LocalEntryNotFoundError:
            raise
        except EntryNotFoundError:
            raise _no_release(repo, revision, file) from None


def _fetch_optional(repo: str, commit: str, file: str) -> None:
    """A file of a commit into the cache, if there is one; what the cache knows, missing files too, is not asked again.

    Raises:
        HubError: not allowed, or the connection broke. Where the Hub is not reached at all the release works without.
    """
    if try_to_load_from_cache(repo, file, revision=commit) is not None:  # a path, or known to be missing
        return
    with hub_errors(repo, commit), suppress(EntryNotFoundError):  # not reached is a kind of not found
        _patiently(lambda: hf_hub_download(repo, file, revision=commit, library_name="elfzoo"))


def _patiently(ask: Callable[[], T]) -> T:
    """Ask again where the server stumbled: huggingface_hub does so for questions, but not for contents."""
    for wait in WAITS:
        try:
            return ask()
        except HfHubHTTPError as error:
            if error.response.status_code < 500:
                raise
            time.sleep(wait)
    return ask()


def _no_release(repo: str, revision: str | None, file: str) -> Exception:
    files = list_files(repo, revision)
    if pickles := pickles_among(files):
        return WeightsError(f"{repo} has no {file}{pickles}")
    return HubError(f"{repo} is no release of elfzoo: it has no {file}, only {', '.join(files) or 'nothing'}")


def _forget(path: Path) -> None:
    """Take a file out of the cache: its content, and the name that a commit has for it."""
    blob = path.resolve()
    path.unlink(missing_ok=True)
    blob.unlink(missing_ok=True)
