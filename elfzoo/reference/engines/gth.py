"""Pseudopotentials of Goedecker, Teter and Hutter: from CP2K's table to files that pw.x reads.

The parameters: Goedecker, Teter and Hutter, Phys. Rev. B 54, 1703 (1996); Hartwigsen, Goedecker and Hutter, Phys.
Rev. B 58, 3641 (1998); Krack, Theor. Chem. Acc. 114, 145 (2005). The table is no part of elfzoo: Debian's cp2k-data
installs it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pymatgen.core import Element

from elfzoo.reference.engines.base import EngineError, find_file

__all__ = ["GthPotential", "gth_file", "read_gth"]

TABLE = "GTH_POTENTIALS"
FOLDERS = ("/usr/share/cp2k", "/usr/share/cp2k/data")


@dataclass(frozen=True)
class GthPotential:
    """One entry of the table; lengths in bohr, energies in hartree.

    Attributes:
        element: its symbol.
        name: such as ``GTH-PBE-q10``.
        electrons: valence electrons by angular momentum.
        local: radius, and the coefficients of the polynomial of the local part.
        channels: for l = 0, 1, ... the radius, and the rows of the upper triangle of h_ij.
    """

    element: str
    name: str
    electrons: tuple[int, ...]
    local: tuple[float, tuple[float, ...]]
    channels: tuple[tuple[float, tuple[tuple[float, ...], ...]], ...]

    def text(self) -> str:
        """The file that pw.x reads (ABINIT's pspcod 10), without spin-orbit coupling."""
        radius, coefficients = self.local
        lines = [
            f"{self.name} for {self.element}",
            f"{Element(self.element).Z} {sum(self.electrons)} 0",
            f"10 11 {max(len(self.channels) - 1, 0)} 4 2001 0",
            f"{radius} {len(coefficients)} {_row(coefficients)}",
            str(len(self.channels)),
        ]
        for degree, (own, triangle) in enumerate(self.channels):
            lines.append(" ".join([f"{own} {len(triangle)}", _row(triangle[0])]) if triangle else f"{own} 0")
            lines += [_row(row) for row in triangle[1:]]
            lines += [_row([0.0] * len(row)) for row in triangle if degree]  # the spin-orbit part
        lines += [] if self.channels else ["0.0 0"]  # pw.x wants l = 0 all the same
        return "\n".join(lines) + "\n"


def gth_file(element: str, kind: str = "GTH-PBE") -> bytes:
    """The file for pw.x of the entry that the table recommends for an element.

    Raises:
        EngineError: there is no table, or no such entry in it.
    """
    table = find_file(TABLE, TABLE, "CP2K_DATA_DIR", FOLDERS, "install it with: apt-get install cp2k-data")
    return read_gth(table.read_text(encoding="utf-8"), element, kind).text().encode()


def read_gth(table: str, element: str, kind: str = "GTH-PBE") -> GthPotential:
    """The entry for an element that has ``kind`` among its names.

    Raises:
        EngineError: there is none.
    """
    lines = iter([line for line in table.splitlines() if line.strip() and not line.lstrip().startswith("#")])
    for line in lines:
        found, *names = line.split()
        if found == element and kind in names:
            return _entry(element, names[0], lines)
    raise EngineError(f"no {kind} pseudopotential for {element}")


def _entry(element: str, name: str, lines: Iterator[str]) -> GthPotential:
    electrons = tuple(map(int, next(lines).split()))
    radius, count, *coefficients = next(lines).split()
    local = (float(radius), tuple(map(float, coefficients[: int(count)])))
    channels = tuple(_channel(lines) for _ in range(int(next(lines).split()[0])))
    return GthPotential(element, name, electrons, local, channels)


def _channel(lines: Iterator[str]) -> tuple[float, tuple[tuple[float, ...], ...]]:
    """Radius and upper triangle, whose rows may each have a line of their own."""
    radius, count, *values = next(lines).split()
    size = int(count)
    while len(values) < size * (size + 1) // 2:
        values += next(lines).split()
    numbers, triangle = list(map(float, values)), []
    for row in range(size):
        triangle.append(tuple(numbers[: size - row]))
        numbers = numbers[size - row :]
    return float(radius), tuple(triangle)


def _row(values: tuple[float, ...] | list[float]) -> str:
    return " ".join(map(str, values))
