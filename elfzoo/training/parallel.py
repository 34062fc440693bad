"""One run in several processes: each takes its share of every batch, gradients are added up, the first one writes.

``torchrun`` starts them and tells each its number in the environment. They talk over gloo, which needs nothing but a
network, on processors as on GPUs.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, distributed, nn

from elfzoo.errors import ElfzooError

__all__ = ["ALONE", "Ranks", "is_first", "joined"]


@dataclass(frozen=True)
class Ranks:
    """Which of the processes of a run this is, and what they do together.

    Args:
        rank: number of this process, from 0.
        size: how many there are.
    """

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes and speaks for all."""
        return self.rank == 0

    def add_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Give every process the sum of all gradients; a parameter that no process used keeps none."""
        if self.size == 1:
            return
        every = list(parameters)
        there = torch.tensor([p.grad is not None for p in every], dtype=torch.int32)
        distributed.all_reduce(there, distributed.ReduceOp.MAX)
        used = [p for p, found in zip(every, there.tolist(), strict=True) if found]
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in used]
        together = torch.cat([g.reshape(-1) for g in gradients])
        distributed.all_reduce(together)
        for p, gradient in zip(used, together.split([p.numel() for p in used]), strict=True):
            p.grad = gradient.view_as(p)

    def total(self, number: float) -> float:
        """The sum of every process's number."""
        return number if self.size == 1 else float(self._summed(torch.tensor([number], dtype=torch.float64)))

    def gathered(self, own: Float[Tensor, " some"], count: int) -> Float[Tensor, " all"]:
        """What all processes found of ``count`` items, of which each had every ``size``-th from ``rank`` on."""
        if self.size == 1:
            return own
        found = torch.zeros(count, dtype=torch.float64)
        found[self.rank :: self.size] = own.double()
        return self._summed(found)

    def start_alike(self, model: nn.Module, epoch: int) -> None:
        """Give every process the first one's weights.

        Raises:
            ElfzooError: they are to go on from different epochs.
        """
        if self.size == 1:
            return
        epochs = torch.zeros(self.size, dtype=torch.int64)
        epochs[self.rank] = epoch
        distributed.all_reduce(epochs)
        if len(set(epochs.tolist())) > 1:
            raise ElfzooError(
                f"the processes found checkpoints of the epochs {epochs.tolist()}; expected a folder of runs that all "
                "of them see"
            )
        for tensor in model.state_dict().values():
            distributed.broadcast(tensor, 0)

    def wait(self) -> None:
        """Until all processes are here."""
        if self.size > 1:
            distributed.barrier()

    def _summed(self, values: Tensor) -> Tensor:
        distributed.all_reduce(values)
        return values


ALONE = Ranks()


def is_first() -> bool:
    """Whether this process is the only one of a run, or the first of those that torchrun started."""
    return not _has_others() or os.environ["RANK"] == "0"


@contextmanager
def joined() -> Iterator[Ranks]:
    """The processes that torchrun started together with this one, or that have joined already; else this one alone."""
    if distributed.is_available() and distributed.is_initialized():
        yield Ranks(distributed.get_rank(), distributed.get_world_size())
    elif not _has_others():
        yield ALONE
    else:
        distributed.init_process_group("gloo")
        try:
            yield Ranks(distributed.get_rank(), distributed.get_world_size())
        finally:
            distributed.destroy_process_group()


def _has_others() -> bool:
    """By the environment that torchrun makes; schedulers set one of the two alone."""
    return "RANK" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1
