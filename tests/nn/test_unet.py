import pytest
import torch

from elfzoo.config import parse
from elfzoo.errors import ConfigError
from elfzoo.nn.periodic_conv import kernel_mix
from elfzoo.nn.unet import PeriodicUNet, UNetConfig


def network(n_in=2, **config):
    torch.manual_seed(0)
    return PeriodicUNet(n_in, parse(UNetConfig, {"widths": [2, 4], "groups": 2} | config)).double().eval()


def features(*shape):
    return torch.randn(1, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("norm", ["group", "channel"])
def test_shifts_by_the_stride_are_exact_and_others_are_not(norm):
    net, x = network(norm=norm, widths=[2, 4, 4]), features(2, 8, 4, 8)
    with torch.no_grad():
        whole, moved = net(x), net(x.roll((4, 0, -4), (2, 3, 4)))
        torch.testing.assert_close(moved, whole.roll((4, 0, -4), (2, 3, 4)))
        assert (net(x.roll(2, 2)) - whole.roll(2, 2)).abs().max() > 1e-3


@pytest.mark.parametrize("norm", ["group", "channel"])
def test_repeating_the_cell_repeats_the_field(norm):
    """Statistics of the norm are means, and each level's grid fits the cell: no tile can be told from the next."""
    net, x = network(norm=norm), features(2, 4, 2, 6)
    mix = kernel_mix(0.1 * torch.tensor([[1.0, 0, 0], [0.3, 1, 0], [0, 0.2, 1.1]], dtype=torch.float64), 0.1)
    with torch.no_grad():
        torch.testing.assert_close(net(x.tile(2, 3, 1), mix), net(x, mix).tile(2, 3, 1))


@pytest.mark.parametrize("config", [{}, {"widths": [2, 2, 2]}, {"widths": [3], "blocks": 2}])
def test_receptive_radius(config):
    """Along x, by the gradient of outputs of every phase; y and z are as short as can be."""
    net = network(norm="channel", **config)
    settings = parse(UNetConfig, {"widths": [2, 4]} | config)
    radius, stride, short = settings.receptive_radius, settings.stride, settings.stride
    half = -(-(radius + stride) // stride) * stride
    x, reach = features(2, 2 * half, short, short).requires_grad_(), []
    output = net(x)
    for place in range(half, half + stride):
        (gradient,) = torch.autograd.grad(output[0, 0, place].sum(), x, retain_graph=True)
        touched = gradient.abs().amax(dim=(0, 1, 3, 4)).nonzero().flatten()
        reach.append(int((touched - place).abs().max()))
    assert max(reach) == radius


def test_the_hook_follows_every_stage_and_every_weight_learns():
    net, seen = network(widths=[2, 4, 4], blocks=2), []
    net(features(2, 4, 4, 8), after_stage=lambda x: seen.append(x.shape[1:]) or x).square().sum().backward()
    assert [s[0] for s in seen] == [2, 4, 4, 4, 2]
    assert seen[2][1:] == (1, 1, 2)
    idle = [n for n, p in net.named_parameters() if p.grad is None or not (p.grad != 0).any()]
    assert not idle, idle


def test_dropout_is_of_whole_channels_and_only_in_training():
    net, x = network(dropout=0.5), features(2, 4, 4, 4)
    assert torch.equal(net(x), net(x))
    net.train()
    assert not torch.equal(net(x), net(x))


@pytest.mark.parametrize("wrong", [{"widths": []}, {"widths": [2] * 5}, {"widths": [2, 0]}, {"dropout": 1.0}])
def test_senseless_networks_are_refused(wrong):
    with pytest.raises(ConfigError, match=r"widths|dropout"):
        parse(UNetConfig, wrong)
