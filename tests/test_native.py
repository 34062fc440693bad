"""The compiled modules that an installation may have."""

from __future__ import annotations

import re
from pathlib import Path

from elfzoo import native

ROOT = Path(__file__).parents[1]


def test_the_list_of_modules_is_that_of_the_build_and_all_are_here() -> None:
    built = re.findall(r'kernel\("([\w.]+)"', (ROOT / "setup.py").read_text())
    assert sorted(native.MODULES) == sorted(built)
    assert all(native.load(module) is not None for module in native.MODULES)


def test_a_wheel_without_one_of_them_fails_its_test() -> None:
    """Extensions are optional, so that a fault of the compiler would go unseen."""
    command = next(line for line in (ROOT / "pyproject.toml").read_text().splitlines() if line.startswith("test-comm"))
    code = command.split("-c ")[1].strip('"\\ ').replace('\\"', "")
    scope: dict = {}
    exec(code, scope)
    assert scope["lost"] == []
