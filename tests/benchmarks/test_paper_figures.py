"""The paper's figures on planted records: what is drawn is what the record says, and gaps are told."""

from __future__ import annotations

import csv
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from pymatgen.core import Lattice, Structure

from elfzoo.benchmark import Benchmark
from elfzoo.card import read_history
from elfzoo.errors import ElfzooError, UnknownNameError
from elfzoo.field import Field
from elfzoo.io.symmetric import write_reference
from tests.benchmark.conftest import ENTRANTS, task_file

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import paper_figure_1
import paper_figure_3
import paper_figures
from paper_crystals import CUBIC, HEXAGONAL
from paper_predictions import Predicted, Predictor
from paper_report import TRAINING, Sources

from tests.benchmarks.paper_records import BY_ELF, CUBIC_ROWS, HISTORY, crystal_row, record_of, sources, without

CELL = Structure(Lattice.cubic(3.0), ["H", "H"], [[0.2, 0.2, 0.2], [0.2, 0.2, 0.45]])


# ---- pictures ----


def shown_pair(row: dict[str, Any], shift: float) -> Predicted:
    """A wave along z, and a prediction that is off on one plane across z."""
    values = np.broadcast_to(0.5 + 0.4 * np.cos(2 * np.pi * np.arange(8) / 8), (8, 8, 8)).copy()
    guess = values.copy()
    guess[:, :, 3] += shift
    return Predicted(row, Field(values, CELL), Field(guess, CELL))


class Known:
    """Hands out planted predictions."""

    def attempt(self, record: dict[str, Any], rows: list[dict[str, Any]]) -> tuple[list[Predicted], str]:
        return [shown_pair(row, 0.05) for row in rows], ""


class Unable:
    """Has none."""

    def attempt(self, record: dict[str, Any], rows: list[dict[str, Any]]) -> tuple[list[Predicted], str]:
        return [], "The data are not there."


def words(figure: Figure) -> str:
    """All text of a figure's panels, in one line."""
    return " ".join(" ".join(text.get_text() for axes in figure.get_axes() for text in axes.texts).split())


def test_figure_1_draws_the_record() -> None:
    figure = paper_figure_1.figure_1(sources(), Known())
    density, training, errors, parity = figure.get_axes()[:4]
    (container,) = errors.containers
    x, y = container.lines[0].get_data()
    np.testing.assert_allclose(x, [0.125, 0.375, 0.625, 0.875])
    np.testing.assert_allclose(y, np.array(BY_ELF["bias"], float))
    bars = np.array(container.lines[2][0].get_segments()[:3])[:, :, 1]
    np.testing.assert_allclose(np.diff(bars).ravel(), 2 * np.array(BY_ELF["mae"][:3]))
    drawn = {line.get_label(): line.get_data()[1] for line in training.lines}
    np.testing.assert_array_equal(drawn["training loss"], HISTORY["loss"])
    np.testing.assert_array_equal(drawn["MAE fluid-h/val"], HISTORY["mae fluid-h/val"])
    values, edges, _ = density.patches[0].get_data()
    assert (values * np.diff(edges)).sum() == pytest.approx(1)
    assert [patch.get_label() for patch in density.patches[::2]] == ["76.0 GPa", "138.5 GPa"]
    assert float(parity.collections[0].get_array().sum()) == pytest.approx(100)  # % of all voxels
    assert "all 3 snapshots (paper) MAE 0.0190 (0.0190) RMSE 0.0100 (0.0271) R² 0.9920 (0.992)" in words(figure)


def test_figure_1_says_what_it_lacks() -> None:
    figure = paper_figure_1.figure_1(without(sources(), TRAINING), Unable())
    told = words(figure)
    assert told.count("The data are not there.") == 2 and "toy has no history of its training" in told
    assert [axes.axison for axes in figure.get_axes()[:4]] == [False, False, True, False]


