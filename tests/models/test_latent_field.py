import copy

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure
from torch_geometric.data import Batch

import elfzoo
from elfzoo.errors import ConfigError
from elfzoo.nn.pauli import CHI, DENSITY
from elfzoo.probe import probe_data
from elfzoo.testing import check_model, enliven
from elfzoo.training.points import PointSet, plan_batches, stream_batches

SMALL = {
    "states": "8x0e + 4x1o + 2x2e",
    "fields": "6x0e + 3x1o",
    "orbitals": {"exponents": [[0.8, 1.6], [1.0, 2.0], [1.4]]},
    "edges": {"n_radial": 6, "smooth": True},
    "hidden": [16],
}
VARIANTS = {
    "tensors": {"layers": 1, "fields": "4x0e + 2x1o + 1x1e + 2x2e"},
    "no rounds, s and p functions, two cutoffs": {
        "layers": 0,
        "fields": "8x0e",
        "orbitals": {"exponents": [[0.8, 1.6], [1.0]], "r_cut": 2.2},
    },
}


def make(**changes):
    torch.manual_seed(0)
    return enliven(elfzoo.create_model("latent_field", SMALL | changes)).eval()


@pytest.fixture
def model():
    return make()


def logits(model, structure, points):
    """Through ``transform`` and ``forward`` in double precision."""
    data = model.transform(probe_data(structure, np.asarray(points), dtype=torch.float64))
    with torch.no_grad():
        return model(data).numpy()


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_keep_the_contract(variant):
    check_model(make(**VARIANTS[variant]))


def test_structures_in_a_batch_do_not_see_each_other(model, skewed_hydride, diamond, rng):
    model = model.double()
    points = [rng.random((n, 3)) @ s.lattice.matrix for n, s in ((7, skewed_hydride), (5, diamond))]
    data = [
        model.transform(probe_data(s, p, dtype=torch.float64))
        for s, p in zip((skewed_hydride, diamond), points, strict=True)
    ]
    together = model(Batch.from_data_list(data)).detach().numpy()
    alone = [logits(model, s, p) for s, p in zip((skewed_hydride, diamond), points, strict=True)]
    np.testing.assert_allclose(together, np.concatenate(alone), atol=1e-9)


def test_the_density_of_the_latent_functions_has_the_gradient_that_they_say(model, skewed_hydride, rng):
    """von Weizsäcker's term of the features, from analytic gradients, against finite differences of ln n."""
    model, step = model.double(), 1e-4
    points = rng.random((6, 3)) @ skewed_hydride.lattice.matrix

    def features(at):
        data = model.transform(probe_data(skewed_hydride, at, dtype=torch.float64))
        with torch.no_grad():
            return model.encode(data).numpy()

    moved = [features(points + sign * step * axis)[:, 1] for axis in np.eye(3) for sign in (1, -1)]
    per_bohr = 0.529177210903 / (2 * step)
    gradient = per_bohr * np.array([moved[0] - moved[1], moved[2] - moved[3], moved[4] - moved[5]])
    n = np.exp(features(points)[:, 1])
    uniform = 0.3 * (3 * np.pi**2) ** (2 / 3) * n ** (5 / 3)
    expected = np.log((gradient**2).sum(0) * n / 8 / uniform + CHI)
    np.testing.assert_allclose(features(points)[:, 2], expected, atol=1e-5)


def test_one_atom_with_one_function_is_one_orbital(rng):
    """No exclusion principle: D has only what ε adds, ½ |∇f|² ε / n, and vanishes where the density is above it."""
    one = {"fields": "1x0e", "layers": 0, "orbitals": {"exponents": [[1.0]]}}
    model = make(**one).double()
    with torch.no_grad():
        model.coefficients.weight *= 100  # a density far above ε near the atom
    alone = Structure(Lattice.cubic(15.0), ["H"], [[0, 0, 0]])
    data = model.transform(probe_data(alone, 0.5 * rng.normal(size=(20, 3)), dtype=torch.float64))
    u, log_n, log_boson = model.encode(data)[:, :3].detach().T
    boson, n = log_boson.exp() - CHI, log_n.exp()
    torch.testing.assert_close(u, -2 * torch.log(DENSITY * boson / (n - DENSITY) + CHI))
    assert u.max() > 10


