"""φ(t) beside a running ASE simulation: an observer that predicts the field of a step and appends what it says.

What steps have in common is done once: model and kernels are loaded, and the numbers of grid points stay those of the
first step while the cell breathes, so that no φ jumps because a grid did. There is nothing else worth keeping: the
set-up of a step takes some milliseconds (``benchmarks/md_speed.py``).
"""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import units
from ase.md.md import MolecularDynamics
from ase.parallel import world

from elfzoo.analysis.trajectory import ROW, track
from elfzoo.errors import ElfzooError, ElfzooWarning, QuantityError
from elfzoo.grid import Grid
from elfzoo.io.tables import RowTable
from elfzoo.models.base import DEFAULT_SPACING, Model
from elfzoo.structure import as_structure

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["NetworkingObserver", "fingerprint"]

KEY = ("step", "frame")
COLUMNS = ("step", "time_fs", *ROW, "error")
FRACTION = 10_000  # fractional coordinates and lattice vectors in Å are rounded to 1 / FRACTION, coarser than files do


class NetworkingObserver:
    """Writes the networking value of the predicted ELF, and all that goes with it, during a run of ASE.

    ::

        observer = NetworkingObserver(dynamics, atoms, model, "phi.csv", spacing=0.12)
        dynamics.attach(observer, interval=10)
        dynamics.run(1000)

    A row is on the disk when the step is done. Its columns: ``step``; ``time_fs``; ``frame``, :func:`fingerprint` of
    the atoms; those of :meth:`elfzoo.analysis.FrameTopology.row`; and ``error``, which says why a row has NaN: a step
    that cannot be analysed is also warned of, and does not stop the simulation.

    Where the file is there already, the run goes on with it. The present atoms are looked up among its frames, and
    steps and times count on from there; ``start`` says the step where they are not in it. A frame that the file has at
    the same step is not computed again. Where a thermostat goes another way from a frame before the last row, the rows
    of both ways stay: of equal steps the later row is that of the run that went on.

    In parallel calculations over MPI the first process alone predicts and writes.

    Args:
        dynamics: molecular dynamics of ASE, or an optimizer, whose rows then have no time.
        atoms: that it moves.
        model: of ELF, from :func:`elfzoo.load_pretrained`.
        path: of the table; ends in ``.csv``.
        grid: numbers of points along the lattice vectors, for all steps.
        spacing: Å, largest distance of neighbouring points in the present cell, where no grid is given; a
            run that goes on with another cell is to be given the grid of the first.
        phi_spacing: Å, of the cross-check of φ; see :func:`elfzoo.analysis.networking`.
        isovalue: of ELF that links two hydrogens of a molecule; see :func:`elfzoo.analysis.track`.
        h_dos: hydrogen share of the density of states at the Fermi level, for the critical temperature.
        start: number of the step at which the atoms are now.

    Raises:
        StructureError: atoms without a cell, or closer than atoms come.
        QuantityError: a model of something else than ELF.
        ElfzooError: a table of something else, or one that has not the present atoms, without ``start``.
    """

    def __init__(
        self,
        dynamics: Any,
        atoms: Atoms,
        model: Model,
        path: str | Path,
        grid: Sequence[int] | None = None,
        *,
        spacing: float = DEFAULT_SPACING,
        phi_spacing: float = 0.08,
        isovalue: float = 0.85,
        h_dos: float | None = None,
        start: int | None = None,
    ):
        if model.quantity != "elf":
            raise QuantityError(f"φ is a networking value of ELF; the model gives {model.quantity!r}")
        lattice = as_structure(atoms).lattice.matrix
        chosen = Grid.from_spacing(lattice, spacing) if grid is None else Grid((grid[0], grid[1], grid[2]), lattice)
        self.dynamics, self.atoms, self.model, self.shape = dynamics, atoms, model, chosen.shape
        self.phi_spacing, self.isovalue, self.h_dos = phi_spacing, isovalue, h_dos
        self._writes = world.rank == 0
        self._waiting: list[dict[str, Any]] = []  # rows that are not on the disk yet
        if self._writes:
            self._table = RowTable(Path(path), COLUMNS, KEY, resume=True, failed="error")
            self._began = dynamics.nsteps
            self._start, self._start_time = self._origin(start)

    def __call__(self) -> None:
        """Add the row of the present step, unless it is there."""
        if not self._writes:
            return
        passed = self.dynamics.nsteps - self._began
        row = {"step": self._start + passed, "time_fs": self._time(passed), "frame": fingerprint(self.atoms)}
        if not self._table.has(row):
            self._waiting.append(self._topology(row["step"]) | row)
        self._write()

    def __enter__(self) -> NetworkingObserver:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Write what a full disk kept from being written; all else is on the disk already."""
        if self._writes:
            self._write()

    def _write(self) -> None:
        """Rows that are not on the disk yet; where it is full, they wait for the next step."""
        try:
            while self._waiting:
                self._table.add(self._waiting[0])
                del self._waiting[0]
        except OSError as error:
            step, reason = self._waiting[0]["step"], error.strerror or error
            warnings.warn(
                f"{self._table.path}: rows from step {step} on are not written yet: {reason}",
                ElfzooWarning,
                stacklevel=3,
            )

    def _topology(self, step: int) -> dict[str, Any]:
        """What the field says, or NaN and the reason."""
        try:
            field = self.model.predict(self.atoms, grid=self.shape, progress=False)
            frame = next(track([field], self.phi_spacing, self.isovalue, self.h_dos))
        except Exception as error:  # whatever it is, days of molecular dynamics must not end by it
            reason = str(error) if isinstance(error, ElfzooError) else f"{type(error).__name__}: {error}"
            warnings.warn(f"step {step}: no networking value: {reason}", ElfzooWarning, stacklevel=3)
            return dict.fromkeys(ROW, math.nan) | {"formula": None, "grid": None, "error": " ".join(reason.split())}
        return frame.row() | {"error": None}

    def _origin(self, start: int | None) -> tuple[int, float]:
        """Step and time, fs, of the present atoms."""
        rows, frame = self._table.earlier, fingerprint(self.atoms)
        same = [row for row in rows if row["frame"] == frame and start in (None, int(row["step"]))]
        if same:
            return int(same[-1]["step"]), float(same[-1]["time_fs"] or 0.0)
        if rows and start is None:
            raise ElfzooError(
                f"{self._table.path} has steps up to {rows[-1]['step']}, and the present atoms are none of its frames; "
                "say with start=STEP which step they are, or choose another file"
            )
        first = self._began if start is None else start
        before = [row for row in rows if int(row["step"]) <= first and row["time_fs"]]
        if not before:
            return first, first * self._timestep
        last = before[-1]  # earlier steps may have been of another length
        return first, float(last["time_fs"]) + (first - int(last["step"])) * self._timestep

    def _time(self, passed: int) -> float | None:
        return self._start_time + passed * self._timestep if self._timestep else None

    @property
    def _timestep(self) -> float:
        """fs; zero in optimizations: what some of them call so is no time."""
        return float(self.dynamics.dt) / units.fs if isinstance(self.dynamics, MolecularDynamics) else 0.0


def fingerprint(atoms: Atoms) -> str:
    """16 hexadecimal digits that tell frames apart, and are the same after a frame was written and read.

    Elements, lattice vectors (to 10⁻⁴ Å) and fractional coordinates (to 10⁻⁴, whole lattice vectors do not count).
    """
    cell = np.array(atoms.cell)
    place = np.rint(np.linalg.solve(cell.T, atoms.positions.T).T * FRACTION).astype("<i8") % FRACTION
    parts = (np.asarray(atoms.numbers, "<i8"), np.rint(cell * FRACTION).astype("<i8"), place)
    return hashlib.blake2b(b"".join(part.tobytes() for part in parts), digest_size=8).hexdigest()
