"""A reference and a prediction: which pairs are compared, and what is found."""

import json

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from elfzoo.analysis import compare, field_metrics, histogram_distance, require_same_structure, stratified_weights
from elfzoo.errors import ElfzooError, RecipeError, StructureError
from elfzoo.field import Field, Recipe, read_field

QE, GPAW = Recipe("Quantum ESPRESSO 6.7", "PBE", "GTH-PBE-q1"), Recipe("GPAW 26.7.0", "PBE", "PAW")


def wave(shape) -> np.ndarray:
    """A band-limited field between 0.1 and 0.9 on any grid of at least 5 points per edge."""
    x, y, z = np.meshgrid(*(2 * np.pi * np.arange(n) / n for n in shape), indexing="ij")
    return 0.5 + 0.2 * np.cos(x + 2 * y) + 0.2 * np.sin(2 * z - x)


@pytest.fixture
def reference(skewed_hydride) -> Field:
    return Field(wave((6, 7, 8)), skewed_hydride, recipe=QE)


@pytest.fixture
def prediction(reference, rng) -> Field:
    return reference.replace(values=reference.values + rng.normal(scale=0.02, size=(6, 7, 8)), recipe=None)


def test_a_field_equals_itself(reference):
    found = compare(reference, reference)
    for metrics in (found.all_voxels, found.elf_stratified):
        assert (metrics.mae, metrics.rmse, metrics.max_error, metrics.bias, metrics.r2) == (0, 0, 0, 0, 1)
    assert found.histogram_distance == 0
    assert found.histograms.reference == found.histograms.prediction


def test_primary_and_secondary_figures_are_told_apart(reference, prediction):
    found = compare(reference, prediction)
    assert found.all_voxels == field_metrics(reference.values, prediction.values)
    weights = stratified_weights(reference.values)
    assert found.elf_stratified == field_metrics(reference.values, prediction.values, weights)
    assert found.all_voxels.mae != found.elf_stratified.mae
    assert found.histogram_distance == histogram_distance(reference.values, prediction.values)
    assert (found.formula, found.shape, found.resampled) == (reference.structure.formula, (6, 7, 8), False)
    assert (found.reference_recipe, found.prediction_recipe) == (QE, None)


@pytest.mark.parametrize("error", [0.3, -0.3])
def test_the_worst_voxel_is_where_it_is(reference, prediction, error):
    values = prediction.values.copy()
    values[2, 6, 4] = reference.values[2, 6, 4] + error
    worst = compare(reference, prediction.replace(values=values)).worst
    assert worst.frac_coords == pytest.approx((2 / 6, 6 / 7, 4 / 8))
    assert worst.error == pytest.approx(error)
    assert (worst.reference, worst.prediction) == pytest.approx((reference.values[2, 6, 4], values[2, 6, 4]))


def test_histograms_count_every_voxel_also_outside_the_range(reference):
    values = reference.values.copy()
    values[0, 0, :3] = [-0.2, 1.0, 1.3]
    found = compare(reference, reference.replace(values=values)).histograms
    assert sum(found.reference) == sum(found.prediction) == values.size
    assert (found.prediction[0], found.prediction[-1]) == (1, 2)
    assert found.reference == tuple(np.histogram(reference.values, found.edges)[0])


def test_known_recipes_that_differ_need_a_word(reference, prediction):
    other = prediction.replace(recipe=GPAW)
    with pytest.raises(RecipeError, match="GPAW"):
        compare(reference, other)
    assert compare(reference, other, mixed_recipes=True).prediction_recipe == GPAW
    assert compare(reference, prediction.replace(recipe=QE)).prediction_recipe == QE


def test_atoms_in_another_order_or_another_image_are_the_same(reference, prediction):
    structure = reference.structure
    order = [2, 0, 1]
    shifted = structure.frac_coords[order] + np.array([[1, 0, -2], [0, 0, 0], [-1, 3, 0]]) + 1e-5
    same = Structure(structure.lattice, [structure[i].specie for i in order], shifted)
    assert compare(reference, prediction.replace(structure=same)).all_voxels.mae > 0


