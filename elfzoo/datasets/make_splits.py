"""Write the stored splits anew from the files of a data folder: ``python -m elfzoo.datasets.make_splits ROOT``."""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from elfzoo.datasets.base import SPLITS, FieldDataset
from elfzoo.datasets.registry import DATASETS
from elfzoo.errors import ElfzooError, RecipeError
from elfzoo.field import Recipe, read_field
from elfzoo.io.files import write_bytes

__all__ = ["make_manifest", "make_splits"]

SPLITS_FOLDER = Path(__file__).parent / "splits"


def make_splits(root: str | Path, folder: str | Path = SPLITS_FOLDER) -> list[Path]:
    """Write ``{dataset}.json`` for every dataset into ``folder``; all of them are made before any is written.

    Of those that a data folder may do without, for those that are there.

    Args:
        root: folder with the datasets' folders, as :class:`FieldDataset` takes it.
        folder: where the splits go; the package's own unless stated.

    Raises:
        ElfzooError: a dataset has no files, or a file's name that no rule knows.
        RecipeError: the fields of one dataset were made by different recipes.
    """
    wanted = [dataset for dataset in DATASETS if not dataset.optional or (Path(root) / dataset.name).is_dir()]
    manifests = [make_manifest(dataset, root) for dataset in wanted]
    return [_write(manifest, Path(folder)) for manifest in manifests]


def make_manifest(dataset: type[FieldDataset], root: str | Path) -> dict[str, Any]:
    """Name, recipe, and for each split its files with their SHA-256."""
    raw_dir = Path(root) / dataset.name
    paths = sorted(raw_dir.glob("*.npz"))
    if not paths:
        raise ElfzooError(f"no .npz files in {raw_dir}; expected those of {dataset.__name__}")
    splits: dict[str, dict[str, str]] = {split: {} for split in SPLITS}
    for path in paths:
        splits[dataset.split_of(path.name)][path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"name": dataset.name, "recipe": asdict(_common_recipe(paths)), "splits": splits}


def _common_recipe(paths: Sequence[Path]) -> Recipe:
    recipes = {path.name: read_field(path).recipe for path in paths}
    first = recipes[paths[0].name]
    if first is None:
        raise RecipeError(f"{paths[0]} does not say what made it; expected engine, functional and pseudopotential")
    for name, recipe in recipes.items():
        if recipe != first:
            raise RecipeError(f"one dataset needs one recipe; {paths[0].name} has {first}, {name} has {recipe}")
    return first


def _write(manifest: dict[str, Any], folder: Path) -> Path:
    path = folder / f"{manifest['name']}.json"
    write_bytes(path, [json.dumps(manifest, indent=1).encode(), b"\n"])
    return path


def main() -> None:
    """Command line: one line per dataset with the sizes of its splits."""
    parser = argparse.ArgumentParser(prog="python -m elfzoo.datasets.make_splits", description=__doc__)
    parser.add_argument("root", type=Path, help="folder with the datasets' folders, such as benchmarks/data")
    for path in make_splits(parser.parse_args().root):
        splits = json.loads(path.read_text(encoding="utf-8"))["splits"]
        print(f"{path.stem}: " + ", ".join(f"{len(files)} {split}" for split, files in splits.items()))


if __name__ == "__main__":
    main()
