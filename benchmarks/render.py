"""Write the figures of the records into README.md, docs and the cards, between markers; nobody types them.

    python benchmarks/render.py [--check]

The studies have a page of their own, ``benchmarks/results/studies/README.md``, one section for each study file, and so
has the comparison with the paper, ``benchmarks/figures/PAPER.md``, whose pictures paper_figures.py draws. With --check
nothing is written, and the exit status is 1 if a file does not say what the records say.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter
from pathlib import Path
from textwrap import fill

from few_shot_table import few_shot
from harris_physics import RECORD as HARRIS_PHYSICS
from harris_physics import table as physics_table
from harris_seeds import RECORD as HARRIS_SEEDS
from harris_seeds import table as harris_table
from harris_speed import RECORD as HARRIS_SPEED
from harris_speed import table as harris_speed_table
from logit_spline import rendered as logit_splines
from long_range import rendered as long_range
from paper_report import whole_page
from profiles import RECORD as PROFILES
from profiles import table as profile_table
from residual_shares import RECORD as SHARES
from residual_shares import table as shares_table
from residual_table import recorded as residual_records
from residual_table import table as residual_table
from scaling import RECORD as SCALING
from scaling import recorded
from scaling_table import table as scaling_table
from selection import RECORD as SELECTION
from selection import table as selection_table
from speed_history import rendered as speed_history
from speed_tables import roofline, speed
from study_config import STUDIES, StudyConfig, read_study
from study_tables import markdown
from summary_table import HYDROGEN, SOLIDS, summary
from uncertainty import RECORD as UNCERTAINTY
from uncertainty import table as uncertainty_table

import elfzoo
from elfzoo.benchmark import board, find_task, list_tasks, read_records
from elfzoo.benchmark.board import HEADLINES, absent, is_hybrid
from elfzoo.benchmark.ceiling import ceilings

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
FIGURES = ROOT / "benchmarks" / "figures"
NAMES = "summary|board|results|solids|topology-speed|topology|critical-points|speed|studies|study|invariances"
NAMES += "|harris-physics|harris-seeds|harris-speed|uncertainty|selection|roofline|scaling|residuals"
NAMES += "|residual-shares|profiles|few-shot|logit-spline|long-range|speed-history"
MARKER = re.compile(rf"(<!-- ({NAMES})(?: (\w[\w. -]*?))? -->\n).*?(<!-- end -->)", re.S)
WIDTH = 120  # of lines but those of tables
GRIDS = {
    "own": "{:.4f} on fluid snapshots on its own grid,",
    "finer": "{:.4f} where its points are at most 0.8 times as far apart,",
    "sheared": "{:.4f} on sheared lattice vectors",
}
TITLES = {name: find_task(name).title for name in HYDROGEN}


def load(task: str, model: str) -> dict:
    return json.loads((RESULTS / task / f"{model}.json").read_text())


def models() -> list[str]:
    """The releases that ship."""
    return elfzoo.list_pretrained()


def measured_titles(model: str) -> list[tuple[str, str]]:
    """The tasks of hydrogen that a release has a record of, with their titles."""
    return [(task, title) for task, title in TITLES.items() if (RESULTS / task / f"{model}.json").is_file()]


def accuracy_row(label: str, m: dict[str, float]) -> str:
    whole = f"{m['mae']:.4f} ({m['mae_low']:.4f} to {m['mae_high']:.4f}) | {m['rmse']:.4f} | {m['r2']:.4f}"
    rest = f"{m['r2_lowest']:.3f} | {m['mae_stratified']:.4f} | {m['r2_stratified']:.4f}"
    return f"| {label} | {whole} | {rest} |"


def leaderboard(_: str | None) -> str:
    """Every record of errors of ELF, best first within its task."""
    measured = [record for record in read_records(RESULTS, list_tasks()) if "mae" in record["metrics"]]
    records = board(measured)
    known = {name for record in records for name in record["metrics"]} - {"rmse", "phi_r2"}
    shown = {name: title for name, title in HEADLINES.items() if name in known}
    lines = [f"| task | model | {' | '.join(shown.values())} |", "|---" * (2 + len(shown)) + "|"]
    for record in records:
        cells = [f"{record['metrics'][name]:.4f}" if name in record["metrics"] else "" for name in shown]
        mark = (" (‡)" if is_hybrid(record) else "") + (" (†)" if record["unknown_elements"] else "")
        lines.append(f"| {record['task']} | `{record['model']}`{mark} | {' | '.join(cells)} |")
    notes = "‡ diagonalises once; others see the geometry alone. † never saw some of the elements. Floors: `floor.…`."
    told = ceilings(RESULTS, {record["task"]: find_task(record["task"]) for record in records})
    lines += ["", notes, "", "What two DFT codes leave between them, the ceiling:", ""]
    lines += [
        fill(f"- {task}: {text.removeprefix('Ceiling: ')}", WIDTH, subsequent_indent="  ")
        for task, text in told.items()
    ]
    return "\n".join([*lines, *blanks(absent(measured)), ""])


def blanks(missing: dict[str, dict[str, list[str]]]) -> list[str]:
    """A line for each task and reason that releases have no record."""
    parts = [(task, why, names) for task, reasons in missing.items() for why, names in reasons.items()]
    lines = [f"- {task}: {', '.join(f'`{name}`' for name in names)} ({why})" for task, why, names in parts]
    lines = [fill(line, WIDTH, subsequent_indent="  ") for line in lines]
    return ["", "No record:", "", *lines] if lines else []


def results(name: str | None) -> str:
    """Accuracy of one release, or of all of them."""
    lines = [
        "| model and task | MAE (95 % interval) | RMSE | R² | lowest R² | stratified MAE | stratified R² |",
        "|---|---|---|---|---|---|---|",
    ]
    for model in [name] if name else models():
        for task, title in measured_titles(model):
            found = load(task, model)
            label = title if name else f"`{model}`, {title}"
            lines.append(accuracy_row(f"{label} ({len(found['structures'])})", found["metrics"]))
            lines += groups(found) if name else []
    return "\n".join(lines) + "\n"


def solids(name: str | None) -> str:
    """Errors of one release, or of all entrants that were measured, in hydrides and metals."""
    lines = [
        "| model and task | MAE outside cores | MAE | R² outside cores | MAE of φ | spread of φ |",
        "|---|---|---|---|---|---|",
    ]
    found = [r for r in read_records(RESULTS, list(SOLIDS)) if name in (None, r["model"])]
    for record in sorted(found, key=lambda r: (SOLIDS.index(r["task"]), r["metrics"]["mae_outside_cores"])):
        title = f"{find_task(record['task']).title} ({len(record['structures'])})"
        label = title if name else f"`{record['model']}`{' (‡)' * is_hybrid(record)}, {title}"
        lines.append(f"| {label} | {solid_cells(record['metrics'])} |")
    return "\n".join(lines) + "\n"


def solid_cells(m: dict[str, float]) -> str:
    outside = f"{m['mae_outside_cores']:.4f}"
    phi = f"{m['phi_mae']:.3f} | {m['phi_spread']:.3f}" if "phi_mae" in m else " | "
    return f"{outside} | {m['mae']:.4f} | {m['r2_outside_cores']:.3f} | {phi}"


def groups(found: dict) -> list[str]:
    """A row for each pressure of the fluid."""
    sizes = Counter(str(row["group"]) for row in found["structures"])
    return [accuracy_row(f"at {name} GPa ({sizes[name]})", metrics) for name, metrics in found["groups"].items()]


def topology(_: str | None) -> str:
    """What the predictions of every release say, against DFT."""
    lines = [
        "| model and task | MAE of φ (95 % interval) | bias | spread of φ in DFT | MAE of φ* | points found | "
        "points real | moved, Å | links shared |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for model in models():
        for task, title in measured_titles(model):
            found = load(task, model)
            m, label = found["metrics"], f"`{model}`, {title} ({len(found['structures'])})"
            phi = f"{m['phi_mae']:.3f} ({m['phi_mae_low']:.3f} to {m['phi_mae_high']:.3f})"
            phis = f"{phi} | {m['phi_bias']:+.3f} | {m['phi_spread']:.3f} | {m['phi_star_mae']:.3f}"
            points = f"{m['cp_recall']:.3f} | {m['cp_precision']:.3f} | {m['cp_displacement']:.3f}"
            lines.append(f"| {label} | {phis} | {points} | {m['network_jaccard']:.3f} |")
    return "\n".join(lines) + "\n"


def topology_speed(_: str | None) -> str:
    """Time and memory of the searches, as shares of GUDHI's in the same run."""
    lines = [
        "| field | φ, seconds | critical points, seconds | memory of φ / field | φ / GUDHI | critical points / GUDHI |",
        "|---|---|---|---|---|---|",
    ]
    for name, atoms in (("speed", 128), ("speed-1024", 1024)):
        for points, row in json.loads((RESULTS / "topology" / f"{name}.json").read_text())["points"].items():
            phi, points_of = row["networking"], row["critical_points"]
            ratios = [x.get("ratio_to_gudhi", {}).get("median") for x in (phi, points_of)]
            shares = " | ".join("" if r is None else f"{r:.3f}" for r in ratios)
            seconds = f"{phi['seconds']['min']:.2f} | {points_of['seconds']['min']:.2f}"
            lines.append(f"| {atoms} H, {points}³ | {seconds} | {phi['memory']:.1f} | {shares} |")
    return "\n".join(lines) + "\n"


