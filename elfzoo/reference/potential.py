"""A small interatomic potential for dense hydrogen, fitted to our own DFT forces, to run the molecular dynamics with.

Born-Oppenheimer MD of twelve trajectories of 128 atoms costs a day of DFT; the potential runs it in minutes, and
every snapshot that becomes reference data is labelled by DFT again. The energy is a sum over atoms of a network on
the power spectrum of the neighbours (Behler and Parrinello, PRL 98, 146401, 2007, with the descriptor of
:mod:`elfzoo.transforms.power_spectrum`).
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from elfzoo.config import config_class, parse, to_dict
from elfzoo.errors import ElfzooError, WeightsError
from elfzoo.io.files import write_bytes
from elfzoo.periodic import probe_edges
from elfzoo.progress import progress_bar
from elfzoo.transforms.power_spectrum import PowerSpectrumConfig, angular_functions, contract, radial_functions

__all__ = ["FitConfig", "Frame", "Potential", "PotentialConfig", "evaluate", "fit", "neighbours", "one_thread"]

COULOMB = 14.399645  # eV Å
SCREENING = 0.8854 * 0.529177 / 2  # Å, of two protons
ZBL = ((0.18175, 3.19980), (0.50986, 0.94229), (0.28022, 0.40290), (0.02817, 0.20162))
FADE = (0.5, 1.0)  # Å


@config_class
class PotentialConfig:
    """Shape of the potential: descriptor around each atom, hidden layers of the network."""

    r_cut: float = 3.4
    n_radial: int = 10
    l_max: int = 3
    hidden: tuple[int, ...] = (64, 64)

    @property
    def descriptor(self) -> PowerSpectrumConfig:
        """The descriptor's configuration."""
        return PowerSpectrumConfig(r_cut=self.r_cut, n_radial=self.n_radial, l_max=self.l_max, sigma_ratio=0.75)


@config_class
class FitConfig:
    """How the potential is fitted. Losses weigh forces (eV/Å) and energies per atom (eV)."""

    epochs: int = 60
    batch: int = 4
    learning_rate: float = 2e-3
    energy_weight: float = 30.0
    seed: int = 0


@dataclass(frozen=True)
class Frame:
    """One DFT calculation to learn from.

    Attributes:
        positions: (atoms, 3), Å.
        lattice: (3, 3) rows, Å.
        energy: eV per cell.
        forces: (atoms, 3), eV/Å.
    """

    positions: Float[np.ndarray, "atoms 3"]
    lattice: Float[np.ndarray, "3 3"]
    energy: float
    forces: Float[np.ndarray, "atoms 3"]


class Potential(nn.Module):
    """Energy of hydrogen, eV; forces come by differentiation."""

    mean: Tensor
    scale: Tensor
    offset: Tensor

    def __init__(self, config: PotentialConfig | None = None):
        super().__init__()
        self.config = config or PotentialConfig()
        features = self.config.descriptor.n_features
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))
        self.register_buffer("offset", torch.zeros(()))
        widths = [features, *self.config.hidden]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.SiLU()]
        self.network = nn.Sequential(*layers, nn.Linear(widths[-1], 1))

    def features(
        self, vectors: Float[Tensor, "near 3"], centre: Int[Tensor, " near"], atoms: int
    ) -> Float[Tensor, "atoms features"]:
        """Power spectrum of the neighbours of each atom; edges as :meth:`near` gives them."""
        descriptor = self.config.descriptor
        radial, angular = radial_functions(vectors, descriptor), angular_functions(vectors, descriptor)
        return contract(_sum_products(radial, angular, centre, atoms), descriptor)

    def near(
        self,
        positions: Float[Tensor, "atoms 3"],
        centre: Int[Tensor, " edges"],
        other: Int[Tensor, " edges"],
        shift: Float[Tensor, "edges 3"],
    ) -> tuple[Float[Tensor, "near 3"], Int[Tensor, " near"]]:
        """Vectors to the neighbours, Å, and their centres: those edges of a list with a skin that count now."""
        vectors = positions[other] + shift - positions[centre]
        near = (vectors.detach().square().sum(dim=1) < self.config.r_cut**2).nonzero()[:, 0]
        return vectors[near], centre[near]

    def forward(
        self,
        positions: Float[Tensor, "atoms 3"],
        centre: Int[Tensor, " edges"],
        other: Int[Tensor, " edges"],
        shift: Float[Tensor, "edges 3"],
    ) -> Float[Tensor, " atoms"]:
        """Energies of the atoms, eV: what the network learns, on top of the repulsion of the nuclei.

        Args:
            positions: Å.
            centre, other, shift: edges, ordered by centre, as :func:`neighbours` gives them.
        """
        vectors, centre = self.near(positions, centre, other, shift)
        features = (self.features(vectors, centre, len(positions)) - self.mean) / self.scale
        learned = self.network(features)[:, 0] + self.offset
        return learned.index_add(0, centre, nuclear_repulsion(vectors.norm(dim=1)))

    def save(self, path: Path) -> None:
        """Write weights and configuration into one safetensors file, whole or not at all."""
        metadata = {"config": json.dumps(to_dict(self.config))}
        write_bytes(path, [save({k: v.contiguous() for k, v in self.state_dict().items()}, metadata=metadata)])

    @classmethod
    def load(cls, path: Path) -> Potential:
        """Read what :meth:`save` wrote.

        Raises:
            WeightsError: missing, truncated, or not a potential.
        """
        try:
            content = path.read_bytes()
            tensors = load(content)  # first, because it finds every truncation
            header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
            potential = cls(parse(PotentialConfig, json.loads(header["__metadata__"]["config"]), where=str(path)))
            potential.load_state_dict(tensors)
        except OSError as error:
            raise WeightsError(f"cannot read the potential {path}: {error.strerror or error}") from error
        except SafetensorError as error:
            raise WeightsError(f"{path} is truncated or no safetensors file: {error}") from error
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise WeightsError(f"{path} is no potential as `elfzoo reference fit` writes them: {reason}") from error
        return potential.eval()


