"""A recipe: everything that makes one data set, in one YAML file, with one hash."""

from __future__ import annotations

import hashlib
import json
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field as PydanticField

from elfzoo.config import config_class, read_yaml, to_dict
from elfzoo.errors import UnknownNameError
from elfzoo.reference.cavities import CavitySource
from elfzoo.reference.crystals import CrystalSource
from elfzoo.reference.decorations import PrototypeSource
from elfzoo.reference.engines import RelaxSettings, Settings
from elfzoo.reference.engines.base import decisive
from elfzoo.reference.engines.espresso import EspressoEngine
from elfzoo.reference.engines.gpaw import GpawEngine
from elfzoo.reference.existing import DatasetSource
from elfzoo.reference.fluid import FluidSource
from elfzoo.reference.packings import PackingSource
from elfzoo.reference.solids import HydrideSource, MetalSource

__all__ = ["ReferenceRecipe", "Residuals", "find_recipe", "make_engine", "recipe_names"]

Source = Annotated[
    CavitySource
    | CrystalSource
    | DatasetSource
    | FluidSource
    | HydrideSource
    | MetalSource
    | PackingSource
    | PrototypeSource,
    PydanticField(discriminator="kind"),
]


@config_class
class Residuals:
    """What a relaxed structure may be away from equilibrium, by the label's own forces and stress, and be kept.

    Args:
        force: largest force on an atom, eV/Å.
        pressure: difference from the pressure that was asked for, GPa.
    """

    force: float
    pressure: float

    def broken_by(self, force: float, pressure_off: float) -> str | None:
        """What is wrong with a label, if anything: its largest force, eV/Å, and its pressure less the target's, GPa."""
        if force <= self.force and abs(pressure_off) <= self.pressure:
            return None
        return (
            f"after its relaxation, forces of {force:.2f} eV/Å and {pressure_off:+.0f} GPa off; "
            f"expected at most {self.force} eV/Å and {self.pressure:.0f} GPa"
        )


@config_class
class ReferenceRecipe:
    """How one data set is made.

    Args:
        dataset: its name, as in :mod:`elfzoo.datasets`.
        title: one line for people.
        source: where the structures come from.
        label: how every one of them is computed.
        relax: how those are relaxed that ask for it.
        residuals: limits beyond which a relaxed structure is left out; None keeps all.
    """

    dataset: str
    title: str
    source: Source
    label: Settings
    relax: RelaxSettings | None = None
    residuals: Residuals | None = None

    @property
    def hash(self) -> str:
        """SHA-256 of what decides the labels of given structures: label and relaxation. More structures keep it."""
        settings = {"label": decisive(self.label), "relax": to_dict(self.relax) if self.relax else None}
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()

    def unlike(self, other: ReferenceRecipe) -> list[str]:
        """Keys such as ``source.seed`` by which a candidate of one name, or its label, is another one; sorted.

        That there are more candidates, or fewer, makes none of them another.
        """
        mine, others = self._decisive(), other._decisive()
        return sorted(key for key in {*mine, *others} if mine.get(key) != others.get(key))

    def _decisive(self) -> dict[str, Any]:
        relax = to_dict(self.relax) if self.relax else {}
        source = {key: value for key, value in to_dict(self.source).items() if key not in self.source.only_choose}
        parts = {"source": source, "label": decisive(self.label), "relax": relax}
        values = {f"{name}.{key}": value for name, part in parts.items() for key, value in part.items()}
        return {"dataset": self.dataset, **values}


def recipe_names() -> list[str]:
    """Names of the recipes that elfzoo's own data sets are made by."""
    folder = resources.files("elfzoo.reference").joinpath("recipes")
    return sorted(Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def find_recipe(name: str | Path) -> ReferenceRecipe:
    """The recipe of this name, or in this file.

    Raises:
        UnknownNameError: neither a recipe of elfzoo nor a file.
        ConfigError: the file is no recipe; says which key is wrong.
    """
    if Path(name).is_file():
        return read_yaml(ReferenceRecipe, name)
    if str(name) not in recipe_names():
        raise UnknownNameError("recipe", str(name), recipe_names())
    with resources.as_file(resources.files("elfzoo.reference").joinpath("recipes", f"{name}.yaml")) as path:
        return read_yaml(ReferenceRecipe, path)


def make_engine(settings: Settings) -> EspressoEngine | GpawEngine:
    """The engine that these settings name."""
    return EspressoEngine() if settings.engine == "espresso" else GpawEngine()
