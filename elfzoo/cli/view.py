"""``elfzoo view``: a field in three dimensions, as one file that any browser opens."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from elfzoo.cli.fields import MixedRecipes
from elfzoo.cli.frames import read_one_field
from elfzoo.cli.shell import Species, Spin, say, split_species
from elfzoo.errors import ElfzooError

if TYPE_CHECKING:
    from elfzoo.field import Field

__all__ = ["view"]

SUFFIXES = (".html", ".htm")


def view(
    file: Annotated[Path, typer.Argument(metavar="FIELD", help="What to show: ELFCAR, .cube, .xsf, .npz, .h5.")],
    compare: Annotated[
        Path | None,
        typer.Option(metavar="OTHER", help="Show this beside it, with the residual; FIELD counts as right."),
    ] = None,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="Ends in .html.")] = Path("view.html"),
    isovalue: Annotated[
        float | None, typer.Option(metavar="VALUE", help="At the start. [default: the networking value φ]")
    ] = None,
    topology: Annotated[
        bool, typer.Option("--topology/--no-topology", help="Networking values; with OTHER critical points too.")
    ] = True,
    mixed_recipes: MixedRecipes = False,
    resample: Annotated[
        bool, typer.Option("--resample", help="Compare also fields on different grids: OTHER is interpolated.")
    ] = False,
    spin: Spin = None,
    species: Species = None,
) -> None:
    """Turn a field in the browser: one file, no network.

    \b
    Examples:
      elfzoo view ELFCAR
      elfzoo view ELFCAR.dft --compare ELFCAR.ml -o both.html
      elfzoo view density.cube --isovalue 0.3

    Isosurfaces follow a slider; arrow keys turn them. With --compare all three turn together, and the page has what
    elfzoo compare prints. --no-topology saves the seconds that φ takes. The file has about a megabyte.
    --spin is for both files, --species for FIELD.
    """
    from elfzoo import analysis
    from elfzoo.io.files import write_bytes
    from elfzoo.site import view_page

    if output.suffix.lower() not in SUFFIXES:
        raise ElfzooError(f"a view is written to a file that ends in .html; got {output}")
    truth = read_one_field(file, spin, split_species(species))
    guess = None if compare is None else read_one_field(compare, spin)
    wanted = topology and _searchable(truth, *([] if guess is None else [guess]))
    extra: dict[str, Any] = {}
    if guess is not None:
        extra["comparison"] = analysis.compare(truth, guess, mixed_recipes, resample, topology=wanted)
    elif wanted:
        extra["networking"] = analysis.networking(truth).to_dict()
    page = view_page(truth, guess, isovalue=isovalue, names=(str(file), str(compare)), **extra)
    write_bytes(output, [page.encode()])
    typer.echo(f"wrote {output}")


def _searchable(*fields: Field) -> bool:
    """Whether networking values can be had; that they cannot is said."""
    from elfzoo import analysis

    if analysis.can_search(*fields):
        return True
    say("warning", "no networking values: no ELF, too few grid points, or no compiled kernel")
    return False
