import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure
from torch.utils.data import DataLoader

from elfzoo import Field
from elfzoo.datasets.patches import (
    DistributedJitterSampler,
    JitterSampler,
    PatchDataset,
    collate_patches,
    write_triplet,
)
from elfzoo.errors import ElfzooError, FieldFileError
from elfzoo.nn.seitz import patch_average
from elfzoo.transforms.free_atoms import superposed_density
from elfzoo.transforms.patches import stitch


@pytest.fixture
def fields(rng):
    cubic = Structure(Lattice.cubic(2.0), ["H"], [[0, 0, 0]])
    low = Structure(
        Lattice.orthorhombic(2.0, 2.2, 2.5), ["H", "H", "Li"], [[0.1, 0.2, 0.3], [0.5, 0.6, 0.9], [0, 0.1, 0]]
    )
    return {"a": Field(rng.random((6, 5, 7)), low), "b": Field(rng.random((4, 4, 4)), cubic)}


@pytest.fixture
def folder(fields, tmp_path):
    for stem, field in fields.items():
        write_triplet(field, tmp_path / "patches", stem)
    return tmp_path / "patches"


def put_together(data, structure, key):
    items = [item for item in data if int(item["structure"]) == structure]
    starts = torch.stack([item["start"] for item in items]).numpy()
    np.testing.assert_array_equal(starts, data.starts(structure))
    return stitch(torch.cat([item[key] for item in items]), starts, data.shapes[structure])


@pytest.mark.parametrize("stride", [4, 3])
@pytest.mark.parametrize("epoch", [0, 5])
def test_patches_of_any_epoch_put_together_are_the_fields(folder, fields, stride, epoch):
    data = PatchDataset(folder, patch=4, stride=stride)
    data.set_epoch(epoch)
    assert data.stems == ["a", "b"]
    for index, field in enumerate(fields.values()):
        np.testing.assert_allclose(put_together(data, index, "elf"), field.values, atol=1e-6)
        density = superposed_density(field.structure, field.grid)
        np.testing.assert_allclose(put_together(data, index, "sad"), density, atol=1e-6)


def test_jitter_is_decided_by_seed_and_epoch_and_off_in_validation(folder):
    def offsets(seed, jitter=True):
        data, found = PatchDataset(folder, patch=4, jitter=jitter, seed=seed), []
        for epoch in range(6):
            data.set_epoch(epoch)
            found.append(tuple(data.starts(0)[0]))
        return found

    assert offsets(1) == offsets(1) != offsets(2)
    assert len(set(offsets(1))) > 3
    assert set(offsets(1, jitter=False)) == {(0, 0, 0)}


def test_samplers_tell_the_dataset_of_the_epoch(folder):
    data, twin = PatchDataset(folder, patch=4), PatchDataset(folder, patch=4)
    sampler = JitterSampler(data, first_epoch=3)
    shared = [DistributedJitterSampler(twin, num_replicas=2, rank=rank) for rank in (0, 1)]
    for epoch in (3, 4):
        assert sorted(sampler) == list(range(len(data)))
        for each in shared:
            each.set_epoch(epoch)
        np.testing.assert_array_equal(data.starts(0), twin.starts(0))
        assert sorted({i for each in shared for i in each}) == list(range(len(data)))


def test_workers_that_live_on_see_the_new_offset(folder):
    data = PatchDataset(folder, patch=4)
    loader = DataLoader(
        data, sampler=JitterSampler(data), num_workers=1, persistent_workers=True, multiprocessing_context="fork"
    )
    for _ in range(2):
        starts = {tuple(item["start"][0].tolist()) for item in loader}
        assert starts == {tuple(s) for index in (0, 1) for s in data.starts(index).tolist()}


def test_collate_pads_ragged_groups_and_the_average_skips_the_padding(folder):
    data = PatchDataset(folder, patch=4, jitter=False)
    items = [data[0], data[len(data) - 1]]
    batch = collate_patches(items)
    assert batch["mask"].sum(dim=1).tolist() == [len(item["symmetry"]) for item in items] == [1, 48]
    assert batch["patch_symmetry"].shape == batch["symmetry"].shape == (2, 48, 4, 4)
    extent = 4 / batch["shape"]
    mean = patch_average(batch["sad"], batch["patch_symmetry"], batch["mask"], extent)
    torch.testing.assert_close(mean[0], batch["sad"][0], atol=1e-5, rtol=0)  # the identity alone
    torch.testing.assert_close(mean[1], batch["sad"][1], atol=1e-5, rtol=0)  # symmetric already
    other = patch_average(batch["elf"], batch["patch_symmetry"], batch["mask"], extent)
    assert (other[1] - batch["elf"][1]).abs().max() > 0.1


def test_incomplete_and_foreign_triplets(folder, fields, tmp_path):
    with pytest.raises(ElfzooError, match="stride is between 1 and"):
        PatchDataset(folder, patch=4, stride=5)
    with pytest.raises(ElfzooError, match="has no triplets"):
        PatchDataset(tmp_path, patch=4)
    np.save(folder / "a_sym.npy", np.array([{"a": "pickle"}], dtype=object), allow_pickle=True)
    with pytest.raises(FieldFileError, match="a cannot be read"):
        PatchDataset(folder)
    np.save(folder / "a_sym.npy", np.zeros((2, 3, 3)))
    with pytest.raises(FieldFileError, match="does not fit together"):
        PatchDataset(folder)
    (folder / "a_sym.npy").unlink()
    with pytest.raises(FieldFileError, match="a cannot be read"):
        PatchDataset(folder)
