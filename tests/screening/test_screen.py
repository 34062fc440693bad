"""Screening in this process: the numbers, failures as rows, duplicates, going on."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

import elfzoo
from elfzoo import analysis
from elfzoo.analysis import percolation
from elfzoo.errors import ConfigError, ElfzooError, ElfzooWarning, StructureError
from elfzoo.screening import Part, ScreenSettings, Work, catalogue, read_facts, screen, work_folder, worker
from elfzoo.screening.identity import structure_hash
from elfzoo.screening.journal import Journal, Ledger, read_journals
from elfzoo.screening.table import COLUMNS
from elfzoo.screening.worker import Job, compute, compute_chunk, item_of
from tests.screening.conftest import COARSE, MODEL, read_rows, tiny

pytest.importorskip("pyarrow")
pytestmark = pytest.mark.skipif(not percolation.available(), reason="the compiled kernel was not built")

Folder = Callable[[int], Path]
OUT = Path("results.parquet")


def events(out: Path = OUT) -> Counter[str]:
    """How many structures were begun, and how many finished."""
    return Counter("started" if "started" in r else "finished" for r in read_journals(work_folder(out) / "results"))


def run(sources, **options):
    return screen([sources] if isinstance(sources, Path) else sources, MODEL, OUT, **(COARSE | options))


def test_rows_say_what_the_analysis_says(folder: Folder) -> None:
    done = run(folder(3), threshold=0.2)
    assert (done.rows, done.computed, done.duplicates, done.statuses) == (3, 3, 0, {"done": 3})
    rows = read_rows(OUT)
    assert list(rows[0]) == list(COLUMNS) and [Path(row["file"]).name[-2:] for row in rows] == ["00", "01", "02"]
    for number, row in enumerate(rows):
        field = elfzoo.load_pretrained(MODEL).predict(tiny(number), spacing=0.25)
        found, points = analysis.networking(field, 0.25), analysis.critical_points(field)
        for name in ("phi", "phi_error", "phi_1d", "phi_2d", "phi_h", "phi_star"):
            assert row[name] == pytest.approx(getattr(found, name), abs=1e-6)
        counts = [row[name] for name in ("maxima", "bond_saddles", "ring_saddles", "minima")]
        assert counts == list(points.counts.values()) and row["morse_sum"] == points.morse_sum
        assert row["grid"] == "x".join(map(str, field.grid.shape)) and row["uncertainty"] is None
        assert row["verdict"] == ("pass" if found.phi >= 0.2 else "fail") or row["reason"] is not None
        assert (
            row["outside"].startswith("4.63 Å³ per atom (trained on 2.00 to 2.65)") and row["unknown_elements"] is None
        )
        assert row["frame"] is None and row["atoms"] == 3 and row["volume"] == pytest.approx(tiny(number).volume)
    facts = read_facts(OUT)
    assert facts["settings"]["model"] == MODEL and facts["criterion"]["threshold"] == 0.2


def test_again_computes_nothing_and_takes_in_what_is_new(folder: Folder) -> None:
    place = folder(2)
    run(place)
    before, rows = OUT.read_bytes(), read_rows(OUT)
    assert run(place).computed == 0 and OUT.read_bytes() == before
    folder(3)
    assert run(place).computed == 1 and events() == {"started": 3, "finished": 3}
    assert read_rows(OUT)[:2] == rows and len(read_rows(OUT)) == 3


def test_another_threshold_judges_anew_without_computing(folder: Folder) -> None:
    place = folder(2)
    run(place, threshold=0.0)
    assert {row["verdict"] for row in read_rows(OUT)} == {"pass"}
    assert run(place, threshold=1.0).computed == 0
    assert {row["verdict"] for row in read_rows(OUT)} == {"fail"}


def test_copies_are_computed_once_and_each_has_its_row(folder: Folder) -> None:
    place = folder(1)
    original = tiny(0)
    shifted = Structure(original.lattice, original.species, original.frac_coords[::-1] + [[1, 0, -2]] * 3)
    shifted.to(str(place / "copy.cif"))
    done = run(place)
    first, second = read_rows(OUT)
    assert (done.computed, done.duplicates) == (1, 1)
    assert [first["duplicate"], second["duplicate"]] == [False, True]
    assert first["phi"] == second["phi"] and first["hash"] == second["hash"] and first["file"] != second["file"]


def test_failures_are_rows_and_the_others_go_on(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    place = folder(3)
    (place / "POSCAR_01").write_text("nonsense\n")
    real, broken = analysis.networking, tiny(2).frac_coords

    def fails(field, spacing):
        if np.allclose(field.structure.frac_coords, broken, atol=1e-6):
            raise MemoryError("no room")
        return real(field, spacing)

    with monkeypatch.context() as changed:
        changed.setattr("elfzoo.screening.measure.networking", fails)
        done = run(place, threshold=0.2)
    good, unread, failed = read_rows(OUT)
    assert done.statuses == {"done": 1, "failed": 2} and done.computed == 2
    assert good["status"] == "done" and good["message"] is None
    assert "POSCAR_01" in unread["message"] and unread["hash"] is None
    assert failed["message"] == "MemoryError: no room" and failed["phi"] is failed["verdict"] is None
    assert run(place).computed == 0  # a failure is a result
    assert run(place, work=Work(retry_failed=True)).computed == 1
    assert [row["status"] for row in read_rows(OUT)] == ["done", "failed", "done"]


def test_names_that_are_no_text_have_rows(folder: Folder) -> None:
    place = folder(1)
    os.rename(place / "POSCAR_00", os.fsencode(place) + b"/POSCAR_caf\xe9")
    screen([place], MODEL, OUT, **COARSE)
    (row,) = read_rows(OUT)
    assert row["file"].endswith("POSCAR_caf\\udce9") and row["status"] == "done"


def test_what_could_not_be_read_is_read_again_where_wanted(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    place, read = folder(1), catalogue.read_frames

    def unreadable(path: Path, index: str):
        yield None, StructureError(f"{path}: PermissionError")

    monkeypatch.setattr(catalogue, "read_frames", unreadable)
    screen([place], MODEL, OUT, **COARSE)
    monkeypatch.setattr(catalogue, "read_frames", read)
    for again, status in ((False, "failed"), (True, "done")):
        screen([place], MODEL, OUT, work=Work(retry_failed=again), **COARSE)
        assert [row["status"] for row in read_rows(OUT)] == [status]


def test_what_the_process_dies_of_is_left_after_some_times(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that computes alone has nobody to count its deaths but the marks that it left."""
    place, measured, by = folder(3), worker.measure, [KeyboardInterrupt]

    class Killed(BaseException):
        """Nothing is recorded of it."""

    def lethal(model, structure, settings):
        if structure_hash(structure) == structure_hash(tiny(1)):
            raise by[0]
        return measured(model, structure, settings)

    monkeypatch.setattr(worker, "measure", lethal)
    for by[0] in (*[KeyboardInterrupt] * 3, *[Killed] * 3):  # who stops it is no fault of the structure
        with pytest.raises(by[0]):
            screen([place], MODEL, OUT, **COARSE)
    screen([place], MODEL, OUT, **COARSE)
    rows = read_rows(OUT)
    assert [row["status"] for row in rows] == ["done", "failed", "done"]
    assert "ended 3 times" in rows[1]["message"]
    monkeypatch.setattr(worker, "measure", measured)
    screen([place], MODEL, OUT, work=Work(retry_failed=True), **COARSE)
    assert {row["status"] for row in read_rows(OUT)} == {"done"}


