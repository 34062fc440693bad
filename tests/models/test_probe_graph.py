import copy

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure
from torch_geometric.data import Batch

import elfzoo
from elfzoo.errors import ConfigError
from elfzoo.models import probe_graph
from elfzoo.probe import probe_data
from elfzoo.testing import check_model, enliven
from elfzoo.training.points import PointSet, plan_batches, stream_batches

SMALL = {"states": "8x0e + 4x1o + 2x2e", "fields": "6x0e + 3x1o + 2x2e", "n_radial": 6, "hidden": [32]}
VARIANTS = {
    "invariant": {"states": "12x0e"},
    "vectors": {"states": "8x0e + 8x1o", "fields": "8x0e + 8x1o", "l_max": 1},
    "no rounds": {"layers": 0},
    "odd features": {"states": "6x0e + 2x0o + 3x1o + 2x1e + 1x2e", "fields": "4x0e + 2x0o + 2x1o + 1x1e"},
    "l 3, two cutoffs": {"layers": 1, "l_max": 3, "fields": "6x0e + 2x1o + 1x3o", "r_cut": 2.5, "probe_r_cut": 3.5},
    "reach that grows with the atom": {"growth": 1.5},
    "free-atom densities": {"sad": True, "growth": 1.5},
}


def make(**changes):
    torch.manual_seed(0)
    return enliven(elfzoo.create_model("probe_graph", SMALL | changes)).eval()


@pytest.fixture
def model():
    return make()


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_keep_the_contract(variant):
    check_model(make(**VARIANTS[variant]))


def logits(model, structure, points):
    """Through ``transform`` and ``forward`` in double precision."""
    data = model.transform(probe_data(structure, np.asarray(points), dtype=torch.float64))
    with torch.no_grad():
        return model(data).numpy()


def test_structures_in_a_batch_do_not_see_each_other(model, skewed_hydride, diamond, rng):
    model = model.double()
    points = [rng.random((n, 3)) @ s.lattice.matrix for n, s in ((7, skewed_hydride), (5, diamond))]
    data = [
        model.transform(probe_data(s, p, dtype=torch.float64))
        for s, p in zip((skewed_hydride, diamond), points, strict=True)
    ]
    together = model(Batch.from_data_list(data)).detach().numpy()
    alone = [logits(model, s, p) for s, p in zip((skewed_hydride, diamond), points, strict=True)]
    np.testing.assert_allclose(together, np.concatenate(alone), atol=1e-10)


def test_a_copy_has_the_same_weights_under_the_same_names(model):
    """Only what is learned, and what it is standardised with, goes into a release."""
    weights, others = model.state_dict(), copy.deepcopy(model).state_dict()
    assert list(weights) == list(others)
    learned = {name for name, _ in model.named_parameters()}
    assert set(weights) - learned == {"embedding.properties", "standardise.mean", "standardise.std"}


def test_atoms_are_evaluated_once_and_points_in_blocks(model, skewed_hydride, monkeypatch):
    """Of a whole grid and of the features that validation stores."""
    whole = model.predict(skewed_hydride, grid=(6, 5, 7))
    points = whole.grid.positions()
    features = model.features(skewed_hydride, points)
    monkeypatch.setattr(probe_graph, "BLOCK", 50)
    calls = []
    hooks = [layer.register_forward_hook(lambda *_: calls.append(1)) for layer in model.layers]
    np.testing.assert_allclose(model.predict(skewed_hydride, grid=(6, 5, 7)).values, whole.values, atol=1e-5)
    assert len(calls) == len(model.layers)
    np.testing.assert_allclose(model.features(skewed_hydride, points), features, atol=1e-5)
    assert len(calls) == 2 * len(model.layers)
    assert model.features(skewed_hydride, np.zeros((0, 3))).shape == (0, features.shape[1])
    for hook in hooks:
        hook.remove()


