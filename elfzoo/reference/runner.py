"""Carry out a recipe: structures, relaxations and labels, in parallel, resumable after anything.

What a folder of results holds: ``recipe.yaml``; ``NAME.npz``, one whole label each; ``relaxed/NAME.json``, structures
that labels wait for; ``failed/NAME.json``, what went wrong; ``work/``, scratch of running calculations. A file is
there whole or not at all, so a run that was killed goes on where it stopped.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import shutil
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path

import yaml
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure

from elfzoo.config import to_dict
from elfzoo.errors import ElfzooError, UnknownNameError
from elfzoo.io.files import write_bytes
from elfzoo.io.symmetric import write_reference
from elfzoo.progress import progress_bar
from elfzoo.reference.candidate import Candidate
from elfzoo.reference.check import NEAR, NEAR_VOLUME
from elfzoo.reference.engines import Label, Relaxation, RelaxSettings
from elfzoo.reference.engines.process import stop_all_until
from elfzoo.reference.recipe import ReferenceRecipe, find_recipe, make_engine
from elfzoo.reference.record import reference_field
from elfzoo.structure import check_structure
from elfzoo.symmetry import standardise

__all__ = ["Outcome", "Run"]

FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Outcome:
    """What became of the candidates of a recipe: names by result."""

    done: tuple[str, ...]
    failed: tuple[str, ...]
    left: tuple[str, ...]


class Run:
    """A recipe in a folder. Nothing is written before :meth:`execute`.

    Args:
        recipe: what to make.
        out: folder of the results; made if it is not there.
        only: names of the candidates wanted; those that they need are made too. All of them by default.

    Raises:
        ElfzooError: the folder holds the results of another recipe.
        UnknownNameError: there is no candidate of a name in ``only``.
    """

    def __init__(self, recipe: ReferenceRecipe, out: Path, only: Sequence[str] | None = None):
        self.recipe, self.out = recipe, out.resolve()
        self.engine = make_engine(recipe.label)
        self._refuse_other_recipe()
        self.candidates = _by_name(recipe.source.candidates(self.out))
        self.wanted = self._wanted(only)
        self._at_work: set[str] = set()  # being labelled
        self._structures = threading.Lock()  # pymatgen and PyXtal are not meant for threads

    def execute(self, workers: int = 1, retry: bool = False, show_progress: bool | None = None) -> Outcome:
        """Do what is left to do.

        Args:
            workers: calculations at a time, each on one core.
            retry: try again what failed before.
            show_progress: show a bar; None shows it in a terminal.

        Raises:
            EngineError: the engine is not installed.
            ElfzooError: another run is at work in the folder, or nothing can be written there.
        """
        self.engine.version()
        self.out.mkdir(parents=True, exist_ok=True)
        with _lock(self.out):
            self._set_up(retry)
            self.recipe.source.prepare(self.out, workers, show_progress)
            with progress_bar(self.recipe.dataset, len(self.wanted), show_progress) as advance:
                advance(sum(self._settled(name) for name in self.wanted))
                self._schedule(workers, lambda: advance(1))
        return self.outcome()

    def outcome(self) -> Outcome:
        """The state of the folder."""
        failed = tuple(n for n in self.wanted if self._failure(n).exists())
        left = tuple(n for n in self.wanted if not self._settled(n))
        return Outcome(tuple(n for n in self.wanted if n not in (*failed, *left)), failed, left)

    def reason(self, name: str) -> str:
        """Why a candidate failed."""
        return str(json.loads(self._failure(name).read_text())["reason"])

    def _set_up(self, retry: bool) -> None:
        shutil.rmtree(self.out / "work", ignore_errors=True)
        for folder in ("relaxed", "failed", "work"):
            (self.out / folder).mkdir(exist_ok=True)
        write_bytes(self.out / "recipe.yaml", [yaml.safe_dump(to_dict(self.recipe), sort_keys=False).encode()])
        if retry:
            for name in self.wanted:
                self._failure(name).unlink(missing_ok=True)

    def _schedule(self, workers: int, done: Callable[[], None]) -> None:
        """Start what is ready, in the order of the candidates, until nothing is left."""
        waiting = [name for name in self.wanted if not self._settled(name)]
        running: set[Future[None]] = set()
        pool = ThreadPoolExecutor(workers)
        try:
            while waiting or running:
                for name in [n for n in waiting if self._ready(n)][: workers - len(running)]:
                    waiting.remove(name)
                    running.add(pool.submit(self._process, self.candidates[name]))
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    running.remove(future)
                    future.result()
                    done()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            stop_all_until(lambda: all(future.done() for future in running))
            raise
        finally:
            pool.shutdown(wait=True)

    def _process(self, candidate: Candidate) -> None:
        """One candidate from start to end; what goes wrong is recorded and is no error of the run."""
        folder = Path(tempfile.mkdtemp(prefix=f"{candidate.name}.", dir=self.out / "work"))
        try:
            structure, relaxation = self._prepare(candidate, folder)
            if candidate.label:
                self._compute(candidate, structure, relaxation, folder)
        except Exception as error:  # a night's run does not end at a fault that one structure shows
            if _disk_is_full(error):
                raise
            self._record_failure(candidate.name, error)
        finally:
            self._at_work.discard(candidate.name)
            shutil.rmtree(folder, ignore_errors=True)

    def _prepare(self, candidate: Candidate, folder: Path) -> tuple[Structure, Relaxation | None]:
        """The structure to label, from the folder where an earlier run left it."""
        stored = self._relaxed(candidate.name)
        if stored.exists():
            return _read_relaxed(stored)
        with self._structures:
            structure = candidate.make({name: self._structure_of(name) for name in candidate.needs})
            check_structure(structure, candidate.name)
        relaxation = None
        if candidate.relax:
            relaxation = self._relax(candidate, structure, folder)
            structure = relaxation.structure
        _write_relaxed(stored, structure, relaxation)
        return _read_relaxed(stored)  # what a resumed run would see

    def _relax(self, candidate: Candidate, structure: Structure, folder: Path) -> Relaxation:
        if self.recipe.relax is None:
            raise ElfzooError(f"{candidate.name} is to be relaxed, and the recipe does not say how")
        settings = _relax_settings(self.recipe.relax, candidate)
        relaxation = self.engine.relax(structure, settings, folder)
        with self._structures:  # a relaxation may find a higher symmetry, and its standard origin
            return replace(relaxation, structure=standardise(relaxation.structure))

    def _compute(self, candidate: Candidate, structure: Structure, relaxation: Relaxation | None, folder: Path) -> None:
        with self._structures:
            if relaxation is not None:
                self._refuse_copy(candidate, structure)
            self._at_work.add(candidate.name)
        label = self.engine.label(structure, self.recipe.label, folder)
        if relaxation is not None:
            self._refuse_residuals(candidate, label)
        with self._structures:
            write_reference(reference_field(label, candidate, self.recipe, relaxation), self._label(candidate.name))

    def _refuse_copy(self, candidate: Candidate, structure: Structure) -> None:
        """Random crystals may relax to the same one: the first to be labelled stays."""
        for name, other in self.candidates.items():
            kept = self._relaxed(name).exists() and (name in self._at_work or self._label(name).exists())
            if kept and other.group != candidate.group and _same(structure, self._structure_of(name)):
                raise ElfzooError(f"the same crystal as {name}")

    def _refuse_residuals(self, candidate: Candidate, label: Label) -> None:
        """A relaxation that came to nothing leaves a structure that the set's name does not describe."""
        limits, relax = self.recipe.residuals, self.recipe.relax
        if limits is None or relax is None:
            return
        off = label.stress_pressure - _relax_settings(relax, candidate).pressure
        if reason := limits.broken_by(label.largest_force, off):
            raise ElfzooError(reason)

    def _structure_of(self, name: str) -> Structure:
        if not self._relaxed(name).exists():
            raise ElfzooError(f"needs {name}, " + ("which failed" if self._failure(name).exists() else "which is gone"))
        return _read_relaxed(self._relaxed(name))[0]

    def _ready(self, name: str) -> bool:
        return all(self._relaxed(need).exists() or self._settled(need) for need in self.candidates[name].needs)

    def _settled(self, name: str) -> bool:
        done = self._label(name) if self.candidates[name].label else self._relaxed(name)
        return done.exists() or self._failure(name).exists()

    def _label(self, name: str) -> Path:
        return self.out / f"{name}.npz"

    def _relaxed(self, name: str) -> Path:
        return self.out / "relaxed" / f"{name}.json"

    def _failure(self, name: str) -> Path:
        return self.out / "failed" / f"{name}.json"

    def _record_failure(self, name: str, error: Exception) -> None:
        record = {"name": name, "reason": str(error), "recipe_hash": self.recipe.hash}
        if not isinstance(error, ElfzooError):
            record["reason"] = traceback.format_exception_only(error)[-1].strip()
            record["traceback"] = "".join(traceback.format_exception(error))
        write_bytes(self._failure(name), [json.dumps(record, indent=1).encode(), b"\n"])

    def _wanted(self, only: Sequence[str] | None) -> list[str]:
        if only is None:
            return list(self.candidates)
        chosen = set(only)
        for name in only:
            if name not in self.candidates:
                raise UnknownNameError(f"candidate of {self.recipe.dataset}", name, self.candidates)
        for name in reversed(self.candidates):  # what is needed comes before what needs it
            if name in chosen:
                chosen.update(self.candidates[name].needs)
        return [name for name in self.candidates if name in chosen]

    def _refuse_other_recipe(self) -> None:
        path = self.out / "recipe.yaml"
        if not path.exists():
            return
        if other := find_recipe(path).unlike(self.recipe):
            raise ElfzooError(
                f"{self.out} holds labels of another recipe (its recipe.yaml has another {', '.join(other)}); "
                "choose another folder"
            )


