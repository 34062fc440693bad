"""What came of fine-tuning: before and after, on what was learned, on what was held out, on what was known before."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from matplotlib import rc_context
from matplotlib.figure import Figure

from elfzoo.io.files import write_bytes
from elfzoo.plot import STYLE, save_figure
from elfzoo.training.config import TuneMethod

__all__ = ["Change", "Group", "Report"]

Group = Literal["learned", "held out", "old"]
TITLES: dict[Group, str] = {"learned": "learned from", "held out": "held out", "old": "what it knew before"}


@dataclass(frozen=True)
class Change:
    """What fine-tuning did in one structure, at random voxels.

    Args:
        file: of its reference.
        formula: of its cell.
        group: ``learned``, ``held out``, or ``old``: of the validation sets of the model that was gone on from.
        before, after: MAE.
        before_outside, after_outside: MAE outside of the cores of other elements than hydrogen.
    """

    file: str
    formula: str
    group: Group
    before: float
    after: float
    before_outside: float
    after_outside: float

    @property
    def outside(self) -> tuple[float, float]:
        """Before and after, outside of cores."""
        return self.before_outside, self.after_outside


@dataclass(frozen=True)
class Report:
    """What came of fine-tuning.

    Args:
        release: folder of the new release, which :func:`elfzoo.load_pretrained` takes.
        start: name of the model that was gone on from.
        method: what of its weights was changed.
        changes: of each structure.
        left_out: files that were not used, and why.
    """

    release: Path
    start: str
    method: TuneMethod
    changes: tuple[Change, ...]
    left_out: dict[str, str]

    def means(self, group: Group) -> tuple[float, float]:
        """Means over the structures of a group, before and after, outside of cores; NaN where it has none."""
        return _means([row.outside for row in self.rows(group)])

    def rows(self, group: Group) -> list[Change]:
        """The changes of a group."""
        return [change for change in self.changes if change.group == group]

    def table(self) -> str:
        """Before and after, by group and by structure, as text."""
        lines = [f"{'MAE outside metal cores':44}{'before':>9}{'after':>9}"]
        for group, title in TITLES.items():
            rows = self.rows(group)
            if rows:
                lines.append(_line(f"{title} ({len(rows)})", *self.means(group)))
            if group != "old":
                lines += [_line(f"  {row.formula:14}{_short(row.file)}", *row.outside) for row in rows]
        lines += [_line(f"  {name}", *self.known(name)) for name in self.old_datasets()]
        return "\n".join(lines)

    def old_datasets(self) -> list[str]:
        """The data sets that the old structures are of."""
        return list(dict.fromkeys(_dataset(row) for row in self.rows("old")))

    def known(self, dataset: str) -> tuple[float, float]:
        """As :meth:`means`, of the old structures of one data set, such as ``fluid-h``."""
        return _means([row.outside for row in self.rows("old") if _dataset(row) == dataset])

    def save(self, folder: Path) -> Path:
        """Write ``report.json`` and ``report.png`` into a folder, and return the path of the first."""
        path = folder / "report.json"
        write_bytes(path, [(json.dumps(asdict(self) | {"release": str(self.release)}, indent=1) + "\n").encode()])
        draw(self, folder / "report.png")
        return path


def draw(report: Report, path: Path) -> Path:
    """A line from before to after for each structure, by group."""
    groups = [group for group in TITLES if report.rows(group)]
    with rc_context(rc=STYLE):
        figure = Figure(figsize=(2.2 * len(groups) + 0.6, 3.0), layout="constrained")
        panels = figure.subplots(1, len(groups), sharey=True, squeeze=False)[0]
        for axes, group in zip(panels, groups, strict=True):
            for row in report.rows(group):
                axes.plot((0, 1), row.outside, color="0.6", linewidth=0.8, marker="o", markersize=2.5)
            axes.plot((0, 1), report.means(group), color="C0", linewidth=2, marker="o", label="mean")
            axes.set(title=TITLES[group], xlim=(-0.2, 1.2), xticks=(0, 1), xticklabels=("before", "after"))
        panels[0].set(ylabel="MAE of ELF outside metal cores", ylim=(0, None))
        panels[0].legend(frameon=False)
        return save_figure(figure, path)


def _means(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Of each column; NaN where there is no row."""
    before, after = (sum(column) / len(pairs) for column in zip(*pairs, strict=True)) if pairs else (math.nan, math.nan)
    return before, after


def _dataset(row: Change) -> str:
    """Of an old structure, whose file is called ``dataset/file``."""
    return row.file.partition("/")[0]


def _line(text: str, before: float, after: float) -> str:
    return f"{text:44.44}{before:9.4f}{after:9.4f}"


def _short(file: str) -> str:
    return "/".join(Path(file).parts[-2:])[-28:]
