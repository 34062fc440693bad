"""Releases and data sets on their way to the Hub: one commit each, whole or not at all."""

from __future__ import annotations

import hashlib
import json
import tempfile
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationCopy,
    CommitOperationDelete,
    DatasetCard,
    EvalResult,
    EvalResultEntry,
    HfApi,
    ModelCard,
    eval_result_entries_to_yaml,
    hf_hub_download,
)
from huggingface_hub.errors import EntryNotFoundError, RevisionNotFoundError
from huggingface_hub.repocard_data import eval_results_to_model_index

from elfzoo.card import CONFIG, HISTORY, README, WEIGHTS, Card, read_card
from elfzoo.errors import ElfzooWarning, HubError, WeightsError
from elfzoo.hub.client import RepoType, hub_errors, is_repo_id
from elfzoo.hub.links import without_dead_links
from elfzoo.hub.release import load_release, save_release, weights_sha256
from elfzoo.io.files import read_bytes
from elfzoo.models.base import Model
from elfzoo.posterior import UNCERTAINTY

__all__ = ["CHECKSUMS", "Pushed", "model_card", "push_dataset", "push_to_hub"]

CHECKSUMS = "SHA256SUMS"  # of a data set, in the format of sha256sum
EVALUATION = ".eval_results/elfzoo.yaml"
LICENSE = "LICENSE"
CHECKOUT_LICENSE = Path(__file__).parents[2] / LICENSE
UNLICENSED = (
    "{} states no licence, and none is claimed, so that nobody may use the data; expected a file LICENSE, or a line "
    "such as 'license: cc-by-4.0' between two lines of '---' at the top of README.md; then push again"
)
METRICS = {"mae": "MAE", "rmse": "RMSE", "r2": "R²", "phi_mae": "MAE of the networking value"}
# that a new card takes over from the model's own
FACTS = ("elements", "domain", "engine", "functional", "pseudopotential", "training", "license")
TAGS = ("electron-localization-function", "materials")

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Pushed:
    """What arrived.

    Args:
        repo: ``organisation/repository``.
        commit: 40 hexadecimal digits; ``load_pretrained(repo, revision=commit)`` gives these weights for ever.
        url: of the commit.
        files: their names.
    """

    repo: str
    commit: str
    url: str
    files: tuple[str, ...]


def push_to_hub(
    model: Model | str | Path,
    repo: str,
    *,
    name: str | None = None,
    private: bool = False,
    revision: str | None = None,
    message: str | None = None,
    records: Iterable[Record] = (),
    benchmark: str | None = None,
) -> Pushed:
    """Put a release on the Hub: configuration, weights, card with its results, uncertainty, licence, history.

    All of it is one commit. A release is immutable: a repository that holds other weights under the same name is left
    as it is. Files that it was trained on are named without the folders they lay in.

    Args:
        model: a folder with a release; or a model, which then needs a name.
        repo: ``organisation/repository``, made if it is not there.
        name: of the release, ``architecture.data-vN``, for a model without a card.
        private: whether a repository that is made now can be seen by its owners only.
        revision: branch; the main branch unless stated.
        message: of the commit.
        records: of :mod:`elfzoo.benchmark`. Those of this release go to the card, as ``model-index`` and as
            ``.eval_results``.
        benchmark: data set on the Hub whose leaderboard the results belong to; ``organisation/elfzoo-benchmark`` unless
            stated.

    Raises:
        WeightsError: the folder holds no sound release, or the repository other weights under the same name.
        HubError: not reached or not allowed.
    """
    _check_repo(repo)
    with _folder_of(model, name) as folder:
        card = load_release(folder).card  # nothing leaves that could not be loaded
        assert card is not None
        files = _release_files(folder, card, _own(records, card), benchmark or f"{repo.split('/')[0]}/elfzoo-benchmark")
    parent = _parent(repo, revision, "model", private)
    _refuse_other_weights(repo, revision, card)
    return _commit(repo, files, message or f"{card.name}, written by elfzoo", "model", revision, parent)


