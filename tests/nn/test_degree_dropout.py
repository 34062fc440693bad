import torch

from elfzoo.nn import DegreeDropout


def test_hides_whole_degrees_at_their_rates_and_only_in_training():
    torch.manual_seed(0)
    layer = DegreeDropout([2, 3, 4], rates=[0.0, 0.3])
    x = torch.ones(20_000, 9)
    y = layer(x)
    assert torch.equal(y[:, :2], x[:, :2])
    assert torch.equal(y[:, 5:], x[:, 5:])
    hidden = y[:, 2:5] == 0
    assert torch.equal(hidden.any(1), hidden.all(1))
    assert abs(float(hidden[:, 0].float().mean()) - 0.3) < 0.02
    assert torch.equal(layer.eval()(x), x)
