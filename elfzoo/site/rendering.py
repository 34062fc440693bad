"""Templates, and the files that pages need.

``static/3Dmol-min.js`` is ``build/3Dmol-min.js`` of the npm package 3dmol 2.5.5 as published (SHA-256 f7cc78921ae7…),
BSD-3-Clause; it draws, while its own isosurfaces, which do not interpolate, are not used.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from elfzoo._version import __version__
from elfzoo.site.text import slug, whole, words

__all__ = ["ASSETS", "asset", "render", "script_value"]

ASSETS = ("site.css", "tables.js", "surface.js", "viewer.js", "3Dmol-min.js", "3Dmol-LICENSE.txt")


def render(template: str, **values: Any) -> str:
    """A template of this package, filled in; every value is escaped unless it is markup."""
    return _environment().get_template(template).render(version=__version__, **values)


def asset(name: str) -> bytes:
    """A file of the static folder."""
    return resources.files(__package__).joinpath("static", name).read_bytes()


def script_value(value: Any) -> Markup:
    """JSON that may stand inside of a script: none of its characters can end it."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


@cache
def _environment() -> Environment:
    loader = PackageLoader("elfzoo.site")
    found = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    found.filters |= {"slug": slug, "whole": whole, "words": words, "script": script_value}
    found.globals["inline"] = lambda name: Markup(asset(name).decode("utf-8"))
    return found
