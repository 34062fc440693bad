"""The contract that every model keeps, executable: :func:`check_model` runs over the whole registry in the tests.

A contributor calls it on a new architecture; an outside user may call it on a trained release. Invariances that an
architecture declares exact must hold to rounding; those declared approximate are measured and returned.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pymatgen.core import Lattice, Structure
from torch_geometric.data import Batch

from elfzoo.errors import ElfzooError
from elfzoo.hub import load_release, save_release
from elfzoo.models.base import Model, PointModel
from elfzoo.probe import probe_data
from elfzoo.quantity import quantity_of

__all__ = [
    "ContractError",
    "Deviation",
    "check_model",
    "check_registry",
    "enliven",
    "example_structures",
    "measure_invariances",
]

EXACT = 2e-5  # of ELF; single precision through a few hundred features and a network leaves about 1e-6
ROTATION = np.linalg.qr(np.random.default_rng(7).normal(size=(3, 3)))[0]


class ContractError(AssertionError):
    """A model breaks the contract; the message says which part, on which structure and by how much."""


@dataclass(frozen=True)
class Deviation:
    """Change under something that should not change anything, at points of some structures.

    Of ELF; of densities relative to the sum of the density there and the target's scale.

    Args:
        invariance: what was done.
        declared: ``exact`` or ``approximate``, by the architecture.
        largest: over all points and structures.
        mean: likewise.
    """

    invariance: str
    declared: str
    largest: float
    mean: float


def check_model(model: Model, elements: tuple[str, ...] | None = None, exact: float = EXACT) -> list[Deviation]:
    """Check a model against the contract and measure its invariances.

    Args:
        model: on any device, in single precision, of any target.
        elements: species to put into the example structures; by default H and Ca, where the model takes any.
        exact: largest change that counts as rounding, in the measure of :class:`Deviation`.

    Returns:
        The measured deviation of each invariance.

    Raises:
        ContractError: naming the part of the contract that is broken.
    """
    model = model.eval()
    missing = set(TRANSFORMATIONS) - set(model.invariances)
    _require(not missing, f"invariances does not declare {sorted(missing)}")
    structures = dict(example_structures(elements or _elements(model)))
    for name, structure in structures.items():
        _check_range_and_shape(model, name, structure)
    _check_variation(model, structures)
    deviations = measure_invariances(model, structures.values())
    what = quantity_of(model.quantity).title
    for found in deviations:
        limit = exact if found.declared == "exact" else np.inf
        _require(found.largest <= limit, f"{found.invariance} is declared exact; {what} changes by {found.largest:.2g}")
    _check_save_and_load(model, structures["triclinic"])
    if isinstance(model, PointModel):
        _check_forward(model, structures)
        _check_batches(model, structures)
        _check_features(model, structures["triclinic"])
        _check_gradients(model, structures["triclinic"])
        _check_double_precision(model, structures["triclinic"])
    return deviations


def example_structures(elements: tuple[str, ...]) -> Iterator[tuple[str, Structure]]:
    """Cells that break careless code: one atom, smaller than any cutoff, skewed, hexagonal, two species."""
    first, last = elements[0], elements[-1]
    yield "one atom", Structure(Lattice.cubic(1.7), [first], [[0.1, 0.2, 0.3]])
    yield "needle", Structure([[1.1, 0, 0], [0, 1.3, 0], [0, 0, 6.5]], [first, last], [[0, 0, 0], [0.4, 0.1, 0.5]])
    yield "hexagonal", Structure(Lattice.hexagonal(2.4, 3.1), [first, first], [[0, 0, 0.1], [1 / 3, 2 / 3, 0.6]])
    skewed = [[2.9, 0.2, -0.1], [2.1, 1.9, 0.3], [-1.2, 0.8, 2.6]]
    sites = [[0.05, 0.1, 0.2], [0.55, 0.35, 0.8], [0.9, 0.7, 0.45]]
    yield "triclinic", Structure(skewed, [first, first, last], sites)


def _elements(model: Model) -> tuple[str, ...]:
    return model.elements or ("H", "Ca")


def _device(model: Model) -> torch.device:
    """Where a model is; the processor for one without weights."""
    return next((tensor.device for tensor in (*model.parameters(), *model.buffers())), torch.device("cpu"))


def _check_range_and_shape(model: Model, name: str, structure: Structure) -> None:
    field = model.predict(structure, grid=(5, 4, 6), progress=False)
    _require(field.values.shape == (5, 4, 6), f"{name}: predict returned shape {field.values.shape} for grid (5, 4, 6)")
    low, high = _range(model)
    inside = np.isfinite(field.values).all() and field.values.min() >= low and field.values.max() <= high
    _require(
        bool(inside), f"{name}: values outside of [{low:g}, {high:g}]: {field.values.min()} to {field.values.max()}"
    )
    loose = model.predict(structure, points=field.grid.frac_coords(), progress=False)
    worst = _difference(model, field.values, loose.reshape(5, 4, 6))
    _require(worst <= EXACT, f"{name}: the same points as a grid and as loose points differ by {worst:.2g}")


def _learned(model: Model, structure: Structure, points: np.ndarray) -> np.ndarray:
    """What predict gives of the quantity that is learned, without SAD."""
    return model.predict(structure, points=points, progress=False, quantity=model.target.quantity)


def _range(model: Model) -> tuple[float, float]:
    """What the learned quantity cannot leave; with SAD added to it, any density can come out."""
    learned = model.target.learned
    low, high = learned.lowest, learned.highest
    return -np.inf if low is None else low, np.inf if high is None else high


def _difference(model: Model, expected: np.ndarray, found: np.ndarray) -> float:
    """The largest one, in the measure of :class:`Deviation`."""
    return float(_differences(model, expected, found).max())


def _differences(model: Model, expected: np.ndarray, found: np.ndarray) -> np.ndarray:
    return np.abs(found - expected) / model.target.rounding(expected)


def _check_variation(model: Model, structures: dict[str, Structure]) -> None:
    """A model that answers the same everywhere has every invariance: then the checks below would say nothing."""
    points = np.random.default_rng(6).random((60, 3))
    spread = float(np.std([_learned(model, s, points) for s in structures.values()])) / model.target.unit
    what = model.target.learned.title
    _require(spread > 0.02, f"{what} hardly varies (standard deviation {spread:.2g}): see enliven, or train the model")


def enliven(model: Model, elements: tuple[str, ...] | None = None, gain: float = 2.0) -> Model:
    """Give fresh weights something to say: statistics from the example structures, matrices ``gain`` times larger."""
    if isinstance(model, PointModel):
        points = np.random.default_rng(8).random((200, 3))
        parts = [
            model.features(s, points @ s.lattice.matrix) for _, s in example_structures(elements or _elements(model))
        ]
        model.fit_statistics(torch.from_numpy(np.concatenate(parts)))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(gain)
    return model


def _subset(structure: Structure, points: np.ndarray) -> tuple[Structure, np.ndarray, np.ndarray]:
    chosen = np.random.default_rng(1).permutation(len(points))[: len(points) // 3]
    return structure, points[chosen], chosen


def _permutation(structure: Structure, points: np.ndarray) -> tuple[Structure, np.ndarray, None]:
    return Structure.from_sites(list(structure)[::-1]), points, None


def _lattice_shift(structure: Structure, points: np.ndarray) -> tuple[Structure, np.ndarray, None]:
    moved = structure.frac_coords.copy()
    moved[0] += [2, -1, 3]
    return Structure(structure.lattice, structure.species, moved), points, None


def _supercell(structure: Structure, points: np.ndarray) -> tuple[Structure, np.ndarray, None]:
    return structure.make_supercell([2, 1, 3], in_place=False), points / [2, 1, 3], None


def _basis(structure: Structure, points: np.ndarray) -> tuple[Structure, np.ndarray, None]:
    change = np.array([[1, 1, 0], [0, 1, -2], [0, 0, 1]])  # rows of the new basis in the old one, determinant 1
    lattice = change @ structure.lattice.matrix
    other = Structure(lattice, structure.species, structure.cart_coords, coords_are_cartesian=True)
    return other, points @ np.linalg.inv(change), None


def _origin(structure: Structure, points: np.ndarray) -> tuple[Structure, np.ndarray, None]:
    shift = np.array([0.137, 0.291, 0.713])
    return Structure(structure.lattice, structure.species, structure.frac_coords + shift), points + shift, None


def _rotation(structure: Structure, points: np.ndarray) -> tuple[Structure, np.ndarray, None]:
    matrix = ROTATION * np.sign(np.linalg.det(ROTATION))
    return Structure(structure.lattice.matrix @ matrix.T, structure.species, structure.frac_coords), points, None


def _reflection(structure: Structure, points: np.ndarray) -> tuple[Structure, np.ndarray, None]:
    mirrored = structure.lattice.matrix * [1, 1, -1]
    return Structure(mirrored, structure.species, structure.frac_coords), points, None


TRANSFORMATIONS: dict[str, Callable[[Structure, np.ndarray], tuple[Structure, np.ndarray, Any]]] = {
    "subset": _subset,
    "permutation": _permutation,
    "lattice_shift": _lattice_shift,
    "supercell": _supercell,
    "basis": _basis,
    "origin": _origin,
    "rotation": _rotation,
    "reflection": _reflection,
}


def measure_invariances(model: Model, structures: Iterable[Structure]) -> list[Deviation]:
    """How far a model is from each invariance, at 60 random points of every structure.

    Args:
        model: on any device.
        structures: that it can predict.
    """
    points = np.random.default_rng(0).random((60, 3))
    known = [(structure, model.predict(structure, points=points, progress=False)) for structure in structures]
    return [_measure(model, invariance, points, known) for invariance in TRANSFORMATIONS]


def _measure(model: Model, invariance: str, points: np.ndarray, known: list[tuple[Structure, np.ndarray]]) -> Deviation:
    changes = []
    for structure, before in known:
        other, moved, chosen = TRANSFORMATIONS[invariance](structure, points)
        after = model.predict(other, points=moved, progress=False)
        changes.append(_differences(model, before if chosen is None else before[chosen], after))
    found = np.concatenate(changes)
    return Deviation(invariance, model.invariances[invariance], float(found.max()), float(found.mean()))


def _check_save_and_load(model: Model, structure: Structure) -> None:
    with tempfile.TemporaryDirectory() as folder:
        save_release(model, Path(folder) / "release", name="contract.check-v0")
        again = load_release(Path(folder) / "release").to(_device(model)).eval()
    _require(again.target == model.target, f"a saved and loaded model has the target {again.target}")
    points = np.random.default_rng(2).random((50, 3))
    same = np.array_equal(*(m.predict(structure, points=points, progress=False) for m in (model, again)))
    _require(same, "a saved and loaded model does not predict bit for bit the same")


def _forward_values(model: PointModel, structure: Structure, points: np.ndarray, dtype: torch.dtype) -> np.ndarray:
    """Values of the learned quantity."""
    data = probe_data(structure, points @ structure.lattice.matrix, dtype=dtype)
    batch = model.transform(data).to(_device(model))
    with torch.no_grad():
        return model.target.tensor(model(batch)).double().cpu().numpy()


def _check_forward(model: PointModel, structures: dict[str, Structure]) -> None:
    """The fast path of ``predict`` is the same function as ``forward``."""
    for name, structure in structures.items():
        points = np.random.default_rng(3).random((40, 3))
        slow = _forward_values(model, structure, points, torch.float32)
        fast = _learned(model, structure, points)
        worst = _difference(model, slow, fast)
        _require(worst <= EXACT, f"{name}: predict and forward differ by {worst:.2g}")


def _check_batches(model: PointModel, structures: dict[str, Structure]) -> None:
    """Structures that are batched together do not see each other."""
    points, device = np.random.default_rng(6).random((20, 3)), _device(model)
    parts = [
        model.transform(probe_data(structure, points @ structure.lattice.matrix)) for structure in structures.values()
    ]
    with torch.no_grad():
        alone = [model.target.tensor(model(part.to(device))).double().cpu().numpy() for part in parts]
        together = model.target.tensor(model(Batch.from_data_list(parts).to(device))).double().cpu().numpy()
    worst = _difference(model, np.concatenate(alone), together)
    _require(worst <= EXACT, f"structures alone and in one batch differ by {worst:.2g}")


def _check_features(model: PointModel, structure: Structure) -> None:
    """``head`` of ``features`` is ``forward``, and nothing is learned in an encoder that calls itself constant."""
    points = np.random.default_rng(7).random((20, 3))
    found = torch.from_numpy(model.features(structure, points @ structure.lattice.matrix)).to(_device(model))
    with torch.no_grad():
        values = model.target.tensor(model.head(found)).double().cpu().numpy()
    worst = _difference(model, values, _forward_values(model, structure, points, torch.float32))
    _require(worst <= EXACT, f"head(features) and forward differ by {worst:.2g}")
    if model.encoder_is_constant(structure.symbol_set):
        data = model.transform(probe_data(structure, points @ structure.lattice.matrix)).to(_device(model))
        _require(not model.encode(data).requires_grad, "encoder_is_constant is true, but encode has parameters in it")


def _check_gradients(model: PointModel, structure: Structure) -> None:
    if not list(model.parameters()):
        return
    points = np.random.default_rng(4).random((200, 3)) @ structure.lattice.matrix
    model.zero_grad()
    logits = model(model.transform(probe_data(structure, points)).to(_device(model)))
    logits.square().sum().backward()
    idle = [n for n, p in model.named_parameters() if p.grad is None or not bool((p.grad != 0).any())]
    model.zero_grad()
    _require(not idle, f"parameters without a gradient: {idle}")


def _check_double_precision(model: PointModel, structure: Structure) -> None:
    points = np.random.default_rng(5).random((50, 3))
    single = _forward_values(model, structure, points, torch.float32)
    weights = {k: v.clone() for k, v in model.state_dict().items()}
    double = _forward_values(model.double(), structure, points, torch.float64)
    model.float().load_state_dict(weights)
    worst = _difference(model, double, single)
    what = model.target.learned.title
    _require(worst <= 1e-4, f"single and double precision differ by {worst:.2g} in {what}")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ContractError(message)


def check_registry(names: list[str] | None = None) -> dict[str, list[Deviation]]:
    """:func:`check_model` on every registered architecture with fresh weights.

    Args:
        names: of the architectures; by default all that lack no optional package.

    Raises:
        ElfzooError: an empty registry.
    """
    from elfzoo.registry import create_model, find_architecture, list_models

    chosen = (
        [name for name in list_models() if not find_architecture(name).missing_packages()] if names is None else names
    )
    if not chosen:
        raise ElfzooError("no architecture is registered")
    torch.manual_seed(0)
    return {name: check_model(enliven(create_model(name))) for name in chosen}
