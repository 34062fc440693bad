"""Files, folders and lists, and the frames in them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from ase import Atoms
from ase.io import write
from pymatgen.core import Structure

from elfzoo.errors import StructureError
from elfzoo.screening import find_files
from elfzoo.screening.inputs import read_frames
from tests.screening.conftest import tiny

Folder = Callable[[int], Path]


def test_a_folder_gives_its_structures_and_nothing_else(folder: Folder) -> None:
    place = folder(2)
    (place / "deeper").mkdir()
    for name in ("deeper/x.CIF", "y.cif.gz", "INCAR", ".hidden.cif", "notes.txt"):
        (place / name).write_text("")
    names = [str(path.relative_to(place)) for path in find_files([place])]
    assert names == ["POSCAR_00", "POSCAR_01", "deeper/x.CIF", "y.cif.gz"]


def test_a_list_names_files_from_where_it_lies(folder: Folder) -> None:
    place = folder(2)
    (place / "some.txt").write_text("# two\nPOSCAR_01\n\nPOSCAR_00  # again\nmissing.cif\n")
    found = find_files([place / "some.txt", place / "POSCAR_01"])
    assert found == [place / "POSCAR_01", place / "POSCAR_00", place / "missing.cif"]


def test_a_list_in_whatever_bytes(folder: Folder) -> None:
    place = folder(1)
    (place / "some.txt").write_bytes(b"\xef\xbb\xbfPOSCAR_00\ncaf\xe9.cif\n")  # with a mark, and one name in Latin-1
    assert find_files([place / "some.txt"]) == [place / "POSCAR_00", place / "caf\udce9.cif"]
    (place / "wide.txt").write_bytes("POSCAR_00\n".encode("utf-16"))
    with pytest.raises(StructureError, match="no text in UTF-8"):
        find_files([place / "wide.txt"])


def test_nothing_to_read_is_said_at_once(folder: Folder) -> None:
    place = folder(0)
    (place / "empty.lst").write_text("# nothing\n")
    for source, words in ((place, "no structure file"), (place / "empty.lst", "names no file"), ("gone", "no such")):
        with pytest.raises(StructureError, match=words):
            find_files([source])


@pytest.mark.parametrize(
    ("index", "numbers"),
    [(":", [0, 1, 2, 3, 4]), ("1::2", [1, 3]), ("-2:", [3, 4]), ("::-2", [4, 2, 0]), ("2", [None]), ("3:4", [None])],
)
def test_frames_and_their_numbers(folder: Folder, index: str, numbers: list) -> None:
    folder(0)
    frames = [tiny(number) for number in range(5)]
    write("md.traj", [frame.to_ase_atoms() for frame in frames])
    found = list(read_frames(Path("md.traj"), index))
    assert [number for number, _ in found] == numbers
    taken = list(range(5))[slice(*(int(x) if x else None for x in index.split(":")))] if ":" in index else [int(index)]
    for place, (_, structure) in zip(taken, found, strict=True):
        assert isinstance(structure, Structure)
        assert structure.cart_coords == pytest.approx(frames[place].cart_coords)


def test_one_bad_frame_ends_no_others(folder: Folder) -> None:
    folder(0)
    good = tiny(0).to_ase_atoms()
    overlapping = Atoms("H2", [[0, 0, 0], [0, 0, 0.1]], cell=[3, 3, 3], pbc=True)
    write("md.extxyz", [good, overlapping, good])
    found = list(read_frames(Path("md.extxyz"), ":"))
    assert [number for number, _ in found] == [0, 1, 2]
    assert isinstance(found[1][1], StructureError) and "0.100 Å apart" in str(found[1][1])
    assert isinstance(found[2][1], Structure)


def test_what_cannot_be_read_is_one_error(folder: Folder) -> None:
    folder(0)
    Path("POSCAR").write_text("nonsense\n")
    for name, words in (("POSCAR", "no POSCAR"), ("gone.cif", "no such structure file")):
        ((number, error),) = read_frames(Path(name), "-1")
        assert number is None and isinstance(error, StructureError) and words in str(error)
