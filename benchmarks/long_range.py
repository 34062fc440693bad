"""Does a correction by long waves help a local model? A trial, whatever comes out.

    python benchmarks/long_range.py [--model grid_mlp.smooth-h-v4] [--seeds 0 1 2]

To the logit u of a frozen local model is added

    δu(r) = B tanh( Σ_c g_c(x(r)) V_c(r) ),   V_c(r) = (1/Ω) Σ_{|k| < 3 rad/Å} w_c(|k|) Σ_i q_c(a_i) cos k·(r - R_i),

with charges q_c learned from what the local model sees at atom i (a_i), gates g_c from what it sees at the point (x,
the inputs of its last layer) and weights w_c that fade out at 3 rad/Å. It is bounded, zero before training (the last
layer of g is), invariant, and the same in a supercell, whose further waves have no structure factor. Beside it, with
the same gates and the same training, stands a *local control*, V_c from what the model sees at the point: what it
gains is what any further training gains.

Learned from are cells of 250 H of the fluid at three volumes and temperatures, by molecular dynamics with elfzoo's
potential and with fields of a teacher that diagonalises; judged are unseen cells of the same kind, DFT's test snapshots
of the fluid by size, and crystals, a phase that it never saw. Nothing is chosen by these. Frames and rows wait in
``--work``.
"""

from __future__ import annotations

import argparse
import io
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from pymatgen.core import Structure
from scipy.special import expit
from torch import Tensor, nn

import elfzoo
from elfzoo.benchmark import environment, find_task, select, write_json
from elfzoo.benchmark.resampling import cluster_of, interval_of_ratio
from elfzoo.io.files import write_bytes
from elfzoo.io.json_values import json_values
from elfzoo.models.base import PointModel
from elfzoo.nn import mlp
from elfzoo.progress import progress_bar
from elfzoo.reference.dynamics import run_dynamics
from elfzoo.reference.fluid import load_potential
from elfzoo.uncertainty.source import head_and_inputs

RECORD = Path(__file__).parent / "results" / "long-range.json"
FLUID = "fluid-h"
TASKS = (FLUID, "crystal-h-cubic", "crystal-h-hexagonal")
VOLUMES = (2.0, 2.185, 2.655)  # Å³ per atom: those of the fluid's three pressures
TEMPERATURES = (1000.0, 1500.0, 2500.0)  # K, in turn
ATOMS, FEMTOSECONDS = 250, 400.0
TRAINING, HELD_OUT = 12, 4  # frames
POINTS = 12_000  # of a frame, at random
JUDGED = 20_000  # voxels of a structure of DFT, at random
K_MAX, RADIAL, CHANNELS, HIDDEN = 3.0, 6, 8, 32  # rad/Å; functions of |k|; charges; width
BOUND = 1.0  # of the logit's correction
EPOCHS, BATCH, RATE, BETA = 40, 3000, 3e-3, 0.03
KINDS = ("long range", "local control")


@dataclass(frozen=True)
class Seen:
    """Points of a structure, and what a frozen model sees there.

    Attributes:
        cluster: what it is drawn with in intervals: structures of one trajectory are no two.
        logits: (points,) of the frozen model.
        inputs: (points, width) of its last layer.
        atoms: (atoms, features) that it sees at the nuclei, standardised.
        waves: (points, waves) cos k·r, then the same of sin, of one half of the waves; (atoms, waves) likewise.
        lengths: (waves,) |k|, rad/Å.
        volume: Å³.
        truth: (points,) ELF.
    """

    cluster: str
    logits: Tensor
    inputs: Tensor
    atoms: Tensor
    waves: tuple[Tensor, Tensor, Tensor, Tensor]
    lengths: Tensor
    volume: float
    truth: Tensor


