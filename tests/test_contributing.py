"""The four steps to a new architecture are all it takes: done in a copy, with the model of docs/adding-a-model.md."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from elfzoo.datasets import FluidHydrogen
from elfzoo.errors import ElfzooError
from elfzoo.examples import load_example
from tests.markdown import blocks

ROOT = Path(__file__).parents[1]
FOLDERS = ("elfzoo", "model_cards", "tests", "benchmarks/configs")
CARD = "model_cards/toy.h-v1"
GAP = "...\n"  # in a change, between two places of a file
WRITTEN = {"elfzoo/models/toy.py", "tests/models/test_toy.py", "benchmarks/configs/toy-h-v1.yaml"}
CARD_FILES = {f"{CARD}/{name}" for name in ("README.md", "config.json", "log.csv", "model.safetensors")}
USES = """
import elfzoo
from typer.testing import CliRunner
from elfzoo.cli import app


def test_toy_is_a_model_like_the_others():
    assert elfzoo.__file__ == {init!r}
    assert "toy" in elfzoo.list_models() and "toy.h-v1" in elfzoo.list_pretrained()
    values = elfzoo.load_pretrained("toy.h-v1").predict("POSCAR", spacing=0.3, progress=False).values
    assert values.std() > 0.02 and 0 <= values.min() and values.max() <= 1
    listed = CliRunner().invoke(app, ["models"]).stdout.splitlines()
    assert [line.split()[0] for line in listed if "toy" in line] == ["toy", "toy.h-v1"]
    call = ["predict", "POSCAR", "-m", "toy.h-v1", "-o", "ELFCAR", "--spacing", "0.3"]
    assert CliRunner().invoke(app, call).exit_code == 0
"""


@pytest.fixture(scope="module")
def data() -> Path:
    """Folder of the reference data, which the steps read and never copy."""
    try:
        return FluidHydrogen().raw_dir.parent
    except ElfzooError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package with its tests and cards, as a checkout has them."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "elfzoo" / "model_cards").symlink_to(folder / "model_cards")  # as an installation has them
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def contents(folder: Path) -> dict[str, str]:
    """Hash of every file of these folders."""
    files = [path for name in FOLDERS for path in (folder / name).rglob("*") if path.is_file()]
    kept = [path for path in files if "__pycache__" not in path.parts and "elfzoo/model_cards" not in path.as_posix()]
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in kept}


def take_steps(folder: Path) -> None:
    """What the page says is written by hand."""
    for block in blocks(ROOT / "docs" / "adding-a-model.md"):
        path = folder / block.title
        if block.language == "diff":
            path.write_text(changed(path.read_text(), block.code))
        elif block.title:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.code)


def changed(text: str, change: str) -> str:
    """A text with the lines marked ``+`` added behind those that stand before them."""
    for place in change.split(GAP):
        lines = place.splitlines(keepends=True)
        before = "".join(line[1:] for line in lines if line.startswith(" "))
        assert text.count(before) == 1, f"not found once: {before}"
        text = text.replace(before, "".join(line[1:] for line in lines))
    return text


def run(folder: Path, *arguments: str) -> str:
    """What Python prints that finds the package in this folder alone."""
    environment = os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    call = [sys.executable, *arguments]
    done = subprocess.run(call, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_four_steps_add_an_architecture_and_nothing_else_changes(copy: Path, data: Path) -> None:
    before = contents(copy)
    take_steps(copy)
    config = "benchmarks/configs/toy-h-v1.yaml"
    run(copy, "-m", "elfzoo", "train", config, "--out", "runs", "--data", str(data))
    shutil.copytree(copy / "runs/toy.h-v1/release", copy / CARD, dirs_exist_ok=True)

    after = contents(copy)
    assert set(after) - set(before) == WRITTEN | CARD_FILES
    assert {name for name in before if after.get(name) != before[name]} == {"elfzoo/models/__init__.py"}
    lines = [(folder / "elfzoo/models/__init__.py").read_text().splitlines() for folder in (ROOT, copy)]
    assert len(set(lines[1]) - set(lines[0])) == 3  # one import, two names

    load_example().structure.to(copy / "POSCAR", fmt="poscar")
    (copy / "test_uses.py").write_text(USES.format(init=str(copy / "elfzoo" / "__init__.py")))
    files = ("tests/models/test_contract.py", "tests/models/test_toy.py", "test_uses.py")
    passed = run(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "toy and not releases", *files)
    assert "3 passed" in passed  # the contract, which nobody had to ask for; the page's test; the one above
