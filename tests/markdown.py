"""Fenced code blocks of Markdown files, and the command line's calls in them.

``<!-- not run: reason -->`` on the line before a block says why the tests only read it. A block with a title is a file.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import typer

from elfzoo.cli import app

__all__ = ["Block", "blocks", "parse_call"]

FENCE = re.compile(
    r"^(?:<!-- not run: (?P<not_run>[^\n]+) -->\n)?"
    r'```(?P<language>\w*)(?: title="(?P<title>[^"]+)")?\n(?P<code>.*?)^```$',
    re.M | re.S,
)
SHELL = ("", "bash", "console")


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Args:
        where: file and line, for messages.
        line: of its first line of code, from 1.
        language: empty where the fence names none.
        title: name of the file that it is; empty for others.
        code: its text.
        not_run: why it is not run; empty for others.
    """

    where: str
    line: int
    language: str
    title: str
    code: str
    not_run: str

    @property
    def calls(self) -> list[list[str]]:
        """Arguments of each ``elfzoo ...`` in a block for a terminal, without what is explained behind it."""
        if self.language not in SHELL:
            return []
        lines = [line.removeprefix("$ ") for line in self.code.splitlines()]
        said = [re.split(r"\s#|\s{2,}", line)[0] for line in lines if line.startswith("elfzoo ")]
        return [shlex.split(line)[1:] for line in said]


def blocks(path: Path) -> list[Block]:
    """Every fenced block of a file, in order."""
    text = path.read_text(encoding="utf-8")
    found = list(FENCE.finditer(text))
    assert 2 * len(found) == len(re.findall(r"^\s*```", text, re.M)), f"{path}: a fence that is not understood"
    result = []
    for match in found:
        line = text.count("\n", 0, match.start("code")) + 1
        groups = {name: value or "" for name, value in match.groupdict().items()}
        result.append(Block(f"{path.name}:{line}", line, **groups))
    return result


def parse_call(arguments: list[str]) -> None:
    """Let the real command line take a call as far as it goes before it does anything.

    Raises:
        Exception: typer's, for a command or an option that there is not, or an argument that is missing.
    """
    command = typer.main.get_command(app)
    _without_deeds(command)
    command.main(args=arguments, prog_name="elfzoo", standalone_mode=False)


def _without_deeds(command: object) -> None:
    for inner in getattr(command, "commands", {}).values():
        inner.callback = lambda **_: None
        _without_deeds(inner)
