"""Training losses against values worked by hand."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy

from qmend import metrics
from qmend.training.losses import LOSSES, not_improved
from qmend.types import QmendError

IDEAL = torch.tensor([[0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]])
NOISY = torch.tensor([[0.4, 0.4, 0.1, 0.1], [0.1, 0.1, 0.7, 0.1]])
MITIGATED = torch.tensor([[0.5, 0.25, 0.25, 0.0], [0.0, 0.1, 0.8, 0.1]])


def test_kl_by_hand():
    """0.5 ln(0.5 / 0.5) + 0.5 ln(0.5 / 0.25) = 0.5 ln 2, and ln(1 / 0.8)."""
    expected = (0.5 * math.log(2) + math.log(1 / 0.8)) / 2
    assert LOSSES["kl"](MITIGATED, IDEAL, NOISY).item() == pytest.approx(expected, rel=1e-6)


def test_kl_of_an_outcome_ruled_out_is_large_and_finite():
    """Predictions are floored at 1e-9."""
    wrong = torch.tensor([[0.0, 1.0]])
    ideal = torch.tensor([[1.0, 0.0]])
    assert LOSSES["kl"](wrong, ideal, ideal).item() == pytest.approx(9 * math.log(10), rel=1e-5)


def test_kl_is_zero_only_at_the_ideal():
    loss = LOSSES["kl"]
    assert loss(IDEAL, IDEAL, NOISY).item() == pytest.approx(0, abs=1e-7)
    assert loss(NOISY, IDEAL, NOISY).item() > 0.1


def test_kl_loss_is_the_kl_metric(random_distributions):
    ideal, mitigated = (
        random_distributions(20, 4),
        random_distributions(20, 4)[::-1] * 0.9 + 0.1 / 16,
    )
    loss = LOSSES["kl"](torch.tensor(mitigated.copy()), torch.tensor(ideal), torch.tensor(ideal))
    assert loss.item() == pytest.approx(metrics.kl_divergence(ideal, mitigated).mean(), rel=1e-6)


def test_l1_by_hand():
    """0 + 0.25 + 0.25 + 0, and 0 + 0.1 + 0.2 + 0.1."""
    assert LOSSES["l1"](MITIGATED, IDEAL, NOISY).item() == pytest.approx((0.5 + 0.4) / 2)


def test_harm_averse_l1_is_the_relative_one_for_small_errors_and_counts_harm_more():
    ideal = torch.tensor([[1.0, 0.0]])
    noisy = torch.tensor([[0.5, 0.5]])  # noisy error 1
    loss, relative = LOSSES["harm_averse_l1"], LOSSES["relative_l1"]
    near, as_noisy, worse = (torch.tensor([[1 - x, x]]) for x in (0.01, 0.5, 0.75))
    assert loss(near, ideal, noisy).item() == pytest.approx(0.02, rel=1e-3)
    assert loss(as_noisy, ideal, noisy).item() == pytest.approx(2 * np.tanh(0.5), rel=1e-6)
    expected = 2 * np.tanh(0.75) + np.tanh(1.0)
    assert loss(worse, ideal, noisy).item() == pytest.approx(expected, rel=1e-6)
    assert relative(worse, ideal, noisy).item() == pytest.approx(1.5)
    far, huge = torch.tensor([[0.0, 1.0]]), torch.tensor([[0.98, 0.02]])
    assert loss(far, ideal, huge).item() == pytest.approx(3.0, rel=1e-6)


def test_relative_l1_by_hand():
    """Divided by the noisy errors 0.4 and 0.6; L1RC plus one."""
    expected = (0.5 / 0.4 + 0.4 / 0.6) / 2
    value = LOSSES["relative_l1"](MITIGATED, IDEAL, NOISY).item()
    assert value == pytest.approx(expected, rel=1e-6)
    arrays = (x.double().numpy() for x in (IDEAL, NOISY, MITIGATED))
    assert value == pytest.approx(metrics.l1rc(*arrays).mean() + 1, rel=1e-6)


def test_a_nearly_noiseless_circuit_does_not_dominate():
    """The noisy error is floored at 0.02."""
    noisy = IDEAL[:1]
    mitigated = torch.tensor([[0.5, 0.49, 0.01, 0.0]])
    value = LOSSES["relative_l1"](mitigated, IDEAL[:1], noisy).item()
    assert value == pytest.approx(0.02 / 0.02, rel=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_finite_and_point_to_the_ideal(name):
    """Through a softmax, where ideal has zeros and the network starts almost certain."""
    start = [[0.0, 30.0, -200.0, 0.0], [5.0, 0.0, 0.0, -90.0]]
    logits = torch.tensor(start, dtype=torch.double, requires_grad=True)
    loss = LOSSES[name]
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
    LOSSES[name](mitigated, IDEAL, IDEAL).backward()
    assert torch.isfinite(mitigated.grad).all()


def test_an_unknown_loss_names_the_nearest():
    with pytest.raises(QmendError, match=r"unknown loss 'l2'"):
        LOSSES["l2"]
    with pytest.raises(QmendError, match=r"Did you mean 'relative_l1'\?"):
        LOSSES["relativ_l1"]


# Against independent values


def rows(random_distributions, count: int = 20) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(mitigated, ideal, noisy), far from zero, double."""
    drawn = random_distributions(3 * count, 4).reshape(3, count, 16) * 0.9 + 0.1 / 16
    return tuple(torch.tensor(part) for part in drawn)


