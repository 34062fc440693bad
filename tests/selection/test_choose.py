"""Choices among structures: what they do not depend on, what they leave out, and what they report."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from pymatgen.core import Structure

import elfzoo
from elfzoo.errors import ConfigError, ElfzooError, StructureError
from elfzoo.models.base import Model
from elfzoo.selection import Selection, select
from elfzoo.selection.pool import known_structures, rows_of
from elfzoo.structure import structure_from
from elfzoo.uncertainty import LastLayer
from tests.selection.conftest import H2, LAH, SMALL, cell

FEW = {"points": 60, "progress": False}
POOL = [cell(number, 1 + 0.1 * number) for number in range(6)]


def chosen(found: Selection) -> list[tuple[float, int]]:
    return [(round(item.structure.volume, 6), item.order or 0) for item in found.chosen]


def test_the_first_choice_and_the_values_are_those_of_explicit_matrices(model: Model) -> None:
    source = LastLayer(model)
    assert model.posterior is not None
    post = model.posterior
    start = post.eigenvectors @ np.diag(post.eigenvalues + post.s**2) @ post.eigenvectors.T
    rows = [rows_of(source, structure, 60, 0) for structure in POOL]
    learned = [2000 / 60 * part.T @ part for part in rows]
    gains = [0.5 * (np.linalg.slogdet(start + one)[1] - np.linalg.slogdet(start)[1]) for one in learned]
    found = select(POOL, model, 1, gain="information", **FEW)
    best = int(np.argmax(gains))
    (first,) = found.chosen
    assert first.file == f"structure {best}" and first.gain == pytest.approx(gains[best], rel=1e-6)
    for matrix, value in ((start, first.before), (start + learned[best], first.after)):
        spread = np.sqrt(np.einsum("pi,ij,pj->p", rows[best], np.linalg.inv(matrix), rows[best]))
        assert value == pytest.approx(post.alpha * spread.mean(), rel=1e-6)
    assert found.facts["labelled_points"] == 2000


def test_a_model_in_training_gives_the_rows_that_it_will(model: Model) -> None:
    torch.manual_seed(0)
    dropping = LastLayer(elfzoo.create_model("grid_mlp", SMALL | {"dropout": 0.5}), model.posterior)
    found = rows_of(dropping, POOL[0], 60, 0)
    assert all(module.training for module in dropping.model.modules())
    dropping.model.eval()
    np.testing.assert_array_equal(found, rows_of(dropping, POOL[0], 60, 0))


def test_deviations_are_those_of_the_structures_group(model: Model) -> None:
    """Groups change what a deviation is, and so which structure is worth most, but not what a label teaches."""
    assert model.posterior is not None
    groups = {"hydrogen": {"alpha": 0.7}, "hydrides": {"alpha": 70.0}}
    grouped = copy.copy(model)
    grouped.posterior = model.posterior.replace(groups=groups)
    plain, found = (
        {item.file: item for part in (one.chosen, one.others) for item in part}
        for one in (select([cell(0), LAH], which, 1, **FEW) for which in (model, grouped))
    )
    for file, factor in (("structure 0", 1), ("structure 1", 100)):
        assert found[file].before == pytest.approx(factor * plain[file].before, rel=1e-6)
    assert found["structure 1"].order == 1


def test_rows_are_the_slope_of_elf_in_the_weights_of_the_last_layer(model: Model) -> None:
    """By finite differences of the prediction at the same points."""
    structure, source, step = cell(1), LastLayer(model), 1e-2
    rows = rows_of(source, structure, 20, 3)
    places = _points(structure, 20, 3)
    layer, slopes = source.layer, []
    for weight in (*layer.weight.data[0].split(1), layer.bias.data):
        before = weight.clone()
        values = []
        for sign in (1, -1):
            weight[:] = before + sign * step
            values.append(model.predict(structure, points=places, progress=False).astype(float))
        weight[:] = before
        slopes.append((values[0] - values[1]) / (2 * step))
    np.testing.assert_allclose(rows, np.stack(slopes, axis=1), atol=2e-4)


def _points(structure: Structure, count: int, seed: int) -> np.ndarray:
    hash = elfzoo.selection.pool.structure_hash(structure)
    return np.random.default_rng([seed, int(hash[:15], 16)]).random((count, 3))


@pytest.mark.parametrize("gain", ["information", "variance"])
def test_the_order_of_the_structures_does_not_matter(model: Model, gain: str) -> None:
    one = select(POOL, model, 3, gain=gain, **FEW)
    other = select(POOL[::-1], model, 3, gain=gain, **FEW)
    assert chosen(one) == chosen(other)
    assert [item.after for item in one.chosen] == [item.after for item in other.chosen]


def test_a_copy_is_taken_once_and_said(model: Model) -> None:
    turned = Structure(POOL[0].lattice, POOL[0].species, POOL[0].frac_coords[::-1] + np.array([1, 0, -2]))
    found = select([POOL[0], turned, POOL[1]], model, 3, **FEW)
    assert len(found.chosen) == 2
    assert [(item.name, item.message) for item in found.left_out] == [("structure 1", "a copy of structure 0")]


def test_what_the_model_refuses_is_left_out(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, read = select(POOL, model, len(POOL), **FEW), type(model).reader

    def refusing(self: Model, structure: Structure):
        if len(structure) == 2:
            raise ElfzooError("two atoms are too few")
        return read(self, structure)

    monkeypatch.setattr(type(model), "reader", refusing)
    found = select([*POOL, H2], model, len(POOL), **FEW)
    assert chosen(found) == chosen(whole) and len(found.chosen) == len(POOL)
    assert [(item.name, item.message) for item in found.left_out] == [
        (f"structure {len(POOL)}", "two atoms are too few")
    ]
    with pytest.raises(ElfzooError, match=r"none of 1 structures; of structure 0: two atoms"):
        select([H2], model, 1, **FEW)


def test_a_supercell_loses_its_worth_by_its_cell(model: Model) -> None:
    """It has another hash, but nothing new in it: worth as much as the cell before, and little after."""
    many = {"points": 400, "progress": False}
    first = select(POOL, model, 1, **many).chosen[0].structure

    def gain(structure: Structure, known: list[Structure]) -> float:
        return float(select([structure], model, 1, known=known, **many).chosen[0].gain or 0.0)

    assert gain(first * (2, 1, 1), []) == pytest.approx(gain(first, []), rel=0.1)
    assert gain(first * (2, 1, 1), [first]) < 0.3 * gain(first * (2, 1, 1), [])


def test_all_are_taken_where_there_are_no_more(model: Model) -> None:
    found = select(POOL, model, 100, **FEW)
    assert len(found.chosen) == len(POOL) and not found.others
    assert [item.order for item in found.chosen] == list(range(1, 7))
    assert found.after < found.before


def test_what_is_known_counts_as_labelled(model: Model, tmp_path: Path) -> None:
    """By structures, structure files and fields alike; the rest is chosen as after that choice."""
    whole = select(POOL, model, 3, gain="information", **FEW)
    first = whole.chosen[0].structure
    rest = [structure for structure in POOL if structure is not first]
    field = elfzoo.Field(np.full((4, 4, 4), 0.5), first)
    field.write(tmp_path / "ELFCAR")
    field.write(tmp_path / "elf.npz")
    first.to(str(tmp_path / "known.cif"))
    direct = select(rest, model, 2, known=[first], gain="information", **FEW)
    assert chosen(direct) == [(volume, order - 1) for volume, order in chosen(whole)[1:]]
    assert [item.gain for item in direct.chosen] == pytest.approx([item.gain for item in whole.chosen[1:]], rel=1e-9)
    assert [item.message for item in select(POOL, model, 2, known=[first], **FEW).left_out] == ["labelled already"]
    both = tmp_path / "both"
    both.mkdir()
    shutil.copy(tmp_path / "elf.npz", both)
    POOL[1].to(str(both / "other.cif"))
    assert [len(found) for found in (known_structures([both]), known_structures([both / "other.cif"]))] == [2, 1]
    for name in ("ELFCAR", "elf.npz", "known.cif"):
        found = select(rest, model, 2, known=[tmp_path / name], **FEW)
        assert found.known == 1 and found.before < 0.999 * select(rest, model, 2, **FEW).before
        assert found.before == pytest.approx(direct.before, rel=0.02)


def test_files_are_read_and_what_cannot_be_is_left_out(model: Model, tmp_path: Path) -> None:
    for number, structure in enumerate(POOL[:3]):
        structure.to(str(tmp_path / f"POSCAR_{number}"), fmt="poscar")
    (tmp_path / "bad.cif").write_text("nonsense\n")
    found = select([tmp_path], model, 2, **FEW)
    assert len(found.chosen) == 2 and len(found.others) == 1
    assert [Path(item.file).name for item in found.left_out] == ["bad.cif"] and found.left_out[0].message
    with pytest.raises(StructureError, match="nothing to choose from"):
        select([tmp_path / "bad.cif"], model, 2, **FEW)
    with pytest.raises(ElfzooError, match=r"bad\.cif"):
        select([tmp_path / "POSCAR_0"], model, 2, known=[tmp_path / "bad.cif"], **FEW)


def test_what_lies_outside_is_said(model: Model) -> None:
    found = select([LAH, POOL[0]], model, 2, **FEW)
    outside = {item.structure.composition.reduced_formula: item.outside for item in found.chosen}
    assert "La" in outside["LaH2"][0] and outside["H2"] == ()


def test_wrong_calls(model: Model) -> None:
    with pytest.raises(ElfzooError, match="n=0"):
        select(POOL, model, 0)
    with pytest.raises(ConfigError, match="point"):
        select(POOL, model, 1, pionts=3)
    with pytest.raises(ConfigError, match="points=0"):
        select(POOL, model, 1, points=0)
    bare = elfzoo.create_model("grid_mlp")
    with pytest.raises(ElfzooError, match="without an uncertainty"):
        select(POOL, bare, 1)
    with pytest.raises(StructureError, match="nothing to choose from"):
        select([], model, 1)


def test_structures_of_arrays(model: Model) -> None:
    structure = structure_from(POOL[0].lattice.matrix, [1, 1, 1], POOL[0].frac_coords)
    assert elfzoo.select([structure], model, 1, **FEW).chosen[0].structure is structure
