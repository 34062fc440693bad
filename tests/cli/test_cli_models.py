"""``elfzoo models``, ``elfzoo train`` and ``elfzoo demo``."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import Result

from elfzoo import load_pretrained, read_field
from elfzoo.card import read_card
from elfzoo.examples import example_path, load_example
from tests.cli.conftest import error_line

Run = Callable[..., Result]
DATA = Path(__file__).parents[2] / "benchmarks" / "data"
CONFIG = """
name: grid_mlp.tiny-v0
architecture: grid_mlp
model: {{hidden: [4], descriptor: {{n_radial: 2, l_max: 1}}}}
train: [{{dataset: fluid-h, split: train, points: 64, structures: 1}}]
validate: [{{dataset: fluid-h, split: val, points: 32, structures: 1, sampling: uniform}}]
batch_size: 64
epochs: {epochs}
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release made by the command, in a folder of runs."""
    from typer.testing import CliRunner

    from elfzoo.cli import app

    folder = tmp_path_factory.mktemp("train")
    (folder / "config.yaml").write_text(CONFIG.format(epochs=2))
    call = ["train", str(folder / "config.yaml"), "--out", str(folder / "runs"), "--data", str(DATA)]
    result = CliRunner().invoke(app, call)
    assert result.exit_code == 0, result.output
    assert "MAE 0." in result.stdout and "fluid-h/val" in result.stdout
    return folder / "runs" / "grid_mlp.tiny-v0" / "release"


def test_models_lists_architectures(elfzoo: Run) -> None:
    result = elfzoo("models")
    assert result.exit_code == 0 and "grid_mlp" in result.stdout and "power spectrum" in result.stdout


def test_models_lists_releases(elfzoo: Run, trained: Path, release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elfzoo.card.shipped_releases", lambda: {"a": trained, "b": release})
    short, long = elfzoo("models").stdout, elfzoo("models", "--long").stdout
    assert "grid_mlp.tiny-v0" in short and "grid_mlp.test-v0" in short and "GTH-PBE-q1" in short
    size = sum(p.numel() for p in load_pretrained(trained).parameters())
    assert f"{size:,} parameters" in long
    assert "fluid-h/train, 1 structures, 64 stratified points of each" in long
    error = read_card(trained).training["validation_mae"]["fluid-h/val"]
    assert f"{error:.4f} fluid-h/val (all voxels, sampled)" in long
    assert long.count("not stated") == 3  # what the untrained one was trained on, its domain and its error


def test_a_trained_release_predicts(elfzoo: Run, trained: Path) -> None:
    result = elfzoo("predict", example_path(), "-m", trained, "-o", "elf.npz", "--grid", 4, 4, 4)
    assert result.exit_code == 0 and read_field("elf.npz").meta["predicted_by"] == "grid_mlp.tiny-v0"


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (CONFIG.format(epochs=1) + "lerning_rate: 0.1\n", "did you mean 'learning_rate'?"),
        (CONFIG.format(epochs="many"), "epochs"),
        ("name: [", "not valid YAML"),
        ("", "expected a mapping"),
        (CONFIG.format(epochs=1).replace("grid_mlp\n", "grid_mpl\n"), "did you mean grid_mlp"),
    ],
)
def test_a_wrong_configuration_is_one_line(elfzoo: Run, text: str, part: str) -> None:
    Path("config.yaml").write_text(text)
    assert part in error_line(elfzoo("train", "config.yaml", "--data", DATA))


def test_configurations_and_data_that_are_not_there(elfzoo: Run) -> None:
    assert "no such configuration file: no.yaml" in error_line(elfzoo("train", "no.yaml"))
    Path("config.yaml").write_text(CONFIG.format(epochs=1))
    assert "nowhere" in error_line(elfzoo("train", "config.yaml", "--data", "nowhere"))


@pytest.mark.parametrize(("options", "hint"), [((), "the same command"), (("--fresh",), "without --fresh")])
def test_an_interrupted_training_says_how_to_go_on(
    elfzoo: Run, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], hint: str
) -> None:
    def interrupted(*_: object, **__: object) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr("elfzoo.training.train", interrupted)
    Path("config.yaml").write_text(CONFIG.format(epochs=1))
    result = elfzoo("train", "config.yaml", *options)
    assert result.exit_code == 130 and result.stderr.count("\n") == 1
    assert result.stderr.startswith("elfzoo: error: interrupted") and hint in result.stderr


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX")
def test_ctrl_c_ends_a_training_process_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(CONFIG.format(epochs=1_000_000))
    call = [sys.executable, "-c", "from elfzoo.cli import main; main()", "train", "config.yaml", "--data", str(DATA)]
    process = subprocess.Popen(call, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    try:
        log = tmp_path / "runs" / "grid_mlp.tiny-v0" / "log.csv"
        for _ in range(600):
            if log.exists() or process.poll() is not None:
                break
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130 and errors.count("\n") == 1 and "interrupted" in errors, errors
    assert (log.parent / "checkpoint.safetensors").exists()
    assert not [path for path in log.parent.iterdir() if path.name.startswith(".")]


def test_demo(elfzoo: Run, release: Path) -> None:
    result = elfzoo("demo", "--out", "new/demo", "-m", release)
    assert result.exit_code == 0, result.output
    field, reference = read_field("new/demo/ELFCAR"), load_example()
    assert field.grid.shape == reference.grid.shape
    mae = np.abs(field.values - reference.values).mean()
    row = next(line for line in result.stdout.splitlines() if line.startswith("MAE"))
    assert float(row.split()[1]) == pytest.approx(mae, abs=2e-5)
    assert Path("new/demo/comparison.png").read_bytes().startswith(b"\x89PNG")
    for said in ("P6_522 (179)", "32,400 points", "crystals", "next:", "new/demo/ELFCAR"):
        assert said in result.stdout


def test_demo_without_its_model_or_its_folder(elfzoo: Run, release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elfzoo.hub.load.shipped_releases", dict)
    assert "probe_graph.h-v2" in error_line(elfzoo("demo"))
    Path("file").write_text("")
    assert "file" in error_line(elfzoo("demo", "--out", "file", "-m", release))


def test_the_example_is_a_small_complete_dft_field() -> None:
    field = load_example()
    assert example_path().stat().st_size < 20_000
    assert field.recipe is not None and field.meta["scf_converged"] and field.quantity == "elf"
    assert field.structure.composition.formula == "H12" and field.grid.shape == (30, 30, 36)


def test_finetune(elfzoo: Run, trained: Path) -> None:
    Path("mine").mkdir()
    for name in ("LiH_Fm-3m_eq", "YH6_Im-3m_eq", "KH_Pm-3m_eq"):
        source = DATA / "hydrides" / f"{name}.npz"
        Path("mine", source.name).write_bytes(source.read_bytes())
    few = ("--epochs", 2, "--points", 40, "--replay", 0.5, "--old-data", DATA)
    result = elfzoo("finetune", "-m", trained, "--data", "mine", "--name", "grid_mlp.mine-v1", *few)
    assert result.exit_code == 0, result.output
    assert "held out (1)" in result.stdout and "learned from (2)" in result.stdout and "before" in result.stdout
    release = Path("runs/grid_mlp.mine-v1/release")
    assert read_card(release).elements == ("H", "K", "Li", "Y") or set(read_card(release).elements) >= {"H"}
    assert Path("runs/grid_mlp.mine-v1/report.png").is_file()
    again = elfzoo("predict", "mine/LiH_Fm-3m_eq.npz", "-m", release, "-o", "elf.npz", "--grid", 4, 4, 4)
    assert again.exit_code == 0


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (("--data", "nowhere"), "no folder nowhere"),
        (("--data", ".",), "holds no field files"),
        (("--data", ".", "--method", "magic"), "'full', 'low_rank', 'head' or 'calibrate' (got 'magic')"),
        (("--data", ".", "-m", "grid_mlp.none-v1"), "no shipped release, folder or repository"),
    ],
)  # fmt: skip
def test_finetune_says_what_is_wrong(elfzoo: Run, options: tuple[str, ...], part: str) -> None:
    assert part in error_line(elfzoo("finetune", *options))
