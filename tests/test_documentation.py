"""What the documentation says works: its code runs, its commands exist, its site can be built and read offline."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib import import_module, util
from pathlib import Path

import pytest
import yaml
from ase.io import write
from typer.testing import CliRunner

from elfzoo.analysis import percolation
from elfzoo.analysis.tc import FORMULAS
from elfzoo.cli import app
from elfzoo.examples import load_example
from tests.markdown import Block, blocks, parse_call

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
WITH_CODE = [page for page in PAGES if page.parent == DOCS and blocks(page)]
FRONT = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]  # read, not run
LANGUAGES = {"python", "bash", "text", "yaml", "diff", "markdown"}
WIDTH = 120
HAS_MKDOCS = all(util.find_spec(name) for name in ("mkdocs", "material", "mkdocstrings", "griffe"))
needs_mkdocs = pytest.mark.skipif(not HAS_MKDOCS, reason="needs pip install -e '.[docs]'")
needs_kernel = pytest.mark.skipif(not percolation.available(), reason="the compiled kernel was not built")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped example under the names that the documentation uses, as a reference and as a prediction."""
    folder, field = tmp_path_factory.mktemp("files"), load_example()
    field.structure.to(folder / "POSCAR", fmt="poscar")
    for name in ("ELFCAR.dft", "ELFCAR.dft.gz"):
        field.write(folder / name)
    for name in ("ELFCAR", "ELFCAR.ml"):
        predicted = {**field.meta, "predicted_by": "a model"}
        field.replace(values=0.01 + 0.98 * field.values, meta=predicted).write(folder / name)
    write(folder / "md.traj", [field.structure.to_ase_atoms()] * 3)
    return folder


@pytest.fixture
def workplace(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder but for these files."""
    shutil.copytree(files, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


# ---- code and commands ----


@needs_kernel
@pytest.mark.parametrize("page", WITH_CODE, ids=name_of)
def test_what_the_pages_tell_people_to_type_works(page: Path, workplace: Path) -> None:
    namespace: dict = {"__name__": "page"}
    for block in blocks(page):
        if block.title:
            path = workplace / block.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.code)
        elif block.language == "python" and not block.not_run:
            run_python(block, namespace)
        elif not block.not_run:
            run_calls(block)


def run_python(block: Block, namespace: dict) -> None:
    """With line numbers as on the page."""
    exec(compile("\n" * (block.line - 1) + block.code, block.where, "exec"), namespace)


def run_calls(block: Block) -> None:
    for call in block.calls:
        done = CliRunner().invoke(app, call)
        assert done.exit_code == 0, f"{block.where}: elfzoo {' '.join(call)}\n{done.output}"


@pytest.mark.parametrize("page", [*WITH_CODE, *FRONT], ids=name_of)
def test_python_compiles_and_commands_and_options_exist(page: Path) -> None:
    for block in blocks(page):
        if block.language == "python":
            compile(block.code, block.where, "exec")
        for call in block.calls:
            try:
                parse_call(call)
            except Exception as error:
                pytest.fail(f"{block.where}: elfzoo {' '.join(call)}: {error}")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_pages_are_written_as_agreed(page: Path) -> None:
    """No language that these tests would pass over, and lines that fit."""
    known = LANGUAGES | ({""} if page.name == "leaderboard.md" else set())
    assert {block.language for block in blocks(page)} <= known
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        assert len(line) <= WIDTH or line.startswith("|"), f"{name_of(page)}:{number} has {len(line)} characters"


def test_a_wrong_call_is_found() -> None:
    for wrong in (["predikt"], ["predict", "POSCAR", "-o", "ELFCAR", "--spacin", "1"], ["predict", "POSCAR"]):
        with pytest.raises(Exception, match=r"predikt|spacin|output"):
            parse_call(wrong)


def test_calls_are_read_without_what_explains_them(tmp_path: Path) -> None:
    code = "$ elfzoo models          what ships\nelfzoo plot 'a b' --plane z=1/4  # a slice\nmake demo\n"
    (tmp_path / "page.md").write_text(f'Text.\n\n<!-- not run: a test -->\n```bash title="x"\n{code}```\n')
    (block,) = blocks(tmp_path / "page.md")
    assert (block.line, block.not_run, block.title) == (5, "a test", "x")
    assert block.calls == [["models"], ["plot", "a b", "--plane", "z=1/4"]]


def test_the_physics_page_has_every_fit_as_it_is_computed() -> None:
    lines = (DOCS / "physics.md").read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| `")]
    errors = {name: "" if fit.error is None else f"{fit.error:.0f} K" for name, fit in FORMULAS.items()}
    assert rows == [[f"`{name}`", f"`{fit.text}`", errors[name], fit.reference] for name, fit in FORMULAS.items()]


# ---- the site ----


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; a warning of MkDocs is an error."""
    folder = tmp_path_factory.mktemp("docs") / "site"
    call = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"})
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def pages_in(nav: list | dict | str) -> Iterator[str]:
    """Files that a navigation lists."""
    if isinstance(nav, str):
        yield nav
    for item in nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else ():
        yield from pages_in(item)


def test_every_page_is_in_the_navigation() -> None:
    listed = list(pages_in(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]))
    assert sorted(listed) == sorted(page.relative_to(DOCS).as_posix() for page in PAGES)


