"""Each rule of a folder of labels, with an error planted for it, on small synthetic fields."""

from __future__ import annotations

import numpy as np
import pytest
import yaml
from pymatgen.core import Lattice, Structure

from elfzoo.config import to_dict
from elfzoo.errors import ElfzooError
from elfzoo.field import Field, Recipe
from elfzoo.grid import Grid
from elfzoo.io.symmetric import write_reference
from elfzoo.reference.check import REQUIRED_META, Problem, check_folder
from elfzoo.reference.recipe import find_recipe
from elfzoo.symmetry import space_group_operations

META = {
    "engine": "Quantum ESPRESSO 6.7",
    "functional": "PBE",
    "pseudopotential": "GTH-PBE-q1",
    "pseudopotential_sha256": {"H.UPF": "ab" * 32},
    "cutoff_eV": 1360.0,
    "k_mesh": [4, 4, 4],
    "k_spacing": 0.2,
    "smearing": "fermi-dirac",
    "smearing_width_eV": 0.129,
    "pressure_GPa": 100.0,
    "energy_eV": -30.0,
    "largest_force_eV_A": 0.001,
    "scf_converged": True,
    "wall_seconds": 12.0,
    "recipe_hash": "0123",
    "origin": "made up for a test",
}
HEXAGONAL = Lattice.hexagonal(1.7, 2.3)


def p65(x=0.21):
    return Structure.from_spacegroup("P6522", HEXAGONAL, ["H"], [[x, 0.33, 0.07]])


STRUCTURES = {
    "P6_522": p65(),
    "P6_122": Structure.from_spacegroup("P6122", Lattice.hexagonal(1.9, 2.5), ["H"], [[0.3, 0.21, 0.05]]),
    "Fd-3m": Structure.from_spacegroup("Fd-3m", Lattice.cubic(2.4), ["C"], [[0, 0, 0]]).get_primitive_structure(),
    "P1": Structure([[1.6, 0.1, 0], [-0.4, 1.5, 0.2], [0.3, 0.2, 1.9]], ["H"] * 2, [[0, 0, 0.1], [0.4, 0.3, 0.7]]),
}
STRUCTURES["P1"].append("Na", [0.7, 0.61, 0.33])


def label(structure, name, spacing=0.1, meta=None, grid=None):
    """A field with the symmetry of its structure and a whole record."""
    grid = grid or Grid.for_symmetry(structure.lattice.matrix, spacing, *space_group_operations(structure))
    distances = structure.lattice.get_all_distances(grid.frac_coords(), structure.frac_coords)
    values = 1 / (1 + np.exp(2 - 6 * np.exp(-((distances / 0.4) ** 2)).sum(axis=1)))
    meta = {**META, "group": name, **(meta or {})}
    meta = {key: value for key, value in meta.items() if value is not None}
    return Field(values.reshape(grid.shape), structure, recipe=Recipe.from_meta(meta), meta=meta)


def put(folder, name, structure, **options):
    write_reference(label(structure, name, **options), folder / f"{name}.npz")


@pytest.fixture
def folder(tmp_path):
    """Four good labels."""
    for name, structure in STRUCTURES.items():
        put(tmp_path, name, structure)
    return tmp_path


def rules(folder, split_of=None):
    return [(problem.file.removesuffix(".npz"), problem.rule) for problem in check_folder(folder, split_of)]


def by_prefix(file):
    split, _, rest = file.partition("_")
    if not rest or split not in ("train", "test"):
        raise ElfzooError(f"{file} belongs to no split")
    return split


def test_good_labels_have_no_problems(folder):
    assert check_folder(folder) == [] == check_folder(folder, lambda file: "test" if file < "P" else "train")


def test_a_folder_without_labels_is_refused(tmp_path):
    with pytest.raises(ElfzooError, match=r"no \.npz files in"):
        check_folder(tmp_path)


