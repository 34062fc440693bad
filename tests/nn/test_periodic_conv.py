from itertools import product

import numpy as np
import pytest
import torch
from scipy import ndimage

from elfzoo.nn.periodic_conv import WIDTH, ChannelNorm, PeriodicConv3d, kernel_mix, periodic_upsample

STENCIL = np.array(list(product((-1, 0, 1), repeat=3)))
HEXAGONAL = torch.tensor([[0.17, 0, 0], [-0.085, 0.14722, 0], [0, 0, 0.15]], dtype=torch.float64)


@pytest.fixture
def conv():
    torch.manual_seed(0)
    return PeriodicConv3d(2, 3).double()


def features(*shape):
    return torch.randn(1, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def summed_on_the_torus(x, weight, bias):
    """The definition, point by point."""
    out = np.zeros((len(weight), *x.shape[1:]))
    for place in np.ndindex(*x.shape[1:]):
        neighbours = (np.array(place) + STENCIL) % x.shape[1:]
        values = x[:, neighbours[:, 0], neighbours[:, 1], neighbours[:, 2]]
        out[(slice(None), *place)] = np.einsum("oin,in->o", weight.reshape(*weight.shape[:2], 27), values) + bias
    return out


@pytest.mark.parametrize("shape", [(4, 5, 3), (1, 2, 6)])
def test_convolution_is_the_sum_over_neighbours_on_the_torus(conv, shape):
    x = features(2, *shape)
    expected = summed_on_the_torus(x[0].numpy(), conv.weight.detach().numpy(), conv.bias.detach().numpy())
    np.testing.assert_allclose(conv(x).detach()[0], expected, atol=1e-12)


def test_stride_keeps_the_points_with_even_indices(conv):
    strided = PeriodicConv3d(2, 3, stride=2).double()
    strided.load_state_dict(conv.state_dict())
    x = features(2, 4, 6, 8)
    torch.testing.assert_close(strided(x), conv(x)[:, :, ::2, ::2, ::2])


def test_kernels_in_angstrom_are_the_stored_ones_on_the_cubic_grid(conv):
    mix = kernel_mix(0.17 * torch.eye(3, dtype=torch.float64), 0.17)
    np.testing.assert_allclose(mix, np.eye(27), atol=1e-12)
    x = features(2, 3, 4, 5)
    torch.testing.assert_close(conv(x, mix), conv(x))


@pytest.mark.parametrize("turn", [np.eye(3), np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]])
def test_kernels_in_angstrom_are_functions_of_the_cartesian_offset(turn):
    """A kernel made of Gaussians at stored points is read off exactly at the neighbours of any grid, turned or not."""
    weights = np.random.default_rng(0).normal(size=27)

    def kernel(offsets):
        squares = ((offsets[:, None] / 0.17 - STENCIL[None]) ** 2).sum(axis=-1)
        return np.exp(-0.5 * squares / WIDTH**2) @ weights

    steps = HEXAGONAL.numpy() @ turn
    mix = kernel_mix(torch.from_numpy(steps), 0.17).numpy()
    np.testing.assert_allclose(mix @ kernel(0.17 * STENCIL), kernel(STENCIL @ steps), atol=1e-10)


@pytest.mark.parametrize(
    "steps", [0.8 * torch.eye(3), HEXAGONAL / 0.17, torch.tensor([[1.0, 0, 0], [1, 1, 0], [0, -1, 1]])]
)
def test_kernels_that_keep_their_moments_do_the_same_to_slow_waves_on_every_grid(steps):
    """The response to exp(ik·x): equal up to second order in k, where functions of the offset alone differ at k = 0."""
    steps = steps.double()
    weights = np.random.default_rng(0).normal(size=len(STENCIL))
    direction = np.array([0.48, -0.6, 0.64])
    errors = {}
    for moments in (True, False):
        mixed = kernel_mix(0.17 * steps, 0.17, moments).numpy() @ weights
        for k in (0.0, 0.1, 0.2):
            here, there = (np.exp(1j * k * points @ direction) for points in (STENCIL @ steps.numpy(), STENCIL))
            errors[moments, k] = abs(here @ mixed - there @ weights)
    assert errors[True, 0.0] < 1e-10 and errors[True, 0.1] < 0.02
    assert errors[True, 0.2] / errors[True, 0.1] == pytest.approx(
        8, rel=0.1
    )  # the third order is the first that differs
    assert errors[False, 0.0] > 0.2
    cubic = kernel_mix(0.17 * torch.eye(3, dtype=torch.float64), 0.17, moments=True)
    torch.testing.assert_close(cubic, torch.eye(27, dtype=torch.float64))


def test_upsampling_is_trilinear_and_periodic():
    x = features(2, 3, 1, 4)
    places = np.stack(np.unravel_index(np.arange(6 * 2 * 8), (6, 2, 8))) / 2
    expected = [ndimage.map_coordinates(c, places, order=1, mode="grid-wrap") for c in x[0].numpy()]
    np.testing.assert_allclose(periodic_upsample(x)[0].flatten(1), expected, atol=1e-14)


def test_upsampling_moves_with_its_input_where_torchs_does_not():
    x = features(1, 4, 4, 4)
    moved = x.roll((1, -1, 2), (2, 3, 4))
    torch.testing.assert_close(periodic_upsample(moved), periodic_upsample(x).roll((2, -2, 4), (2, 3, 4)))
    stretched = [
        torch.nn.functional.interpolate(v, scale_factor=2, mode="trilinear", align_corners=True) for v in (x, moved)
    ]
    assert (stretched[1] - stretched[0].roll((2, -2, 4), (2, 3, 4))).abs().max() > 0.1


def test_channel_norm_sees_one_voxel_at_a_time():
    norm, x = ChannelNorm(4).double(), features(4, 3, 2, 2)
    expected = (x - x.mean(1, keepdim=True)) / (x.var(1, correction=0, keepdim=True) + norm.eps).sqrt()
    torch.testing.assert_close(norm(x), expected)
    torch.testing.assert_close(norm(x[:, :, 1:, :1]), norm(x)[:, :, 1:, :1])


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("edge", [4, 22])
def test_either_way_of_convolving_gives_the_same(edge, stride):
    """Below and above the size where the way changes; values and gradients, against double precision."""
    torch.manual_seed(0)
    layer, x = PeriodicConv3d(40, 3, stride), torch.randn(1, 40, edge, edge, edge)
    results = []
    for dtype in (torch.float32, torch.float64):
        inputs = x.to(dtype).requires_grad_()
        layer = layer.to(dtype)
        out = layer(inputs)
        weights, bias = torch.autograd.grad(out.square().mean(), [layer.weight, layer.bias], retain_graph=True)
        results.append([out, weights, bias, *torch.autograd.grad(out.square().mean(), inputs)])
    for single, double in zip(*results, strict=True):
        assert single.layout == torch.strided
        torch.testing.assert_close(single.double(), double, rtol=1e-4, atol=1e-4 * float(double.abs().max()))