def test_figure_3_draws_the_record() -> None:
    cubic, hexagonal, parity = paper_figure_3.figure_3(sources()).get_axes()
    drawn = {item.get_label(): np.asarray(item.get_offsets()) for item in cubic.collections}
    np.testing.assert_allclose(drawn["R² identity"], [[0.2, 0.001], [0.5, 0.1], [0.7, 0.03]])
    np.testing.assert_allclose(drawn["R² correlated"], [[0.2, 0.0005], [0.5, 0.03], [0.7, 0.02]])
    np.testing.assert_allclose(drawn["R² identity (paper's examples)"], [[0.23, 0.01]])
    means = {line.get_label(): line.get_ydata()[0] for line in cubic.lines}
    assert means == pytest.approx({"mean R² identity (paper)": 0.04, "mean R² identity": 0.02})
    assert len(hexagonal.collections) == 4
    drawn = {item.get_label(): np.asarray(item.get_offsets()) for item in parity.collections}
    name = "hexagonal: MAE 0.040 (paper 0.046), R² 0.920 (0.86, 0.866)"
    np.testing.assert_allclose(drawn[name], [[0.4, 0.5], [0.15, 0.15]])


def test_figure_3_says_what_it_lacks() -> None:
    figure = paper_figure_3.figure_3(without(sources(), HEXAGONAL))
    assert "toy has no record of crystal-h-hexagonal" in words(figure)
    outside = record_of(CUBIC, CUBIC_ROWS, {}, entrant={"source": "toys.py:make"})
    told = words(paper_figure_3.figure_3(Sources("toy", {CUBIC: outside})))
    assert "`elfzoo benchmark -m toys.py:make -t crystal-h-hexagonal` makes it" in told
    cubic, hexagonal, parity = figure.get_axes()
    assert cubic.collections and not hexagonal.collections and not hexagonal.axison
    assert "hexagonal: not measured" in parity.get_legend_handles_labels()[1]
    figure = paper_figure_3.figure_3_examples(sources(), Unable())
    assert words(figure).count("The data are not there.") == 3
    unknown = Sources("toy", {CUBIC: record_of(CUBIC, CUBIC_ROWS[3:], {})})
    assert "No crystal" in words(paper_figure_3.figure_3_examples(unknown, Known()))


def test_examples_show_the_plane_of_the_largest_residual() -> None:
    residual = shown_pair(CUBIC_ROWS[0], 0.05).residual
    plane = paper_figure_3.worst_plane(residual)
    assert plane.origin == pytest.approx((0, 0, 3 / 8)) and np.cross(plane.edge_u, plane.edge_v)[2] == pytest.approx(1)
    figure = paper_figure_3.figure_3_examples(sources(), Known())
    titles = [row.get_suptitle() for row in figure.subfigs]
    assert titles[1].startswith("E  cubic_002, ") and titles[1].endswith("systematic offset: R² 0.90/0.97, φ 0.45/0.50")
    reference, shown, _ = figure.subfigs[0].get_axes()[:3]
    np.testing.assert_allclose(shown.collections[0].get_array(), 0.05, atol=1e-6)
    np.testing.assert_allclose(reference.collections[0].get_array(), 0.5 - 0.4 / np.sqrt(2), atol=1e-6)


# ---- predictions ----


@pytest.fixture
def waves(tmp_path: Path) -> dict[str, Any]:
    """The record of an entrant on one small crystal, with the error that it has."""
    (tmp_path / "strangers.py").write_text(ENTRANTS)
    task = str(task_file(tmp_path / "tiny.yaml", starts_with="cubic_027", parts=["voxels"]))
    spec = f"{tmp_path}/strangers.py:waves"
    benchmark = Benchmark(spec, task, tmp_path)
    structure, reference = benchmark.data[0]
    guess = benchmark.entrant.predict("", structure, reference.grid)
    row = crystal_row(benchmark.names[0], 0.9, 0.9, 0.3, 0.0)
    row["voxels"]["mae"] = float(np.abs(guess.values - reference.values).mean())
    return record_of(task, [row], {}, model="waves", entrant={"source": spec})


