"""``elfzoo screen``: what it says, and how it ends. The screening itself: tests/screening."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pymatgen.core import Structure
from typer.testing import Result

from elfzoo.analysis import networking, percolation
from elfzoo.hub import load_pretrained
from tests.cli.conftest import error_line

pq = pytest.importorskip("pyarrow.parquet")
pytestmark = pytest.mark.skipif(not percolation.available(), reason="the compiled kernel was not built")

Run = Callable[..., Result]
COARSE = ("-o", "r.parquet", "--spacing", "0.25", "--phi-spacing", "0.25")


def test_a_screening_and_the_same_again(elfzoo: Run, release: Path, poscar: Path, hydrogen: Structure) -> None:
    hydrogen.to("copy.cif")
    call = ("screen", poscar, "copy.cif", "-m", release, *COARSE, "--threshold", "0")
    result = elfzoo(*call)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        "r.parquet: 2 structures, 1 of them copies of others; 1 computed now",
        "status   2 done",
        "verdict  2 pass, 0 fail, 0 abstain",
    ]
    field = load_pretrained(release).predict(hydrogen, spacing=0.25)
    rows = pq.read_table("r.parquet").to_pylist()
    assert [row["phi"] for row in rows] == [pytest.approx(networking(field, 0.25).phi, abs=1e-6)] * 2
    again = elfzoo(*call, "--margin", "1")
    assert again.stdout.splitlines()[0].endswith("0 computed now")
    assert "0 pass, 0 fail, 2 abstain" in again.stdout


def test_single_failures_are_no_error_but_nothing_else_is(elfzoo: Run, release: Path, poscar: Path) -> None:
    Path("bad.cif").write_text("nonsense\n")
    some = elfzoo("screen", poscar, "bad.cif", "-m", release, *COARSE)
    assert some.exit_code == 0 and "1 done, 1 failed" in some.stdout and "verdict" not in some.stdout
    none = elfzoo("screen", "bad.cif", "-m", release, *COARSE)
    assert "every structure failed" in error_line(none)


def test_parts_have_tables_of_their_own(elfzoo: Run, release: Path, poscar: Path, hydrogen: Structure) -> None:
    hydrogen.scale_lattice(15.0)
    hydrogen.to("b.cif")
    for number in (1, 2):
        result = elfzoo("screen", poscar, "b.cif", "-m", release, *COARSE, "--part", f"{number}/2")
        assert f"r.part-{number}-of-2.parquet: 1 structures; 1 computed now" in result.stdout
    assert "2 structures; 0 computed now" in elfzoo("screen", poscar, "b.cif", "-m", release, *COARSE).stdout


def test_wrong_calls(elfzoo: Run, release: Path, density_release: Path, poscar: Path) -> None:
    for part in ("3/2", "0/2", "1", "a/b"):
        assert elfzoo("screen", poscar, "-m", release, *COARSE, "--part", part).exit_code == 2
    assert elfzoo("screen", poscar, "-m", release).exit_code == 2
    assert "need a model of ELF" in error_line(elfzoo("screen", poscar, "-m", density_release, *COARSE))
    assert "threshold" in error_line(elfzoo("screen", poscar, "-m", release, *COARSE, "--threshold", "60"))
    assert "no such file" in error_line(elfzoo("screen", "gone.cif", "-m", release, *COARSE))
    assert not Path("r.parquet").exists()


def test_an_interrupt_says_how_to_go_on(
    elfzoo: Run, release: Path, poscar: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as changed:
        changed.setattr("elfzoo.screening.worker.measure", interrupted)
        result = elfzoo("screen", poscar, "-m", release, *COARSE)
    assert result.exit_code == 130 and "goes on from r.parquet.work" in result.stderr
    result = elfzoo("screen", poscar, "-m", release, *COARSE)
    assert result.exit_code == 0 and "1 computed now" in result.stdout


def test_what_is_missing_is_named(elfzoo: Run, release: Path, poscar: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    poscar.with_name("b.cif").write_text(Structure.from_file(poscar).scale_lattice(20.0).to(fmt="cif"))
    result = elfzoo("screen", poscar, "b.cif", "-m", release, *COARSE, "--workers", "2")
    assert "pip install 'elfzoo[screen]'" in error_line(result)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    assert "pyarrow" in error_line(elfzoo("screen", poscar, "-m", release, *COARSE))
