"""Carry out a recipe: structures, relaxations and labels, in parallel, resumable after anything.

What a folder of results holds: ``recipe.yaml``; ``NAME.npz``, one whole label each; ``relaxed/NAME.json``, structures
that labels wait for; ``failed/NAME.json``, what went wrong; ``work/``, scratch of running calculations. A file is
there whole or not at all, so a run that was killed goes on where it stopped.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import yaml
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure

from elfzoo.config import to_dict
from elfzoo.errors import ElfzooError
from elfzoo.io.files import write_bytes
from elfzoo.io.symmetric import write_reference
from elfzoo.progress import progress_bar
from elfzoo.reference.candidate import Candidate
from elfzoo.reference.engines import Relaxation
from elfzoo.reference.engines.process import stop_all
from elfzoo.reference.recipe import ReferenceRecipe, make_engine
from elfzoo.reference.record import reference_field
from elfzoo.structure import check_structure
from elfzoo.symmetry import standardise

__all__ = ["Outcome", "Run"]

VOLUME_WINDOW = 0.05  # relative; crystals further apart in volume per atom are different ones


@dataclass(frozen=True)
class Outcome:
    """What became of the candidates of a recipe: names by result."""

    done: tuple[str, ...]
    failed: tuple[str, ...]
    left: tuple[str, ...]


class Run:
    """A recipe in a folder.

    Args:
        recipe: what to make.
        out: folder of the results; made if it is not there.
        only: names of the candidates wanted; those that they need are made too. All of them by default.

    Raises:
        ElfzooError: the folder holds the results of another recipe, or another run is at work in it.
    """

    def __init__(self, recipe: ReferenceRecipe, out: Path, only: Sequence[str] | None = None):
        self.recipe, self.out = recipe, out.resolve()
        self.engine = make_engine(recipe.label)
        for folder in ("relaxed", "failed", "work"):
            (self.out / folder).mkdir(parents=True, exist_ok=True)
        self._claim_recipe()
        self.candidates = {c.name: c for c in recipe.source.candidates(self.out)}
        self.wanted = self._wanted(only)
        self._structures = threading.Lock()  # pymatgen and PyXtal are not meant for threads

    def execute(self, workers: int = 1, retry: bool = False, show_progress: bool | None = None) -> Outcome:
        """Do what is left to do.

        Args:
            workers: calculations at a time, each on one core.
            retry: try again what failed before.
            show_progress: show a bar; None shows it in a terminal.

        Raises:
            EngineError: the engine is not installed.
        """
        self.engine.version()
        self.recipe.source.prepare(self.out, workers, show_progress)
        if retry:
            for record in (self.out / "failed").glob("*.json"):
                record.unlink()
        with _lock(self.out), progress_bar(self.recipe.dataset, len(self.wanted), show_progress) as advance:
            shutil.rmtree(self.out / "work", ignore_errors=True)
            (self.out / "work").mkdir()
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

    def _schedule(self, workers: int, done: Callable[[], None]) -> None:
        """Start what is ready, in the order of the candidates, until nothing is left that can start."""
        waiting = [name for name in self.wanted if not self._settled(name)]
        running: dict[Future[None], str] = {}
        pool = ThreadPoolExecutor(workers)
        try:
            while waiting or running:
                for name in [n for n in waiting if self._ready(n)][: workers - len(running)]:
                    waiting.remove(name)
                    running[pool.submit(self._process, self.candidates[name])] = name
                if not running:  # what is left waits for something that failed
                    break
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    running.pop(future)
                    future.result()
                    done()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            stop_all()
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
        except ElfzooError as error:
            self._record_failure(candidate.name, str(error))
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _prepare(self, candidate: Candidate, folder: Path) -> tuple[Structure, Relaxation | None]:
        """The structure to label, from the folder where an earlier run left it."""
        stored = self.out / "relaxed" / f"{candidate.name}.json"
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
        pressure = self.recipe.relax.pressure if candidate.pressure is None else candidate.pressure
        relaxation = self.engine.relax(structure, replace(self.recipe.relax, pressure=pressure), folder)
        with self._structures:  # a relaxation may find a higher symmetry, and its standard origin
            return replace(relaxation, structure=standardise(relaxation.structure))

    def _compute(self, candidate: Candidate, structure: Structure, relaxation: Relaxation | None, folder: Path) -> None:
        if relaxation is not None:
            with self._structures:
                self._refuse_copy(candidate, structure)
        label = self.engine.label(structure, self.recipe.label, folder)
        temperature = candidate.facts.get("temperature_K")
        with self._structures:
            field = reference_field(label, candidate, self.recipe, relaxation, temperature)
            write_reference(field, self._label(candidate.name))

    def _refuse_copy(self, candidate: Candidate, structure: Structure) -> None:
        """Random crystals may relax to the same one: the first in the list stays."""
        names = list(self.candidates)
        for name in names[: names.index(candidate.name)]:
            if self.candidates[name].group == candidate.group or not (self.out / "relaxed" / f"{name}.json").exists():
                continue
            if _same(structure, self._structure_of(name)):
                raise ElfzooError(f"the same crystal as {name}")

    def _structure_of(self, name: str) -> Structure:
        return _read_relaxed(self.out / "relaxed" / f"{name}.json")[0]

    def _ready(self, name: str) -> bool:
        return all((self.out / "relaxed" / f"{need}.json").exists() for need in self.candidates[name].needs)

    def _settled(self, name: str) -> bool:
        done = self._label(name) if self.candidates[name].label else self.out / "relaxed" / f"{name}.json"
        return done.exists() or self._failure(name).exists()

    def _label(self, name: str) -> Path:
        return self.out / f"{name}.npz"

    def _failure(self, name: str) -> Path:
        return self.out / "failed" / f"{name}.json"

    def _record_failure(self, name: str, reason: str) -> None:
        record = {"name": name, "reason": reason, "recipe_hash": self.recipe.hash}
        write_bytes(self._failure(name), [json.dumps(record, indent=1).encode(), b"\n"])

    def _wanted(self, only: Sequence[str] | None) -> list[str]:
        if only is None:
            return list(self.candidates)
        unknown = sorted(set(only) - set(self.candidates))
        if unknown:
            raise ElfzooError(f"{self.recipe.dataset} has no candidate {', '.join(unknown)}")
        chosen = set(only)
        for name in only:
            chosen.update(self.candidates[name].needs)
        return [name for name in self.candidates if name in chosen]

    def _claim_recipe(self) -> None:
        path = self.out / "recipe.yaml"
        if path.exists():
            from elfzoo.reference.recipe import find_recipe

            if find_recipe(path).hash != self.recipe.hash:
                raise ElfzooError(f"{self.out} holds labels of another recipe (its recipe.yaml); choose another folder")
        text = yaml.safe_dump(to_dict(self.recipe), sort_keys=False)
        write_bytes(path, [text.encode()])


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Held while a run is at work; the system drops it when the process ends, however it ends."""
    with open(folder / "work.lock", "w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ElfzooError(f"another run is at work in {folder}") from None
        yield


def _same(first: Structure, second: Structure) -> bool:
    volumes = [s.volume / len(s) for s in (first, second)]
    if first.composition.reduced_formula != second.composition.reduced_formula:
        return False
    if abs(volumes[0] / volumes[1] - 1) > VOLUME_WINDOW:
        return False
    return bool(StructureMatcher(scale=False).fit(first, second))


def _write_relaxed(path: Path, structure: Structure, relaxation: Relaxation | None) -> None:
    facts = None if relaxation is None else {k: v for k, v in asdict(replace(relaxation)).items() if k != "structure"}
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
