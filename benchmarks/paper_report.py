"""Our records beside the figures and tables of Wang et al. (2026), as a page of Markdown."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from textwrap import wrap
from typing import Any

import paper_numbers as paper
from card_tables import table
from paper_crystals import CUBIC, HEXAGONAL, SYSTEMS, chosen, crystals, statistics, temperature, temperatures, worst
from paper_fluid import FLUID, distribution, fluid, snapshots, training
from paper_numbers import Example, Finding
from paper_studies import patch, scans, seeds
from paper_waves import waves

from elfzoo import list_pretrained
from elfzoo.benchmark import read_record, record_path
from elfzoo.card import HISTORY, read_history, shipped_releases

__all__ = ["TASKS", "Sources", "entrant_sources", "missing", "page", "releases", "study_sources", "whole_page"]

TASKS = (FLUID, *SYSTEMS)
KINDS = {FLUID: "fluid snapshots", CUBIC: "cubic crystals", HEXAGONAL: "hexagonal crystals"}
TRAINING, RESIDUALS = "training", "residuals"
SCANS, PATCHES, SEEDS = "grid-mlp-scans", "patch-cnn-r-cut", "grid-mlp-seeds"
NAMES = {TRAINING: "history of its training"}
MAKES = {task: f"`elfzoo benchmark -m {{spec}} -t {task}`" for task in TASKS}
MAKES |= {TRAINING: f"`elfzoo train` ({HISTORY} in the release)"}
MAKES |= {RESIDUALS: "`python benchmarks/residuals.py {spec}`"}
MAKES |= {study: f"`python benchmarks/study.py {study}`" for study in (SCANS, PATCHES, SEEDS)}
TITLE = "# The figures of the paper, with our models and data"
HEAD = (
    "Written by `python benchmarks/paper_figures.py` from the records in `benchmarks/results` and the histories in the "
    'releases. The paper is Wang et al. (2026), "Geometry-Based Neural-Network Prediction of Electron Localization '
    'Function Topology in Dense Hydrogen".',
    paper.RULES,
    "Compared are results, not numbers on the same data. The paper has VASP and PAW, one snapshot of 500 atoms at each "
    "of three pressures, voxels of these snapshots both to train and to validate on, and 119 cubic and 230 hexagonal "
    "crystals of 72 atoms. Ours are Quantum ESPRESSO and GTH: {sizes}. The fluid is of trajectories that were not "
    "trained on. Errors are of all voxels; by its text the paper draws voxels evenly in ELF, though the mean that it "
    "states is rather that of all voxels, so that for the fluid errors that weigh all ELF alike stand beside.",
)
WIDTH = 120


@dataclass(frozen=True)
class Sources:
    """What there is of an entrant, or of the studies: records and histories by the names in ``MAKES``."""

    name: str
    found: Mapping[str, Any]

    @property
    def records(self) -> dict[str, Any]:
        """Of the tasks."""
        return {task: self.found[task] for task in TASKS if task in self.found}

    @property
    def learned(self) -> bool:
        """Whether there is something in it that was trained, as far as its records say."""
        parameters = [record["entrant"].get("parameters") for record in self.records.values()]
        return not parameters or any(number != 0 for number in parameters)

    @property
    def spec(self) -> str:
        """What the entrant is called on the command line."""
        sources = [record["entrant"].get("source") for record in self.records.values()]
        return next(filter(None, sources), self.name)


@dataclass(frozen=True)
class Part:
    """Findings that need some sources, all of them."""

    needs: tuple[str, ...]
    find: Callable[..., list[Finding]]


@dataclass(frozen=True)
class Section:
    """A figure or table of the paper.

    Args:
        title: of the figure or table, and what it is about.
        parts: what is compared.
        pictures: files, in which ``{name}`` is that of the entrant.
        text: above the table.
        more: lines below the table.
    """

    title: str
    parts: tuple[Part, ...]
    pictures: tuple[str, ...] = ()
    text: str = ""
    more: Callable[[Sequence[Sources]], list[str]] | None = None


def entrant_sources(name: str, results: Path) -> Sources:
    """What the folder of records and the release have of an entrant."""
    paths = {task: record_path(results, task, name) for task in TASKS}
    found: dict[str, Any] = {task: read_record(path) for task, path in paths.items() if path.is_file()}
    if (path := record_path(results / "residuals", FLUID, name)).is_file():
        found[RESIDUALS] = read_json(path)
    folder = shipped_releases().get(name)
    if folder is not None and (folder / HISTORY).is_file():
        found[TRAINING] = read_history(folder / HISTORY)
    return Sources(name, found)


def releases(results: Path) -> list[str]:
    """Those that ship and have a record of one of the paper's tasks; what needs an engine has none of hydrogen."""
    return [name for name in list_pretrained() if any(record_path(results, task, name).is_file() for task in TASKS)]


