"""What every dataset keeps: PyG's conventions, provenance, checksums, and nothing written."""

import hashlib
import json
import pickle
import re
import subprocess
import sys

import numpy as np
import pytest
from torch.utils.data import DataLoader

from elfzoo.datasets import CrystalHydrogen, FluidHydrogen, Hydrides, Metals
from elfzoo.datasets.base import CHECKOUT_DATA, DATA_VARIABLE
from elfzoo.errors import ElfzooError, FieldFileError, UnknownNameError
from elfzoo.field import Recipe, read_field
from tests.datasets.conftest import CUBIC, HEXAGONAL


@pytest.fixture(autouse=True)
def no_variable(monkeypatch):
    monkeypatch.delenv(DATA_VARIABLE, raising=False)


@pytest.mark.parametrize("dataset", [FluidHydrogen, CrystalHydrogen, Hydrides, Metals])
def test_all_is_the_union_of_the_splits_in_the_order_of_the_names(dataset):
    parts = [dataset(split=split).raw_file_names for split in ("train", "val", "test")]
    everything = dataset(split="all")
    assert everything.raw_file_names == sorted(file for part in parts for file in part)
    assert len(everything) == len(list((CHECKOUT_DATA / dataset.name).glob("*.npz"))) > 0


def test_a_sample_is_what_the_file_holds():
    dataset = CrystalHydrogen(split="test")
    index = dataset.raw_file_names.index(HEXAGONAL)
    structure, field = dataset[index]
    with np.load(CHECKOUT_DATA / "crystal-h" / HEXAGONAL) as raw:
        meta = json.loads(str(raw["meta"]))
        assert field.values.dtype == np.float32
        np.testing.assert_array_equal(field.values, read_field(CHECKOUT_DATA / "crystal-h" / HEXAGONAL).values)
        np.testing.assert_allclose(structure.lattice.matrix, raw["lattice"], atol=1e-12)
        np.testing.assert_allclose(structure.frac_coords, raw["frac_coords"], atol=1e-12)
        assert list(structure.atomic_numbers) == raw["numbers"].tolist()
    assert structure is field.structure
    assert field.meta["file"] == f"crystal-h/{HEXAGONAL}"
    assert field.meta["pressure_GPa"] == meta["pressure_GPa"]
    assert field.recipe == dataset.recipe == Recipe("Quantum ESPRESSO 6.7", "PBE", "GTH-PBE-q1")


def test_transform_changes_the_field_and_its_structure_goes_along(small_root):
    def shifted(field):
        return field.replace(
            structure=field.structure.copy().translate_sites([0], [0.1, 0, 0]), values=1 - field.values
        )

    dataset = CrystalHydrogen(small_root, "test", transform=shifted)
    plain, (structure, field) = dataset.get(0), dataset[0]
    np.testing.assert_array_equal(field.values, 1 - plain.field.values)
    assert structure is field.structure
    assert abs(structure.frac_coords[0, 0] - plain.structure.frac_coords[0, 0]) == pytest.approx(0.1)
    np.testing.assert_array_equal(next(iter(dataset)).field.values, field.values)


def test_slices_are_datasets_and_indices_follow_sequences(small_root):
    dataset = CrystalHydrogen(small_root, "all", transform=lambda field: field)
    assert dataset.len() == len(dataset) == 2
    assert dataset[-1].field.meta["file"] == dataset[1].field.meta["file"] == f"crystal-h/{HEXAGONAL}"
    assert [sample.field.meta["file"] for sample in dataset] == [f"crystal-h/{f}" for f in (CUBIC, HEXAGONAL)]
    part = dataset[1:]
    assert isinstance(part, CrystalHydrogen)
    assert part.transform is dataset.transform
    assert part.raw_file_names == dataset[::-1].raw_file_names[:1] == dataset.subset([1]).raw_file_names == [HEXAGONAL]
    assert part.data_hash == CrystalHydrogen(small_root, "train").data_hash
    assert len(dataset) == 2
    with pytest.raises(IndexError):
        dataset[2]


def test_pyg_conventions_hold_and_nothing_is_written(small_root):
    before = {path: path.stat().st_mtime_ns for path in small_root.rglob("*")}
    dataset = CrystalHydrogen(small_root, "all")
    dataset.process()
    dataset[0]
    assert dataset.raw_dir == dataset.processed_dir == small_root / "crystal-h"
    assert dataset.raw_file_names == dataset.processed_file_names
    assert all((dataset.processed_dir / file).suffix == ".npz" for file in dataset.processed_file_names)
    assert {path: path.stat().st_mtime_ns for path in small_root.rglob("*")} == before
    assert repr(dataset) == "CrystalHydrogen(2 fields, split='all')"