def searches(_: str | None) -> str:
    """How complete the search of critical points is."""
    found = json.loads((RESULTS / "topology" / "critical-points.json").read_text())
    fields, dense = found["fields"].values(), found["dense"].values()
    whole = sum(row["all"]["morse_sum"] == 0 for row in fields)
    recall, every, precision = (min(row[name] for row in dense) for name in ("recall", "recall_all", "precision"))
    return (
        f"On the reference fields of hydrogen the Morse sum is 0 in {whole} of {len(fields)}. Against a dense search\n"
        f"from random starts on the exact Fourier series of {len(dense)} of them, lowest recall is {recall:.3f} and\n"
        f"the lowest precision {precision:.3f} where pairs closer in value than the threshold are cancelled; of all\n"
        f"points, however weak, the lowest recall is {every:.3f} (`python benchmarks/critical_points.py --dense 10`).\n"
    )


def scaling(_: str | None) -> str:
    """Seconds and memory against size."""
    return "\n".join([*scaling_table(recorded(SCALING)), ""])


def invariances(_: str | None) -> str:
    """What changes under what should change nothing, by release."""
    names, told = ("origin", "rotation", "reflection", "basis", "supercell"), []
    lines = [f"| release | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for model, found in json.loads((RESULTS / "invariances.json").read_text())["models"].items():
        rows = {row["invariance"]: row for row in found["crystals"]}
        cells = [
            "exact" if rows[name]["declared"] == "exact" else f"{rows[name]['mean']:.4f} ({rows[name]['largest']:.3f})"
            for name in names
        ]
        lines.append(f"| `{model}` | {' | '.join(cells)} |")
        if found.get("grids"):
            told.append(f"`{model}` has an MAE of {' '.join(GRIDS[k].format(v) for k, v in found['grids'].items())}.")
    return "\n".join([*lines, *(line for text in told for line in ("", fill(text, WIDTH)))]) + "\n"


def study(names: str | None) -> str:
    """What studies found; several, side by side, where they have the same rows."""
    paths = [RESULTS / "studies" / f"{name}.json" for name in (names or "").split()]
    return markdown([json.loads(path.read_text()) for path in paths if path.exists()])


def study_list(_: str | None) -> str:
    """The study files, and what a run costs."""
    lines = ["| study | what it measures | seeds planned | seeds run | minutes for a run |", "|---|---|---|---|---|"]
    for path in sorted(STUDIES.glob("*.yaml")):
        name, found = read_study(path)
        record = RESULTS / "studies" / f"{name}.json"
        runs = json.loads(record.read_text())["runs"] if record.exists() else []
        done = len({run["seed"] for run in runs})
        lines.append(f"| `{name}` | {found.title} | {len(found.seed_list)} | {done} | {found.minutes:g} |")
    return "\n".join(lines) + "\n"


def study_page() -> str:
    """All studies, in full."""
    lines = [
        "# Studies",
        "",
        "Written by `python benchmarks/render.py` from the files in `benchmarks/configs/studies` and their records;",
        "`python benchmarks/study.py NAME` runs one. Errors are of ELF; ± is the standard deviation between seeds;",
        "intervals are 95 % bootstrap intervals over structures, in pairs.",
    ]
    for path in sorted(STUDIES.glob("*.yaml")):
        lines += ["", *study_section(*read_study(path))]
    if (FIGURES / "learning-curves.png").exists():
        lines += ["", "## All families", "", "![learning curves](../../figures/learning-curves.png)"]
    return "\n".join(lines) + "\n"


def study_section(name: str, found: StudyConfig) -> list[str]:
    """One study: what it shows, what it found, its picture."""
    path = RESULTS / "studies" / f"{name}.json"
    pictures = [p for p in (FIGURES / f"study-{name}.png", FIGURES / f"study-{name}-variants.png") if p.exists()]
    records = [json.loads(path.read_text())] if path.exists() else []
    lines = [f"## {name}: {found.title}", "", found.shows.strip(), "", markdown(records, full=True).rstrip()]
    return lines + [line for p in pictures for line in ("", f"![{p.stem}](../../figures/{p.name})")]


def seeds_of_harris(_: str | None) -> str:
    """harris_delta with other seeds and less data."""
    return "\n".join([*harris_table(json.loads(HARRIS_SEEDS.read_text())["runs"]), ""])


def physics_of_harris(_: str | None) -> str:
    """The untrained diagonalisation with one thing changed."""
    return "\n".join([*physics_table(json.loads(HARRIS_PHYSICS.read_text())["variants"]), ""])


def uncertainties(_: str | None) -> str:
    """Predicted and true errors on test structures."""
    return "\n".join([*uncertainty_table(json.loads(UNCERTAINTY.read_text())), ""])


def residuals(_: str | None) -> str:
    """Where residuals are on waves."""
    return "\n".join([*residual_table(residual_records()), ""])


def residual_shares(_: str | None) -> str:
    """What residuals owe to k-sampling, what a diagonalisation restores, what is left."""
    if not SHARES.is_file():
        return "*No record yet: `python benchmarks/residual_shares.py` makes one.*\n"
    return "\n".join([*shares_table(json.loads(SHARES.read_text())), ""])


def profiles(_: str | None) -> str:
    """Where the time of each model goes."""
    if not PROFILES.is_file():
        return "*No record yet: `python benchmarks/profiles.py` makes one.*\n"
    record = json.loads(PROFILES.read_text())
    told = f"Measured on {record['hardware']}; elfzoo {record['elfzoo']}, torch {record['torch']}, {record['date']}."
    return "\n".join([told, "", *profile_table(record), ""])


def speed_of_harris(_: str | None) -> str:
    """One diagonalisation against a model of geometry and the label's own calculation."""
    record = json.loads(HARRIS_SPEED.read_text())
    told = f"192³ points, {record['environment']['hardware']}, {record['environment']['date']}; logits at 0.125 Å."
    return "\n".join([told, "", *harris_speed_table(record), ""])


def selections(_: str | None) -> str:
    """Structures chosen by their worth against structures by lot."""
    return "\n".join([*selection_table(json.loads(SELECTION.read_text())), ""])


TABLES = {
    "summary": summary,
    "board": leaderboard,
    "results": results,
    "solids": solids,
    "topology": topology,
    "topology-speed": topology_speed,
    "critical-points": searches,
    "speed": speed,
    "roofline": roofline,
    "speed-history": speed_history,
    "scaling": scaling,
    "invariances": invariances,
    "harris-seeds": seeds_of_harris,
    "harris-physics": physics_of_harris,
    "harris-speed": speed_of_harris,
    "uncertainty": uncertainties,
    "selection": selections,
    "residuals": residuals,
    "logit-spline": logit_splines,
    "long-range": long_range,
    "residual-shares": residual_shares,
    "profiles": profiles,
    "few-shot": few_shot,
    "studies": study_list,
    "study": study,
}


def rendered(text: str) -> str:
    """The text with every table between markers made anew."""
    return MARKER.sub(lambda m: m.group(1) + TABLES[m.group(2)](m.group(3)) + m.group(4), text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only say whether the files are up to date")
    args = parser.parse_args()
    pages = [
        ROOT / "README.md",
        *sorted((ROOT / "docs").glob("*.md")),
        *sorted((ROOT / "model_cards").glob("*/README.md")),
    ]
    texts = {path: rendered(path.read_text()) for path in pages} | {RESULTS / "studies" / "README.md": study_page()}
    texts |= {FIGURES / "PAPER.md": whole_page(RESULTS, FIGURES)}
    stale = []
    for path, text in texts.items():
        if not path.exists() or path.read_text() != text:
            stale.append(path.relative_to(ROOT))
            if not args.check:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
    print(f"{'stale' if args.check else 'written'}: {', '.join(map(str, stale)) or 'nothing'}")
    sys.exit(1 if args.check and stale else 0)


if __name__ == "__main__":
    main()
