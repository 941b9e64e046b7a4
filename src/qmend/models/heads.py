"""The paper's two heads (arXiv 2601.14226): correct the noisy distribution, or predict anew."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

#: ``correction``: c knows circuit and calibration only. ``prediction``: f knows P_noisy too.
Head = Literal["correction", "prediction"]


def distribution(values: Tensor, noisy: Tensor, head: Head) -> Tensor:
    """Turn the values of a network's last layer into a distribution.

    correction: softmax(c(C, B) * P_noisy), outcome by outcome, with c = 2^n * values, so that
    values of order one make logits of order one. prediction: softmax(values).

    Args:
        values: (B, 2^n).
        noisy: (B, 2^n).
    """
    if head == "correction":
        values = values * noisy * noisy.shape[-1]
    return torch.softmax(values, dim=-1)


class DistributionHead(nn.Module):
    """Map features of a circuit to a distribution by an MLP.

    W - 2 W - 2^n with GELU, then :func:`distribution`.

    Networks call it ``readout``, a name that stored weights carry.
    """

    def __init__(self, width: int, outcomes: int, head: Head) -> None:
        super().__init__()
        self.head = head
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, outcomes)
        )

    def forward(self, features: Tensor, noisy: Tensor) -> Tensor:
        """Map features (B, W) and noisy (B, 2^n) -> (B, 2^n)."""
        return distribution(self.mlp(features), noisy, self.head)