def test_a_vast_cell_is_a_failed_row(folder: Folder) -> None:
    place = folder(1)
    Structure(Lattice.cubic(2e4), ["H"], [[0, 0, 0]]).to(str(place / "POSCAR_vast"), fmt="poscar")
    screen([place], MODEL, OUT, **COARSE)
    assert [row["status"] for row in read_rows(OUT)] == ["done", "failed"]
    assert "lattice vector of 2e+04 Å" in read_rows(OUT)[1]["message"]


def test_without_critical_points_phi_stays(folder: Folder) -> None:
    """The search needs four grid points along each axis."""
    place = folder(0)
    Structure(Lattice.cubic(1.5), ["H"], [[0, 0, 0]]).to(str(place / "POSCAR"), fmt="poscar")
    run(place, spacing=0.75)
    (row,) = read_rows(OUT)
    assert row["status"] == "partial" and "critical points" in row["message"]
    assert row["phi"] is not None and row["maxima"] is row["morse_sum"] is None


def test_unknown_elements_abstain(folder: Folder, recwarn: pytest.WarningsRecorder) -> None:
    place = folder(0)
    Structure(Lattice.cubic(3.0), ["H", "La"], [[0, 0, 0], [0.5] * 3]).to(str(place / "POSCAR"), fmt="poscar")
    assert run(place, threshold=0.5).verdicts == {"abstain": 1}
    (row,) = read_rows(OUT)
    assert row["unknown_elements"] == "La" and "La" in row["reason"] and row["phi"] is not None
    assert not [w for w in recwarn if "extrapolation" in str(w.message)]


