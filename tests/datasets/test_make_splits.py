"""Splits made from the names of files."""

import hashlib
import json

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from elfzoo.datasets import CrystalHydrogen, FluidHydrogen, Hydrides, Metals, make_splits
from elfzoo.errors import ElfzooError, RecipeError, UnknownNameError
from elfzoo.field import Field, Recipe

FILES = {
    "fluid-h": {"fluid_76.0GPa_A_f0001.npz": "train", "fluid_9GPa_N250_f10.npz": "test", "fluid_9GPa_C_f2.npz": "val"},
    "crystal-h": {"cubic_003.npz": "test", "hexagonal_014.npz": "val", "cubic_070.npz": "train"},
    "hydrides": {"LaH10_Fm-3m_eq.npz": "test", "YH9_P6_3mmc_v0.95.npz": "train", "ZrH2_I4mmm_rattle0.10.npz": "val"},
    "metals": {"Al_fcc_V0.8.npz": "test", "AuSn_B8_1_V1.0.npz": "val", "Ag3Mg_L1_2_P20.npz": "train"},
}
QE = Recipe("Quantum ESPRESSO 6.7", "PBE", "GTH-PBE-q1")


def write(path, value=0.5, recipe=QE):
    structure = Structure(Lattice.cubic(2.0), ["H"], [[0, 0, 0]])
    path.parent.mkdir(parents=True, exist_ok=True)
    Field(np.full((4, 4, 4), value), structure, recipe=recipe).write(path)


@pytest.fixture
def root(tmp_path):
    for i, (name, files) in enumerate(FILES.items()):
        for j, file in enumerate(files):
            write(tmp_path / "data" / name / file, value=(10 * i + j) / 100)
    (tmp_path / "splits").mkdir()
    return tmp_path / "data"


def test_files_go_where_their_names_say(root):
    paths = make_splits.make_splits(root, root.parent / "splits")
    assert [path.name for path in paths] == [f"{name}.json" for name in FILES]
    for path, (name, files) in zip(paths, FILES.items(), strict=True):
        manifest = json.loads(path.read_text())
        assert (manifest["name"], Recipe(**manifest["recipe"])) == (name, QE)
        found = {file: split for split, members in manifest["splits"].items() for file in members}
        assert found == files
        for members in manifest["splits"].values():
            for file, sha256 in members.items():
                assert sha256 == hashlib.sha256((root / name / file).read_bytes()).hexdigest()


def test_the_command_prints_the_sizes(root, monkeypatch, capsys):
    target, original = root.parent / "splits", make_splits.make_splits
    monkeypatch.setattr(make_splits, "make_splits", lambda root: original(root, target))
    monkeypatch.setattr("sys.argv", ["make_splits", str(root)])
    make_splits.main()
    assert capsys.readouterr().out.splitlines()[:2] == [
        "fluid-h: 1 train, 1 val, 1 test",
        "crystal-h: 1 train, 1 val, 1 test",
    ]


@pytest.mark.parametrize(
    ("dataset", "file"),
    [
        (FluidHydrogen, "fluid_76.0GPa_E_f0001.npz"),
        (FluidHydrogen, "fluid_76.0GPa_f0001.npz"),
        (FluidHydrogen, "fluid_76.0GPa_N_f0001.npz"),
        (CrystalHydrogen, "cubic_7.npz"),
        (CrystalHydrogen, "tetragonal_007.npz"),
        (Hydrides, "LaH10.npz"),
        (Hydrides, "lanthanum_Fm-3m_eq.npz"),
        (Metals, "Al_fcc.npz"),
    ],
)
def test_a_name_that_no_rule_knows_is_refused(dataset, file):
    with pytest.raises(ElfzooError, match=f"{file} is no .*; expected "):
        dataset.split_of(file)


def test_a_composition_without_a_side_is_refused():
    with pytest.raises(UnknownNameError, match="CaH7"):
        Hydrides.split_of("CaH7_Im-3m_eq.npz")
    with pytest.raises(UnknownNameError, match="Fe"):
        Metals.split_of("Fe_bcc_V1.0.npz")


def test_two_recipes_in_one_dataset_are_refused_and_nothing_is_written(root):
    write(root / "metals" / "Cu_fcc_V1.0.npz", recipe=Recipe("GPAW 26.7.0", "PBE", "PAW"))
    with pytest.raises(RecipeError, match=r"Ag3Mg_L1_2_P20\.npz has .*ESPRESSO.* Cu_fcc_V1\.0\.npz has .*GPAW"):
        make_splits.make_splits(root, root.parent / "splits")
    assert list((root.parent / "splits").iterdir()) == []


def test_a_file_without_recipe_or_a_folder_without_files_is_refused(root):
    write(root / "hydrides" / "CaH6_Im-3m_eq.npz", recipe=None)
    with pytest.raises(RecipeError, match=r"CaH6_Im-3m_eq\.npz does not say what made it"):
        make_splits.make_splits(root, root.parent / "splits")
    for path in (root / "fluid-h").iterdir():
        path.unlink()
    with pytest.raises(ElfzooError, match=r"no \.npz files in .*fluid-h; expected those of FluidHydrogen"):
        make_splits.make_splits(root, root.parent / "splits")