def by_scipy(name: str, mitigated, ideal) -> float:
    if name == "reverse_kl":
        return float(np.mean(entropy(mitigated, ideal, axis=1)))
    if name == "jensen_shannon":
        return float(np.mean(jensenshannon(mitigated, ideal, axis=1) ** 2))
    # 1 - sum sqrt(m i), the other form of the squared distance
    return float(np.mean(1 - np.sqrt(mitigated * ideal).sum(axis=1)))


@pytest.mark.parametrize("name", ["reverse_kl", "jensen_shannon", "hellinger"])
def test_divergences_are_those_of_scipy(name, random_distributions):
    mitigated, ideal, noisy = rows(random_distributions)
    expected = by_scipy(name, mitigated.numpy(), ideal.numpy())
    assert LOSSES[name](mitigated, ideal, noisy).item() == pytest.approx(expected, rel=1e-5)
    assert expected > 0.05


@pytest.mark.parametrize("name", ["jensen_shannon", "hellinger", "l1"])
def test_symmetric_losses(name, random_distributions):
    mitigated, ideal, noisy = rows(random_distributions)
    there, back = (
        LOSSES[name](*pair, noisy).item() for pair in ((mitigated, ideal), (ideal, mitigated))
    )
    assert there == pytest.approx(back, rel=1e-12)


@pytest.mark.parametrize("name", ["kl", "reverse_kl"])
def test_the_two_kl_are_each_other_s_mirror(name, random_distributions):
    mitigated, ideal, noisy = rows(random_distributions)
    other = {"kl": "reverse_kl", "reverse_kl": "kl"}[name]
    found = LOSSES[name](mitigated, ideal, noisy).item()
    assert found == pytest.approx(LOSSES[other](ideal, mitigated, noisy).item(), rel=1e-6)
    assert found != pytest.approx(LOSSES[other](mitigated, ideal, noisy).item(), rel=1e-3)


@pytest.mark.parametrize("name", [n for n in LOSSES if n != "not_improved"])
def test_losses_are_zero_only_at_the_ideal(name):
    """IDEAL has exact zeros."""
    loss = LOSSES[name]
    assert loss(IDEAL, IDEAL, NOISY).item() == pytest.approx(0, abs=2e-7)
    assert loss(NOISY, IDEAL, NOISY).item() > 0.01


@pytest.mark.parametrize("name", ["reverse_kl", "jensen_shannon", "hellinger"])
def test_disjoint_distributions(name):
    """ln 1e9 where the ideal is floored, ln 2, and 1."""
    here, there = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    expected = {"reverse_kl": 9 * math.log(10), "jensen_shannon": math.log(2), "hellinger": 1.0}
    assert LOSSES[name](here, there, there).item() == pytest.approx(expected[name], rel=1e-3)


def test_hellinger_lifts_an_outcome_that_is_ruled_out_wrongly():
    mitigated = torch.tensor([[1.0, 0.0]], requires_grad=True)
    LOSSES["hellinger"](mitigated, torch.tensor([[0.5, 0.5]]), mitigated.detach()).backward()
    assert mitigated.grad[0, 1] < -1


def test_improved_tends_to_the_share_as_the_temperature_falls(random_distributions):
    mitigated, ideal, noisy = rows(random_distributions, 200)
    change = metrics.l1rc(*(x.numpy() for x in (ideal, noisy, mitigated)))
    share = float(np.mean(change > 0))
    assert 0.2 < share < 0.8
    coldest = not_improved(mitigated, ideal, noisy, temperature=1e-4).item()
    assert coldest == pytest.approx(share, abs=0.005)
    assert not_improved(mitigated, ideal, noisy, temperature=1e4).item() == pytest.approx(
        0.5, abs=1e-3
    )


def test_improved_by_hand():
    """Ratios 0.5 / 0.4 and 0.4 / 0.6, temperature 1."""
    expected = np.mean([1 / (1 + math.exp(1 - r)) for r in (0.5 / 0.4, 0.4 / 0.6)])
    assert LOSSES["not_improved"](MITIGATED, IDEAL, NOISY).item() == pytest.approx(expected)


def test_improved_pulls_most_at_the_line_and_still_from_afar():
    """A circuit at four times the noisy error, where a prediction starts, is not given up."""
    ideal = torch.zeros(1, 32, dtype=torch.double)
    ideal[0, 0] = 1.0
    spread = torch.full_like(ideal, 1 / 31)
    spread[0, 0] = 0.0

    def slope(ratio: float) -> float:
        """Of the loss over the mitigated error in units of the noisy error, 0.2."""
        step = torch.tensor(0.1 * ratio, dtype=torch.double, requires_grad=True)
        mitigated = (1 - step) * ideal + step * spread
        not_improved(mitigated, ideal, 0.9 * ideal + 0.1 * spread).backward()
        return 0.1 * step.grad.item()

    assert slope(1.0) == pytest.approx(0.25)
    assert slope(1.0) > slope(0.3) > 0.2
    assert slope(4.0) > 0.04