def test_parts_make_up_the_whole(folder: Folder) -> None:
    place = folder(5)
    done = [run(place, work=Work(part=Part(number, 2))) for number in (1, 2)]
    assert [d.computed for d in done] == [3, 2] and not OUT.exists()
    assert done[0].path == Path("results.part-1-of-2.parquet")
    assert run(place).computed == 0
    assert sorted(row["hash"] for d in done for row in read_rows(d.path)) == sorted(r["hash"] for r in read_rows(OUT))


def test_frames_of_a_trajectory_are_rows(folder: Folder) -> None:
    from ase.io import write

    folder(0)
    write("md.traj", [tiny(number).to_ase_atoms() for number in (0, 1, 0, 2)])
    done = run(Path("md.traj"), index=":")
    assert [(r["frame"], r["duplicate"]) for r in read_rows(OUT)] == [(0, False), (1, False), (2, True), (3, False)]
    assert done.computed == 3


def test_a_changed_file_is_a_new_structure(folder: Folder) -> None:
    place = folder(1)
    run(place)
    old = read_rows(OUT)[0]["hash"]
    tiny(7).to(str(place / "POSCAR_00"), fmt="poscar")
    assert run(place).computed == 1 and read_rows(OUT)[0]["hash"] != old


def test_a_line_cut_short_is_done_again(folder: Folder) -> None:
    place = folder(2)
    run(place)
    (journal,) = (work_folder(OUT) / "results").glob("*.jsonl")
    journal.write_bytes(journal.read_bytes()[:-20])
    assert run(place).computed == 1 and len(read_rows(OUT)) == 2


def test_other_settings_another_output(folder: Folder) -> None:
    place = folder(1)
    run(place)
    with pytest.raises(ElfzooError, match=r"spacing 0\.25, now 0\.2.*another output"):
        run(place, spacing=0.2)
    with pytest.raises(ElfzooError, match="model"):
        screen([place], "grid_mlp.smooth-h-v3", OUT, **COARSE)


def test_a_table_of_unknown_origin_is_not_overwritten(folder: Folder) -> None:
    place = folder(1)
    OUT.write_bytes(b"something")
    with pytest.raises(ElfzooError, match="choose another output"):
        run(place)
    assert OUT.read_bytes() == b"something"


@pytest.mark.parametrize(
    ("options", "words"),
    [({"spacing": 0.0}, "spacing is a length"), ({"phi_spacing": -1.0}, "phi_spacing"), ({"persistence": 1.0}, "ELF")],
)
def test_settings_without_sense_are_refused(folder: Folder, options: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        run(folder(1), **options)


def test_wrong_calls_leave_nothing_behind(folder: Folder) -> None:
    place = folder(1)
    for out, model, words in (
        (Path("results.csv"), MODEL, r"\.parquet"),
        (Path("no/results.parquet"), MODEL, "no folder"),
        (OUT, "grid_mlp.wang", "did you mean"),
    ):
        with pytest.raises(ElfzooError, match=words):
            screen([place], model, out, **COARSE)
    with pytest.raises(ElfzooError, match="1 to 2"):
        Part(3, 2)
    with pytest.raises(ElfzooError, match="at least one worker"):
        Work(workers=0)
    assert sorted(path.name for path in Path().iterdir()) == ["crystals"]


def test_a_worker_that_cannot_work_says_why(folder: Folder) -> None:
    run(folder(1))
    settings = ScreenSettings(MODEL, read_facts(OUT)["settings"]["weights_sha256"], **COARSE)
    place, item = str(work_folder(OUT).resolve()), item_of("0", tiny(0))
    other = ScreenSettings(MODEL, settings.weights_sha256, spacing=0.3, phi_spacing=0.25)
    for job, words in (
        (Job(MODEL, "/no/such/place", settings), "does not see the folder"),
        (Job(MODEL, place, other), "other settings"),
        (Job("grid_mlp.none", place, settings), "cannot load"),
        (Job("grid_mlp.smooth-h-v3", place, settings), "other weights"),
    ):
        with pytest.raises(ElfzooError, match=words):
            compute(job, item)


def test_a_record_that_could_not_be_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path)
    journal.add({"hash": "a"})
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(OSError, match="No space"):
            journal.add({"hash": "b"})
    journal.add({"hash": "c"})
    assert [record["hash"] for record in read_journals(tmp_path)] == ["a", "c"]