class LongRange(nn.Module):
    """The correction; with ``kind`` the local control, V_c is a function of what is seen at the point instead."""

    def __init__(self, width: int, features: int, kind: str = KINDS[0]):
        super().__init__()
        self.kind = kind
        self.charges = mlp([features, HIDDEN, CHANNELS])
        self.local = mlp([width, HIDDEN, CHANNELS])
        self.gates = mlp([width, HIDDEN, CHANNELS])
        self.weights = nn.Parameter(torch.randn(RADIAL, CHANNELS) / RADIAL**0.5)
        with torch.no_grad():
            for parameter in self.gates[-1].parameters():
                parameter.zero_()

    def forward(self, seen: Seen, chosen: Tensor | slice = slice(None)) -> Float[Tensor, " points"]:
        """δu at some of the points."""
        inputs = seen.inputs[chosen]
        values = self.potentials(seen, chosen) if self.kind == KINDS[0] else self.local(inputs)
        return BOUND * torch.tanh((self.gates(inputs) * values).sum(dim=1))

    def potentials(self, seen: Seen, chosen: Tensor | slice) -> Float[Tensor, "points channels"]:
        """V_c: half of the waves, each of which stands for its opposite, too; the constant one once."""
        cos, sin, atom_cos, atom_sin = seen.waves
        charges, weights = self.charges(seen.atoms), radial(seen.lengths) @ self.weights
        weights = weights * torch.where(seen.lengths > 0, 2.0, 1.0)[:, None] / seen.volume
        return cos[chosen] @ (weights * (atom_cos.T @ charges)) + sin[chosen] @ (weights * (atom_sin.T @ charges))


def radial(lengths: Float[Tensor, " waves"]) -> Float[Tensor, "waves functions"]:
    """Gaussians of |k|, faded out so that a wave comes in without a jump when a cell is strained."""
    centres = torch.linspace(0.0, K_MAX, RADIAL).to(lengths)
    fade = (1 - (lengths / K_MAX) ** 2).clamp(min=0) ** 2
    return torch.exp(-(((lengths[:, None] - centres) * RADIAL / K_MAX) ** 2)) * fade[:, None]


def half_of_waves(lattice: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "waves 3"]:
    """Reciprocal vectors below K_MAX, rad/Å: the constant one, and of each pair of opposites one."""
    reciprocal = 2 * np.pi * np.linalg.inv(lattice).T
    most = np.ceil(K_MAX * np.linalg.norm(lattice, axis=1) / (2 * np.pi)).astype(int)
    index = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in most), indexing="ij"), axis=-1).reshape(-1, 3)
    first = index[np.arange(len(index)), (index != 0).argmax(axis=1)]  # the first that is not zero
    vectors = index[first >= 0] @ reciprocal
    return vectors[np.linalg.norm(vectors, axis=1) < K_MAX]


def seen_by(
    model: PointModel,
    scale: tuple[np.ndarray, np.ndarray],
    structure: Structure,
    points: np.ndarray,
    truth: np.ndarray,
    cluster: str = "",
) -> Seen:
    """What a frozen model sees at points (Å), and at the nuclei."""
    read, waves = model.reader(structure), half_of_waves(structure.lattice.matrix)
    with torch.no_grad():
        logits, inputs = head_and_inputs(model, read(points))
        atoms = read(structure.cart_coords).double().numpy()
    phases = [at @ waves.T for at in (points, structure.cart_coords)]
    parts = tuple(torch.tensor(f(phase), dtype=torch.float32) for phase in phases for f in (np.cos, np.sin))
    return Seen(
        cluster,
        torch.as_tensor(logits),
        torch.as_tensor(inputs[:, :-1]),
        torch.tensor(np.clip((atoms - scale[0]) / scale[1], -6, 6), dtype=torch.float32),
        parts,  # type: ignore[arg-type]
        torch.tensor(np.linalg.norm(waves, axis=1), dtype=torch.float32),
        float(structure.volume),
        torch.tensor(truth, dtype=torch.float32),
    )


