"""elfzoo: a model zoo that predicts the electron localization function (ELF) of a structure from its geometry alone."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from elfzoo._version import __version__
from elfzoo.errors import ElfzooError

if TYPE_CHECKING:
    from elfzoo.field import Field, Recipe, read_field
    from elfzoo.grid import Grid
    from elfzoo.hub import list_pretrained, load_pretrained, recommend
    from elfzoo.hub.push import push_to_hub
    from elfzoo.registry import create_model, list_models, register
    from elfzoo.selection import select
    from elfzoo.structure import as_structure, read_structures
    from elfzoo.training.finetune import finetune

# loaded when first used: importing torch and pymatgen takes seconds, which `elfzoo --help` should not
_WHERE = {
    "Field": "field",
    "Grid": "grid",
    "Recipe": "field",
    "as_structure": "structure",
    "create_model": "registry",
    "finetune": "training.finetune",
    "list_models": "registry",
    "list_pretrained": "hub",
    "load_pretrained": "hub",
    "push_to_hub": "hub.push",
    "read_field": "field",
    "read_structures": "structure",
    "recommend": "hub",
    "register": "registry",
    "select": "selection",
}
_SUBMODULES = (
    "analysis",
    "check",
    "datasets",
    "io",
    "isosurface",
    "md",
    "models",
    "plot",
    "selection",
    "testing",
    "training",
    "transforms",
    "uncertainty",
)

__all__ = [
    "ElfzooError",
    "Field",
    "Grid",
    "Recipe",
    "__version__",
    "as_structure",
    "create_model",
    "finetune",
    "list_models",
    "list_pretrained",
    "load_pretrained",
    "push_to_hub",
    "read_field",
    "read_structures",
    "recommend",
    "register",
    "select",
]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(importlib.import_module(f"elfzoo.{_WHERE[name]}"), name)
    if name in _SUBMODULES:
        return importlib.import_module(f"elfzoo.{name}")
    raise AttributeError(f"module 'elfzoo' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, *_SUBMODULES]