def push_dataset(
    folder: str | Path,
    repo: str,
    *,
    private: bool = False,
    revision: str | None = None,
    message: str | None = None,
) -> Pushed:
    """Put a data set of fields on the Hub: its ``.npz`` files, recipe, card and their SHA-256 sums, in one commit.

    The licence is its owner's to state: ``license`` in the front matter of the folder's README, or a file LICENSE. None
    is claimed where none is stated, with a warning, except for elfzoo's own fields, which are under MIT.

    Args:
        folder: of the data set, as ``elfzoo reference run`` leaves it.
        repo: ``organisation/repository``, made if it is not there.
        private, revision, message: as in :func:`push_to_hub`.

    Raises:
        HubError: no fields, not reached, or not allowed.
        FieldFileError: a file cannot be read.
    """
    _check_repo(repo)
    folder = Path(folder)
    paths = sorted(path for path in folder.glob("*") if path.suffix == ".npz" or path.name == "recipe.yaml")
    if not any(path.suffix == ".npz" for path in paths):
        raise HubError(f"{folder} holds no fields (.npz); expected the folder of a data set")
    files = {path.name: read_bytes(path) for path in paths}
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    files[CHECKSUMS] = "".join(f"{sha256}  {name}\n" for name, sha256 in sums.items()).encode()
    files |= {path.name: read_bytes(path) for path in folder.glob(f"{LICENSE}*") if path.is_file()}
    written = (folder / README).read_text(encoding="utf-8") if (folder / README).is_file() else ""
    card = DatasetCard(written or f"# {folder.resolve().name}\n", ignore_metadata_errors=True)
    values = {"tags": list(TAGS)} | card.data.to_dict()
    if "license" not in values and not any(name.startswith(LICENSE) for name in files):
        if _is_own(sha256 for name, sha256 in sums.items() if name.endswith(".npz")):
            values, files[LICENSE] = {"license": "mit"} | values, _licence().encode()
        else:
            warnings.warn(UNLICENSED.format(folder), ElfzooWarning, stacklevel=2)
    files[README] = _front_matter(values, without_dead_links(card.text.lstrip("\n"), {*files, README})).encode()
    parent = _parent(repo, revision, "dataset", private)
    return _commit(repo, files, message or f"{folder.name}, {len(paths)} files", "dataset", revision, parent)


def model_card(card: Card, text: str, records: Sequence[Record], files: Collection[str] = ()) -> str:
    """A card with the Hub's front matter: licence, library, tags, and the results as ``model-index``.

    Links to files that are not there become text.

    Args:
        card: of the release.
        text: what stands in its README; its own front matter wins over ours.
        records: of the release.
        files: names of what lies beside it.
    """
    own = ModelCard(text, ignore_metadata_errors=True) if text else None
    values: dict[str, Any] = {
        "license": card.license.lower(),
        "library_name": "elfzoo",
        "tags": [*TAGS, *card.elements],
    }
    values |= own.data.to_dict() if own else {}
    if records:
        values["model-index"] = eval_results_to_model_index(card.name, list(_results(records)))
    body = own.text.lstrip("\n") if own else f"# {card.name}\n\nArchitecture `{card.architecture}`; see `{CONFIG}`.\n"
    return _front_matter(values, without_dead_links(body, files))


def _release_files(folder: Path, card: Card, records: Sequence[Record], benchmark: str) -> dict[str, bytes]:
    """What a release consists of on the Hub, by name."""
    files = {CONFIG: _without_folders((folder / CONFIG).read_bytes()), WEIGHTS: (folder / WEIGHTS).read_bytes()}
    files |= {
        file: (folder / file).read_bytes() for file in (UNCERTAINTY, HISTORY, LICENSE) if (folder / file).is_file()
    }
    if LICENSE not in files and card.license == "MIT":
        files[LICENSE] = _licence().encode()
    written = (folder / README).read_text(encoding="utf-8") if (folder / README).is_file() else ""
    if records:
        files[EVALUATION] = _evaluation(records, benchmark).encode()
    files[README] = model_card(card, written, records, {*files, README}).encode()
    return files


