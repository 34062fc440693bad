"""``elfzoo train``: a configuration in, a release out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from elfzoo.cli.shell import INTERRUPTED, say

__all__ = ["train"]


def train(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="YAML file: what to train, on what, and how.")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="The run works in FOLDER/name-of-the-run.")] = Path(
        "runs"
    ),
    data: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER", help="Folder of the datasets. [default: $ELFZOO_DATA, or the source checkout's]"
        ),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start again, even if an interrupted run could go on.")
    ] = False,
    device: Annotated[
        str, typer.Option(metavar="cpu|cuda", help="Where the network is trained; cuda has not been tested.")
    ] = "cpu",
) -> None:
    """Train a model on reference fields and write its release.

    \b
    Example:
      elfzoo train config.yaml --out runs
      elfzoo predict POSCAR -m runs/NAME/release -o ELFCAR
      torchrun --nproc-per-node 2 -m elfzoo train config.yaml       the same result in two processes

    \b
    A small configuration:
      name: grid_mlp.mine-v1
      architecture: grid_mlp
      train: [{dataset: fluid-h, split: train, points: 50000}]
      validate: [{dataset: fluid-h, split: val, points: 5000, sampling: uniform}]
      epochs: 80

    Other keys: elfzoo.training.TrainConfig. The run writes log.csv after every epoch; interrupted, it goes on from
    its last finished epoch when the same command is given again.
    """
    from elfzoo.card import read_card
    from elfzoo.config import read_yaml
    from elfzoo.training import TrainConfig
    from elfzoo.training import train as run
    from elfzoo.training.parallel import is_first

    wanted = read_yaml(TrainConfig, config)
    try:
        release = run(wanted, out, root=data, resume=not fresh, device=device)
    except KeyboardInterrupt:
        hint = "the same command without --fresh" if fresh else "the same command"
        say("error", f"interrupted; {hint} goes on after the last finished epoch in {out / wanted.name}")
        raise typer.Exit(INTERRUPTED) from None
    if not is_first():
        return
    card = read_card(release)
    for name, error in card.training["validation_mae"].items():
        typer.echo(f"MAE {error:.4f} {card.target.learned.unit}".rstrip() + f" on sampled points of {name}")
    typer.echo(f"wrote {release}; try it: elfzoo predict STRUCTURE -m {release} -o {card.target.given}.cube")
