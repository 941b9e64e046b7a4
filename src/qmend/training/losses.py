"""Training losses on batches of distributions (B, K); smaller is better."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from qmend.models.base import log_floored
from qmend.types import QmendError, nearest

#: (mitigated, ideal, noisy) -> scalar.
Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


def kl(mitigated: Tensor, ideal: Tensor, noisy: Tensor) -> Tensor:
    """Mean KL(ideal || mitigated), the paper's loss."""
    entropy_term: Tensor = torch.special.xlogy(ideal, ideal)
    return (entropy_term - ideal * log_floored(mitigated)).sum(-1).mean()


def l1(mitigated: Tensor, ideal: Tensor, noisy: Tensor) -> Tensor:
    """Mean |ideal - mitigated|_1."""
    return (mitigated - ideal).abs().sum(-1).mean()


#: Noisy L1 errors are floored here, so that a nearly noiseless circuit can't dominate.
RELATIVE_FLOOR = 0.02


def relative_l1(mitigated: Tensor, ideal: Tensor, noisy: Tensor) -> Tensor:
    """Mean of |ideal - mitigated|_1 / |ideal - noisy|_1: each circuit's L1RC, plus one."""
    before = (noisy - ideal).abs().sum(-1).clamp_min(RELATIVE_FLOOR)
    return ((mitigated - ideal).abs().sum(-1) / before).mean()


LOSSES: dict[str, Loss] = {"kl": kl, "l1": l1, "relative_l1": relative_l1}


def build_loss(name: str) -> Loss:
    """A loss by name.

    Raises:
        QmendError: if the name is unknown.
    """
    if name not in LOSSES:
        raise QmendError(f"loss.name: unknown loss {name!r}. {nearest(name, LOSSES)}")
    return LOSSES[name]
