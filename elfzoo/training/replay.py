"""What of its old training data a model that is fine-tuned sees again, so that it does not forget them."""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from elfzoo.card import Card
from elfzoo.config import parse
from elfzoo.datasets import FieldDataset
from elfzoo.datasets.files import FieldFiles
from elfzoo.errors import ElfzooError, ElfzooWarning
from elfzoo.field import Recipe
from elfzoo.training.config import DataConfig, TrainConfig
from elfzoo.training.points import choose, file_hashes

__all__ = ["OldData", "recipes_of"]

OLD_STRUCTURES = 6  # of each of the old validation sets
WATCHED = 500  # voxels of each of them, after every epoch


@dataclass(frozen=True)
class OldData:
    """The data of a release's own training, as far as they are here.

    Args:
        config: of that training; None where the card does not tell it.
        sha256: of the data of its parts, by their names.
        root: folder of the data sets.
    """

    config: TrainConfig | None
    sha256: Mapping[str, str]
    root: str | None

    @classmethod
    def of(cls, card: Card | None, root: str | None) -> OldData:
        """What a card says of them."""
        told: Mapping[str, Any] = {} if card is None or "config" not in card.training else card.training
        config = parse(TrainConfig, told["config"], where=f"training of {card.name}") if card and told else None
        return cls(config, told.get("data_sha256", {}), root)

    @property
    def names(self) -> set[str]:
        """Of its data sets."""
        return set() if self.config is None else {p.dataset for p in (*self.config.train, *self.config.validate)}

    def replayed(self, points: float, held_out: Collection[str]) -> list[DataConfig]:
        """Parts that were trained on with about so many points in all, without files of these SHA-256."""
        if self.config is None or points < 1:
            return []
        parts, sizes = [], []
        for part in self.config.train:
            try:
                self.found(part)
                if (left := _without(part, held_out)) is not None:
                    sizes.append(len(choose(left, self.root)[1]))
                    parts.append(left)
            except ElfzooError as error:
                message = f"{part.dataset} is not replayed, and may be forgotten: {error}"
                warnings.warn(message, ElfzooWarning, stacklevel=4)
        of_each = int(np.ceil(points / max(sum(sizes), 1)))
        return [replace(part, points=of_each) for part in parts]

    def watched(self, learned: Collection[str]) -> list[DataConfig]:
        """Some structures of the validation sets, of the data that were learned from, without files of these SHA-256.

        What is not here is left out without a word: replaying has warned.
        """
        before_learned = set() if self.config is None else {part.dataset for part in self.config.train}
        found = [part for part in self._validated() if part.dataset in before_learned]
        apart = [_without(part, learned) for part in found]
        return [replace(part, points=WATCHED, structures=OLD_STRUCTURES) for part in apart if part is not None]

    def reported(self) -> list[FieldDataset]:
        """Some structures of each validation set that is here."""
        return [choose(replace(p, structures=OLD_STRUCTURES), self.root)[1] for p in self._validated()]

    def _validated(self) -> list[DataConfig]:
        return [] if self.config is None else [part for part in self.config.validate if self._is_here(part)]

    def _is_here(self, part: DataConfig) -> bool:
        try:
            self.found(part)
        except ElfzooError:
            return False
        return True

    def found(self, part: DataConfig) -> FieldDataset:
        """The fields of a part.

        A release that came from the Hub names files of its maker's own without their folders, and others of the same
        names may lie where we are: their hash tells.

        Raises:
            ElfzooError: they are not here, or files are others than those of that training.
        """
        assert self.config is not None
        _, data = choose(part, self.root)
        if part.files:
            every = zip(self.config.part_names, self.config.train + self.config.validate, strict=True)
            expected = {self.sha256.get(name) for name, other in every if other is part}
            if expected != {data.data_hash}:
                raise ElfzooError(f"{data.raw_file_names[0]} is another file than the release was trained on")
        return data


def _without(part: DataConfig, sha256: Collection[str]) -> DataConfig | None:
    """A part without files of these SHA-256; None where none is left."""
    every = file_hashes(replace(part, structures=None))
    left = [file for file, found in every.items() if found not in sha256]
    if len(left) == len(every):
        return part
    if not left:
        return None
    if part.files:
        return replace(part, files=tuple(left))
    gone = "|".join(re.escape(file) for file in every if file not in left)
    return replace(part, match=f"^(?!(?:{gone})$)(?=.*?(?:{part.match or ''}))")


def recipes_of(data: FieldDataset) -> set[Recipe]:
    """The known recipes of what was calculated; what a model predicted is nobody's calculation."""
    if not isinstance(data, FieldFiles):
        return {data.recipe}
    fields = (sample.field for sample in data)
    return {field.recipe for field in fields if field.recipe is not None and not field.is_prediction}