def test_smooth_at_a_nucleus(model, skewed_hydride):
    """Second differences along a line settle (at a kink they grow as 1/h), and their sum over an orthogonal pair of
    directions is that over any other pair in the plane (not so where the field depends on the direction of approach).
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


def test_smooth_where_a_point_leaves_the_reach_of_an_atom(model):
    """What remains falls with the square of the distance to the cutoff: value and slope vanish there."""
    model = model.double()
    alone = Structure(Lattice.cubic(20.0), ["H"], [[0, 0, 0]])
    direction = np.array([2, -1, 2]) / 3
    r_cut = model.config.probe_r_cut
    near, far, outside = logits(model, alone, direction * np.array([[r_cut - 1e-3], [r_cut - 2e-3], [r_cut + 1]]))
    assert (far - outside) / (near - outside) == pytest.approx(4, rel=0.05)


def test_smooth_where_an_atom_leaves_the_reach_of_another(model):
    """Seen from a point that only the first atom reaches."""
    model = model.double()

    def logit(distance):
        pair = Structure(Lattice.cubic(20.0), ["H", "H"], [[0, 0, 0], [distance, 0, 0]], coords_are_cartesian=True)
        return logits(model, pair, [[-0.7, 0.3, 0.1]])[0]

    r_cut = model.config.r_cut
    outside = logit(r_cut + 1)
    assert (logit(r_cut - 2e-3) - outside) / (logit(r_cut - 1e-3) - outside) == pytest.approx(4, rel=0.05)
    assert abs(logit(0.8) - outside) > 0.01


def test_gradient_in_the_positions_is_that_of_finite_differences(model, skewed_hydride, rng):
    """Through both kinds of edges and all periodic images."""
    model = model.double()
    points = rng.random((4, 3)) @ skewed_hydride.lattice.matrix
    data = model.transform(probe_data(skewed_hydride, points, dtype=torch.float64))
    torch.autograd.gradcheck(
        lambda pos, probe_pos: model(copy.copy(data).update({"pos": pos, "probe_pos": probe_pos})),
        (data.pos.requires_grad_(), data.probe_pos.requires_grad_()),
    )


def test_learns_from_streamed_batches(model, skewed_hydride, diamond, rng):
    """Fits a smooth function of the distance to the nearest atom, from two structures in turn."""
    sets = []
    for structure in (skewed_hydride, diamond):
        frac = rng.random((64, 3))
        nearest = structure.lattice.get_all_distances(frac, structure.frac_coords).min(axis=1)
        sets.append(PointSet(structure, frac @ structure.lattice.matrix, np.exp(-(nearest**2)).astype("f4"), None))
    model = elfzoo.create_model("probe_graph", SMALL)
    model.fit_statistics(torch.from_numpy(np.concatenate([model.features(s.structure, s.points) for s in sets])))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    errors = []
    for _ in range(25):
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
        ({"l_max": 7}, "l_max <= 4"),
        ({"state": "8x0e"}, "did you mean 'states'"),
    ],
)
def test_bad_configurations(changes, message):
    with pytest.raises(ConfigError, match=message):
        elfzoo.create_model("probe_graph", changes)


def test_atoms_that_have_drifted_far_out_keep_their_precision(skewed_hydride, rng):
    """A field in single precision is the same after a thousand lattice vectors."""
    model = make()
    away = Structure(
        skewed_hydride.lattice, skewed_hydride.species, skewed_hydride.frac_coords + rng.integers(-1000, 1000, (1, 3))
    )
    points = rng.random((50, 3))
    here, there = (model.predict(s, points=points) for s in (skewed_hydride, away))
    np.testing.assert_allclose(there, here, atol=2e-6)


def test_reach_grows_with_the_atom_and_is_hydrogens_where_there_is_nothing_else(rng):
    """Two caesium atoms 5 Å apart, 20 Å from any image: the fields of one know of the other only if it reaches far."""
    grown, fixed = make(growth=1.5), make()
    grown.load_state_dict(fixed.state_dict())
    hydrogen = Structure(Lattice.cubic(2.6), ["H"] * 3, [[0.1, 0.2, 0.3], [0.4, 0.3, 0.2], [0.6, 0.7, 0.9]])
    same = [model.predict(hydrogen, grid=(5, 4, 6)).values for model in (grown, fixed)]
    np.testing.assert_array_equal(*same)
    near, far = (Structure(Lattice.cubic(25), ["Cs", "Cs"], [[0, 0, 0], [x, 0, 0]]) for x in (0.2, 0.5))
    points = rng.normal(size=(6, 3))
    for model, hears in ((grown, True), (fixed, False)):
        model.double()
        seen = [logits(model, structure, points) for structure in (near, far)]
        assert (np.abs(seen[0] - seen[1]) > 1e-6).all() == hears


def test_the_field_is_smooth_where_an_atom_comes_into_reach():
    """Lithium: 3 Å and 1.5 times what its radius exceeds hydrogen's; values and slopes vanish there."""
    model = make(growth=1.5).double()
    reach = float(model._reach(torch.tensor([3]), 3.0)[0])
    assert 4 < reach < 5.5
    lithium = Structure(Lattice.cubic(30), ["Li"], [[0, 0, 0]])
    steps = np.array([-1e-3, -5e-4, 5e-4, 1e-3])
    values = logits(model, lithium, np.c_[reach + steps, 0 * steps, 0 * steps])
    assert np.abs(values - values[-1]).max() < 1e-6 and values[2] == pytest.approx(values[3], abs=1e-14)
