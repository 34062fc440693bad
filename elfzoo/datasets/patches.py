"""The patch pipeline of the symmetry-aware U-Net's paper (its section 3.1 and appendix), for its users.

A structure is three files with one stem: ``stem_sad.npy`` and ``stem_elf.npy`` (nx, ny, nz), and ``stem_sym.npy``
(ops, 4, 4) with the Seitz operators {R | t} on fractional coordinates. Patches are cut out with wrap-around; their
lattice moves by a new offset in every epoch; operators come in the cell's frame and in the patch's.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.utils.data import Dataset, RandomSampler
from torch.utils.data.distributed import DistributedSampler

from elfzoo.errors import ElfzooError, FieldFileError
from elfzoo.field import Field
from elfzoo.nn.seitz import patch_frame, seitz_matrices
from elfzoo.transforms.free_atoms import superposed_density
from elfzoo.transforms.patches import patch_starts

__all__ = ["DistributedJitterSampler", "JitterSampler", "PatchDataset", "collate_patches", "write_triplet"]

PARTS = ("sad", "elf", "sym")


def write_triplet(field: Field, folder: str | Path, stem: str) -> tuple[Path, Path, Path]:
    """Write ``stem_sad.npy``, ``stem_elf.npy`` (single precision) and ``stem_sym.npy`` of a field.

    Raises:
        ElfzooError: an element without a free-atom density.
    """
    arrays = (superposed_density(field.structure, field.grid), field.values, seitz_matrices(field.structure))
    paths = _paths(Path(folder), stem)
    Path(folder).mkdir(parents=True, exist_ok=True)
    for path, array, dtype in zip(paths, arrays, (np.float32, np.float32, np.float64), strict=True):
        np.save(path, array.astype(dtype), allow_pickle=False)
    return paths


class PatchDataset(Dataset[dict[str, Tensor]]):
    """Cubic patches of all triplets in a folder.

    Each item has ``sad`` and ``elf`` (1, p, p, p), ``symmetry`` and ``patch_symmetry`` (ops, 4, 4) in the frames of
    cell and patch, ``start`` (3,) in voxels, ``shape`` (3,) of the cell's grid, and ``structure``, an index into
    ``stems``.

    Args:
        folder: of the triplets; they are memory-mapped.
        patch: edge p, voxels.
        stride: voxels between patches, at most p; p unless stated.
        jitter: move the patches by a new offset in every epoch; off in validation.
        seed: of the offsets.

    Raises:
        ElfzooError: no triplet, or a stride beyond the patch, which would leave voxels out.
        FieldFileError: a triplet that is incomplete or does not fit together.
    """

    def __init__(
        self, folder: str | Path, patch: int = 16, stride: int | None = None, jitter: bool = True, seed: int = 0
    ):
        self.folder, self.patch, self.stride = Path(folder), patch, patch if stride is None else stride
        self.jitter, self.seed = jitter, seed
        if not 1 <= self.stride <= patch:
            raise ElfzooError(f"the stride is between 1 and the patch's edge {patch}; got {stride}")
        self.stems = sorted(path.name.removesuffix("_elf.npy") for path in self.folder.glob("*_elf.npy"))
        if not self.stems:
            raise ElfzooError(f"{folder} has no triplets; expected stem_sad.npy, stem_elf.npy and stem_sym.npy")
        self.shapes = [_checked_shape(self.folder, stem) for stem in self.stems]
        self._ends = list(accumulate(len(patch_starts(shape, self.stride)) for shape in self.shapes))
        # in shared memory: workers that live on from epoch to epoch must see it change
        self._offset = torch.zeros(3, dtype=torch.int64).share_memory_()
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Move the patches to this epoch's offset: one for all structures, decided by seed and epoch alone."""
        if self.jitter:
            offset = np.random.default_rng([self.seed, epoch]).integers(0, self.stride, size=3)
            self._offset.copy_(torch.from_numpy(offset))

    def starts(self, structure: int) -> np.ndarray:
        """(patches, 3) first voxels of a structure's patches in this epoch, in the order of the items."""
        i, j, k = self._offset.tolist()
        return patch_starts(self.shapes[structure], self.stride, (i, j, k))

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, idx: int) -> dict[str, Tensor]:
        if not 0 <= idx < len(self):
            raise IndexError(f"patch {idx} of {len(self)}")
        structure = bisect.bisect_right(self._ends, idx)
        start = self.starts(structure)[idx - (self._ends[structure - 1] if structure else 0)]
        sad, elf, operators = (np.load(p, mmap_mode="r") for p in _paths(self.folder, self.stems[structure]))
        shape, operators = np.array(elf.shape), np.array(operators)
        return {
            "sad": self._cut(sad, start),
            "elf": self._cut(elf, start),
            "symmetry": torch.from_numpy(operators).float(),
            "patch_symmetry": torch.from_numpy(patch_frame(operators, start[None] / shape)[0]).float(),
            "start": torch.from_numpy(start),
            "shape": torch.from_numpy(shape),
            "structure": torch.tensor(structure),
        }

    def _cut(self, values: np.ndarray, start: np.ndarray) -> Tensor:
        for axis, first in enumerate(start):
            values = np.take(values, np.arange(first, first + self.patch), axis=axis, mode="wrap")
        return torch.from_numpy(values).float()[None]


