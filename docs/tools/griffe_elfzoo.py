"""What griffe has to be told of elfzoo's sources before the API pages are made of them."""

from __future__ import annotations

import re
from typing import Any

import griffe

ROLE = re.compile(r":(?:func|class|attr|data|mod|meth):`(~?)([\w.]+)`")
TABLE = re.compile(r"^(={3,}(?: +={3,})+)\n(?:.+\n)+?\1\n(?:.+\n)+?\1$", re.M)
JOINT = re.compile(r"^( +)(\w+(?:, \w+)+): (.+(?:\n\1 +.+)*)", re.M)  # `phi_1d, phi_2d: highest isovalues ...`


class Elfzoo(griffe.Extension):
    """Visits the package once it is loaded, before griffe's own extension looks for dataclasses."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        visit(pkg)


def visit(obj: griffe.Object) -> None:
    """An object and all its members.

    What has no docstring is not shown: fields of a dataclass are explained in that of their class. Constants of modules
    show themselves.
    """
    if obj.docstring is not None:
        obj.docstring.value = as_markdown(obj, obj.docstring.value)
    elif obj.is_attribute and isinstance(obj.parent, griffe.Module):
        obj.docstring = griffe.Docstring("", parent=obj)
    if isinstance(obj, griffe.Class):
        name_dataclasses(obj)
    for member in obj.members.values():
        if isinstance(member, griffe.Object):
            visit(member)


def name_dataclasses(obj: griffe.Class) -> None:
    """A ``config_class`` is a dataclass: its fields are the arguments that it is made of."""
    for decorator in obj.decorators:
        if decorator.callable_path == "elfzoo.config.config_class":
            decorator.value = griffe.ExprName("dataclasses.dataclass")


def as_markdown(obj: griffe.Object, text: str) -> str:
    """A docstring without Sphinx's roles and tables, and with one line for each argument."""
    text = text.replace("Class attributes:\n", "Attributes:\n")  # which griffe knows
    text = TABLE.sub(lambda match: f"```text\n{match.group()}\n```", text)
    text = JOINT.sub(lambda match: "\n".join(f"{match[1]}{name}: {match[3]}" for name in match[2].split(", ")), text)
    return ROLE.sub(lambda match: link(obj, *match.groups()), text)


def link(obj: griffe.Object, short: str, target: str) -> str:
    """A link where the pages have the target, else its name: not everything that a docstring names is public."""
    label = target.rpartition(".")[2] if short else target
    return f'<autoref optional identifier="{where(obj, target)}"><code>{label}</code></autoref>'


def where(obj: griffe.Object, target: str) -> str:
    """The full name of a target as seen from an object: its own member, or one of its module or class."""
    first, _, rest = target.partition(".")
    if first == "elfzoo":
        return target
    try:
        found = f"{obj.path}.{first}" if first in obj.members else obj.resolve(first)
    except griffe.NameResolutionError:
        return target
    return f"{found}.{rest}" if rest else found
