"""On which waves do predictions err, what do those waves change, and is the residual long-wavelength?

    python benchmarks/residuals.py [MODEL ...] [--task fluid-h] [--k-max K ...] [--out benchmarks/results/residuals]

What Wang et al. (2026, Figs. 2 and S3) show of one plane at each pressure, for every structure of a task. A MODEL is a
release or ``FILE.py:factory``, as in ``elfzoo benchmark``; by default all releases that ship, and the mean ELF.

- Fourier power of the residual by wavelength and by |G|, its preferred direction beside that of isotropic noise on the
  same grid, and its autocorrelation; in ELF and, for three clips, in logit(ELF).
- The correction of logits by all waves up to k_max, fitted to the reference (eqs. 6 to 9), against k_max in rad/Å, and
  in the paper's periods per edge of 11 Å; the same fit to 0.5 everywhere, which is no model at all; for three clips.
- All of this of the volume, and of three planes through the origin as in the paper: two questions, never mixed.
- Critical points and networking value of the prediction before and after the correction, after one of the same power on
  every wave with random phases, and of the reference with nothing but these waves of the residual added.

Means are over structures, by the task's groups and over all; powers and matched points are summed, then divided. Rows
of structures wait in ``--work``: the same command goes on where it stopped. ``residual_figures.py`` draws the pictures.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from residual_measure import (
    DIRECTIONS,
    DRAWS,
    EDGE,
    LIMITS,
    NAMED,
    PAPER,
    PLANES,
    POINTS,
    SEED,
    STEP,
    SUMS,
    USUAL,
    mean_of,
    measure,
)

import elfzoo
from elfzoo.benchmark import Benchmark, environment, record_path, write_json
from elfzoo.benchmark.measure import json_values, pair
from elfzoo.benchmark.record import kept_prediction, prediction_path, run_folder
from elfzoo.errors import ElfzooError
from elfzoo.field import Field
from elfzoo.progress import progress_bar

HERE = Path(__file__).parent
KEPT = Path("runs/benchmark")  # where `elfzoo benchmark` keeps predictions
FLOOR = "benchmarks/floors.py:mean"
PERIODS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 27, 30, 36)  # the paper's k_max
PARTS = ("volume", "plane", "topology")  # of a row
WORDS = {limit: f"{limit} Å" for limit in LIMITS} | {PAPER: "the paper's k_max of 20"}
VERDICTS = {True: "yes", False: "no", None: "undefined"}

Row = Mapping[str, Any]


def grouped(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """All rows, and those of each group."""
    names = sorted({row["group"] for row in rows} - {None}, key=lambda name: (isinstance(name, str), name))
    return {"all": list(rows)} | {str(name): [row for row in rows if row["group"] == name] for name in names}


def answer(found: Row, k_maxes: Sequence[float]) -> dict[str, Any]:
    """The figures that say whether the residual is long-wavelength and whether that matters; of one row, or a mean."""
    value, corrections = found["volume"]["spectra"]["value"], found["volume"]["correction"]
    longer = above(value["bands"])
    return {
        "above": longer,
        "logit_above": above(found["volume"]["spectra"][f"logit, clip {USUAL}"]["bands"]),
        "plane_above": above(found["plane"]["bands"]),
        **{key: value[key] for key in ("half_wavelength", "reference_half_wavelength", "correlation_length")},
        "mostly_above_3": None if longer["3"]["power"] is None else longer["3"]["power"] > 0.5,
        "anisotropy": {key: found["volume"]["anisotropy"][key] for key in DIRECTIONS},
        "before": corrections["model"][USUAL]["before"],
        "after": {name: at(corrections, list(k_maxes).index(k)) for name, k in NAMED.items()},
        "topology": {name: quotients(counts) for name, counts in (found["topology"] or {}).items()},
    }


def above(bands: Mapping[str, Row]) -> dict[str, dict[str, float | None]]:
    """Of all waves longer than each limit, the constant one left out: their share of the residual's power, of the
    reference's, and, which is that of white noise, of all waves; and the former power over the latter.
    """
    totals, sums, found = {key: sum(band[key] for band in bands.values()) for key in SUMS}, dict.fromkeys(SUMS, 0.0), {}
    for limit, band in zip(LIMITS, bands.values(), strict=False):
        sums = {key: sums[key] + band[key] for key in SUMS}
        found[limit] = {key: sums[key] / totals[key] if totals[key] else None for key in SUMS}
        found[limit]["relative_power"] = sums["power"] / sums["reference_power"] if sums["reference_power"] else None
    return found


def at(corrections: Row, place: int) -> dict[str, float]:
    """What the fit with one k_max leaves of the error of the model, and of no model, with how many coefficients."""
    model, none = corrections["model"][USUAL], corrections["none"][USUAL]
    found = {"mae": model["mae"][place], "rmse": model["rmse"][place], "mae_of_none": none["mae"][place]}
    return found | {"coefficients_per_point": model["coefficients_per_point"][place]}


def quotients(found: Row) -> dict[str, float | None]:
    """Change of φ; recall, precision and mean displacement (Å) of critical points."""
    reference, prediction, matched = (found[name] for name in POINTS)
    return {
        **{key: found[key] for key in ("delta_phi", "abs_delta_phi")},
        "recall": matched / reference if reference else None,
        "precision": matched / prediction if prediction else None,
        "displacement": found["moved"] / matched if matched else None,
    }


def paragraph(found: Row) -> str:
    """The answer in words."""
    shares = [
        f"{_text(share['power'])} above {limit} Å (reference {_text(share['reference_power'])}, white noise "
        f"{_text(share['waves'])}, on planes {_text(found['plane_above'][limit]['power'])}; "
        f"{_text(share['relative_power'])} of the reference's power there)"
        for limit, share in found["above"].items()
    ]
    fits = [
        f"{WORDS[name]}, {fit['mae']:.4f} with "
        f"{fit['coefficients_per_point']:.1e} coefficients per voxel (no model at all {fit['mae_of_none']:.4f})"
        for name, fit in found["after"].items()
    ]
    states = [
        f"{name.replace(' ', ' Å ')} {_text(row['abs_delta_phi'])}, {_text(row['recall'])}, {_text(row['precision'])}"
        for name, row in found["topology"].items()
    ]
    halves = [_text(found[f"{name}half_wavelength"]) for name in ("", "reference_")]
    return (
        f"Power of the residual by wavelength: {', '.join(shares)}. Half of it is above {halves[0]} Å (reference "
        f"{halves[1]} Å); correlation length {_text(found['correlation_length'])} Å. Mostly above 3 Å, hence "
        f"long-wavelength: {VERDICTS[found['mostly_above_3']]}. MAE {found['before']['mae']:.4f}, and fitted to the "
        f"answer by all waves down to {'; '.join(fits)}. |Δφ|, recall and precision of critical points: "
        f"{'; '.join(states) or 'not searched'}."
    )


def _text(number: float | None) -> str:
    return "undefined" if number is None else f"{number:.3g}"


def settings(k_maxes: Sequence[float]) -> dict[str, Any]:
    """What decides a row besides entrant and data."""
    periods = [k * EDGE / (2 * math.pi) for k in k_maxes]
    planes = [f"{axis} = 0" for axis in PLANES]
    found = {"k_max": list(k_maxes), "periods_per_11_angstrom": periods, "named_k_max": NAMED, "planes": planes}
    return json_values(found | {"correlation_step": STEP, "noise_draws": DRAWS, "seed": SEED})


def row_path(benchmark: Benchmark, file: str, k_maxes: Sequence[float]) -> Path:
    """Rows of another entrant, structure, setting or version have other names, and are never mixed in."""
    task, data = benchmark.definition, hashlib.sha256((benchmark.data.raw_dir / file).read_bytes()).hexdigest()
    asked = [list(task.parts), task.refine, task.group_by, settings(k_maxes), elfzoo.__version__]
    identity = [dict(benchmark.entrant.facts), data, *asked]
    key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return benchmark.place / f"{Path(file).stem}-{key[:12]}.json"


def measured_row(benchmark: Benchmark, index: int, k_maxes: Sequence[float], kept: Path) -> dict[str, Any]:
    """Measure one structure, predicted before or now."""
    began, cpu = time.perf_counter(), time.process_time()
    task, (structure, reference) = benchmark.definition, benchmark.data[index]
    guess = guess_of(benchmark, index, kept)
    guess = guess.replace(values=np.clip(guess.values, 0, 1), structure=structure)
    group = reference.meta.get(task.group_by) if task.group_by else None
    head = {"file": reference.meta["file"], "atoms": len(structure), "group": group, "grid": list(reference.grid.shape)}
    found = measure(pair(reference, guess, task), k_maxes, "topology" in task.parts)
    spent = {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - cpu}
    return json_values({**head, **found, **spent})


def guess_of(benchmark: Benchmark, index: int, kept: Path, results: Path = HERE / "results") -> Field:
    """The prediction of a structure: what ``elfzoo benchmark`` kept of it, where that is the record's, or a new one."""
    name, (structure, reference) = benchmark.names[index], benchmark.data[index]
    path, facts = record_path(results, benchmark.name, benchmark.entrant.name, benchmark.split), benchmark.entrant.facts
    if path.is_file() and "weights_sha256" in facts:
        found = json.loads(path.read_text())
        if (found["weights_sha256"], found["data_sha256"]) == (facts["weights_sha256"], benchmark.data.data_hash):
            digest = {row["file"]: row["prediction_sha256"] for row in found["structures"]}[reference.meta["file"]]
            try:
                return kept_prediction(
                    prediction_path(run_folder(kept, benchmark.name, benchmark.entrant.name), name), digest
                )
            except ElfzooError:  # not kept, or of another run
                pass
    return benchmark.entrant.predict(name, structure, benchmark.grid(reference))


