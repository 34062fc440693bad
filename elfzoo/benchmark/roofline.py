"""A job against the limits of the machine that does it: the roofline (Williams et al. 2009, 10.1145/1498765.1498785).

No job does more operations per second than the smaller of the processor's peak and the memory's bytes per second times
the job's operations per byte. The peaks are measured, in the same run as the job.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from pymatgen.core import Structure

from elfzoo.benchmark.entrant import Entrant
from elfzoo.grid import Grid

__all__ = ["Peaks", "machine_peaks", "roofline", "roofline_metrics"]

# of the products: 6 272 rows by 512 columns by 512. With 32 images the result is a fresh mapping of 51 MB each time,
# whose pages the kernel clears: that took a third of the time
CHANNELS, PIXELS, IMAGES = 512, 28, 8
COPIED = 2**28  # bytes, beyond all caches
RUNS = 160  # a second in all: other users of the machine make single ones slow


@dataclass(frozen=True)
class Peaks:
    """What the machine can do with all threads.

    Args:
        flops_per_second: of the fastest product of matrices in single precision; a multiply-add is two.
        bytes_per_second: of a copy, read and written.
    """

    flops_per_second: float
    bytes_per_second: float


def machine_peaks(channels: int = CHANNELS, copied: int = COPIED) -> Peaks:
    """The best of several products and copies on all threads.

    One product of matrices is done in two ways, of which the faster counts: as such, and as a convolution of single
    points. PyTorch leaves these to two libraries (MKL and oneDNN in its wheels for x86), and MKL reaches less than half
    of the peak of AMD's processors.

    Args:
        channels: columns of the first matrix, rows and columns of the second.
        copied: bytes of the array that is copied.
    """
    images = torch.rand(IMAGES, channels, PIXELS, PIXELS).to(memory_format=torch.channels_last)
    weights = torch.rand(channels, channels)
    rows, kernel = images.permute(0, 2, 3, 1).reshape(-1, channels), weights[:, :, None, None]
    source, target = torch.zeros(copied // 4), torch.ones(copied // 4)
    with torch.no_grad():
        products = (lambda: rows @ weights), (lambda: torch.nn.functional.conv2d(images, kernel))
        multiply = min(_best(product) for product in products)
    return Peaks(2 * len(rows) * channels**2 / multiply, 2 * 4 * len(source) / _best(lambda: target.copy_(source)))


def _best(call: Callable[[], object]) -> float:
    """Seconds of the fastest run after a warm-up."""
    call()
    times = []
    for _ in range(RUNS):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return min(times)


def roofline(entrant: Entrant, structure: Structure, grid: Grid, peaks: Callable[[], Peaks]) -> dict[str, Any]:
    """Work of the job and the machine's peaks, as JSON values; empty where the work of the entrant is not counted."""
    work = None if entrant.model is None else entrant.model.work(structure, grid)
    return {} if work is None else {"roofline": asdict(work) | {"peaks": asdict(peaks())}}


def roofline_metrics(found: Mapping[str, Any], seconds: float) -> dict[str, float]:
    """What a job of so many seconds reached.

    Args:
        found: what :func:`roofline` has under that name.
        seconds: of the job.

    Returns:
        Metrics: the job's operations and bytes, its operations per byte and those at which the machine's roof bends
        (below, memory is the limit), operations per second, and these as a share of the peak and of the roof.
    """
    peak, bandwidth = (found["peaks"][name] for name in ("flops_per_second", "bytes_per_second"))
    intensity, rate = found["flops"] / found["bytes"], found["flops"] / seconds
    return {
        "gflop": found["flops"] / 1e9,
        "gbyte": found["bytes"] / 1e9,
        "flop_per_byte": intensity,
        "balance_flop_per_byte": peak / bandwidth,
        "gflop_per_second": rate / 1e9,
        "peak_gflop_per_second": peak / 1e9,
        "peak_gbyte_per_second": bandwidth / 1e9,
        "share_of_peak": rate / peak,
        "share_of_roof": rate / min(peak, intensity * bandwidth),
    }
