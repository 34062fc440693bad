"""Tasks of few shots: how good an entrant is at a kind of matter of which it is shown a handful of structures."""

from __future__ import annotations

from dataclasses import field
from typing import Any, ClassVar, Literal

import numpy as np

from elfzoo.config import config_class
from elfzoo.datasets import FieldDataset
from elfzoo.errors import ConfigError

__all__ = ["FewShotTask", "shots_of"]


@config_class
class FewShotTask:
    """A dataset of which an entrant is shown a few structures, and then asked for others.

    Args:
        title: for tables.
        dataset: folder name of the dataset. Shown are structures of its training split, asked for are those of another.
        data_sha256: of what is asked for, by split.
        protocol: what an entrant may have learned from before, and how it is measured.
        recipe: engine, functional and pseudopotential of the references, separated by commas.
        shots: how many structures are shown.
        seeds: of what is shown; all figures are means over them.
        remembered: datasets that are measured before and after, on their validation splits: what was forgotten.
        points: random voxels of each structure that errors are measured on.
        searched: ending of the names of files whose networking values are searched, on whole fields.
        tuning: of :func:`elfzoo.training.finetune.finetune`, for entrants that are releases.
        scratch_epochs: of releases' architectures trained on the shown structures alone.
        train: datasets whose training splits go to an entrant that asks for data, before any structure is shown.
    """

    title: str
    dataset: str
    data_sha256: dict[Literal["val", "test"], str]
    protocol: str
    recipe: str = ""
    shots: tuple[int, ...] = (1, 2, 4, 8, 16)
    seeds: tuple[int, ...] = (0, 1, 2)
    remembered: tuple[str, ...] = ("fluid-h", "metals")
    points: int = 4000
    searched: str = "_eq"
    tuning: dict[str, Any] = field(default_factory=dict)
    scratch_epochs: int = 60
    train: tuple[str, ...] = ()

    group_by: ClassVar[None] = None
    measured: ClassVar[str] = "errors by number of shots, against training from scratch and the mean; forgetting"
    on_request: ClassVar[bool] = True  # trains many models: hours for some

    def __post_init__(self) -> None:
        if not self.shots or min(self.shots) < 1 or not self.seeds or self.points < 1:
            given = f"shots {self.shots}, seeds {self.seeds}, points {self.points}"
            raise ConfigError(f"a task of few shots has at least one of each; got {given}")


def shots_of(data: FieldDataset, count: int, seed: int) -> FieldDataset:
    """The structures that are shown: as many compositions as there are shots, and more of each only then.

    With one seed, more shots hold those of fewer.

    Args:
        data: the training split; a file's composition is what its name has before the first underscore.
        count: how many; all of them where there are fewer.
        seed: of the order.
    """
    rng = np.random.default_rng(seed)
    groups: dict[str, list[int]] = {}
    for index in rng.permutation(len(data)):
        groups.setdefault(data.raw_file_names[index].split("_")[0], []).append(int(index))
    order = [members[turn] for turn in range(len(data)) for members in groups.values() if turn < len(members)]
    return data.subset(order[:count])
