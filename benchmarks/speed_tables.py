"""Tables of the speed records: how long the job takes, and how near that is to what the machine can do."""

from __future__ import annotations

import json
from pathlib import Path

SPEED = Path(__file__).parent / "results" / "speed"


def speed(_: str | None) -> str:
    """The speed record of every release, below the machines that they are of."""
    records = [json.loads(path.read_text()) for path in sorted(SPEED.glob("*.json"))]
    machines = sorted({record["hardware"] for record in records})
    lines = [
        f"Measured on {'; '.join(machines)}.",
        "",
        "| model | seconds | by a spline | its error | voxels per second | times the dense peer | "
        "GiB over the output | cell doubled | timed |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for record in records:
        m = record["metrics"]
        spline, digits = ("", ""), 0 if m["ratio_to_dense_baseline"] >= 10 else 1
        if "spline_mae" in m:
            spline = (f"{m['seconds_500h_192_spline']:.2f}", f"{m['spline_mae']:.1g}, {m['spline_largest']:.1g}")
        lines.append(
            f"| `{record['model']}` | {m['seconds_500h_192']:.2f} | {' | '.join(spline)} | "
            f"{m['voxels_per_second']:,.0f} | "
            f"{m['ratio_to_dense_baseline']:,.{digits}f} | {m['peak_rss_gib']:.2f} | {m['doubled_cell_ratio']:.2f} × | "
            f"{m['share_timed']:.0%} |"
        )
    return "\n".join(lines) + "\n"


def roofline(_: str | None) -> str:
    """What every release's speed record reached of the machine's limits; "-" where it says nothing of them."""
    lines = [
        "| model | GFLOP | FLOP per byte | GFLOP/s | of the peak | of the roof | limit | peak: GFLOP/s, GB/s |",
        "|---|--:|--:|--:|--:|--:|---|---|",
    ]
    for path in sorted(SPEED.glob("*.json")):
        cells = _roofline_cells(json.loads(path.read_text())["metrics"])
        lines.append(f"| `{path.stem}` | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _roofline_cells(m: dict[str, float]) -> list[str]:
    """Of one record."""
    if "share_of_roof" not in m:
        return ["-"] * 7
    limit = "arithmetic" if m["flop_per_byte"] >= m["balance_flop_per_byte"] else "memory"
    work = [f"{m['gflop']:,.0f}", f"{m['flop_per_byte']:,.1f}", f"{m['gflop_per_second']:.0f}"]
    peaks = f"{m['peak_gflop_per_second']:.0f}, {m['peak_gbyte_per_second']:.0f}"
    return [*work, f"{m['share_of_peak']:.0%}", f"{m['share_of_roof']:.0%}", limit, peaks]
