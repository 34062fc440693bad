"""The card of a shipped release as HTML."""

from __future__ import annotations

from markdown_it import MarkdownIt
from markupsafe import Markup

from elfzoo.card import read_text, shipped_releases

__all__ = ["card_html"]

DEEPER = 2  # levels that a card's headings go down, so that they lie below those of the page


def card_html(model: str) -> Markup | None:
    """The text of a release's card; None where no release of this name ships.

    HTML in a card is shown as text, and links to files beside it, which are not on the page, are left as text.
    """
    folder = shipped_releases().get(model)
    text = None if folder is None else read_text(folder)
    return None if text is None else _html(text)


def _html(text: str) -> Markup:
    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = reader.parse(text)
    for token in tokens:
        if token.type.startswith("heading"):
            token.tag = f"h{min(6, int(token.tag[1]) + DEEPER)}"
        for child in token.children or ():
            if child.type == "link_open" and not str(child.attrGet("href")).startswith("https://"):
                child.attrs = {}  # an anchor that leads nowhere is text
    return Markup(reader.renderer.render(tokens, reader.options, {}))
