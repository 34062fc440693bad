"""Errors that a user can act on. Each message says what came, what was expected and, where there is one, the remedy."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


class ElfzooError(ValueError):
    """Base of every error that elfzoo raises on purpose."""


class ElfzooWarning(UserWarning):
    """Something that a user should know about a result that is returned all the same."""


class StructureError(ElfzooError):
    """A structure that no model can work on: no atoms, no volume, NaN, overlapping atoms, unknown species."""


class FieldFileError(ElfzooError):
    """A field file that is damaged, truncated, non-finite or out of range: names file, place and cause."""


class RecipeError(ElfzooError):
    """Two fields made by different engines, functionals or pseudopotentials were about to be mixed."""


class QuantityError(ElfzooError):
    """A field, or a model, of one quantity where another is needed: a density in the place of an ELF."""


class ConfigError(ElfzooError):
    """A configuration with an unknown key or a value of the wrong type."""


class WeightsError(ElfzooError):
    """Weights that are missing, truncated, changed, or do not fit their model."""


class HubError(ElfzooError):
    """The Hub was not reached, refused, or has not what was asked for."""


class UnknownNameError(ElfzooError, KeyError):
    """A name that no registry knows; the message gives the nearest valid ones."""

    def __init__(self, kind: str, name: str, known: Iterable[str]):
        known = sorted(known)
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known) or 'none'}"
        self.message = f"no {kind} is called {name!r}; {hint}"
        super().__init__(self.message)

    def __reduce__(self) -> tuple[Any, ...]:
        """Comes back whole from another process."""
        return _with_message, (type(self), self.message)

    def __str__(self) -> str:  # KeyError would show the repr
        return self.message


def _with_message(kind: type[UnknownNameError], message: str) -> UnknownNameError:
    error = kind.__new__(kind, message)
    error.message = message
    return error