def _without_folders(config: bytes) -> bytes:
    """A configuration in which files that were learned from have their names alone: where they lay concerns nobody."""

    def bare(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: bare(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [bare(inner) for inner in value]
        return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value

    before = json.loads(config)
    after = bare(before)
    return config if after == before else (json.dumps(after, indent=2) + "\n").encode()


def _front_matter(values: Mapping[str, Any], text: str) -> str:
    return f"---\n{yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True)}---\n\n{text}"


def _results(records: Iterable[Record]) -> Iterable[EvalResult]:
    """The main metrics of each record, in the words of the Hub."""
    for record in records:
        for key, title in METRICS.items():
            if key in record["metrics"]:
                yield EvalResult(
                    task_type="tabular-regression",  # the nearest of the Hub's kinds of tasks
                    task_name="electron localization function from geometry",
                    dataset_type=f"elfzoo/{record['task']}",
                    dataset_name=record["task"],
                    dataset_split=record["split"],
                    dataset_revision=_data(record)[:40],
                    metric_type=key,
                    metric_name=title,
                    metric_value=round(record["metrics"][key], 5),
                )


def _evaluation(records: Iterable[Record], benchmark: str) -> str:
    """``.eval_results``: the first metric of each record."""
    entries = []
    for record in records:
        key = next((key for key in METRICS if key in record["metrics"]), None)
        if key is not None:
            notes = f"{METRICS[key]}; {record['split']} split, data {_data(record)[:12]}, elfzoo {record['elfzoo']}"
            value = round(record["metrics"][key], 5)
            entries.append(EvalResultEntry(benchmark, record["task"], value, date=record["date"], notes=notes))
    return yaml.safe_dump(eval_result_entries_to_yaml(entries), sort_keys=False, allow_unicode=True)


def _data(record: Record) -> str:
    return str(record["data_sha256"])


def _own(records: Iterable[Record], card: Card) -> list[Record]:
    """Records of exactly these weights."""
    return [r for r in records if r["model"] == card.name and r.get("weights_sha256") == card.weights_sha256]


@contextmanager
def _folder_of(model: Model | str | Path, name: str | None) -> Iterator[Path]:
    """The folder of a release; of a model, one that is written for the occasion."""
    if not isinstance(model, Model):
        yield Path(model)
        return
    card = model.card
    if name is None and card is None:
        raise WeightsError("a model without a card needs a name to be pushed: name='architecture.data-vN'")
    changed = card is not None and weights_sha256(model) != card.weights_sha256
    if card is not None and changed and name in (None, card.name):
        raise WeightsError(
            f"the weights have changed since they were loaded as {card.name}, which is immutable; "
            "give the new ones a name='architecture.data-vN' of their own"
        )
    facts = {} if card is None else {key: getattr(card, key) for key in FACTS}
    if changed:
        facts.pop("training")  # is that of other weights
    with tempfile.TemporaryDirectory() as folder:
        save_release(model, folder, name or (card.name if card else ""), **facts)
        yield Path(folder)


def _is_own(sha256: Iterable[str]) -> bool:
    """Whether all of these files are fields of elfzoo's own data sets, as their splits state them."""
    from elfzoo.datasets import DATASETS  # below the hub in the order of imports, and needed here alone
    from elfzoo.datasets.base import read_manifest

    splits = (part for dataset in DATASETS for part in read_manifest(dataset.name)["splits"].values())
    return set(sha256) <= {known for part in splits for known in part.values()}


def _licence() -> str:
    """The licence that elfzoo came with: beside what pip knows of the package, or at the top of a checkout."""
    known = (found.read_text("licenses/LICENSE") for found in metadata.distributions(name="elfzoo"))
    return next((text for text in known if text), None) or CHECKOUT_LICENSE.read_text(encoding="utf-8")


def _check_repo(repo: str) -> None:
    if not is_repo_id(repo):
        raise HubError(f"no name of a repository: {repo!r}; expected organisation/name")


def _parent(repo: str, revision: str | None, repo_type: RepoType, private: bool) -> str | None:
    """The commit that the next one follows, in a repository and a branch that are made where they are missing."""
    api = HfApi(library_name="elfzoo")
    with hub_errors(repo, revision, repo_type):
        api.create_repo(repo, private=private, repo_type=repo_type, exist_ok=True)
        try:
            return api.repo_info(repo, revision=revision, repo_type=repo_type).sha
        except RevisionNotFoundError:
            api.create_branch(repo, branch=str(revision), repo_type=repo_type)
            return api.repo_info(repo, revision=revision, repo_type=repo_type).sha


def _refuse_other_weights(repo: str, revision: str | None, card: Card) -> None:
    """Releases are immutable."""
    with hub_errors(repo, revision):
        try:
            there = read_card(Path(hf_hub_download(repo, CONFIG, revision=revision)).parent)
        except EntryNotFoundError:
            return
    if there.name == card.name and there.weights_sha256 != card.weights_sha256:
        raise WeightsError(
            f"{repo} holds other weights under the name {card.name} (sha256 {there.weights_sha256[:12]}…, here "
            f"{card.weights_sha256[:12]}…); releases are immutable: give the new ones the next -vN"
        )


def _is_ours(name: str, repo_type: RepoType) -> bool:
    """Whether a file is one that a push writes, so that an earlier push's may not stay beside what is new."""
    return name.endswith(".npz") if repo_type == "dataset" else name in (UNCERTAINTY, HISTORY, EVALUATION)


def _commit(
    repo: str, files: Mapping[str, bytes], message: str, repo_type: RepoType, revision: str | None, parent: str | None
) -> Pushed:
    with hub_errors(repo, revision, repo_type):
        there = HfApi(library_name="elfzoo").list_repo_files(repo, revision=parent or revision, repo_type=repo_type)
        gone = [name for name in there if name not in files and _is_ours(name, repo_type)]
        operations: list[CommitOperationAdd | CommitOperationDelete | CommitOperationCopy] = [
            *(CommitOperationAdd(name, data) for name, data in files.items()),
            *(CommitOperationDelete(name) for name in gone),
        ]
        done = HfApi(library_name="elfzoo").create_commit(
            repo,
            operations,
            commit_message=message,
            repo_type=repo_type,
            revision=revision,
            parent_commit=parent,
        )
    return Pushed(repo, done.oid, done.commit_url, tuple(files))
