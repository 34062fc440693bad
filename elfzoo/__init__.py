"""elfzoo: a model zoo that predicts the electron localization function (ELF) of a structure from its geometry alone."""

from elfzoo._version import __version__
from elfzoo.errors import ElfzooError
from elfzoo.field import Field, Recipe, read_field
from elfzoo.grid import Grid
from elfzoo.registry import create_model, list_models, list_pretrained, load_pretrained, register
from elfzoo.structure import as_structure, read_structures



__all__ = [
    "ElfzooError",
    "Field",
    "Grid",
    "Recipe",
    "__version__",
    "as_structure",
    "create_model",
    "list_models",
    "list_pretrained",
    "load_pretrained",
    "read_field",
    "read_structures",
    "register",
]
