"""What models are measured on: one place for the tasks of every benchmark."""

from __future__ import annotations

from dataclasses import dataclass

from pymatgen.core import Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from elfzoo.datasets import CrystalHydrogen, FieldDataset, FluidHydrogen, Hydrides, Metals
from elfzoo.errors import UnknownNameError
from elfzoo.field import Field
from elfzoo.models import Model
from elfzoo.progress import progress_bar

__all__ = ["HYDROGEN", "TASKS", "Task", "predicted", "select"]

SYMMETRY_TOLERANCE = 0.01  # Å


@dataclass(frozen=True)
class Task:
    """A dataset and the part of it that belongs to the task.

    Args:
        dataset: its class.
        title: for tables.
        starts_with: of the files' names.
        system: crystal system of the structures (spglib); None takes all.
    """

    dataset: type[FieldDataset]
    title: str
    starts_with: str = ""
    system: str | None = None


TASKS = {
    "fluid-h": Task(FluidHydrogen, "fluid, unseen trajectories", "fluid"),
    "crystal-h-cubic": Task(CrystalHydrogen, "cubic crystals, never trained on", "cubic"),
    "crystal-h-hexagonal": Task(CrystalHydrogen, "hexagonal crystals, never trained on", "hexagonal"),
    "hydrides": Task(Hydrides, "hydrides, unseen compositions"),
    "metals": Task(Metals, "metals, unseen chemical systems"),
    "metals-cubic": Task(Metals, "cubic metals, unseen chemical systems", system="cubic"),
    "metals-hexagonal": Task(Metals, "hexagonal metals, unseen chemical systems", system="hexagonal"),
}
HYDROGEN = ("fluid-h", "crystal-h-cubic", "crystal-h-hexagonal")  # of models that know no other element


def find(name: str) -> Task:
    """The task of this name.

    Raises:
        UnknownNameError: with the nearest names.
    """
    if name not in TASKS:
        raise UnknownNameError("task", name, TASKS)
    return TASKS[name]


def select(name: str, split: str, root: str | None = None) -> FieldDataset:
    """The structures of a task in a split; ``root`` as in :class:`FieldDataset`."""
    task = find(name)
    data = task.dataset(root=root, split=split)
    data = data.subset(i for i, file in enumerate(data.raw_file_names) if file.startswith(task.starts_with))
    return data if task.system is None else _of_system(data, task.system)


def predicted(model: Model, reference: Field) -> Field:
    """What a model says of a structure, on the grid of its reference.

    Raises:
        QuantityError: the model is of another quantity.
        RecipeError: it learned from another recipe.
    """
    found = model.predict(reference.structure, grid=reference.grid, progress=False)
    found.require_quantity(reference.quantity, model.card.name if model.card else type(model).__name__)
    reference.require_same_recipe(found)
    return found


def _of_system(data: FieldDataset, system: str) -> FieldDataset:
    """The structures of one crystal system; every file has to be read for that."""
    kept = []
    with progress_bar(f"{system} structures", len(data)) as advance:
        for number, (structure, _) in enumerate(data):
            if crystal_system(structure) == system:
                kept.append(number)
            advance(1)
    return data.subset(kept)


def crystal_system(structure: Structure) -> str:
    """Such as cubic or hexagonal, by the space group of the structure as it is."""
    return str(SpacegroupAnalyzer(structure, SYMMETRY_TOLERANCE).get_crystal_system())
