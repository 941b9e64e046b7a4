"""Training losses on batches of distributions (B, K); smaller is better."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from qmend.models.base import FLOOR, log_floored
from qmend.registry import Registry

#: (mitigated, ideal, noisy), each (B, K) -> scalar.
Loss = Callable[[Tensor, Tensor, Tensor], Tensor]

LOSSES: Registry[Loss] = Registry(__name__, "loss", "loss.name")


@LOSSES.register("kl")
def kl(mitigated: Tensor, ideal: Tensor, noisy: Tensor) -> Tensor:
    """Average KL(ideal || mitigated), the paper's loss (arXiv 2601.14226)."""
    entropy_term: Tensor = torch.special.xlogy(ideal, ideal)
    return (entropy_term - ideal * log_floored(mitigated)).sum(-1).mean()


@LOSSES.register("l1")
def l1(mitigated: Tensor, ideal: Tensor, noisy: Tensor) -> Tensor:
    """Average |ideal - mitigated|_1."""
    return (mitigated - ideal).abs().sum(-1).mean()


#: Noisy L1 errors are floored here, so that a nearly noiseless circuit can't dominate.
RELATIVE_FLOOR = 0.02


@LOSSES.register("relative_l1")
def relative_l1(mitigated: Tensor, ideal: Tensor, noisy: Tensor) -> Tensor:
    """Average |ideal - mitigated|_1 / |ideal - noisy|_1, which is L1RC + 1."""
    return _relative_error(mitigated, ideal, noisy).mean()


@LOSSES.register("harm_averse_l1")
def harm_averse_l1(mitigated: Tensor, ideal: Tensor, noisy: Tensor) -> Tensor:
    """Average 2 tanh(r / 2) + tanh(2 max(r - 1, 0)), r = |ideal - mitigated|_1 / |ideal - noisy|_1.

    A circuit that is harmed, r > 1, costs up to 1 more. Both terms are bounded: circuits on which a
    device's noise can't be told have less say than in :func:`relative_l1`.
    """
    relative = _relative_error(mitigated, ideal, noisy)
    harm = torch.tanh(2 * (relative - 1).clamp_min(0))
    return (2 * torch.tanh(relative / 2) + harm).mean()


@LOSSES.register("reverse_kl")
def reverse_kl(mitigated: Tensor, ideal: Tensor, noisy: Tensor) -> Tensor:
    """Average KL(mitigated || ideal): large where weight lies on impossible outcomes.

    The ideal is floored at 1e-9 and normalised again, else every such outcome would cost infinity.
    """
    possible = ideal.clamp_min(FLOOR)
    possible = possible / possible.sum(-1, keepdim=True)
    return (mitigated * (log_floored(mitigated) - torch.log(possible))).sum(-1).mean()


@LOSSES.register("jensen_shannon")
def jensen_shannon(mitigated: Tensor, ideal: Tensor, noisy: Tensor) -> Tensor:
    """Average the Jensen-Shannon divergence, in nats.

    [KL(m || q) + KL(i || q)] / 2 with q = (m + i) / 2: symmetric, and at most ln 2 for each
    circuit. Source: Lin, IEEE Trans. Inf. Theory 37 (1991).
    """
    middle = log_floored((mitigated + ideal) / 2)
    terms = (p * (log_floored(p) - middle) for p in (mitigated, ideal))
    return (sum(terms, torch.zeros_like(ideal)).sum(-1) / 2).mean()


@LOSSES.register("hellinger")
def hellinger(mitigated: Tensor, ideal: Tensor, noisy: Tensor) -> Tensor:
    """Average the squared Hellinger distance, sum_x (sqrt(m_x) - sqrt(i_x))^2 / 2.

    1e-9 is added to every probability: the slope of the root is then finite at zero, and still
    lifts an outcome that was ruled out wrongly.
    """
    roots = torch.sqrt(mitigated + FLOOR) - torch.sqrt(ideal + FLOOR)
    return roots.square().sum(-1).mean() / 2


#: The slope is 0.25 at the line, 0.2 at the ideal and still 0.05 at four times the noisy error,
#: where a prediction starts. Smaller is closer to the share but gives such circuits up: after 40
#: epochs on 1,050 Pauli circuits a small Perceiver had improved 6 % of the test circuits at 1, 2 %
#: at 0.5 and none at 0.1 (in float32 nothing is left of the slope there).
IMPROVED_TEMPERATURE = 1.0


@LOSSES.register("not_improved")
def not_improved(
    mitigated: Tensor, ideal: Tensor, noisy: Tensor, temperature: float = IMPROVED_TEMPERATURE
) -> Tensor:
    """Compute a smooth share of the circuits that are not improved.

    Mean of sigmoid((|m - i|_1 / |n - i|_1 - 1) / temperature), which tends to the share of
    circuits with a positive L1RC as the temperature goes to zero. The noisy error is floored as
    in :func:`relative_l1`.
    """
    change = _relative_error(mitigated, ideal, noisy) - 1
    return torch.sigmoid(change / temperature).mean()


def _relative_error(mitigated: Tensor, ideal: Tensor, noisy: Tensor) -> Tensor:
    """(B,) |ideal - mitigated|_1 / |ideal - noisy|_1, the latter floored."""
    before = (noisy - ideal).abs().sum(-1).clamp_min(RELATIVE_FLOOR)
    return (mitigated - ideal).abs().sum(-1) / before