class JitterSampler(RandomSampler):
    """Random order, and a new offset of the patches each time it is iterated.

    Args:
        dataset: told of every epoch.
        first_epoch: number of the first one, after a resume.
        kwargs: of :class:`torch.utils.data.RandomSampler`.
    """

    def __init__(self, dataset: PatchDataset, first_epoch: int = 0, **kwargs: Any):
        super().__init__(dataset, **kwargs)
        self.dataset, self.epoch = dataset, first_epoch

    def __iter__(self) -> Iterator[int]:
        self.dataset.set_epoch(self.epoch)
        self.epoch += 1
        return super().__iter__()


class DistributedJitterSampler(DistributedSampler):
    """A distributed sampler whose ``set_epoch`` moves the patches too, alike in every process."""

    dataset: PatchDataset

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the order and of the offset."""
        super().set_epoch(epoch)
        self.dataset.set_epoch(epoch)


def collate_patches(items: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Stack items; operators are padded with identities to the largest group, ``mask`` (items, ops) marks true ones."""
    batch = {key: torch.stack([item[key] for item in items]) for key in ("sad", "elf", "start", "shape", "structure")}
    for key in ("symmetry", "patch_symmetry"):
        batch[key], batch["mask"] = _padded([item[key] for item in items])
    return batch


def _padded(groups: list[Tensor]) -> tuple[Float[Tensor, "items ops 4 4"], Bool[Tensor, "items ops"]]:
    sizes = torch.tensor([len(group) for group in groups])
    padded = torch.eye(4).repeat(len(groups), int(sizes.max()), 1, 1)
    for row, group in zip(padded, groups, strict=True):
        row[: len(group)] = group
    return padded, torch.arange(int(sizes.max())) < sizes[:, None]


def _paths(folder: Path, stem: str) -> tuple[Path, Path, Path]:
    sad, elf, sym = (folder / f"{stem}_{part}.npy" for part in PARTS)
    return sad, elf, sym


def _checked_shape(folder: Path, stem: str) -> tuple[int, int, int]:
    """Shape of a triplet's grid, from the headers of its files."""
    paths = _paths(folder, stem)
    try:
        sad, elf, sym = (np.load(path, mmap_mode="r").shape for path in paths)
    except (OSError, ValueError) as error:
        raise FieldFileError(f"the triplet {folder / stem} cannot be read: {error}") from None
    if sad != elf or len(elf) != 3 or sym[1:] != (4, 4):
        raise FieldFileError(f"the triplet {folder / stem} does not fit together: sad {sad}, elf {elf}, sym {sym}")
    return elf
