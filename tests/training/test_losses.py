import numpy as np
import pytest
import torch
from scipy.special import expit, logit

from elfzoo.training.losses import FieldLoss, gradient_loss, histogram_kl, soft_histogram


def field(*shape, seed=0):
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_gradient_of_a_wave_is_per_angstrom_and_knows_the_period():
    """The mean of |cos' | over a period is 2/π of its amplitude, whatever the spacing."""
    n, length = 400, 3.0
    wave = torch.cos(2 * torch.pi * 2 * torch.arange(n, dtype=torch.float64) / n)[:, None, None]
    found = gradient_loss(wave.expand(n, 2, 3), (length / n, 0.1, 0.1))
    assert float(found) == pytest.approx(2 / np.pi * (2 * np.pi * 2 / length), rel=1e-4)


def test_gradient_on_a_crop_leaves_out_the_seam():
    ramp = torch.arange(5, dtype=torch.float64)[:, None, None].expand(5, 4, 4)
    assert float(gradient_loss(ramp, (0.5, 0.5, 0.5), periodic=False)) == pytest.approx(2.0)
    assert float(gradient_loss(ramp, (0.5, 0.5, 0.5))) == pytest.approx(2 * (4 + 4) / 5)


def test_histogram_against_a_sum_by_hand():
    values = np.array([0.0, 0.31, 0.99])
    centres = (np.arange(4) + 0.5) / 4
    expected = np.exp(-0.5 * ((values[:, None] - centres) * 4) ** 2).mean(axis=0) + 1e-6
    np.testing.assert_allclose(soft_histogram(torch.from_numpy(values), 4), expected / expected.sum())


def test_divergence_is_zero_for_the_same_values_in_another_place_and_positive_otherwise():
    a, b = field(4, 4, 4), field(4, 4, 4, seed=1) ** 3
    assert float(histogram_kl(a.flip(0), a)) == pytest.approx(0.0, abs=1e-12)
    assert float(histogram_kl(b, a)) > 0.1
    p, q = (soft_histogram(x.flatten(), 32).numpy() for x in (a, b))
    assert float(histogram_kl(b, a)) == pytest.approx(float((p * np.log(p / q)).sum()))


@pytest.mark.parametrize("periodic", [True, False])
def test_gradients_of_the_whole_loss(periodic):
    target, logits = field(3, 4, 2), torch.from_numpy(logit(field(3, 4, 2, seed=1).numpy())).requires_grad_()
    loss = FieldLoss(("voxel", "gradient", "histogram"), beta=0.03, bins=8).double()
    assert torch.autograd.gradcheck(lambda x: loss(x, target, (0.1, 0.2, 0.3), periodic), logits)


def test_learned_precisions_settle_at_the_size_of_each_term():
    """d/dη (e^-η L + η) = 0 at η = log L."""
    target, logits = field(4, 4, 4), torch.from_numpy(logit(field(4, 4, 4, seed=1).numpy()))
    loss = FieldLoss(("voxel", "gradient"), beta=0.03).double()
    difference = np.abs(expit(logits.numpy()) - target.numpy())
    voxel = np.where(difference < 0.03, 0.5 * difference**2 / 0.03, difference - 0.015).mean()
    gradient = float(gradient_loss(torch.sigmoid(logits) - target, (0.1, 0.1, 0.1)))
    with torch.no_grad():
        loss.eta.copy_(torch.tensor([voxel, gradient]).log())
    value = loss(logits, target, (0.1, 0.1, 0.1))
    value.backward()
    assert float(value) == pytest.approx(2 + np.log(voxel) + np.log(gradient))
    np.testing.assert_allclose(loss.eta.grad, 0, atol=1e-9)
