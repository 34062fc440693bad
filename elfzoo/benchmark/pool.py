"""Many pieces of work, in this process or in several that share the cores."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, TypeVar

import torch

from elfzoo.errors import ElfzooError
from elfzoo.native import THREAD_VARIABLES
from elfzoo.threads import deaf_to_interrupts

__all__ = ["each"]

T = TypeVar("T")
DIED = "a worker process ended, perhaps for want of memory; the same command goes on, with fewer --workers if need be"


def each(work: Callable[[T], None], items: Sequence[T], workers: int) -> Iterator[None]:
    """Call ``work`` with every item and yield after each.

    What fails ends the others, once those under way are done; Ctrl-C ends all at once, so what ``work`` leaves has to
    be there whole or not at all.

    Args:
        work: can be pickled; a process unpickles it once, so that what it caches serves all of the process's items.
        items: begun in this order.
        workers: processes; 1 works in this one, with all threads.

    Raises:
        ElfzooError: a process ended, or an error that cannot leave it; else whatever ``work`` raises.
    """
    if workers == 1 or len(items) < 2:
        for item in items:
            work(item)
            yield
        return
    context = multiprocessing.get_context("spawn")  # forked threads of torch hang
    threads = max(1, torch.get_num_threads() // workers)
    with _threads_of_children(threads), ProcessPoolExecutor(workers, context, _start, (work, threads)) as pool:
        try:
            with deaf_to_interrupts():  # the processes are; this one ends them
                futures = [pool.submit(_work, item) for item in items]
            for future in as_completed(futures):
                future.result()
                yield
        except BrokenProcessPool:
            raise ElfzooError(DIED) from None
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                for process in list((pool._processes or {}).values()):  # an executor itself only ever waits for them
                    process.terminate()
            pool.shutdown(wait=True, cancel_futures=True)
            raise


@contextmanager
def _threads_of_children(threads: int) -> Iterator[None]:
    """Processes started meanwhile share the cores in their linear algebra, too, unless the user says how many it takes.

    NumPy and SciPy read this when they are loaded; with all cores for each process, threads wait for one another, and
    diagonalisations take several times as long.
    """
    added = [] if any(name in os.environ for name in THREAD_VARIABLES) else THREAD_VARIABLES
    os.environ.update(dict.fromkeys(added, str(threads)))
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


_OF_WORKER: list[Callable[[Any], None]] = []


def _start(work: Callable[[Any], None], threads: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(threads)
    _OF_WORKER[:] = [work]


def _work(item: Any) -> None:
    try:
        _OF_WORKER[0](item)
    except Exception as error:
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:  # whatever its constructor does; such an error would break the pool
            raise ElfzooError(f"{type(error).__name__}: {error}") from None
        raise