def _relax_settings(settings: RelaxSettings, candidate: Candidate) -> RelaxSettings:
    """The recipe's, at the candidate's own pressure where it has one."""
    return settings if candidate.pressure is None else replace(settings, pressure=candidate.pressure)


def _by_name(candidates: Iterable[Candidate]) -> dict[str, Candidate]:
    """Candidates by name, each after those that it needs."""
    found: dict[str, Candidate] = {}
    for candidate in candidates:
        missing = [need for need in candidate.needs if need not in found]
        if candidate.name in found:
            raise ElfzooError(f"two candidates are called {candidate.name}")
        if missing:
            raise ElfzooError(f"{candidate.name} needs {', '.join(missing)}, and no candidate before it is called that")
        found[candidate.name] = candidate
    return found


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Held while a run is at work; the system drops it when the process ends, however it ends."""
    with open(folder / "work.lock", "w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ElfzooError(f"another run is at work in {folder}") from None
        yield


def _disk_is_full(error: Exception) -> bool:
    """Then nothing more can be stored, not even what went wrong. :func:`write_bytes` raises from the system's error."""
    cause = error if isinstance(error, OSError) else error.__cause__
    return isinstance(cause, OSError) and cause.errno in FULL


def _same(first: Structure, second: Structure) -> bool:
    """Would a check across splits call them near-duplicates?"""
    volumes = [s.volume / len(s) for s in (first, second)]
    if abs(volumes[0] / volumes[1] - 1) > NEAR_VOLUME:
        return False
    return bool(StructureMatcher(scale=False, **NEAR).fit(first, second))


def _write_relaxed(path: Path, structure: Structure, relaxation: Relaxation | None) -> None:
    facts = None
    if relaxation is not None:
        facts = {"converged": relaxation.converged, "steps": relaxation.steps, "facts": dict(relaxation.facts)}
    record = {
        "lattice": structure.lattice.matrix.tolist(),
        "numbers": list(structure.atomic_numbers),
        "frac_coords": structure.frac_coords.tolist(),
        "relaxation": facts,
    }
    write_bytes(path, [json.dumps(record).encode()])


def _read_relaxed(path: Path) -> tuple[Structure, Relaxation | None]:
    record = json.loads(path.read_text())
    structure = Structure(record["lattice"], record["numbers"], record["frac_coords"])
    facts = record["relaxation"]
    return structure, None if facts is None else Relaxation(structure=structure, **facts)
