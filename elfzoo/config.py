"""Typed configurations: frozen dataclasses of JSON values, checked when they are made, unknown keys refused."""

from __future__ import annotations

import dataclasses
import difflib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, dataclass_transform, get_args, get_type_hints

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as pydantic_dataclass

from elfzoo.errors import ConfigError

__all__ = ["checked_name", "config_class", "parse", "read_yaml", "to_dict", "yaml_values"]

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def config_class(cls: type[T]) -> type[T]:
    """Class decorator: a frozen dataclass that validates its values and refuses unknown keys."""
    decorate: Any = pydantic_dataclass(frozen=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))
    return decorate(cls)


def parse(cls: type[T], values: Mapping[str, Any] | T, where: str = "config") -> T:
    """Make a configuration from plain values.

    Raises:
        ConfigError: naming the key, what came and what was expected, and for an unknown key the nearest valid one.
    """
    if isinstance(values, cls):
        return values
    truths = [f"{place}: expected a number or text (got {value!r})" for place, value in _misplaced_truths(cls, values)]
    if truths:
        raise ConfigError(f"{where}: " + "; ".join(truths))
    try:
        return TypeAdapter(cls).validate_python(values)
    except ValidationError as error:
        raise ConfigError(f"{where}: " + "; ".join(_explain(cls, e) for e in error.errors())) from None


def checked_name(name: str, of: str = "a name") -> str:
    """A name that files and folders are called after.

    Raises:
        ConfigError: it has other characters; ``of`` begins the sentence.
    """
    if not re.fullmatch(r"[\w+-][\w.+-]*", name):
        raise ConfigError(f"{of} has letters, digits and . + - _ alone, and no . first; got {name!r}")
    return name


def to_dict(config: Any) -> dict[str, Any]:
    """Plain JSON values of a configuration."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def read_yaml(cls: type[T], path: str | Path) -> T:
    """Read a configuration from a YAML (or JSON) file."""
    return parse(cls, yaml_values(path), where=str(path))


def yaml_values(path: str | Path) -> dict[str, Any]:
    """The plain values of a YAML (or JSON) file.

    Raises:
        ConfigError: no such file, one that cannot be read, no YAML, a key twice in one mapping, or something else than
            a mapping.
    """
    path = Path(path)
    try:
        values = yaml.load(path.read_text(), _EachKeyOnce)
    except FileNotFoundError:
        raise ConfigError(f"no such configuration file: {path}") from None
    except OSError as error:  # a folder, or a file that is not ours to read
        raise ConfigError(f"cannot read the configuration file {path}: {error.strerror or error}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected a mapping of keys to values; got {type(values).__name__}")
    return values


class _EachKeyOnce(yaml.SafeLoader):
    """YAML in which a key that is given twice is an error; the last one would win in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen and key.tag != "tag:yaml.org,2002:merge":
                raise yaml.constructor.ConstructorError(None, None, f"the key {key.value!r} twice", key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep=deep)


def _misplaced_truths(hint: Any, value: Any, place: str = "") -> Iterator[tuple[str, bool]]:
    """Where true or false stands for a number or a text; pydantic would take them for 1 and 0."""
    if isinstance(value, bool):
        if hint in (int, float, str) or (get_args(hint) and not {bool, object, Any} & set(get_args(hint))):
            yield place, value
    elif isinstance(value, Mapping):
        for option in (hint, *get_args(hint)):
            if isinstance(option, type) and dataclasses.is_dataclass(option):
                for name, inner in get_type_hints(option).items():
                    yield from _misplaced_truths(inner, value.get(name), f"{place}.{name}".lstrip("."))
    elif isinstance(value, list | tuple) and get_args(hint):
        for option in get_args(hint):
            for number, item in enumerate(value if option is not ... else ()):
                yield from _misplaced_truths(option, item, f"{place}.{number}")


def _explain(cls: type, error: Mapping[str, Any]) -> str:
    place = ".".join(str(part) for part in error["loc"])
    if error["type"] == "unexpected_keyword_argument":
        near = difflib.get_close_matches(place.split(".")[-1], _known_keys(cls), n=1)
        return f"unknown key {place!r}" + (f"; did you mean {near[0]!r}?" if near else f"; known: {_known_keys(cls)}")
    if error["type"] == "value_error":  # a sentence of ours, which says what came
        return f"{place + ': ' if place else ''}{error['ctx']['error']}"
    return f"{place or cls.__name__}: {error['msg']} (got {error['input']!r})"


def _known_keys(cls: type) -> list[str]:
    """Keys of a configuration and of those nested in it."""
    keys = []
    for name, hint in get_type_hints(cls).items():
        keys.append(name)
        for nested in (hint, *get_args(hint)):
            if isinstance(nested, type) and dataclasses.is_dataclass(nested):
                keys += _known_keys(nested)
    return keys