def nuclear_repulsion(distances: Float[Tensor, " edges"]) -> Float[Tensor, " edges"]:
    """Half of the screened Coulomb energy of two protons, eV, faded out between 0.5 and 1 Å.

    Ziegler, Biersack and Littmark's universal screening. It keeps atoms apart where no DFT frame tells the network to.
    """
    inside = distances.clamp(max=FADE[1])
    x = inside / SCREENING
    screening = sum((a * torch.exp(-b * x) for a, b in ZBL), start=torch.zeros_like(x))
    fall = ((FADE[1] - inside) / (FADE[1] - FADE[0])).clamp(0, 1)
    return 0.5 * COULOMB / inside * screening * fall**2 * (3 - 2 * fall)


def neighbours(
    positions: Float[np.ndarray, "atoms 3"], lattice: Float[np.ndarray, "3 3"], r_cut: float
) -> tuple[Int[Tensor, " edges"], Int[Tensor, " edges"], Float[Tensor, "edges 3"]]:
    """Edges of atoms closer than ``r_cut`` (Å), periodic images included, an atom and itself not.

    Returns:
        ``(centre, other, shift)``, ordered by centre: the vector from centre to neighbour is
        ``positions[other] + shift - positions[centre]``, shift in Å, float64.
    """
    other, centre, shift = probe_edges(positions, positions, lattice, r_cut)
    keep = (centre != other) | (np.abs(shift).max(axis=1, initial=0.0) > 1e-6)
    return (
        torch.from_numpy(np.ascontiguousarray(centre[keep], dtype=np.int64)),
        torch.from_numpy(np.ascontiguousarray(other[keep], dtype=np.int64)),
        torch.from_numpy(np.ascontiguousarray(shift[keep])),
    )


def _sum_products(
    radial: Float[Tensor, "edges n"], angular: Float[Tensor, "edges lm"], centre: Int[Tensor, " edges"], atoms: int
) -> Float[Tensor, "atoms n lm"]:
    """Sum over the edges of each centre, in whose order they come, of the products radial x angular.

    Rows of one centre go side by side, filled up with zeros, and a matrix product adds them: four times as fast as
    adding the products themselves.
    """
    counts = torch.bincount(centre, minlength=atoms)
    width = int(counts.max())
    slot = centre * width + torch.arange(len(centre)) - (counts.cumsum(0) - counts)[centre]
    left, right = (
        rows.new_zeros(atoms * width, rows.shape[1]).index_copy(0, slot, rows).reshape(atoms, width, rows.shape[1])
        for rows in (radial, angular)
    )
    return left.transpose(1, 2) @ right


@dataclass(frozen=True)
class _Batch:
    positions: Tensor
    centre: Tensor
    other: Tensor
    shift: Tensor
    owner: Tensor
    atoms: Tensor
    energy: Tensor
    forces: Tensor


def fit(
    train: Sequence[Frame],
    val: Sequence[Frame],
    config: PotentialConfig,
    how: FitConfig,
    show_progress: bool | None = None,
) -> tuple[Potential, dict[str, float]]:
    """Fit a potential; the weights of the epoch with the smallest force error on ``val`` are kept.

    Returns:
        The potential, and its errors on ``val``: ``force_rmse`` and ``force_rms`` (of the DFT forces) in eV/Å,
        ``force_correlation``, ``energy_rmse`` in eV per atom, offset removed.

    Raises:
        ElfzooError: no frames to train or none to validate with.
    """
    if not train or not val:
        raise ElfzooError(f"a fit needs frames to train and to validate; got {len(train)} and {len(val)}")
    with one_thread():
        potential = _fit(train, val, config, how, show_progress)
        return potential, evaluate(potential, val)