def test_journals_of_two_processes_are_one(tmp_path: Path) -> None:
    for number in range(2):
        Journal(tmp_path).add({"number": number})
    with open(tmp_path / "cut.jsonl", "w") as handle:
        handle.write('{"number": 2}\n{"number": 3')
    assert sorted(record["number"] for record in read_journals(tmp_path)) == [0, 1, 2]


def test_a_ledger_reads_on(tmp_path: Path) -> None:
    ledger, journal, other = Ledger(tmp_path), Journal(tmp_path), Journal(tmp_path)
    assert ledger.find("a") is None
    journal.add({"started": "a"})
    assert ledger.find("a") is None
    other.add({"hash": "a", "of": "other"})
    assert ledger.find("a") == {"hash": "a", "of": "other"}
    with open(journal.path, "a") as handle:
        handle.write('{"hash": "b", "of')
    assert ledger.find("b") is None and ledger.find("a") is not None
    with open(journal.path, "a") as handle:
        handle.write('": "journal"}\nnonsense\n')
    journal.add({"hash": "c"})
    assert ledger.find("b") == {"hash": "b", "of": "journal"} and ledger.find("c") == {"hash": "c"}


@pytest.mark.parametrize(("status", "again"), [("done", False), ("partial", False), ("failed", True)])
def test_what_another_worker_finished_is_not_computed_again(folder: Folder, status: str, again: bool) -> None:
    run(folder(1))
    settings = ScreenSettings(MODEL, read_facts(OUT)["settings"]["weights_sha256"], **COARSE)
    job, before = Job(MODEL, str(work_folder(OUT).resolve()), settings), events()
    Journal(work_folder(OUT) / "results").add(dead := {"hash": "of the dead", "status": status})
    found = compute_chunk(job, (item_of("of the dead", tiny(0)), item_of("another", tiny(1))))
    assert [record["hash"] for record in found] == ["of the dead", "another"]
    assert (found[0] == dead) is not again and events()["started"] == before["started"] + 1 + again


def test_a_name_in_another_folder_is_another_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of equal size and time of change, as from one archive."""
    found = []
    for number in (0, 1):
        place = tmp_path / str(number)
        place.mkdir()
        tiny(number).to(str(place / "POSCAR"), fmt="poscar")
        text = (place / "POSCAR").read_text()
        (place / "POSCAR").write_text(text + " " * (5000 - len(text)))
        os.utime(place / "POSCAR", ns=(10**18, 10**18))
        monkeypatch.chdir(place)
        found += catalogue.catalogue([Path("POSCAR")], "-1", tmp_path / "index", False)
    assert [entry.hash for entry in found] == [structure_hash(tiny(number)) for number in (0, 1)]
    monkeypatch.chdir(tmp_path)
    (entry,) = catalogue.catalogue([Path("1/POSCAR")], "-1", tmp_path / "index", False)
    assert (entry.file, entry.hash) == ("1/POSCAR", found[1].hash)  # as it is named now


def test_a_file_that_changes_while_it_is_screened_ends_nothing(tmp_path: Path) -> None:
    for number in (0, 1):
        tiny(number).to(str(tmp_path / f"POSCAR_{number}"), fmt="poscar")
    files = sorted(tmp_path.glob("POSCAR_*"))
    entries = catalogue.catalogue(files, "-1", tmp_path / "index", False)
    tiny(2).to(str(files[0]), fmt="poscar")
    with pytest.warns(ElfzooWarning, match="1 structures have gone from their files"):
        found = list(catalogue.read_again(files, "-1", entries, {str(entry.hash) for entry in entries}))
    assert [hash for hash, _ in found] == [structure_hash(tiny(1))]


def test_a_ledger_forgets_a_run_that_was_begun_anew(tmp_path: Path) -> None:
    """Its folder was removed while a worker lived on, and written to under the same name."""
    ledger, journal = Ledger(tmp_path), Journal(tmp_path)
    for hash in ("a", "b"):
        journal.add({"hash": hash, "of": "the first run"})
    assert ledger.find("b") is not None
    journal.path.unlink()
    assert ledger.find("b") is None
    journal.add({"hash": "d"})
    assert ledger.find("a") is None and ledger.find("d") == {"hash": "d"}


def test_where_a_lonely_atom_takes_too_much_memory_the_row_stays(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_much(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("elfzoo.screening.measure.assess", too_much)
    run(folder(1))
    (row,) = read_rows(OUT)
    assert row["status"] == "done" and row["outside"] is None and row["phi"] > 0
