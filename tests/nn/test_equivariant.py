import pytest
import torch
from e3nn import o3
from e3nn.util.test import assert_equivariant

from elfzoo.nn.equivariant import AtomLayer, Gate, invariants, n_invariants, normalise
from elfzoo.nn.messages import ProductMatrices, basis_irreps, collect, edge_basis
from elfzoo.transforms.power_spectrum import PowerSpectrumConfig, angular_functions, radial_functions

EXPANSION = PowerSpectrumConfig(r_cut=3.0, n_radial=4, l_max=2, smooth=True)
STATES = [o3.Irreps("5x0e"), o3.Irreps("4x0e + 3x1o + 2x2e"), o3.Irreps("3x0e + 2x0o + 2x1o + 2x1e + 1x2e + 1x3o")]
ids = [str(irreps) for irreps in STATES]


@pytest.fixture(autouse=True)
def double_precision():
    """e3nn's helpers work in the default precision; 1e-9 is their tolerance in this one."""
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def to_e3nn(x, irreps):
    """From (component, copy) within each kind to e3nn's (copy, component)."""
    blocks = zip(x.split([mul * ir.dim for mul, ir in irreps], dim=-1), irreps, strict=True)
    return torch.cat([b.unflatten(-1, (ir.dim, mul)).mT.flatten(-2) for b, (mul, ir) in blocks], dim=-1)


def from_e3nn(x, irreps):
    blocks = zip(x.split([mul * ir.dim for mul, ir in irreps], dim=-1), irreps, strict=True)
    return torch.cat([b.unflatten(-1, (mul, ir.dim)).mT.flatten(-2) for b, (mul, ir) in blocks], dim=-1)


def _cluster(n=6):
    """Positions, and all ordered pairs by sender; the last atom hears, but nobody hears it."""
    pairs = [(i, j) for i in range(n - 1) for j in range(n) if i != j]
    return 1.5 * torch.randn(n, 3), torch.tensor(pairs).T


def _functions(positions, edge_index):
    vectors = positions[edge_index[0]] - positions[edge_index[1]]
    return radial_functions(vectors, EXPANSION), angular_functions(vectors, EXPANSION)


def test_edge_functions_rotate_as_their_irreps_say():
    assert_equivariant(
        lambda vectors: to_e3nn(
            edge_basis(radial_functions(vectors, EXPANSION), angular_functions(vectors, EXPANSION)),
            basis_irreps(EXPANSION),
        ),
        args_in=[torch.randn(20, 3)],
        irreps_in=["1o"],
        irreps_out=basis_irreps(EXPANSION),
    )


@pytest.mark.parametrize("states", STATES, ids=ids)
def test_messages_are_e3nns_tensor_product_summed_edge_by_edge(states):
    """Also where a sender has no edges and a receiver hears nothing."""
    basis, out = basis_irreps(EXPANSION), o3.Irreps("3x0e + 2x1o + 1x1e + 1x2e")
    layer = ProductMatrices(basis, states, out)
    oracle = o3.FullyConnectedTensorProduct(basis, states, out)
    oracle.weight = layer.weight
    x, functions = torch.randn(4, states.dim), torch.randn(6, basis.dim)
    x_e3nn, functions_e3nn = to_e3nn(x, states), to_e3nn(functions, basis)
    edge_index = torch.tensor([[0, 0, 0, 1, 3, 3], [2, 0, 0, 4, 2, 1]])
    expected = torch.zeros(5, out.dim)
    for edge, (sender, receiver) in enumerate(edge_index.T):
        expected[receiver] += oracle(functions_e3nn[edge], x_e3nn[sender])
    torch.testing.assert_close(to_e3nn(collect(layer(x), functions, edge_index, 5), out), expected)
    assert not expected[3].any()


def test_no_edges_at_all():
    matrices = ProductMatrices(basis_irreps(EXPANSION), STATES[1], STATES[1])(torch.randn(3, STATES[1].dim))
    empty = torch.zeros(0, basis_irreps(EXPANSION).dim), torch.zeros((2, 0), dtype=torch.long)
    assert torch.equal(collect(matrices, *empty, 2), torch.zeros(2, STATES[1].dim))


@pytest.mark.parametrize("states", STATES, ids=ids)
def test_a_round_of_messages_is_equivariant(states):
    """Under rotation, inversion and translation."""
    layer = AtomLayer(EXPANSION, states, STATES[2], channels=3, radial_hidden=5)
    positions, edge_index = _cluster()
    elements = torch.randn(6, 3)

    def run(positions, x):
        states_out = layer(from_e3nn(x, states), elements, *_functions(positions, edge_index), edge_index)
        return to_e3nn(states_out, STATES[2])

    assert_equivariant(
        run,
        args_in=[positions, torch.randn(6, states.dim)],
        irreps_in=["cartesian_points", states],
        irreps_out=STATES[2],
    )


def test_a_round_of_messages_follows_the_atoms_when_they_are_renumbered():
    layer = AtomLayer(EXPANSION, STATES[1], STATES[1], channels=3, radial_hidden=5)
    positions, edge_index = _cluster()
    x, elements = torch.randn(6, STATES[1].dim), torch.randn(6, 3)
    order = torch.randperm(6)
    renumbered = torch.argsort(order)[edge_index]
    renumbered = renumbered[:, torch.argsort(renumbered[0], stable=True)]
    before = layer(x, elements, *_functions(positions, edge_index), edge_index)
    after = layer(x[order], elements[order], *_functions(positions[order], renumbered), renumbered)
    torch.testing.assert_close(after, before[order])


def test_gate_by_hand():
    gate = Gate(o3.Irreps("2x0e + 1x1o + 1x2e"))
    assert str(gate.irreps_in) == "4x0e+1x1o+1x2e"
    x = torch.randn(3, gate.irreps_in.dim)
    silu, vectors, tensors = x[:, :2] * x[:, :2].sigmoid(), x[:, 4:7], x[:, 7:]  # one copy of each: either order
    expected = torch.cat([silu, vectors * x[:, 2:3].sigmoid(), tensors * x[:, 3:4].sigmoid()], dim=1)
    torch.testing.assert_close(gate(x), expected)


@pytest.mark.parametrize("states", STATES, ids=ids)
def test_gate_and_normalisation_are_equivariant(states):
    gate = Gate(states)
    assert_equivariant(
        lambda x: to_e3nn(gate(from_e3nn(x, gate.irreps_in)), states), irreps_in=gate.irreps_in, irreps_out=states
    )
    assert_equivariant(normalise, irreps_in=states, irreps_out=states)
    normalised = normalise(3.0 * torch.randn(7, states.dim))
    torch.testing.assert_close(normalised.square().mean(dim=1), torch.ones(7), atol=1e-5, rtol=0)


@pytest.mark.parametrize("states", STATES, ids=ids)
def test_invariants_are_scalars(states):
    """Also of pseudoscalars, whose own sign a reflection changes."""
    scalars = o3.Irreps([(n_invariants(states), "0e")])
    assert_equivariant(lambda x: invariants(from_e3nn(x, states), states), irreps_in=states, irreps_out=scalars)


def test_invariants_by_hand():
    x = torch.randn(5, 2 + 6)
    u, v = x[:, 2::2], x[:, 3::2]
    products = torch.stack([(u * u).sum(1), (u * v).sum(1), (v * v).sum(1)], dim=1) / 3
    torch.testing.assert_close(invariants(x, o3.Irreps("2x0e + 2x1o")), torch.cat([x[:, :2], products], dim=1))