def test_files_that_cannot_be_read_are_reported_and_the_others_still_checked(folder):
    data = (folder / "P1.npz").read_bytes()
    (folder / "cut.npz").write_bytes(data[: len(data) // 2])
    (folder / "empty.npz").touch()
    (folder / "text.npz").write_text("nothing")
    put(folder, "coarse", p65(0.1), spacing=0.14)
    expected = [("coarse", "spacing"), ("cut", "unreadable"), ("empty", "unreadable"), ("text", "unreadable")]
    assert rules(folder) == expected


@pytest.mark.parametrize("value", [1.0005, -0.2, np.nan])
def test_values_that_are_no_elf(folder, value):
    field = label(p65(0.1), "bad")
    field.values[1, 2, 3] = value
    field.write(folder / "bad.npz")
    assert rules(folder) == [("bad", "range")]


@pytest.mark.parametrize("key", REQUIRED_META)
def test_a_record_that_lacks_an_entry(folder, key):
    put(folder, "P1", STRUCTURES["P1"], meta={key: None})
    problems = [problem for problem in check_folder(folder) if problem.rule == "meta"]
    assert [problem.file for problem in problems] == ["P1.npz"] and problems[0].message.endswith(f" lacks {key}")


@pytest.mark.parametrize("state", [False, "yes", 0])
def test_an_scf_that_did_not_converge(folder, state):
    put(folder, "P1", STRUCTURES["P1"], meta={"scf_converged": state})
    assert rules(folder) == [("P1", "scf")]


def test_one_recipe_for_all(folder):
    put(folder, "P6_122", STRUCTURES["P6_122"], meta={"engine": "GPAW 26.7.0"})
    put(folder, "P1", STRUCTURES["P1"], meta={"recipe_hash": "9999"})
    problems = check_folder(folder)
    assert rules(folder) == [("P1", "recipe-hash"), ("P6_122", "recipe")]
    assert problems[0].message == "made by recipe 9999, most others by recipe 0123"
    assert "GPAW 26.7.0" in problems[1].message and "Quantum ESPRESSO 6.7" in problems[1].message


@pytest.mark.parametrize("name", ["P6_522", "P6_122", "Fd-3m"])
def test_a_grid_that_the_space_group_does_not_map(folder, name):
    structure = STRUCTURES[name]
    good = label(structure, name).grid.shape
    put(folder, name, structure, grid=Grid((good[0], good[1], good[2] + 1), structure.lattice.matrix))
    assert rules(folder) == [(name, "grid-symmetry")]


def test_a_field_off_its_space_group(folder):
    field = label(STRUCTURES["P6_522"], "P6_522")
    values = field.values.copy()
    values[1, 2, 3] += 0.003
    write_reference(field.replace(values=values), folder / "P6_522.npz")
    assert rules(folder) == [("P6_522", "symmetry")]
    values[1, 2, 3] -= 0.002
    write_reference(field.replace(values=values), folder / "P6_522.npz")
    assert rules(folder) == []


def test_a_field_that_was_averaged_too_much(folder):
    field = label(STRUCTURES["Fd-3m"], "Fd-3m", meta={"symmetry_deviation": 0.004})
    write_reference(field, folder / "Fd-3m.npz")
    assert rules(folder) == [("Fd-3m", "symmetry")]


def test_a_field_for_the_mirror_image_of_its_structure(folder):
    """The screw axes of P6_122 and P6_522 differ in their sense alone."""
    values = label(STRUCTURES["P6_522"], "").values[:, :, ::-1]
    write_reference(label(STRUCTURES["P6_522"], "P6_522").replace(values=values.copy()), folder / "P6_522.npz")
    assert rules(folder) == [("P6_522", "symmetry")]


def test_values_that_would_not_survive_storage(folder):
    label(STRUCTURES["P1"], "P1").write(folder / "P1.npz")
    assert rules(folder) == [("P1", "round-trip")]


def test_whole_grids_of_the_old_layout_are_good(folder):
    """uint16 on the whole grid, though the asymmetric unit would do."""
    field = label(STRUCTURES["P6_522"], "P6_522")
    field.write(folder / "P6_522.npz")
    with np.load(folder / "P6_522.npz") as archive:
        arrays = {**archive, "elf": np.rint(archive["elf"] * 65535).astype(np.uint16)}
    np.savez(folder / "P6_522.npz", **arrays)
    assert rules(folder) == []


def test_duplicates_in_one_split(folder):
    moved = p65()
    moved.translate_sites(list(range(len(moved))), [0, 0, 0.5])  # onto another axis of the same group
    put(folder, "copy", moved)
    assert rules(folder) == [("copy", "duplicate")] and "P6_522.npz" in check_folder(folder)[0].message


def test_a_supercell_in_another_split_is_a_duplicate(tmp_path):
    put(tmp_path, "train_small", STRUCTURES["P1"])
    put(tmp_path, "test_large", STRUCTURES["P1"].make_supercell([2, 1, 1], in_place=False))
    assert rules(tmp_path, by_prefix) == [("train_small", "duplicate-across-splits")]


def test_near_duplicates_are_refused_across_splits_only(tmp_path):
    strained = p65()
    strained.apply_strain([0.01, 0.01, -0.015])
    put(tmp_path, "train_a", p65())
    put(tmp_path, "train_b", strained)
    assert rules(tmp_path, by_prefix) == []
    put(tmp_path, "test_a", strained)
    assert rules(tmp_path, by_prefix) == [
        ("train_a", "duplicate-across-splits"),
        ("train_b", "duplicate-across-splits"),
    ]


def test_other_densities_and_other_crystals_are_no_duplicates(tmp_path):
    denser = p65()
    denser.scale_lattice(0.93 * denser.volume)
    put(tmp_path, "train_a", p65())
    put(tmp_path, "test_a", denser)
    put(tmp_path, "test_b", p65(0.02))
    assert rules(tmp_path, by_prefix) == []


def frame(seed, atoms=64):
    """Atoms in a fluid, more than 0.6 Å apart."""
    rng, coords, lattice = np.random.default_rng(seed), [], Lattice.cubic(5.2)
    while len(coords) < atoms:
        trial = rng.random(3)
        if not coords or lattice.get_all_distances(trial, coords).min() > 0.6:
            coords.append(trial)
    return Structure(lattice, ["H"] * atoms, coords)


def test_frames_of_trajectories(tmp_path, monkeypatch):
    """Only a frame that is another one in disguise goes through the slow matcher."""
    import elfzoo.reference.check as check

    calls, original = [], check.StructureMatcher.fit
    monkeypatch.setattr(check.StructureMatcher, "fit", lambda self, *a: calls.append(a) or original(self, *a))
    disguised = frame(1)
    disguised.translate_sites(list(range(64)), [0.3, 0.1, 0.7])
    disguised = Structure.from_sites([disguised[i] for i in np.random.default_rng(0).permutation(64)])
    disguised.perturb(0.002)
    for name, structure in (("train_a", frame(1)), ("train_b", frame(2)), ("test_a", disguised), ("test_b", frame(3))):
        put(tmp_path, name, structure, grid=Grid((52, 4, 4), structure.lattice.matrix))
    found = [pair for pair in rules(tmp_path, by_prefix) if pair[1] != "spacing"]
    assert found == [("train_a", "duplicate-across-splits")] and len(calls) == 1


def test_a_group_in_two_splits(folder):
    for old, new in (("P1", "train_a"), ("P6_522", "test_a"), ("P6_122", "test_b"), ("Fd-3m", "train_b")):
        (folder / f"{old}.npz").unlink()
        put(folder, new, STRUCTURES[old], meta={"group": "one" if new.endswith("a") else new})
    assert check_folder(folder, by_prefix) == [
        Problem("train_a.npz", "group-across-splits", "group 'one' is in train, and with test_a.npz in test")
    ]
    assert check_folder(folder) == []


def test_a_name_that_belongs_to_no_split(folder):
    assert rules(folder, by_prefix) == [(name, "split") for name in sorted(STRUCTURES)]


@pytest.mark.parametrize(
    ("entries", "found"),
    [
        ({"relaxation": {"converged": False}}, []),
        ({"relaxation": {"converged": False}, "largest_force_eV_A": 1.6}, [("P1", "residual")]),
        ({"relaxation": {"converged": True}, "pressure_GPa": 116.0}, [("P1", "residual")]),
        ({"relaxation": {"converged": True}, "pressure_GPa": 116.0, "pressure_target": 116.0}, []),
        ({"largest_force_eV_A": 9.0}, []),  # it was never relaxed
    ],
)
def test_relaxed_structures_keep_the_limits_of_the_recipe(tmp_path, entries, found):
    put(tmp_path, "P1", STRUCTURES["P1"], meta=entries)
    assert rules(tmp_path) == []
    recipe = find_recipe("crystal-h")
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(to_dict(recipe)))
    assert (recipe.residuals.force, recipe.residuals.pressure, recipe.relax.pressure) == (1.5, 15.0, 100.0)
    assert rules(tmp_path) == found


def put_density(folder, name, structure, factor=1.0, **meta):
    field = label(structure, name, meta={"valence": {"H": 1}, "valence_electrons": len(structure), **meta})
    values = field.values / field.values.mean() * factor * len(structure) / structure.volume
    write_reference(field.replace(values=values, quantity="density"), folder / f"{name}.npz")


@pytest.mark.parametrize("name", ["P6_522", "P1"])
def test_a_density_holds_its_electrons(tmp_path, name):
    put_density(tmp_path, name, STRUCTURES[name], 1.0008)
    assert rules(tmp_path) == []
    put_density(tmp_path, name, STRUCTURES[name], 0.9985)
    assert rules(tmp_path) == [(name, "electrons")]
    assert "expected" in check_folder(tmp_path)[0].message


def test_a_density_whose_record_lacks_its_electrons(tmp_path):
    put_density(tmp_path, "a", STRUCTURES["P1"], valence_electrons=None)
    put_density(tmp_path, "b", p65(), valence=None)
    assert rules(tmp_path) == [("a", "meta"), ("b", "meta")]


def test_a_negative_density_is_out_of_range(tmp_path):
    field = label(p65(0.1), "bad")
    field.values[1, 2, 3] = -0.2
    field.replace(quantity="density").write(tmp_path / "bad.npz")
    assert rules(tmp_path) == [("bad", "range")]