class Assets(HTMLParser):
    """Addresses of what a page loads when it is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.found += [value for name, value in values.items() if name in ("src", "srcset", "poster", "data")]
        if tag == "link" and values.get("rel") not in ("prev", "next"):
            self.found.append(values.get("href", ""))
        self.found += re.findall(r"url\(([^)]+)\)", values.get("style", ""))


@needs_mkdocs
def test_no_page_needs_a_network(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > len(PAGES)  # the page of errors besides
    for page in pages:
        assets = Assets()
        assets.feed(page.read_text(encoding="utf-8"))
        outside = [address for address in assets.found if re.match(r"(https?:)?//", address.strip("'\" "))]
        assert assets.found and not outside, f"{page}: {outside}"
        if page.name != "404.html":  # it is for servers
            local = [address for address in assets.found if not address.startswith("data:")]
            missing = [address for address in local if not (page.parent / address.partition("?")[0]).is_file()]
            assert not missing, f"{page}: {missing}"
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*['\"]?(https?:)?//", sheet.read_text(encoding="utf-8")), sheet


@needs_mkdocs
@pytest.mark.parametrize("page", sorted((DOCS / "api").glob("*.md")), ids=lambda page: page.stem)
def test_the_api_pages_have_every_public_name(page: Path, site: Path) -> None:
    """A function that is called as its module is shows under the name of both."""
    built = (site / "api" / f"{page.stem}.html").read_text(encoding="utf-8")
    shown = set(re.findall(r'id="([\w.]+)"', built))
    for module in re.findall(r"^::: (elfzoo(?:\.\w+)?)$", page.read_text(), re.M):
        names = import_module(module).__all__
        missing = [name for name in names if not {f"{module}.{name}", f"{module}.{name}.{name}"} & shown]
        assert not missing, f"{module}: {missing}"
    assert not re.search(r":(func|class|attr|data|mod|meth):", built), "a role that is no link"


def test_the_public_modules_have_pages() -> None:
    text = "".join(page.read_text() for page in (DOCS / "api").glob("*.md"))
    assert {"elfzoo", "elfzoo.analysis"} <= set(re.findall(r"^::: ([\w.]+)$", text, re.M))


@needs_mkdocs
def test_pages_take_in_what_stands_elsewhere(site: Path) -> None:
    steps = (site / "adding-a-model.html").read_text(encoding="utf-8")
    assert "fit_statistics" in steps and "<!-- include" not in steps
    for page in ("poscar-to-tc", "finetune-hydride"):
        assert "data:image/png;base64" in (site / f"{page}.html").read_text(encoding="utf-8")


@needs_mkdocs
def test_what_is_to_be_taken_in_must_be_there() -> None:
    from mkdocs.exceptions import PluginError

    spec = util.spec_from_file_location("include", DOCS / "tools" / "include.py")
    assert spec is not None and spec.loader is not None
    include = util.module_from_spec(spec)
    spec.loader.exec_module(include)
    assert "Four steps" in include.on_page_markdown("<!-- include CONTRIBUTING.md: four steps -->")
    assert "](leaderboard.md)" in include.section("CONTRIBUTING.md", "Adding a task")
    with pytest.raises(PluginError, match="neither a heading nor a marker 'No such thing'"):
        include.section("README.md", "No such thing")