def run(
    benchmark: Benchmark, out: Path, k_maxes: Sequence[float], progress: bool | None = None, kept: Path = KEPT
) -> Path:
    """Measure what is not measured yet, write the record into the folder ``out`` and return its path.

    ``k_maxes`` in rad/Å hold those of ``NAMED``. Whatever fails, what was measured before stays.
    """
    paths = [row_path(benchmark, file, k_maxes) for file in benchmark.data.raw_file_names]
    with progress_bar(f"residuals of {benchmark.entrant.name} on {benchmark.name}", len(paths), progress) as advance:
        for index, path in enumerate(paths):
            if not path.is_file():
                write_json(path, measured_row(benchmark, index, k_maxes, kept))
            advance(1)
    rows = [json.loads(path.read_text()) for path in paths]
    path = record_path(out, benchmark.name, benchmark.entrant.name, benchmark.split)
    write_json(path, record(benchmark, rows, k_maxes))
    return path


def record(benchmark: Benchmark, rows: Sequence[Row], k_maxes: Sequence[float]) -> dict[str, Any]:
    """Everything that the figures need to be checked and repeated; curves are means over groups."""
    facts, groups = dict(benchmark.entrant.facts), grouped(rows)
    means = {name: mean_of([{key: row[key] for key in PARTS} for row in part]) for name, part in groups.items()}
    line = ("file", "atoms", "group", "grid", "seconds")
    found = {
        "model": benchmark.entrant.name,
        "spec": benchmark.spec,
        "task": benchmark.name,
        "split": benchmark.split,
        "data_sha256": benchmark.data.data_hash,
        "weights_sha256": facts.pop("weights_sha256", None),
        "entrant": facts,
        **environment(),
        "settings": settings(k_maxes),
        "cost": {key: sum(row[key] for row in rows) for key in ("seconds", "cpu_seconds")},
        "answers": [{"group": name, "structures": len(groups[name])} | answer(m, k_maxes) for name, m in means.items()],
        "groups": [{"group": name, **mean} for name, mean in means.items()],
        "structures": [{key: row[key] for key in line} | answer(row, k_maxes) for row in rows],
    }
    return json_values(found)


