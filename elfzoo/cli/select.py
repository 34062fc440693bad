"""``elfzoo select``: which of many structures to compute next by DFT, with the input files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from elfzoo.cli.frames import FrameIndex
from elfzoo.cli.predict import DEFAULT_MODEL, ModelName
from elfzoo.cli.shell import say

if TYPE_CHECKING:
    from elfzoo.selection import Selection

__all__ = ["select"]

WIDEST = 40  # characters of a name in the table


def select(
    structures: Annotated[
        list[Path],
        typer.Argument(metavar="STRUCTURE", help="Files, trajectories, folders, or lists of files (.txt, .lst)."),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="A folder of its own, with the inputs.")],
    model: ModelName = DEFAULT_MODEL,
    n: Annotated[int, typer.Option("-n", "--number", metavar="N", min=1, help="How many to choose.")] = 10,
    engine: Annotated[
        str, typer.Option(metavar="espresso|vasp|gpaw", help="The program that the inputs are for.")
    ] = "espresso",
    known: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE|FOLDER", help="Labelled already, by fields or structures; repeat for more."),
    ] = None,
    index: FrameIndex = "-1",
    gain: Annotated[
        str,
        typer.Option(metavar="GAIN", help="variance: less of it over all structures; information: about the model."),
    ] = "variance",
    points: Annotated[int, typer.Option(metavar="N", min=1, help="Drawn from each structure.")] = 400,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Of these points.")] = 0,
    recipe: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of elfzoo reference list. [default: that of the model's labels]")
    ] = None,
    cutoff: Annotated[float | None, typer.Option(metavar="eV", help="Instead of the recipe's.")] = None,
    k_spacing: Annotated[float | None, typer.Option(metavar="rad/Å", help="Instead of the recipe's.")] = None,
    pseudo: Annotated[
        str | None,
        typer.Option(metavar="PATTERN", help="Of Quantum ESPRESSO's files, such as '{element}_ONCV_PBE.upf'."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Move an earlier DIR to DIR.old and take its place.")] = False,
) -> None:
    """Choose the structures to compute next by DFT, and write the input files.

    \b
    Examples:
      elfzoo select structures/ -n 10 --engine espresso --out next
      elfzoo select md.traj --index ::50 -n 5 --engine vasp --out next
      elfzoo select structures/ --known my_elfcars/ -m probe_graph.h-v1 --engine gpaw --out next

    \b
    Then, as next/README.txt says: run the inputs, and
      python -c "from elfzoo.selection import collect; print(collect('next'))"
      elfzoo finetune -m probe_graph.h-v2 --data next/labels

    The first choice is the structure whose label would lower the variance over all of them most (--gain); each further
    one does most beside those before it, so copies and near copies of what is chosen are left out. The table shows the
    mean standard deviation of ELF as the model estimates it, before and after all of the choice is labelled.

    Cutoff, smearing, k-points and grid are those of the labels that the model learned from. Where --engine is another
    program, the fields follow another recipe: README.txt says what to do then. POTCAR is yours to add; pseudopotentials
    of Quantum ESPRESSO are put beside the inputs where they are found, and named where they are not.

    What cannot be read is reported and left out. The model needs an uncertainty (elfzoo.uncertainty).
    """
    from elfzoo.hub import load_pretrained
    from elfzoo.selection import calculation_for, write_inputs
    from elfzoo.selection import select as run
    from elfzoo.selection.inputs import require_place

    loaded = load_pretrained(model)
    options: dict[str, Any] = {"recipe": recipe, "cutoff": cutoff, "k_spacing": k_spacing, "pseudopotential": pseudo}
    calculation_for(loaded.card, engine, **options)  # what is wrong is said before the work
    require_place(out, force)
    found = run(structures, loaded, n, known=known or (), index=index, gain=gain, points=points, seed=seed)
    for item in found.left_out:
        say("left out", f"{item.name}: {item.message}")
    found = replace(found, source=str(Path(model).resolve()) if Path(model).is_dir() else model)
    chosen = [item.structure for item in found.chosen]
    calculation = calculation_for(loaded.card, engine, chosen, **options)
    write_inputs(found, calculation, out, force)
    _tell(found)
    if not calculation.same:
        say("warning", f"{engine} is not how the labels of {found.model} were made; see {out / 'README.txt'}")
    typer.echo(f"wrote {out}: {len(found.chosen)} calculations; {out / 'README.txt'} says how to run them")


def _tell(found: Selection) -> None:
    """A line for each choice."""
    typer.echo(f"{'':>3}  {'structure':<{WIDEST}} {'formula':<14}{'atoms':>6}{'std before':>12}{'after':>9}  outside")
    for item in found.chosen:
        name = item.file if item.frame is None else f"{item.file}:{item.frame}"
        name = name if len(name) <= WIDEST else "…" + name[-WIDEST + 1 :]
        formula = item.structure.composition.formula.replace(" ", "")
        values = f"{len(item.structure):>6}{item.before:>12.4f}{item.after:>9.4f}"
        typer.echo(f"{item.order:>3}  {name:<{WIDEST}} {formula:<14}{values}  {'; '.join(item.outside) or 'no'}")
    total = len(found.chosen) + len(found.others)
    typer.echo(f"all {total} structures: mean standard deviation of ELF {found.before:.4f}, then {found.after:.4f}")