def test_other_structures_are_refused(reference, prediction):
    structure = reference.structure
    lattice = Structure(Lattice(structure.lattice.matrix * 1.01), structure.species, structure.frac_coords)
    rotated = Structure(structure.lattice.matrix[:, [1, 2, 0]], structure.species, structure.frac_coords)
    for other, message in (
        (lattice, r"lattice vectors differ by up to 0\.0290 Å"),
        (rotated, "same cell and orientation"),
        (structure.copy().translate_sites([2], [0.01, 0, 0]), r"H at fractional .* of the reference is 0\.0\d+ Å away"),
        (structure.copy().remove_sites([2]), "the atoms differ: reference .*H2.*, prediction .*H1"),
        (structure.copy().replace_species({"Ca": "Mg"}), "Mg1"),
    ):
        with pytest.raises(StructureError, match=message):
            compare(reference, prediction.replace(structure=other))


def test_atoms_that_swapped_their_elements_are_refused(skewed_hydride):
    swapped = Structure(skewed_hydride.lattice, ["Ca", "H", "H"], skewed_hydride.frac_coords)
    with pytest.raises(StructureError, match="away from the nearest"):
        require_same_structure(skewed_hydride, swapped)


def test_other_grids_are_refused_or_interpolated(reference):
    finer = reference.replace(values=wave((9, 10, 12)))
    with pytest.raises(ElfzooError, match=r"reference \(6, 7, 8\), prediction \(9, 10, 12\).*resample=True"):
        compare(reference, finer)
    for one, other in ((reference, finer), (finer, reference)):  # exact for a band-limited field, up and down
        found = compare(one, other, resample=True)
        assert found.resampled
        assert found.shape == one.values.shape
        assert found.all_voxels.max_error < 1e-12
    assert not compare(reference, reference, resample=True).resampled


def test_only_elf_of_the_same_spin_is_compared(reference, prediction):
    with pytest.raises(ElfzooError, match="prediction holds the quantity 'density'; expected 'elf'"):
        compare(reference, prediction.replace(quantity="density"))
    with pytest.raises(ElfzooError, match="reference total, prediction up"):
        compare(reference, prediction.replace(spin="up"))
    assert compare(reference.replace(spin="up"), prediction.replace(spin="up")).all_voxels.mae > 0


def test_a_prediction_with_nan_is_refused(reference, prediction):
    values = prediction.values.copy()
    values[0, 0, 0] = np.nan
    with pytest.raises(ElfzooError, match="prediction has 1 non-finite"):
        compare(reference, prediction.replace(values=values))


def test_the_dictionary_is_json_and_says_which_figure_is_which(reference, prediction):
    found = compare(reference, prediction)
    data = found.to_dict()
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert data["all_voxels"]["mae"] == found.all_voxels.mae
    assert data["elf_stratified"]["rmse"] == found.elf_stratified.rmse
    assert data["reference_recipe"]["engine"] == "Quantum ESPRESSO 6.7"
    assert data["prediction_recipe"] is None
    assert data["worst"]["frac_coords"] == list(found.worst.frac_coords)
    constant = compare(reference.replace(values=np.full((6, 7, 8), 0.5)), prediction).to_dict()
    assert constant["all_voxels"]["r2"] is None
    json.dumps(constant, allow_nan=False)


def test_every_figure_in_the_table_has_its_label(reference, prediction):
    found = compare(reference, prediction)
    lines = found.table()
    head = next(line for line in lines if "ELF-stratified" in line)
    assert head.split("  ")[-1].strip() == "ELF-stratified"
    assert head.index("all voxels") < head.index("ELF-stratified")
    rows = lines[lines.index(head) + 1 :]
    for label, key in (("MAE", "mae"), ("RMSE", "rmse"), ("R² (identity)", "r2"), ("max |error|", "max_error")):
        row = next(line for line in rows if line.startswith(label))
        figures = [getattr(m, key) for m in (found.all_voxels, found.elf_stratified)]
        assert [float(x) for x in row.removeprefix(label).split()] == pytest.approx(figures, abs=1e-5)
    loose = [line for line in rows if line.startswith(("largest", "1-Wasserstein"))]
    assert len(loose) == 2
    assert all("(all voxels)" in line for line in loose)
    assert "reference:  Quantum ESPRESSO 6.7, PBE, GTH-PBE-q1" in lines
    assert "prediction: recipe unknown" in lines


def test_a_real_crystal_survives_a_file(tmp_path):
    from elfzoo.datasets import CrystalHydrogen

    field = CrystalHydrogen(split="test")[0].field
    for name in ("ELFCAR", "a.cube", "a.h5"):
        found = compare(field, read_field(field.write(tmp_path / name)))
        assert found.all_voxels.max_error < 1e-6
        assert found.formula == "H16"