def test_smooth_at_a_nucleus(model, skewed_hydride):
    """Second differences along a line settle (at a kink they grow as 1/h), and their sum over an orthogonal pair of
    directions is that over any other pair in the plane.
    """
    model = model.double()
    nucleus = skewed_hydride.cart_coords[1]
    pairs = np.array([[1, 0, 0], [0, 1, 0], [0.6, 0.8, 0], [-0.8, 0.6, 0]])

    def second_differences(h):
        values = logits(model, skewed_hydride, nucleus + h * np.concatenate([pairs, -pairs, pairs * 0])).reshape(3, 4)
        return (values[0] + values[1] - 2 * values[2]) / h**2

    coarse, fine = second_differences(4e-3), second_differences(1e-3)
    scale = np.abs(fine).max()
    np.testing.assert_allclose(coarse, fine, atol=0.01 * scale)
    assert abs(fine[0] + fine[1] - fine[2] - fine[3]) < 1e-3 * scale


def test_gradient_in_the_positions_is_that_of_finite_differences(model, skewed_hydride, rng):
    """Through both kinds of edges and all periodic images."""
    model = model.double()
    points = rng.random((2, 3)) @ skewed_hydride.lattice.matrix
    data = model.transform(probe_data(skewed_hydride, points, dtype=torch.float64))
    torch.autograd.gradcheck(
        lambda pos, probe_pos: model(copy.copy(data).update({"pos": pos, "probe_pos": probe_pos})),
        (data.pos.requires_grad_(), data.probe_pos.requires_grad_()),
    )


def test_a_copy_has_the_same_weights_under_the_same_names(model):
    """Only what is learned, and what it is standardised with, goes into a release."""
    weights, others = model.state_dict(), copy.deepcopy(model).state_dict()
    assert list(weights) == list(others)
    learned = {name for name, _ in model.named_parameters()}
    assert set(weights) - learned == {"embedding.properties", "standardise.mean", "standardise.std"}


def test_atoms_are_evaluated_once_whatever_the_number_of_points(model, skewed_hydride):
    calls = []
    hook = model.coefficients.register_forward_hook(lambda *_: calls.append(1))
    evaluate = model.evaluator(skewed_hydride)
    rng = np.random.default_rng(0)
    for n in (1, 70, 200):
        points = rng.random((n, 3)) @ skewed_hydride.lattice.matrix
        found = evaluate(points)
        data = model.transform(probe_data(skewed_hydride, points))
        hook.remove()
        with torch.no_grad():
            np.testing.assert_allclose(found, model(data).numpy(), atol=2e-4)
        hook = model.coefficients.register_forward_hook(lambda *_: calls.append(1))
    hook.remove()
    assert len(calls) == 1


def test_a_cell_without_a_neighbour_in_reach(model):
    """Points far from every atom, alone in a block."""
    alone = Structure(Lattice.cubic(20.0), ["H"], [[0, 0, 0]])
    points = np.full((5, 3), 10.0)
    data = model.transform(probe_data(alone, points))
    with torch.no_grad():
        np.testing.assert_allclose(model.evaluator(alone)(points), model(data).numpy(), atol=1e-5)


def test_learns_from_streamed_batches(skewed_hydride, diamond, rng):
    """Fits a smooth function of the distance to the nearest atom, from two structures in turn."""
    sets = []
    for structure in (skewed_hydride, diamond):
        frac = rng.random((64, 3))
        nearest = structure.lattice.get_all_distances(frac, structure.frac_coords).min(axis=1)
        sets.append(PointSet(structure, frac @ structure.lattice.matrix, np.exp(-(nearest**2)).astype("f4"), None))
    torch.manual_seed(0)
    model = elfzoo.create_model("latent_field", SMALL)
    model.fit_statistics(torch.from_numpy(np.concatenate([model.features(s.structure, s.points) for s in sets])))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    errors = []
    for _ in range(40):
        for batch, y in stream_batches(model, plan_batches(sets, 64, torch.Generator().manual_seed(0), None)):
            errors.append((torch.sigmoid(model(batch)) - y).square().mean())
            optimizer.zero_grad()
            errors[-1].backward()
            optimizer.step()
    assert errors[-1] < 0.1 * errors[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"states": "32 scalars"}, "expected irreps such as"),
        ({"fields": "8x1o"}, "even scalars"),
        ({"layers": -1}, "layers cannot be negative"),
        ({"clamp": 0.0}, "a clamp is positive"),
        ({"orbitals": {"exponents": [[1.0], [1.0], [1.0], [1.0]]}}, "degrees 0 to 2"),
        ({"orbitals": {"exponents": [[1.0], [], [1.0]]}}, "at least one of each"),
        ({"edges": {"channels": 2}}, "expected edges.channels: 1"),
        ({"field": "8x0e"}, "did you mean 'fields'"),
    ],
)
def test_bad_configurations(changes, message):
    with pytest.raises(ConfigError, match=message):
        elfzoo.create_model("latent_field", changes)
