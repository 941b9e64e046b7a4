"""Training losses against values worked by hand."""

import math

import pytest
import torch

from qmend import metrics
from qmend.training.losses import LOSSES, build_loss
from qmend.types import QmendError

IDEAL = torch.tensor([[0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]])
NOISY = torch.tensor([[0.4, 0.4, 0.1, 0.1], [0.1, 0.1, 0.7, 0.1]])
MITIGATED = torch.tensor([[0.5, 0.25, 0.25, 0.0], [0.0, 0.1, 0.8, 0.1]])


def test_kl_by_hand():
    """0.5 ln(0.5 / 0.5) + 0.5 ln(0.5 / 0.25) = 0.5 ln 2, and ln(1 / 0.8)."""
    expected = (0.5 * math.log(2) + math.log(1 / 0.8)) / 2
    assert build_loss("kl")(MITIGATED, IDEAL, NOISY).item() == pytest.approx(expected, rel=1e-6)


def test_kl_of_an_outcome_ruled_out_is_large_and_finite():
    """Predictions are floored at 1e-9."""
    wrong = torch.tensor([[0.0, 1.0]])
    ideal = torch.tensor([[1.0, 0.0]])
    assert build_loss("kl")(wrong, ideal, ideal).item() == pytest.approx(9 * math.log(10), rel=1e-5)


def test_kl_is_zero_only_at_the_ideal():
    loss = build_loss("kl")
    assert loss(IDEAL, IDEAL, NOISY).item() == pytest.approx(0, abs=1e-7)
    assert loss(NOISY, IDEAL, NOISY).item() > 0.1


def test_kl_loss_is_the_kl_metric(random_distributions):
    ideal, mitigated = (
        random_distributions(20, 4),
        random_distributions(20, 4)[::-1] * 0.9 + 0.1 / 16,
    )
    loss = build_loss("kl")(
        torch.tensor(mitigated.copy()), torch.tensor(ideal), torch.tensor(ideal)
    )
    assert loss.item() == pytest.approx(metrics.kl_divergence(ideal, mitigated).mean(), rel=1e-6)


def test_l1_by_hand():
    """0 + 0.25 + 0.25 + 0, and 0 + 0.1 + 0.2 + 0.1."""
    assert build_loss("l1")(MITIGATED, IDEAL, NOISY).item() == pytest.approx((0.5 + 0.4) / 2)


def test_relative_l1_by_hand():
    """Divided by the noisy errors 0.4 and 0.6; L1RC plus one."""
    expected = (0.5 / 0.4 + 0.4 / 0.6) / 2
    value = build_loss("relative_l1")(MITIGATED, IDEAL, NOISY).item()
    assert value == pytest.approx(expected, rel=1e-6)
    arrays = (x.double().numpy() for x in (IDEAL, NOISY, MITIGATED))
    assert value == pytest.approx(metrics.l1rc(*arrays).mean() + 1, rel=1e-6)


def test_a_nearly_noiseless_circuit_does_not_dominate():
    """The noisy error is floored at 0.02."""
    noisy = IDEAL[:1]
    mitigated = torch.tensor([[0.5, 0.49, 0.01, 0.0]])
    value = build_loss("relative_l1")(mitigated, IDEAL[:1], noisy).item()
    assert value == pytest.approx(0.02 / 0.02, rel=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_finite_and_point_to_the_ideal(name):
    """Through a softmax, where ideal has zeros and the network starts almost certain."""
    logits = torch.tensor([[0.0, 30.0, -200.0, 0.0], [5.0, 0.0, 0.0, -90.0]], requires_grad=True)
    loss = build_loss(name)
    before = loss(torch.softmax(logits, 1), IDEAL, NOISY)
    before.backward()
    assert torch.isfinite(logits.grad).all()
    assert logits.grad.abs().max() > 0
    with torch.no_grad():
        after = loss(torch.softmax(logits - 0.5 * logits.grad, 1), IDEAL, NOISY)
    assert after < before


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_finite_at_exact_zeros(name):
    mitigated = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]], requires_grad=True)
    build_loss(name)(mitigated, IDEAL, IDEAL).backward()
    assert torch.isfinite(mitigated.grad).all()


def test_an_unknown_loss_names_the_nearest():
    with pytest.raises(QmendError, match=r"unknown loss 'l2'"):
        build_loss("l2")
    with pytest.raises(QmendError, match=r"Did you mean 'relative_l1'\?"):
        build_loss("relativ_l1")
