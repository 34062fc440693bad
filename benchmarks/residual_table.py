"""What ``benchmarks/residuals.py`` found, in Markdown: where residuals are on waves, and what those waves do."""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from residual_measure import USUAL

RESULTS = Path(__file__).parent / "results" / "residuals"
ABSENT = "*No record yet: `python benchmarks/residuals.py` makes them.*"
TASK = "fluid-h"
LONG_RANGE = 2 * math.pi * 5 / 11  # rad/Å, five periods on 11 Å; 2.2 Å
STATES = {
    "before": "as predicted",
    "3 corrected": "without its waves above 3 Å",
    "3 random": "… with their phases at random",
    "1.5 corrected": "without its waves above 1.5 Å",
    "1.5 random": "… with their phases at random",
    "3 alone": "reference with the waves above 3 Å of the residual",
    "1.5 alone": "reference with those above 1.5 Å",
}
Row = Mapping[str, Any]


def recorded(folder: Path = RESULTS) -> list[Row]:
    """The records of one task, smallest error first."""
    found = [json.loads(path.read_text()) for path in sorted((folder / TASK).glob("*.json"))]
    return sorted(found, key=lambda record: of_all(record)["before"]["mae"])


def of_all(record: Row) -> Row:
    """The answer over all structures."""
    return next(answer for answer in record["answers"] if answer["group"] == "all")


def table(records: Sequence[Row]) -> list[str]:
    """Power by wavelength, fits of long waves, and topology; a sentence where nothing was measured."""
    if not records:
        return [ABSENT]
    return [*power(records), "", gains(records), "", *fits(records), "", *topology(records)]


def power(records: Sequence[Row]) -> list[str]:
    """By model and pressure."""
    lines = [
        "| model, GPa | MAE | above 6 Å | above 3 Å | above 1.5 Å | reference above 3 Å | on planes above 3 Å | "
        "reference on planes | residual / reference above 3 Å, of all waves | half above, Å | correlation length, Å |",
        "|---|" + "---|" * 10,
    ]
    for record in records:
        for answer in record["answers"]:
            name = f"`{record['model']}`" if answer["group"] == "all" else f"at {answer['group']}"
            lines.append(f"| {name} | {' | '.join(power_cells(answer))} |")
    return lines


def power_cells(answer: Row) -> list[str]:
    """Of one model at one pressure."""
    above, plane = answer["above"], answer["plane_above"]["3"]
    shares = [share(above[limit]["power"]) for limit in ("6", "3", "1.5")]
    others = [share(above["3"]["reference_power"]), share(plane["power"]), share(plane["reference_power"])]
    shortest = above["1.5"]  # of all waves: what is above over its share of the total, on both sides
    whole = shortest["relative_power"] * shortest["reference_power"] / shortest["power"]
    relative = f"{share(above['3']['relative_power'])}, {share(whole)}"
    lengths = [f"{answer[key]:.2f}" for key in ("half_wavelength", "correlation_length")]
    return [f"{answer['before']['mae']:.4f}", *shares, *others, relative, *lengths]


def fits(records: Sequence[Row]) -> list[str]:
    """MAE after the fit to the reference, beside that of the same fit without a model."""
    lines = [
        "| model | MAE | fitted above 6 Å | above 3 Å | above 2.2 Å | above 1.5 Å | the paper's k_max | "
        "no model, above 3 Å | no model, above 1.5 Å | no model, the paper's k_max |",
        "|---|" + "---|" * 9,
    ]
    for record in records:
        answer = of_all(record)
        after = answer["after"]
        numbers = [answer["before"]["mae"], after["6"]["mae"], after["3"]["mae"], long_range(record)]
        numbers += [after[limit]["mae"] for limit in ("1.5", "paper")]
        numbers += [after[limit]["mae_of_none"] for limit in ("3", "1.5", "paper")]
        lines.append(f"| `{record['model']}` | {' | '.join(f'{number:.4f}' for number in numbers)} |")
    return lines


def gains(records: Sequence[Row]) -> str:
    """By how much the fits of long waves lower the MAE, in one sentence: the smallest and the largest of all models."""
    found: dict[str, list[tuple[float, str]]] = {"above 3 Å": [], "with |k| < 2.9 rad/Å": []}
    for record in records:
        before = of_all(record)["before"]["mae"]
        for words, after in zip(found, (of_all(record)["after"]["3"]["mae"], long_range(record)), strict=True):
            found[words].append((100 * (1 - after / before), record["model"]))
    parts = []
    for words, numbers in found.items():
        (low, lowest), (high, highest) = min(numbers), max(numbers)
        parts.append(f"those {words} lower it by {low:.1f} (`{lowest}`) to {high:.1f} % (`{highest}`)")
    return "\n".join(textwrap.wrap(f"Fitted to the reference over all waves: {', '.join(parts)}.", 120))


def long_range(record: Row) -> float:
    """MAE after the fit of all waves with |k| up to about 3 rad/Å, over all structures."""
    ks = record["settings"]["k_max"]
    curves = next(group for group in record["groups"] if group["group"] == "all")["volume"]["correction"]["model"]
    return curves[USUAL]["mae"][min(range(len(ks)), key=lambda place: abs(ks[place] - LONG_RANGE))]


def topology(records: Sequence[Row]) -> list[str]:
    """What the waves move."""
    lines = ["| model | field | MAE of φ | points found | points real | moved, Å |", "|---|---|---|---|---|---|"]
    for record in records:
        states, title = of_all(record)["topology"] or {}, f"`{record['model']}`"
        for state, words in STATES.items():
            if (found := states.get(state)) is None:
                continue
            cells = [found[key] for key in ("abs_delta_phi", "recall", "precision", "displacement")]
            shown = " | ".join("" if cell is None else f"{cell:.3f}" for cell in cells)
            lines.append(f"| {title} | {words} | {shown} |")
            title = ""
    return lines


def share(number: float | None) -> str:
    """In per cent, with two digits that say something."""
    return "" if number is None else f"{100 * number:.2g} %"