def scale_of(model: PointModel, structures: Sequence[Structure]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of what a model sees at the nuclei."""
    read = [model.reader(s)(s.cart_coords).double().numpy() for s in structures]
    together = np.concatenate(read)
    return together.mean(axis=0), together.std(axis=0) + 1e-6


def frame(number: int, teacher: elfzoo.Model, work: Path, atoms: int, duration: float) -> tuple[Structure, Any, Any]:
    """A cell of the fluid with points (Å) and the teacher's ELF there, from the work folder or made."""
    path = work / f"frame_{number:03d}.npz"
    if not path.is_file():
        volume, temperature = VOLUMES[number % 3], TEMPERATURES[number // 3 % 3]
        found = run_dynamics(load_potential(), atoms, volume, temperature, duration, seed=1000 + number)
        structure = Structure(found.lattice, ["H"] * atoms, found.positions[-1], coords_are_cartesian=True)
        frac = np.random.default_rng(number).random((POINTS, 3))
        elf = teacher.predict(structure, points=frac, progress=False)
        work.mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()
        np.savez(buffer, lattice=found.lattice, frac=structure.frac_coords, points=frac, elf=elf)
        write_bytes(path, [buffer.getvalue()])
    with np.load(path) as kept:
        structure = Structure(kept["lattice"], ["H"] * len(kept["frac"]), kept["frac"])
        return structure, kept["points"] @ structure.lattice.matrix, kept["elf"]


def trained(kind: str, frames: Sequence[Seen], seed: int, epochs: int) -> LongRange:
    """A correction after training on ELF; the frozen model stays as it is."""
    torch.manual_seed(seed)
    net = LongRange(frames[0].inputs.shape[1], frames[0].atoms.shape[1], kind)
    optimizer = torch.optim.AdamW(net.parameters(), RATE, weight_decay=1e-3)
    batches = [(f, part) for f, seen in enumerate(frames) for part in range(max(1, len(seen.truth) // BATCH))]
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * len(batches))
    order = np.random.default_rng(seed)
    for _ in range(epochs):
        places = [torch.as_tensor(order.permutation(len(seen.truth))) for seen in frames]
        for i in order.permutation(len(batches)):
            f, part = batches[i]
            seen, chosen = frames[f], places[f][part * BATCH : (part + 1) * BATCH]
            guess = torch.sigmoid(seen.logits[chosen] + net(seen, chosen))
            loss = nn.functional.smooth_l1_loss(guess, seen.truth[chosen], beta=BETA)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    return net.eval()


def maes(net: LongRange | None, structures: Sequence[Seen]) -> list[float]:
    """Of each structure; of the frozen model alone without a correction."""
    with torch.no_grad():
        changes = [0.0 if net is None else net(seen).double().numpy() for seen in structures]
    return [
        float(np.abs(expit(seen.logits.double().numpy() + change) - seen.truth.double().numpy()).mean())
        for seen, change in zip(structures, changes, strict=True)
    ]


def judged_structures(model: PointModel, scale: Any, voxels: int) -> Iterator[tuple[str, Seen]]:
    """The test structures of DFT under the names of their groups."""
    for task in TASKS:
        for structure, reference in select(find_task(task)):
            size = min(voxels, reference.grid.size)
            flat = np.sort(np.random.default_rng(0).choice(reference.grid.size, size, replace=False))
            points, truth = reference.grid.positions(flat), reference.values.ravel()[flat]
            cluster = cluster_of(reference.meta["file"], structure.formula)
            seen = seen_by(model, scale, structure, points, truth, cluster)
            yield f"{task}, {len(structure)} atoms" if task == FLUID else task, seen


def compared(before: Sequence[float], after: Sequence[Sequence[float]], clusters: Sequence[str]) -> dict[str, Any]:
    """Mean errors, by seed, and the ratio of means over seeds, its interval over trajectories or crystals."""
    mean = np.mean(after, axis=0)
    return {
        "structures": len(before),
        "mae_before": float(np.mean(before)),
        "mae": [float(np.mean(errors)) for errors in after],
        "ratio": [float(mean.mean() / np.mean(before)), *interval_of_ratio(mean, before, clusters)],
    }


def table(record: dict[str, Any]) -> list[str]:
    """A row for each group of structures."""
    head = ["structures", "as it is", *(f"{kind}, MAE" for kind in KINDS), *(f"{kind}, ratio" for kind in KINDS)]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for group, found in record["groups"].items():
        cells = [f"{group} ({found[KINDS[0]]['structures']})", f"{found[KINDS[0]]['mae_before']:.4f}"]
        cells += [f"{np.mean(found[kind]['mae']):.4f}" for kind in KINDS]
        cells += [ratio_text(found[kind]["ratio"]) for kind in KINDS]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def ratio_text(ratio: Sequence[float | None]) -> str:
    """With its interval, where there is one: a single trajectory has none."""
    estimate, *ends = ratio
    return f"{estimate:.3f}" + ("" if None in ends else " ({:.3f} to {:.3f})".format(*ends))


def rendered(_: str | None) -> str:
    """For the docs: the table, and of what it is."""
    if not RECORD.is_file():
        return "*No record yet: `python benchmarks/long_range.py` makes one.*\n"
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    train, held_out = record["settings"]["frames"]
    told = (
        f"`{record['model']}`, {record['parameters']:,} weights that learned from {train} cells of "
        f"{record['settings']['atoms']} H\nlabelled by `{record['teacher']}`, {held_out} such cells unseen; means over "
        f"{len(record['settings']['seeds'])} seeds."
    )
    return "\n".join([told, "", *table(record), ""])


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="grid_mlp.smooth-h-v4", help="a frozen model of points")
    parser.add_argument("--teacher", default="harris_delta.h-v1", help="whose fields it learns from")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--frames", type=int, nargs=2, default=[TRAINING, HELD_OUT], metavar=("TRAIN", "HELD_OUT"))
    parser.add_argument("--atoms", type=int, default=ATOMS)
    parser.add_argument("--duration", type=float, default=FEMTOSECONDS, help="fs of dynamics before a frame")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--voxels", type=int, default=JUDGED, help="of each structure of DFT")
    parser.add_argument("--work", type=Path, default=Path("runs/long-range"))
    parser.add_argument("--out", type=Path, default=RECORD)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    args = parsed(arguments)
    began, count = time.perf_counter(), sum(args.frames)
    model, teacher = elfzoo.load_pretrained(args.model), elfzoo.load_pretrained(args.teacher)
    assert isinstance(model, PointModel) and model.card is not None and teacher.card is not None
    frames = []
    with progress_bar("frames", count, None) as advance:
        for number in range(count):
            frames.append(frame(number, teacher, args.work, args.atoms, args.duration))
            advance(1)
    scale = scale_of(model, [structure for structure, _, _ in frames[: args.frames[0]]])
    seen = [seen_by(model, scale, *parts, cluster=str(number)) for number, parts in enumerate(frames)]
    groups = {"fluid of the teacher, unseen": seen[args.frames[0] :]}
    for name, one in judged_structures(model, scale, args.voxels):
        groups.setdefault(name, []).append(one)
    nets = {kind: [trained(kind, seen[: args.frames[0]], seed, args.epochs) for seed in args.seeds] for kind in KINDS}
    record = {
        **environment(),
        "model": args.model,
        "teacher": args.teacher,
        "weights_sha256": {args.model: model.card.weights_sha256, args.teacher: teacher.card.weights_sha256},
        "data_sha256": {task: find_task(task).data_sha256["test"] for task in TASKS},
        "settings": {k: getattr(args, k) for k in ("frames", "atoms", "duration", "epochs", "voxels", "seeds")},
        "k_max": K_MAX,
        "bound": BOUND,
        "parameters": sum(p.numel() for p in nets[KINDS[0]][0].parameters()),
        "groups": {
            name: {
                kind: compared(
                    maes(None, structures),
                    [maes(net, structures) for net in nets[kind]],
                    [structure.cluster for structure in structures],
                )
                for kind in KINDS
            }
            for name, structures in groups.items()
        },
        "seconds": time.perf_counter() - began,
    }
    write_json(args.out, json_values(record))
    print("\n".join(table(record)))


if __name__ == "__main__":
    main()