def whole_page(results: Path, folder: Path, more: Sequence[str] = ()) -> str:
    """The page of all releases and of other entrants that have records."""
    names = dict.fromkeys([*releases(results), *more])
    return page([entrant_sources(name, results) for name in names], study_sources(results), folder)


def study_sources(results: Path) -> Sources:
    """The records of the studies that repeat the paper's."""
    paths = {study: results / "studies" / f"{study}.json" for study in (SCANS, PATCHES, SEEDS)}
    return Sources("elfzoo", {study: read_json(path) for study, path in paths.items() if path.is_file()})


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def missing(sources: Sources, source: str) -> str:
    """A sentence in place of what needs a source that is not there."""
    if source == TRAINING and not sources.learned:
        return f"{sources.name} is not trained."
    what = NAMES.get(source, f"record of {source}")
    return f"{sources.name} has no {what}; {MAKES[source].format(spec=sources.spec)} makes it."


def page(entrants: Sequence[Sources], studies: Sources, folder: Path) -> str:
    """The whole page; it shows the pictures that are in its folder."""
    blocks = [[TITLE], *(wrap(text.format(sizes=sizes(entrants)), WIDTH) for text in HEAD), tally(entrants)]
    blocks += [section_lines(section, entrants, folder) for section in ENTRANT_SECTIONS]
    blocks += [section_lines(section, [studies], folder) for section in STUDY_SECTIONS]
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"


def sizes(entrants: Sequence[Sources]) -> str:
    """How many structures of each task there are, and how large they are."""
    found = {task: record["structures"] for sources in entrants for task, record in sources.records.items()}
    atoms = {task: [row["atoms"] for row in rows] for task, rows in found.items()}
    texts = [f"{len(n)} {KINDS[task]} of {min(n)} to {max(n)} atoms" for task, n in atoms.items()]
    return ", ".join(texts) or "not measured yet"


def tally(entrants: Sequence[Sources]) -> list[str]:
    """How many lines of the entrants have which verdict."""
    words = (paper.AGREES, paper.BETTER, paper.WORSE, paper.DIFFERS, paper.NO_VERDICT, paper.UNKNOWN)
    rows = []
    for sources in entrants:
        counts = Counter(found.verdict for section in ENTRANT_SECTIONS for found in findings(section, sources))
        rows.append([f"`{sources.name}`", *(counts[word] for word in words)])
    return table(["lines that say", *words], rows)


def findings(section: Section, sources: Sources) -> list[Finding]:
    """Those of the parts whose sources are all there."""
    parts = [part for part in section.parts if set(part.needs) <= set(sources.found)]
    return [line for part in parts for line in part.find(*(sources.found[need] for need in part.needs))]


