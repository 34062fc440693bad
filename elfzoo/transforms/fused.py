"""The compiled kernel: power spectrum and network fused per tile of 64 points, chosen at run time for the processor.

The package works without it (no compiler at installation): :func:`available` is then False and models fall back on
:func:`elfzoo.transforms.power_spectrum.power_spectrum`, which is also what the tests compare it with.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from elfzoo import native
from elfzoo.errors import ElfzooError
from elfzoo.native import LEVELS, level_of
from elfzoo.periodic import CellList
from elfzoo.transforms.power_spectrum import PowerSpectrumConfig

__all__ = [
    "MAX_LAYERS",
    "FusedNetwork",
    "available",
    "c_cell_list",
    "features",
    "finite",
    "instruction_set",
    "logits",
    "supports",
]

MAX_RADIAL, MAX_CHANNELS, MAX_LAYERS, PANEL = 20, 8, 8, 6
LARGEST_EXPONENT = 80.0  # exp of more leaves single precision


class _Descriptor(ctypes.Structure):
    _fields_ = [(k, ctypes.c_int) for k in ("n_radial", "l_max", "n_channels", "smooth")]
    _fields_ += [(k, ctypes.c_float) for k in ("r_cut", "spacing", "sigma", "softening")]


class _CellList(ctypes.Structure):
    _fields_ = [(k, ctypes.c_void_p) for k in ("positions", "weights", "bin_start")]
    _fields_ += [("origin", ctypes.c_double * 3), ("inverse_bin", ctypes.c_double), ("bins", ctypes.c_int * 3)]


class _Network(ctypes.Structure):
    _fields_ = [("n_layers", ctypes.c_int), ("width", ctypes.c_int * (MAX_LAYERS + 1))]
    _fields_ += [("mean", ctypes.c_void_p), ("scale", ctypes.c_void_p), ("clamp", ctypes.c_float)]
    _fields_ += [("weights", ctypes.c_void_p * MAX_LAYERS), ("biases", ctypes.c_void_p * MAX_LAYERS)]


def available() -> bool:
    """Whether the compiled kernel was built with the package."""
    return native.load(native.KERNEL) is not None


def instruction_set() -> str:
    """What the kernel runs on here: ``"avx512"``, ``"avx2"``, ``"baseline"``, or ``"none"`` without the kernel."""
    library = native.load(native.KERNEL)
    return "none" if library is None else LEVELS[library.elfzoo_level()]


def supports(config: PowerSpectrumConfig) -> bool:
    """Whether the kernel is built and its recurrences stay within single precision for this descriptor."""
    x = 0.5 / config.sigma_ratio**2
    exponents = (2 * (config.n_radial - 1) * x, (config.n_radial / 2) ** 2 * x)
    small = config.n_radial <= MAX_RADIAL and config.channels <= MAX_CHANNELS
    return available() and small and max(exponents) < LARGEST_EXPONENT


@dataclass(frozen=True, eq=False)
class FusedNetwork:
    """Standardisation and layers in the kernel's layout.

    Args:
        mean, scale: (features,), x → (x - mean)·scale.
        clamp: largest |x| after that.
        layers: (weight (out, in), bias (out,)) of each layer; SiLU between them, one output at the end.
    """

    mean: Float[np.ndarray, " features"]
    scale: Float[np.ndarray, " features"]
    clamp: float
    layers: Sequence[tuple[np.ndarray, np.ndarray]]

    def __post_init__(self) -> None:
        if not 1 <= len(self.layers) <= MAX_LAYERS:
            raise ValueError(f"the kernel takes 1 to {MAX_LAYERS} layers; got {len(self.layers)}")
        keep = [_aligned(self.mean), _aligned(self.scale)]
        packed = [(_aligned(_panels(weight)), _aligned(bias)) for weight, bias in self.layers]
        net = _Network(n_layers=len(packed), mean=keep[0].ctypes.data, scale=keep[1].ctypes.data, clamp=self.clamp)
        net.width[0] = len(self.mean)
        for i, ((weight, bias), (packed_weight, packed_bias)) in enumerate(zip(self.layers, packed, strict=True)):
            if weight.shape != (len(bias), net.width[i]):
                raise ValueError(f"layer {i} has shape {weight.shape}; expected {(len(bias), net.width[i])}")
            net.width[i + 1], net.weights[i], net.biases[i] = (
                len(bias),
                packed_weight.ctypes.data,
                packed_bias.ctypes.data,
            )
        object.__setattr__(self, "_c", net)
        object.__setattr__(self, "_keep", (keep, packed))  # the pointers above live as long as these arrays


def features(
    config: PowerSpectrumConfig,
    cells: CellList,
    weights: Float[np.ndarray, "atoms channels"],
    points: Float[np.ndarray, "points 3"],
    level: str | None = None,
) -> Float[np.ndarray, "points features"]:
    """Power spectrum at points (Å) inside the cell that ``cells`` surrounds, in single precision."""
    out = np.empty((len(points), config.n_features), np.float32)
    _run(config, cells, weights, None, points, out, level)
    return out


def logits(
    config: PowerSpectrumConfig,
    cells: CellList,
    weights: Float[np.ndarray, "atoms channels"],
    network: FusedNetwork,
    points: Float[np.ndarray, "points 3"],
    level: str | None = None,
) -> Float[np.ndarray, " points"]:
    """Output of the network at points (Å) inside the cell that ``cells`` surrounds, features never stored.

    Releases the interpreter lock: call it from several threads on blocks of points.
    """
    out = np.empty(len(points), np.float32)
    _run(config, cells, weights, network, points, out, level)
    return out


def _run(
    config: PowerSpectrumConfig,
    cells: CellList,
    weights: np.ndarray,
    network: FusedNetwork | None,
    points: np.ndarray,
    out: np.ndarray,
    level: str | None,
) -> None:
    library = native.load(native.KERNEL)
    if library is None:
        raise RuntimeError("the compiled kernel was not built with this installation")
    points = finite(points)
    per_image = np.ascontiguousarray(np.asarray(weights, np.float32)[cells.atom])
    lengths = (config.r_cut, config.spacing, config.sigma, config.softening)
    descriptor = _Descriptor(config.n_radial, config.l_max, config.channels, config.smooth, *lengths)
    failed = library.elfzoo_run(
        level_of(library, level),
        ctypes.byref(descriptor),
        ctypes.byref(c_cell_list(cells, per_image)),
        None if network is None else ctypes.byref(network._c),  # type: ignore[attr-defined]
        ctypes.c_void_p(points.ctypes.data),
        ctypes.c_long(len(points)),
        ctypes.c_void_p(out.ctypes.data),
    )
    if failed:
        raise MemoryError(f"the kernel could not allocate its buffers for {config}")


def finite(points: np.ndarray) -> Float[np.ndarray, "points 3"]:
    """As the kernels take them.

    Raises:
        ElfzooError: another shape, or coordinates that are not finite.
    """
    points = np.ascontiguousarray(points, np.float64)
    if points.ndim != 2 or points.shape[1] != 3:
        raise ElfzooError(f"expected points of shape (points, 3); got {points.shape}")
    if not np.isfinite(points).all():
        raise ElfzooError("points must be finite; got some that are not")
    return points


def c_cell_list(cells: CellList, per_image: Float[np.ndarray, "images channels"]) -> ctypes.Structure:
    """As the kernel takes it; both arguments have to outlive it."""
    arrays = (cells.positions.ctypes.data, per_image.ctypes.data, cells.start.ctypes.data)
    bins = ((ctypes.c_double * 3)(*cells.origin), 1.0 / cells.width, (ctypes.c_int * 3)(*cells.shape))
    return _CellList(*arrays, *bins)


def _panels(weight: np.ndarray) -> np.ndarray:
    """(out, in) to (ceil(out/6), in, 6), padded with zeros: what one register block reads is contiguous."""
    n_out, n_in = weight.shape
    padded = np.zeros((-(-n_out // PANEL) * PANEL, n_in), np.float32)
    padded[:n_out] = weight
    return padded.reshape(-1, PANEL, n_in).transpose(0, 2, 1)


def _aligned(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array, np.float32)
