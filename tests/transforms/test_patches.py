import numpy as np
import pytest
import torch

from elfzoo.transforms.patches import cut, patch_starts, stitch


@pytest.mark.parametrize(("size", "stride", "offset"), [(4, 4, (0, 0, 0)), (4, 3, (2, 0, 1)), (9, 5, (1, 4, 2))])
def test_patches_put_together_are_the_whole(size, stride, offset):
    x = torch.randn(1, 6, 5, 8, dtype=torch.float64)
    starts = patch_starts((6, 5, 8), stride, offset)
    torch.testing.assert_close(stitch(cut(x, starts, size)[:, 0], starts, (6, 5, 8)), x[0])


def test_patches_wrap_around(rng):
    x = rng.normal(size=(2, 5, 4, 3))
    (patch,) = cut(torch.from_numpy(x), np.array([[3, -1, 2]]), 6)
    expected = x
    for axis, start in enumerate((3, -1, 2), 1):
        expected = np.take(expected, np.arange(start, start + 6), axis=axis, mode="wrap")
    np.testing.assert_array_equal(patch, expected)


def test_stitching_is_differentiable():
    starts = patch_starts((3, 4, 2), 2)
    patches = torch.randn(len(starts), 3, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda p: stitch(p, starts, (3, 4, 2)), patches)