def section_lines(section: Section, entrants: Sequence[Sources], folder: Path) -> list[str]:
    """A table with a column for each entrant, what is missing, and the pictures."""
    columns = [{(f.what, f.paper): f for f in findings(section, sources)} for sources in entrants]
    keys = dict.fromkeys(key for column in columns for key in column)
    rows = [[t.replace("|", "\\|") for t in (*k, *(cell(column.get(k)) for column in columns))] for k in keys]
    blocks = [[f"## {section.title}"], [section.text] if section.text else []]
    blocks.append(table(["", "paper", *(f"`{sources.name}`" for sources in entrants)], rows) if rows else [])
    blocks.append(section.more(entrants) if section.more else [])
    blocks += [[text] for sources in entrants for text in left_out(section, sources)]
    names = dict.fromkeys(p.format(name=sources.name) for sources in entrants for p in section.pictures)
    blocks += [[f"![{Path(name).stem}]({name})"] for name in names if (folder / name).is_file()]
    return [line for block in blocks if block for line in ("", *block)][1:]


def left_out(section: Section, sources: Sources) -> list[str]:
    """A sentence for each source that is not there."""
    needs = dict.fromkeys(need for part in section.parts for need in part.needs)
    return [missing(sources, need) for need in needs if need not in sources.found]


def cell(found: Finding | None) -> str:
    """What was measured, and the verdict; nothing where an entrant has no such line."""
    if found is None:
        return ""
    return f"{found.measured}: **{found.verdict}**" if found.measured else found.verdict


def example_table(entrants: Sequence[Sources]) -> list[str]:
    """Table 1 of the paper, and below it the crystals of each entrant's Figs. 3D to F."""
    head = ["", "structure", "shown as", "φ (DFT)", "φ (ML)", "Tc (DFT), K", "Tc (ML), K"]
    rows = [["paper", *example_cells(example)] for example in paper.EXAMPLES]
    for sources in entrants:
        rows += [[f"`{sources.name}`", *example_cells(found.example)] for found in chosen(sources.records)]
    return [*table(head, rows), "", "Tc = 750 φ − 85 K, the fit of the paper; below 0 not superconducting."]


def example_cells(example: Example) -> list[str]:
    phis = (example.phi, example.predicted_phi)
    return [example.name, example.why, *(f"{phi:.2f}" for phi in phis), *(f"{temperature(phi):.1f}" for phi in phis)]


ENTRANT_SECTIONS = (
    Section(
        "Fig. 1: data, training, errors in the fluid",
        (Part((FLUID,), distribution), Part((TRAINING,), training), Part((FLUID,), fluid)),
        ("paper-fig1-{name}.png",),
        "Of a patch CNN, C and D are Figs. S1 B and A, and beside it stands the R² of the paper's CNN.",
    ),
    Section(
        "Figs. 2 and S3: the residual",
        (Part((RESIDUALS,), waves),),
        ("residuals-fluid-h-{name}-plane.png", "residuals-fluid-h-{name}-maps.png"),
        "Read with docs/residuals.md: a plane shows oblique short waves as long ones, so B to D are asked of whole "
        "cells; a fit to the reference with one coefficient for 11 voxels of a plane says little of what it corrects.",
    ),
    Section(
        "Fig. 3: crystals",
        (
            *(Part((task,), partial(crystals, system)) for task, system in SYSTEMS.items()),
            Part((CUBIC, HEXAGONAL), worst),
        ),
        ("paper-fig3-{name}.png", "paper-fig3-examples-{name}.png"),
    ),
    Section("Table 1: critical temperatures", (Part((CUBIC, HEXAGONAL), temperatures),), more=example_table),
    Section(
        "Table S1: statistics over crystals",
        tuple(Part((task,), partial(statistics, system)) for task, system in SYSTEMS.items()),
    ),
    Section("Table S2: independent snapshots", (Part((FLUID,), snapshots),)),
)
STUDY_SECTIONS = (
    Section("Fig. S1 C: the patch CNN's cutoff", (Part((PATCHES,), patch),), (f"study-{PATCHES}.png",)),
    Section("Fig. S2: hyperparameters", (Part((SCANS,), scans),), (f"study-{SCANS}.png",)),
    Section("Table S1: models that differ in their seed", (Part((SEEDS,), seeds),), (f"study-{SEEDS}.png",)),
)
