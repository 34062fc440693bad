"""``elfzoo reference``: make reference data with a DFT code, and check them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from elfzoo.cli.shell import command, say

__all__ = ["app"]

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True)

Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the results; a run goes on where it was.")]
Workers = Annotated[
    int, typer.Option("--workers", "-n", metavar="N", min=1, help="Calculations at a time, one core each.")
]


@app.callback()
def _root() -> None:
    """Make reference data: structures, DFT labels, checks.

    \b
    First steps:
      elfzoo reference list                                   the recipes of elfzoo's own data sets
      elfzoo reference run crystal-h --out runs/crystal-h     make one of them (hours; goes on after a stop)
      elfzoo reference check runs/crystal-h                   is it fit to be a data set

    \b
    What the recipes call is optional:
      Quantum ESPRESSO 6.7   apt-get install quantum-espresso quantum-espresso-data
      GPAW                   apt-get install gcc libxc-dev libopenblas-dev libfftw3-dev
                             apt-get install libopenmpi-dev openmpi-bin
                             pip install --prefer-binary gpaw gpaw-data
      random crystals        pip install pyxtal
    """


def list_recipes() -> None:
    """List the recipes: data set, engine, and what it makes."""
    from elfzoo.reference.recipe import find_recipe, recipe_names

    for name in recipe_names():
        recipe = find_recipe(name)
        typer.echo(f"{name:<12}{recipe.label.engine:<10}{recipe.title}")


def run(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="A recipe of elfzoo, or a YAML file like them.")],
    out: Out,
    workers: Workers = 1,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="NAME", help="Make only this structure; repeat for more.")
    ] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Try again what failed before.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what there is to do, and do nothing.")] = False,
) -> None:
    """Make the structures of a recipe and label them by DFT.

    \b
    Examples:
      elfzoo reference run hydrides --out runs/hydrides --workers 2
      elfzoo reference run crystal-h --out runs/crystal-h --only cubic_000

    One file appears per structure, whole or not at all. Stop it at any time (Ctrl-C, or pull the plug): the same
    command goes on. A calculation that fails is recorded with its reason in DIR/failed and skipped.
    """
    from elfzoo.reference.recipe import find_recipe
    from elfzoo.reference.runner import Run

    job = Run(find_recipe(recipe), out, only=only)
    outcome = job.outcome() if dry_run else job.execute(workers, retry)
    typer.echo(
        f"{job.recipe.dataset}: {len(outcome.done)} of {len(job.wanted)} done, {len(outcome.failed)} failed, "
        f"{len(outcome.left)} left, in {out}"
    )
    for name in outcome.failed:
        say("failed", f"{name}: {job.reason(name)}")


def check(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of labels, one .npz per structure.")],
    dataset: Annotated[
        str | None, typer.Option(metavar="NAME", help="Also hold it against the splits of this data set.")
    ] = None,
) -> None:
    """Check a folder of labels: values, convergence, symmetry, provenance, and copies across splits.

    \b
    Examples:
      elfzoo reference check runs/crystal-h
      elfzoo reference check benchmarks/data/hydrides --dataset hydrides

    Exit code 1 where anything is wrong, with one line for each problem.
    """
    from elfzoo.datasets import dataset_class
    from elfzoo.reference.check import check_folder

    problems = check_folder(folder, split_of=None if dataset is None else dataset_class(dataset).split_of)
    for problem in problems:
        typer.echo(str(problem))
    files = len(list(folder.glob("*.npz")))
    typer.echo(f"{files} files, {len(problems)} problems")
    if problems:
        raise typer.Exit(1)


def fit(
    out: Out,
    workers: Workers = 1,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="Another plan than elfzoo's own, as YAML.")
    ] = None,
) -> None:
    """Fit the potential that the fluid's molecular dynamics runs with: DFT forces, fit, dynamics, in rounds.

    \b
    Example:
      elfzoo reference fit --out runs/potential --workers 2

    The last round's potential.safetensors is what elfzoo ships; its errors are printed for every round.
    """
    from elfzoo.reference.training_frames import fit_potential, read_plan

    _, errors = fit_potential(read_plan(config), out, workers)
    for index, error in enumerate(errors):
        typer.echo(
            f"round {index}: {error['frames']} frames, forces off by {error['force_rmse']:.3f} of "
            f"{error['force_rms']:.3f} eV/Å, correlation {error['force_correlation']:.4f}, "
            f"energies by {1000 * error['energy_rmse']:.1f} meV per atom"
        )


for _name, _function in (("list", list_recipes), ("run", run), ("check", check), ("fit", fit)):
    app.command(_name)(command(_function))
