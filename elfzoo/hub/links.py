"""Links of cards: what leads somewhere in a checkout may lead nowhere on the Hub."""

from __future__ import annotations

import re
from collections.abc import Collection

__all__ = ["without_dead_links"]

# code, which stays as it is; or an inline link or picture with its text and its target
SPAN = re.compile(
    r"(?P<code>^ *(?P<fence>```+|~~~+).*?^ *(?P=fence)|(?P<ticks>`+)[^`](?:(?!\n\n).)*?(?P=ticks)(?!`))"
    r"|!?\[(?P<text>[^\[\]]*)\]\((?P<target>[^()\s]+)[^()]*\)",
    re.M | re.S,
)
ELSEWHERE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|//|#")  # an address, or a heading of the same page
NAME = re.compile(r"[\w.-]+")


def without_dead_links(text: str, files: Collection[str]) -> str:
    """Markdown whose inline links and pictures lead to addresses, to headings, or to files that are there.

    Of a link to any other file its text is left, as code where it is a name, such as that of a data set. Of a picture
    what it shows is left. Code stays as it is.

    Args:
        text: of a card.
        files: names of what lies beside it.
    """
    return SPAN.sub(lambda found: _alive(found, files), text)


def _alive(found: re.Match[str], files: Collection[str]) -> str:
    if found["code"] is not None or ELSEWHERE.match(found["target"]) or _file(found["target"]) in files:
        return found[0]
    named = NAME.fullmatch(found["text"]) is not None and not found[0].startswith("!")
    return f"`{found['text']}`" if named else found["text"]


def _file(target: str) -> str:
    return target.partition("#")[0].removeprefix("./")
