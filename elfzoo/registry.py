"""Names to architectures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from elfzoo.config import parse
from elfzoo.errors import ElfzooError, UnknownNameError
from elfzoo.target import Target

if TYPE_CHECKING:
    from elfzoo.models.base import Model

__all__ = ["architecture_of", "create_model", "find_architecture", "list_models", "register"]

M = TypeVar("M", bound="type[Model]")
_ARCHITECTURES: dict[str, type[Model]] = {}


def register(name: str) -> Callable[[M], M]:
    """Class decorator: make an architecture known under ``name`` (lower case, no dots)."""

    def add(cls: M) -> M:
        if name in _ARCHITECTURES and _ARCHITECTURES[name].__qualname__ != cls.__qualname__:
            raise ValueError(f"two architectures are called {name!r}: {_ARCHITECTURES[name]} and {cls}")
        _ARCHITECTURES[name] = cls
        return cls

    return add


def list_models() -> list[str]:
    """Names of the architectures, sorted."""
    _import_models()
    return sorted(_ARCHITECTURES)


def find_architecture(name: str) -> type[Model]:
    """The class that is registered under a name.

    Raises:
        UnknownNameError: with the nearest names.
    """
    _import_models()
    if name not in _ARCHITECTURES:
        raise UnknownNameError("architecture", name, _ARCHITECTURES)
    return _ARCHITECTURES[name]


def architecture_of(model: Model) -> str:
    """The name under which a model's class is registered.

    Raises:
        ElfzooError: it is not.
    """
    _import_models()
    found = next((name for name, cls in _ARCHITECTURES.items() if cls is type(model)), None)
    if found is None:
        raise ElfzooError(f"{type(model).__name__} is no registered architecture; @register('name') makes it one")
    return found


def create_model(
    name: str, config: Mapping[str, Any] | Any | None = None, target: Mapping[str, Any] | Target | None = None
) -> Model:
    """A model with fresh weights.

    Args:
        name: one of :func:`list_models`.
        config: plain values or an instance of the architecture's ``config_class``; the defaults otherwise.
        target: what it predicts, plain values or a :class:`~elfzoo.target.Target`; ELF otherwise.

    Raises:
        UnknownNameError: with the nearest names.
        ConfigError: for an unknown key or a value of the wrong type.
    """
    cls = find_architecture(name)
    model = cls(parse(cls.config_class, config or {}, where=name))
    model.target = parse(Target, target or {}, where="target")
    return model


def _import_models() -> None:
    import elfzoo.models  # noqa: F401  (registers every architecture)
