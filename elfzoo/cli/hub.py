"""``elfzoo hub``: releases and data sets to the Hub, back, and whether they are sound."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from elfzoo.cli.shell import command

__all__ = ["app"]

app = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Releases and data sets on the Hub.\n\n"
    "Endpoint, token, cache and offline mode are those of huggingface_hub: HF_ENDPOINT, HF_TOKEN (or `hf auth login`), "
    "HF_HUB_CACHE, HF_HUB_OFFLINE.",
)

Repo = Annotated[str, typer.Argument(metavar="ORG/NAME", help="A repository on the Hub.")]
Revision = Annotated[str | None, typer.Option(metavar="REV", help="Commit, tag or branch. [default: main]")]
Dataset = Annotated[bool, typer.Option("--dataset", help="A data set of fields in place of a model.")]


def push(
    folder: Annotated[
        str, typer.Argument(metavar="FOLDER|NAME", help="A release: its folder, or the name of a shipped one.")
    ],
    repo: Repo,
    dataset: Dataset = False,
    private: Annotated[bool, typer.Option("--private", help="A repository that is made now is private.")] = False,
    revision: Annotated[str | None, typer.Option(metavar="BRANCH", help="Branch. [default: main]")] = None,
    message: Annotated[str | None, typer.Option("-m", "--message", metavar="TEXT", help="Of the commit.")] = None,
    results: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Records of elfzoo benchmark. [default: benchmarks/results, if there]"),
    ] = None,
) -> None:
    """Put a release (or a data set) on the Hub, in one commit.

    \b
    Examples:
      elfzoo hub push runs/probe_graph.mine-v1/release my-lab/probe_graph.mine-v1
      elfzoo hub push benchmarks/data/hydrides my-lab/elfzoo-hydrides --dataset

    What arrives: configuration, weights, card with the results of its records, licence. A release is immutable: other
    weights under the same name are refused. The licence of a data set is what its folder states, in the front matter of
    README.md (license: cc-by-4.0) or in a file LICENSE; none is claimed where none is stated.
    """
    from elfzoo.card import shipped_releases
    from elfzoo.hub.push import push_dataset, push_to_hub

    if dataset:
        done = push_dataset(folder, repo, private=private, revision=revision, message=message)
    else:
        source, records = shipped_releases().get(folder, Path(folder)), _records(results)
        done = push_to_hub(source, repo, private=private, revision=revision, message=message, records=records)
    typer.echo(f"{len(done.files)} files in {done.url}")
    if not dataset:
        typer.echo(f'load_pretrained("{done.repo}", revision="{done.commit}")')


def pull(
    repo: Repo,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FOLDER", help="A new or empty folder. [default: the name]")
    ] = None,
    dataset: Dataset = False,
    revision: Revision = None,
) -> None:
    """Copy a release (or a data set) from the Hub into a new folder, every checksum compared.

    \b
    Examples:
      elfzoo hub pull my-lab/probe_graph.mine-v1
      elfzoo hub pull my-lab/elfzoo-hydrides --dataset -o data/hydrides
    """
    from elfzoo.hub.pull import pull as pull_release
    from elfzoo.hub.pull import pull_dataset

    wanted = output or Path(repo.split("/")[-1])
    folder = (pull_dataset if dataset else pull_release)(repo, wanted, revision)
    typer.echo(f"wrote {folder}: {len([path for path in folder.rglob('*') if path.is_file()])} files")


def verify(
    name: Annotated[
        str, typer.Argument(metavar="NAME|FOLDER|ORG/NAME", help="A release, shipped, of one's own, or on the Hub.")
    ],
    dataset: Annotated[bool, typer.Option("--dataset", help="FOLDER is a data set with its SHA256SUMS.")] = False,
    revision: Revision = None,
) -> None:
    """Say whether a release loads and predicts, or whether the files of a data set are what they were.

    \b
    Examples:
      elfzoo hub verify my-lab/probe_graph.mine-v1
      elfzoo hub verify data/hydrides --dataset
    """
    from elfzoo.hub.pull import verify as verify_release
    from elfzoo.hub.pull import verify_dataset

    if dataset:
        typer.echo(f"{verify_dataset(name)} files have the SHA-256 that {name} states")
        return
    found = verify_release(name, revision)
    card = found.card
    typer.echo(f"{card.name}: {card.architecture}, {found.parameters:,} parameters, loads and predicts")
    typer.echo(f"sha256 {card.weights_sha256} of {found.weights}")


def _records(results: Path | None) -> list[dict]:
    """All records of a folder; those of the checkout unless another one is named."""
    from elfzoo.benchmark import list_tasks, read_records
    from elfzoo.benchmark.record import CHECKOUT_RESULTS

    if results is None and not CHECKOUT_RESULTS.is_dir():
        return []
    return list(read_records(results or CHECKOUT_RESULTS, list_tasks()))


for _function in (push, pull, verify):
    app.command()(command(_function))
