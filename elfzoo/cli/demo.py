"""``elfzoo demo``: from an installed package to a predicted field beside its DFT reference, in one command."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from elfzoo.cli.fields import comparison_lines
from elfzoo.cli.predict import DEFAULT_MODEL, ModelName

if TYPE_CHECKING:
    from elfzoo.field import Field

__all__ = ["demo"]


def demo(
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the files go; made if needed.")] = Path("demo"),
    model: ModelName = DEFAULT_MODEL,
) -> None:
    """Predict a shipped crystal and compare it with DFT.

    \b
    Example:
      elfzoo demo --out demo

    Writes the predicted field of a hydrogen crystal, and a picture of it beside its DFT reference.
    No shipped model was trained on this crystal, nor on DFT of any crystal of hydrogen: those of hydrogen learned from
    its fluid, and the default besides from random crystals labelled by another model. Takes seconds on a laptop.
    """
    from elfzoo import analysis, load_pretrained
    from elfzoo.examples import load_example
    from elfzoo.plot import plot_comparison

    out.mkdir(parents=True, exist_ok=True)
    trained, reference = load_pretrained(model), load_example()
    for line in _introduction(reference, model):
        typer.echo(line)
    began = time.perf_counter()
    field = trained.predict(reference.structure, grid=reference.grid)
    seconds = time.perf_counter() - began
    typer.echo(
        f"predicted {field.values.size:,} points in {seconds:.2f} s ({field.values.size / seconds:,.0f} per second)\n"
    )
    comparison = analysis.compare(reference, field, topology=analysis.can_search(reference))
    for line in comparison_lines(comparison):
        typer.echo(line)
    field.write(out / "ELFCAR")
    plot_comparison(reference, field, out / "comparison.png")
    for line in _ending(out):
        typer.echo(line)


def _introduction(reference: Field, model: str) -> list[str]:
    number, symbol = reference.structure.get_space_group_info()[::-1]
    pressure = reference.meta["pressure_GPa"]
    recipe = reference.recipe
    made = "DFT" if recipe is None else f"{recipe.engine}, {recipe.functional}, {recipe.pseudopotential}"
    return [
        f"structure: {reference.structure.composition.formula}, a crystal of space group {symbol} ({number}) at "
        f"{pressure:.0f} GPa",
        f"reference: {made}",
        f"model:     {model}",
        "No shipped model was trained on this crystal, nor on DFT of other crystals of hydrogen.",
    ]


def _ending(out: Path) -> list[str]:
    return [
        "",
        f"wrote {out / 'ELFCAR'}: the predicted field, for VESTA, pymatgen, ASE, ...",
        f"wrote {out / 'comparison.png'}: reference, prediction and their difference",
        "next:  elfzoo predict YOUR_STRUCTURE -o ELFCAR     (POSCAR, CIF, trajectory; see elfzoo predict --help)",
        f"       elfzoo networking {out / 'ELFCAR'} --picture network.png",
        f"       elfzoo plot {out / 'ELFCAR'} --plane 1,1,0=0 -o slice.png",
        "       elfzoo models --long",
    ]
