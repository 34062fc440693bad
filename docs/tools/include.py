"""Hooks of MkDocs: pages take in what stands elsewhere, so that nothing has to be written, or kept true, twice.

``<!-- include CONTRIBUTING.md: Adding a task -->`` is the text below that heading,
``<!-- include README.md: summary -->`` what stands between ``<!-- summary -->`` and ``<!-- end -->``, and
``<!-- notebook notebooks/poscar_to_tc.ipynb -->`` a notebook with its outputs.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError

ROOT = Path(__file__).parents[2]
INCLUDE = re.compile(r"^<!-- include (\S+): (.+) -->$", re.M)
NOTEBOOK = re.compile(r"^<!-- notebook (\S+) -->$", re.M)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """What MkDocs calls with the text of every page."""
    markdown = INCLUDE.sub(lambda match: section(match[1], match[2]), markdown)
    return NOTEBOOK.sub(lambda match: notebook_text(ROOT / "docs" / match[1]), markdown)


def section(file: str, name: str) -> str:
    """Part of a file at the top of the checkout, its links as seen from ``docs``."""
    text, title = (ROOT / file).read_text(encoding="utf-8"), re.escape(name)
    marked = re.search(rf"^<!-- {title} -->\n(.*?)^<!-- end -->$", text, re.M | re.S)
    headed = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    found = marked or headed
    if found is None:
        raise PluginError(f"{file} has neither a heading nor a marker {name!r}")
    return found[1].replace("](docs/", "](").strip()


def notebook_text(path: Path) -> str:
    """A notebook as Markdown: its text, its code, and what the code put out when it was run."""
    parts: list[str] = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        parts += [output_text(output) for output in cell.get("outputs", [])]
    return "\n\n".join(parts)


def output_text(output: dict[str, Any]) -> str:
    """A picture, or text."""
    data = output.get("data", {"text/plain": output.get("text", "")})
    if "image/png" in data:
        picture = "".join(data["image/png"]).replace("\n", "")
        width = output["metadata"].get("image/png", {}).get("width", "")
        return f'<img alt="What the code above draws" width="{width}" src="data:image/png;base64,{picture}">'
    return f"```text\n{''.join(data['text/plain']).rstrip()}\n```"
