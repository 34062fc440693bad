"""``elfzoo compare``, ``elfzoo plot`` and ``elfzoo check``: what to do with field files, predicted or from DFT."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from elfzoo.cli.frames import read_one_field
from elfzoo.cli.outputs import spare_inputs, write_json
from elfzoo.cli.shell import Species, Spin, say, split_species, with_options

if TYPE_CHECKING:
    from elfzoo.analysis import Comparison
    from elfzoo.check import Finding

__all__ = ["check", "compare", "comparison_lines", "plot"]

Reference = Annotated[
    Path, typer.Argument(metavar="REFERENCE", help="The field that counts as right: ELFCAR, .cube, .xsf, .npz, .h5.")
]
MixedRecipes = Annotated[
    bool,
    typer.Option("--mixed-recipes", help="Also fields of different engines, functionals or pseudopotentials."),
]
Resample = Annotated[
    bool, typer.Option("--resample", help="Interpolate PREDICTION to the grid of REFERENCE if they differ.")
]
COLOURS = {"error": "red", "warning": "yellow", "info": "blue"}


def compare(
    reference: Reference,
    prediction: Annotated[Path, typer.Argument(metavar="PREDICTION", help="The field to judge, of the same crystal.")],
    mixed_recipes: MixedRecipes = False,
    resample: Resample = False,
    topology: Annotated[
        bool, typer.Option("--topology/--no-topology", help="Critical points, networking values, hydrogen links.")
    ] = True,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Also write everything as JSON; - for standard output alone."),
    ] = None,
    spin: Spin = None,
    species: Species = None,
) -> None:
    """Compare a predicted field with its reference, in numbers.

    \b
    Examples:
      elfzoo compare ELFCAR.dft ELFCAR.ml
      elfzoo compare dft.cube elf.npz --resample --json errors.json

    MAE, RMSE, R², bias, the largest error and where it is, and the distance of the distributions of values.
    Every number says whether all voxels weigh the same (the primary figure) or every interval of ELF values does
    (ELF-stratified, the secondary one). Then what both fields say: networking values, critical points matched one to
    one, and the hydrogen links that they share; --no-topology saves the seconds.
    ELF has no unit, electron densities are in e/Å³; of these NMAPE and the number of electrons are given too.
    --spin is for both files, --species for REFERENCE.
    """
    from elfzoo import analysis

    spare_inputs([json_file], [reference, prediction])
    truth = read_one_field(reference, spin, split_species(species))
    guess = read_one_field(prediction, spin)
    guess.require_quantity(truth.quantity, "the prediction")
    if topology and not analysis.can_search(truth, guess):
        why = "no ELF, too few grid points, an element whose core is not known, or no compiled kernel"
        say("warning", f"no critical points or networking values: {why}")
        topology = False
    found = analysis.compare(truth, guess, mixed_recipes=mixed_recipes, resample=resample, topology=topology)
    if str(json_file) != "-":
        for line in comparison_lines(found):
            typer.echo(line)
    if json_file is not None:
        write_json(found.to_dict(), json_file)


def plot(
    reference: Reference,
    prediction: Annotated[
        Path | None, typer.Argument(metavar="PREDICTION", help="Draw this beside it, with residual and parity.")
    ] = None,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="Ends in .png, .pdf or .svg.")] = Path(
        "elf.png"
    ),
    plane: Annotated[
        str | None,
        typer.Option(
            metavar="PLANE", help="z=0.25, or Miller indices 1,1,0=0.5. [default: the axis slice through most atoms]"
        ),
    ] = None,
    mixed_recipes: MixedRecipes = False,
    resample: Resample = False,
    spin: Spin = None,
    species: Species = None,
) -> None:
    """Draw a slice of a field, or a prediction and its reference.

    \b
    Examples:
      elfzoo plot ELFCAR -o slice.png --plane z=1/2
      elfzoo plot ELFCAR.dft ELFCAR.ml -o comparison.pdf

    Planes are in fractional coordinates, the axes of the picture in Å. Parity and histograms are over all voxels.
    """
    from elfzoo.paths import parse_plane
    from elfzoo.plot import plot_comparison, plot_slice

    truth = read_one_field(reference, spin, split_species(species))
    where = None if plane is None else parse_plane(plane, truth.structure)
    if prediction is None:
        plot_slice(truth, output, where)
    else:
        guess = read_one_field(prediction, spin)
        plot_comparison(truth, guess, output, where, mixed_recipes=mixed_recipes, resample=resample)
    typer.echo(f"wrote {output}")


def check(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="ELFCAR, .cube, .xsf, .npz or .h5, also .gz.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
    species: Species = None,
) -> None:
    """Look for what is wrong or misleading in anyone's ELF file.

    \b
    Examples:
      elfzoo check ELFCAR
      elfzoo check pwscf.cube --species La,H
      elfzoo check */ELFCAR --json > findings.json

    Range, symmetry under the space group, aliasing, spin channels mistaken for totals, atoms off their maxima, and
    the wrong ELF of Quantum ESPRESSO 6.8 to 7.5. The exit code is 1 where a finding is an error, else 0.
    """
    from elfzoo.check import check_file

    found = {str(path): check_file(path, species=split_species(species)) for path in files}
    if as_json:
        document = {path: [asdict(finding) for finding in findings] for path, findings in found.items()}
        typer.echo(json.dumps(document, indent=2))
    else:
        for path, findings in found.items():
            _print_findings(path, findings)
    if any(finding.level == "error" for findings in found.values() for finding in findings):
        raise typer.Exit(1)


def comparison_lines(comparison: Comparison) -> list[str]:
    """The table of a comparison, and which of its columns counts for what."""
    primary = "primary figures: all voxels, each weighing the same"
    secondary = "; secondary: ELF-stratified, each interval of reference values weighing the same"
    return [*comparison.table(), primary + secondary * (comparison.elf_stratified is not None)]


def _print_findings(path: str, findings: list[Finding]) -> None:
    typer.echo(f"{path}: {'nothing found' if not findings else ''}".rstrip())
    for finding in findings:
        label = typer.style(f"{finding.level:<7}", fg=COLOURS[finding.level], bold=True)
        typer.echo(f"  {label} [{finding.code}] {with_options(finding.message)}. {finding.remedy}.")
