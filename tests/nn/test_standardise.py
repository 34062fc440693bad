import torch

from elfzoo.nn import Standardise


def test_fit_gives_zero_mean_and_unit_deviation():
    torch.manual_seed(0)
    x = torch.randn(5000, 3) * torch.tensor([1.0, 100.0, 1e-3]) + torch.tensor([0.0, 7.0, -2.0])
    layer = Standardise(3)
    layer.fit(x)
    y = layer(x)
    torch.testing.assert_close(y.mean(0), torch.zeros(3), atol=1e-3, rtol=0)
    torch.testing.assert_close(y.std(0), torch.ones(3), atol=1e-3, rtol=0)


def test_constant_feature_and_clamp():
    x = torch.tensor([[1.0, 5.0], [3.0, 5.0], [2.0, 5.0]])
    layer = Standardise(2, clamp=1.5)
    layer.fit(x)
    assert torch.equal(layer(x)[:, 1], torch.zeros(3))
    assert layer(torch.tensor([[1e9, 5.0]]))[0, 0] == 1.5