def test_an_empty_split_is_an_empty_sequence(small_root):
    dataset = CrystalHydrogen(small_root, "val")
    assert len(dataset) == 0
    assert list(dataset) == []


def test_data_hash_names_the_content_of_the_split(small_root):
    dataset = CrystalHydrogen(small_root, "all")
    sums = sorted(hashlib.sha256(path.read_bytes()).hexdigest() for path in dataset.raw_dir.iterdir())
    assert dataset.data_hash == hashlib.sha256("\n".join(sums).encode()).hexdigest()
    hashes = {split: CrystalHydrogen(small_root, split).data_hash for split in ("train", "val", "test", "all")}
    assert len(set(hashes.values())) == 4
    assert dataset[::-1].data_hash == dataset.data_hash


def test_a_changed_file_is_refused_every_time_and_the_others_still_open(small_root):
    path = small_root / "crystal-h" / CUBIC
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    dataset = CrystalHydrogen(small_root, "all")
    for attempt in (lambda: dataset[0], lambda: dataset[0], dataset.process):
        with pytest.raises(FieldFileError, match=rf"{CUBIC} is not the file .*SHA-256"):
            attempt()
    assert dataset[1].structure.num_sites == 4


def test_each_file_is_verified_once_per_process(small_root, monkeypatch):
    counted, digest = [], hashlib.file_digest
    monkeypatch.setattr(
        hashlib, "file_digest", lambda handle, name: counted.append(handle.name) or digest(handle, name)
    )
    dataset = CrystalHydrogen(small_root, "all")
    assert counted == []
    dataset[0], dataset[0], CrystalHydrogen(small_root, "test")[0]
    assert len(counted) == 1
    dataset.process()
    assert len(counted) == 2


def test_a_missing_file_is_named(small_root):
    (small_root / "crystal-h" / CUBIC).unlink()
    with pytest.raises(ElfzooError, match=rf"lacks 1 of 2 files, first {re.escape(CUBIC)}; .*{DATA_VARIABLE}"):
        CrystalHydrogen(small_root, "all")
    assert len(CrystalHydrogen(small_root, "train")) == 1


def test_a_file_that_vanishes_later_is_one_clear_error(small_root):
    dataset = CrystalHydrogen(small_root, "test")
    (small_root / "crystal-h" / CUBIC).unlink()
    with pytest.raises(FieldFileError, match=f"cannot read .*{CUBIC}: No such file"):
        dataset[0]


def test_root_comes_before_the_variable_and_the_variable_before_the_checkout(small_root, tmp_path, monkeypatch):
    assert CrystalHydrogen().raw_dir == CHECKOUT_DATA / "crystal-h"
    monkeypatch.setenv(DATA_VARIABLE, str(small_root))
    assert CrystalHydrogen().raw_dir == small_root / "crystal-h"
    assert CrystalHydrogen(str(CHECKOUT_DATA)).raw_dir == CHECKOUT_DATA / "crystal-h"


def test_absent_data_are_one_error_that_says_where_to_get_them(tmp_path, monkeypatch):
    advice = rf"benchmarks/data of elfzoo's source checkout.*root.*{DATA_VARIABLE}"
    with pytest.raises(ElfzooError, match=rf"no folder {re.escape(str(tmp_path))}/metals \(root\); .*{advice}"):
        Metals(tmp_path)
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path / "nowhere"))  # no silent fall back to the checkout
    with pytest.raises(ElfzooError, match=rf"nowhere/metals \({DATA_VARIABLE}\); .*{advice}"):
        Metals()
    monkeypatch.delenv(DATA_VARIABLE)
    monkeypatch.setattr("elfzoo.datasets.base.CHECKOUT_DATA", tmp_path / "site-packages")
    with pytest.raises(ElfzooError, match=rf"site-packages/metals \(source checkout\); .*{advice}"):
        Metals()


def test_an_unknown_split_gets_the_nearest_name():
    with pytest.raises(UnknownNameError, match="no split is called 'tests'; did you mean test"):
        FluidHydrogen(split="tests")


def test_torch_loaders_and_their_workers_can_have_it(small_root):
    dataset = pickle.loads(pickle.dumps(CrystalHydrogen(small_root, "all")))
    formulas = [structure.formula for structure, _ in DataLoader(dataset, batch_size=None)]
    assert formulas == ["H4", "H4"]


def test_importing_reads_neither_splits_nor_data():
    program = (
        "import sys; opened = []\n"
        "sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == 'open' else None)\n"
        "import elfzoo.datasets\n"
        "sys.exit(any(name.endswith('.npz') or 'splits' in name for name in opened) or not opened)"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT_DATA.parents[1]).returncode == 0