def _fit(
    train: Sequence[Frame], val: Sequence[Frame], config: PotentialConfig, how: FitConfig, show_progress: bool | None
) -> Potential:
    torch.manual_seed(how.seed)
    potential = Potential(config)
    edges = {id(f): neighbours(f.positions, f.lattice, config.r_cut) for f in (*train, *val)}
    _standardise(potential, train, edges)
    optimiser = torch.optim.AdamW(potential.parameters(), lr=how.learning_rate, weight_decay=1e-4)
    steps = how.epochs * -(-len(train) // how.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, how.learning_rate, total_steps=steps, pct_start=0.1)
    best, kept = np.inf, {k: v.clone() for k, v in potential.state_dict().items()}
    generator = np.random.default_rng(how.seed)
    with progress_bar("fit of the potential", how.epochs, show_progress) as advance:
        for epoch in range(how.epochs):
            order = generator.permutation(len(train))
            for first in range(0, len(train), how.batch):
                _step(potential, _batch([train[i] for i in order[first : first + how.batch]], edges), optimiser, how)
                schedule.step()
            if epoch % 5 == 4 or epoch == how.epochs - 1:
                error = evaluate(potential, val, edges)["force_rmse"]
                if error < best:
                    best, kept = error, {k: v.clone() for k, v in potential.state_dict().items()}
            advance(1)
    potential.load_state_dict(kept)
    return potential.eval()


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """So small a calculation gains nothing from several threads, and gives the same numbers everywhere with one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def evaluate(potential: Potential, frames: Sequence[Frame], edges: dict[int, Any] | None = None) -> dict[str, float]:
    """Errors on frames: see :func:`fit`."""
    edges = edges or {id(f): neighbours(f.positions, f.lattice, potential.config.r_cut) for f in frames}
    predicted, wanted, energy = [], [], []
    for frame in frames:
        batch = _batch([frame], edges)
        total, forces = _energy_forces(potential, batch, train=False)
        predicted.append(forces.numpy().ravel())
        wanted.append(frame.forces.ravel())
        energy.append((float(total[0]) - frame.energy) / len(frame.forces))
    guess, truth = np.concatenate(predicted), np.concatenate(wanted)
    return {
        "force_rmse": float(np.sqrt(np.mean((guess - truth) ** 2))),
        "force_rms": float(np.sqrt(np.mean(truth**2))),
        "force_correlation": float(np.corrcoef(guess, truth)[0, 1]),
        "energy_rmse": float(np.std(energy)),
    }


def _standardise(potential: Potential, frames: Sequence[Frame], edges: dict[int, Any]) -> None:
    with torch.no_grad():
        batches = [_batch([frame], edges) for frame in frames]
        edges_near = [potential.near(b.positions, b.centre, b.other, b.shift) for b in batches]
        rows = torch.cat([potential.features(*e, len(f.forces)) for e, f in zip(edges_near, frames, strict=True)])
        potential.mean.copy_(rows.mean(0))
        potential.scale.copy_(rows.std(0).clamp_min(1e-3 * rows.std(0).max()))
        potential.offset.fill_(float(np.mean([f.energy / len(f.forces) for f in frames])))


def _batch(frames: Sequence[Frame], edges: dict[int, Any]) -> _Batch:
    sizes = [len(f.forces) for f in frames]
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    parts = [edges[id(f)] for f in frames]
    return _Batch(
        positions=torch.cat([torch.from_numpy(f.positions).float() for f in frames]),
        centre=torch.cat([p[0] + int(s) for p, s in zip(parts, starts, strict=True)]),
        other=torch.cat([p[1] + int(s) for p, s in zip(parts, starts, strict=True)]),
        shift=torch.cat([p[2] for p in parts]).float(),
        owner=torch.repeat_interleave(torch.arange(len(frames)), torch.tensor(sizes)),
        atoms=torch.tensor(sizes, dtype=torch.float32),
        energy=torch.tensor([f.energy for f in frames], dtype=torch.float32),
        forces=torch.cat([torch.from_numpy(f.forces).float() for f in frames]),
    )


def _energy_forces(potential: Potential, batch: _Batch, train: bool) -> tuple[Tensor, Tensor]:
    positions = batch.positions.detach().requires_grad_(True)
    atomic = potential(positions, batch.centre, batch.other, batch.shift)
    total = torch.zeros(len(batch.atoms)).index_add(0, batch.owner, atomic)
    (gradient,) = torch.autograd.grad(atomic.sum(), positions, create_graph=train)
    return (total, -gradient) if train else (total.detach(), -gradient.detach())


def _step(potential: Potential, batch: _Batch, optimiser: torch.optim.Optimizer, how: FitConfig) -> None:
    total, forces = _energy_forces(potential, batch, train=True)
    off = (total - batch.energy) / batch.atoms
    loss = nn.functional.huber_loss(forces, batch.forces, delta=1.0) + how.energy_weight * (off**2).mean()
    optimiser.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(potential.parameters(), 10.0)
    optimiser.step()