def wanted_k(values: Sequence[float] | None) -> list[float]:
    """Those asked for, or the paper's, and the named ones, ascending."""
    asked = [2 * math.pi * periods / EDGE for periods in PERIODS] if values is None else list(values)
    return sorted({*asked, *NAMED.values()})


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"all releases that ship and {FLOOR} by default")
    parser.add_argument("--task", default="fluid-h", help="name of a task, or a YAML file")
    parser.add_argument("--k-max", nargs="+", type=float, metavar="K", help="rad/Å; 1 to 36 periods of 11 Å by default")
    parser.add_argument("--data", help="folder of the datasets; $ELFZOO_DATA or the checkout's by default")
    parser.add_argument("--work", type=Path, default=Path("runs/residuals"), help="where rows are kept")
    parser.add_argument("--kept", type=Path, default=KEPT, help="runs of elfzoo benchmark, for predictions of records")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "residuals", help="where records go")
    args = parser.parse_args(arguments)
    for spec in args.models or [*elfzoo.list_pretrained(engines=False), FLOOR]:
        path = run(
            Benchmark(spec, args.task, args.work, root=args.data), args.out, wanted_k(args.k_max), kept=args.kept
        )
        for found in json.loads(path.read_text())["answers"]:
            print(f"{path.stem} on {args.task}, {found['group']}: {paragraph(found)}\n")


if __name__ == "__main__":
    main()
