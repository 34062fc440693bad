"""The mean over cubes of voxels against PyTorch's own."""

import torch

from elfzoo.nn.average_pool import HalvingPool


def test_values_and_gradients_are_those_of_avg_pool3d():
    x = torch.randn(3, 5, 4, 6, 8, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(3, 5, 2, 3, 4, dtype=torch.float64)
    found, expected = HalvingPool()(x), torch.nn.AvgPool3d(2)(x)
    torch.testing.assert_close(found, expected)
    own, theirs = (torch.autograd.grad((y * weights).sum(), x)[0] for y in (found, expected))
    torch.testing.assert_close(own, theirs)
