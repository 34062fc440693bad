"""The leaderboard as a folder of pages that need no network and no server."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from elfzoo._version import __version__
from elfzoo.benchmark.task import AnyTask
from elfzoo.errors import ElfzooError
from elfzoo.field import Field
from elfzoo.io.files import write_bytes
from elfzoo.site.boards import Board, at, boards_of, rows_of
from elfzoo.site.chosen import Chosen, Source
from elfzoo.site.facts import Facts
from elfzoo.site.pages import index_page, model_page, structure_page
from elfzoo.site.rendering import ASSETS, asset
from elfzoo.site.scene import Canvas, Shown, field_script
from elfzoo.site.text import slug

__all__ = ["MANIFEST", "build_site"]

Record = Mapping[str, Any]
Files = Iterator[tuple[str, bytes]]

MANIFEST = "elfzoo-site.json"
LEVEL = 2.0  # of the RMSE of the best model: the residual's surfaces at the start


def build_site(
    records: Iterable[Record],
    folder: str | Path,
    tasks: Mapping[str, AnyTask],
    work: str | Path,
    root: str | None = None,
    studies: Sequence[Record] = (),
    ceilings: Mapping[str, str] | None = None,
) -> Path:
    """Write the pages of some records and return the first of them, ``index.html``. The same input, the same bytes.

    Args:
        records: of :func:`elfzoo.benchmark.read_records`; one split.
        folder: made where it is not there. Of a page that was built there before, the files are removed first;
            anything else there is refused.
        tasks: definitions of the tasks of the records, by name, in the order in which they are shown.
        work: where :func:`elfzoo.benchmark.run` worked: predictions that it kept are shown beside their references.
        root: folder of the datasets, as in :class:`~elfzoo.datasets.FieldDataset`.
        studies: learning curves (:func:`~elfzoo.site.learning.read_studies`), for the pages of the models.
        ceilings: by task, what two DFT codes leave between them (:func:`elfzoo.benchmark.ceiling.ceilings`).

    Raises:
        ElfzooError: a folder with something else in it, records of a task that is not given, or records of one task
            that are of different data.
    """
    folder, boards = Path(folder), boards_of(records, tasks, ceilings)
    _make_room(folder)
    written = []
    for name, content in _files(boards, Path(work), root, studies):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, [content])
        written.append(name)
    _write_manifest(folder, written)
    return folder / "index.html"


def _make_room(folder: Path) -> None:
    """Remove the files of an earlier build, and nothing else."""
    manifest = folder / MANIFEST
    if manifest.is_file():
        for name in json.loads(manifest.read_text())["files"]:
            (folder / name).unlink(missing_ok=True)
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ElfzooError(f"{folder} is there already, and no page of elfzoo's: choose another place, or empty it")
    folder.mkdir(parents=True, exist_ok=True)
    _write_manifest(folder, [])


def _write_manifest(folder: Path, files: list[str]) -> None:
    write_bytes(folder / MANIFEST, [(json.dumps({"elfzoo": __version__, "files": files}, indent=1) + "\n").encode()])


def _files(boards: list[Board], work: Path, root: str | None, studies: Sequence[Record]) -> Files:
    """Names, relative to the folder, and contents of all files."""
    for name in ASSETS:
        yield f"static/{name}", asset(name)
    yield "index.html", index_page(boards).encode()
    for model in dict.fromkeys(record["model"] for board in boards for record in board.records):
        yield f"models/{slug(model)}.html", model_page(boards, model, studies).encode()
    for board in boards:
        for record in board.records:
            own = {key: value for key, value in record.items() if key != "speed"}  # as it was read
            text = json.dumps(own, indent=1, ensure_ascii=False) + "\n"
            yield f"records/{slug(board.name)}/{slug(record['model'])}.json", text.encode()
        yield from _structures(boards, board, Source(board.task, board.split, work, root))


def _structures(boards: list[Board], board: Board, source: Source) -> Files:
    """Pages and fields of the structures of a task that were chosen."""
    references, missing = _references(board, source)
    for chosen in board.chosen:
        place, field = f"{slug(board.name)}/{slug(chosen.name)}", references.get(chosen.file)
        scene, absent = None, missing
        if field is not None:
            scene, absent = yield from _fields(board, chosen, field, source, place)
        yield f"structures/{place}.html", structure_page(boards, board, chosen, field, scene, absent).encode()


def _references(board: Board, source: Source) -> tuple[dict[str, Field], Facts]:
    """Fields of the chosen structures by file, or why there are none."""
    files = [chosen.file for chosen in board.chosen]
    try:
        return (source.references(files, board.records[0]["data_sha256"]) if files else {}), []
    except ElfzooError as error:
        return {}, [("reference", str(error))]


def _fields(
    board: Board, chosen: Chosen, field: Field, source: Source, place: str
) -> Generator[tuple[str, bytes], None, tuple[dict[str, Any], Facts]]:
    """Scripts with the fields of one structure; then what the viewer needs, and whose field is not there and why."""
    canvas, absent = Canvas.of(field), []
    shown = [Shown("reference", "DFT reference", f"../../fields/{place}/reference.js")]
    yield f"fields/{place}/reference.js", field_script("reference", canvas.packed(field)).encode()
    for record in board.records:
        model, script = record["model"], f"fields/{place}/{slug(record['model'])}.prediction.js"
        try:
            guess = source.prediction(record, chosen.file)
        except ElfzooError as error:
            absent.append((model, str(error)))
            continue
        shown.append(Shown(f"prediction:{model}", model, f"../../{script}"))
        yield script, field_script(shown[-1].key, canvas.packed(guess)).encode()
    row = rows_of(board, chosen.file)[chosen.model]
    level = LEVEL * row["voxels"]["rmse"]
    return canvas.scene(shown, at("topology", "reference", "phi_3d")(row), level), absent