def test_predictions_are_made_anew_and_must_be_those_of_the_record(waves: dict[str, Any], tmp_path: Path) -> None:
    (row,), predictor = waves["structures"], Predictor(None, tmp_path)
    found = predictor.predict(waves, row)
    x, y, z = (2 * np.pi * np.arange(n) / n for n in found.reference.grid.shape)
    expected = 0.5 + 0.1 * (np.cos(x)[:, None, None] + np.cos(y)[:, None] + np.cos(z))
    np.testing.assert_allclose(found.prediction.values, expected, atol=1e-12)
    np.testing.assert_allclose(found.residual.values, expected - found.reference.values, atol=1e-12)
    row["voxels"]["mae"] += 0.001
    with pytest.raises(ElfzooError, match="make the record anew"):
        predictor.predict(waves, row)
    assert predictor.attempt(waves, [row])[0] == []
    with pytest.raises(ElfzooError, match="has no structure cubic_999"):
        predictor.predict(waves, row | {"file": "crystal-h/cubic_999.npz"})


def test_kept_predictions_are_used_where_they_are_those_of_the_record(waves: dict[str, Any], tmp_path: Path) -> None:
    """On twice the grid, as they are kept; another file of the same name is not taken."""
    (row,), predictor = waves["structures"], Predictor(None, tmp_path)
    reference = predictor.predict(waves, row).reference
    fine = np.full([2 * n for n in reference.grid.shape], 0.9)
    fine[::2, ::2, ::2] = 0.25
    path = tmp_path / "waves" / "tiny" / "predictions" / f"{Path(row['file']).stem}.npz"
    path.parent.mkdir(parents=True)
    write_reference(Field(fine, reference.structure), path, symmetric=False)
    assert predictor.predict(waves, row).prediction.values.std() > 0.1
    row["prediction_sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    row["voxels"]["mae"] = float(np.abs(0.25 - reference.values).mean())
    np.testing.assert_allclose(predictor.predict(waves, row).prediction.values, 0.25, atol=1e-4)


# ---- the page ----


def test_page_from_records_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for task, record in without(sources(), HEXAGONAL).records.items():
        (tmp_path / task).mkdir()
        (tmp_path / task / "toy.json").write_text(json.dumps(record))
    out = tmp_path / "figures"
    paper_figures.main(["toy", "--results", str(tmp_path), "--work", str(tmp_path), "--out", str(out)])
    names = [f"{name}-toy.png" for name in ("paper-fig1", "paper-fig3", "paper-fig3-examples")]
    assert sorted(path.name for path in out.iterdir()) == sorted([*names, "PAPER.md"])
    text = (out / "PAPER.md").read_text()
    assert all(f"]({name})" in text for name in names) and "residuals-fluid-h-toy" not in text
    assert (
        "toy has no record of crystal-h-hexagonal; `elfzoo benchmark -m toy -t crystal-h-hexagonal` makes it." in text
    )
    assert "elfzoo has no record of grid-mlp-scans; `python benchmarks/study.py grid-mlp-scans` makes it." in text
    assert "3 fluid snapshots of 128 to 128 atoms, 4 cubic crystals of 4 to 4 atoms" in " ".join(text.split())
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| D: MAE, all voxels")]
    assert rows[0][1] == "0.0190" and rows[0][-1] == "0.0190: **agrees** |"
    assert "C: no bias at any ELF (\\|mean error\\|" in text
    assert "| `toy` | cubic_002 | lowest R² | 0.50 | 0.45 | 290.0 | 252.5 |" in text
    with pytest.raises(UnknownNameError, match="did you mean toy"):
        paper_figures.main(["toyy", "--results", str(tmp_path), "--out", str(out)])


def test_history_is_read_from_the_log_of_a_training(tmp_path: Path) -> None:
    with open(tmp_path / "log.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HISTORY)
        writer.writerows(zip(*HISTORY.values(), strict=True))
    assert read_history(tmp_path / "log.csv") == HISTORY
