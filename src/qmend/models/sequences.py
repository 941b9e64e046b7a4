"""Inputs of the sequence models: layers of a circuit, and outcomes of a measurement."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from qmend.encodings.batch import Batch
from qmend.models.base import Dimensions


class JoinedLayers(nn.Module):
    """Each layer joined with the calibration, as in the paper (arXiv 2601.14226).

    x_l = W_C layer_l + W_B B [+ W_P P_noisy] + b, a linear map of the concatenation. A first
    token with layer_0 = 0 stands before the circuit, so that an empty one has a token too.

    Args:
        with_noisy: whether P_noisy is joined; never for a correction.
    """

    def __init__(self, dimensions: Dimensions, width: int, with_noisy: bool) -> None:
        super().__init__()
        self.layer = nn.Linear(dimensions.token, width)
        self.context = nn.Linear(dimensions.context, width, bias=False)
        self.noisy = nn.Linear(dimensions.outcomes, width, bias=False) if with_noisy else None

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the sequence (B, 1 + L, W) and its mask (B, 1 + L)."""
        tokens = functional.pad(batch.tokens, (0, 0, 1, 0))  # (B, 1 + L, F)
        mask = functional.pad(batch.mask, (1, 0), value=True)  # (B, 1 + L)
        device = self.context(batch.context)  # (B, width)
        if self.noisy is not None:
            # Frequencies are about 1 / 2^n: brought to order one.
            device = device + self.noisy(batch.noisy * batch.noisy.shape[1])
        return self.layer(tokens) + device[:, None], mask


class OutcomeTokens(nn.Module):
    """One token an outcome x: norm(W [2^n P_noisy(x), (-1)^x_0, ..., (-1)^x_(n-1)] + b)."""

    signs: Tensor

    def __init__(self, dimensions: Dimensions, width: int) -> None:
        super().__init__()
        self.embed = nn.Linear(1 + dimensions.n_qubits, width)
        self.norm = nn.LayerNorm(width)
        bits = torch.arange(dimensions.outcomes)[:, None] >> torch.arange(dimensions.n_qubits)
        self.register_buffer("signs", 1.0 - 2.0 * (bits & 1), persistent=False)  # (2^n, n)

    def forward(self, noisy: Tensor) -> Tensor:
        """Map noisy (B, 2^n) -> tokens (B, 2^n, W)."""
        batch, outcomes = noisy.shape
        signs = self.signs.expand(batch, -1, -1)  # (B, 2^n, n)
        features = torch.cat([noisy[..., None] * outcomes, signs], dim=-1)  # (B, 2^n, 1 + n)
        tokens: Tensor = self.norm(self.embed(features))  # (B, 2^n, width)
        return tokens


def positions(x: Tensor) -> Tensor:
    """Return sinusoidal positions (L, W) for a sequence (B, L, W).

    Columns sin(l w_k), then cos(l w_k), with w_k = 10000^(-2k / width). (Vaswani et al.,
    arXiv 1706.03762, sect. 3.5)
    """
    length, width = x.shape[1:]
    k = torch.arange(math.ceil(width / 2), device=x.device, dtype=x.dtype)
    angle = torch.arange(length, device=x.device, dtype=x.dtype)[:, None] * torch.exp(
        -math.log(10000.0) * 2 * k / width
    )  # (L, width / 2)
    return torch.cat([angle.sin(), angle.cos()], dim=1)[:, :width]  # (L, width)


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Average x (B, L, W) over the tokens in ``mask`` (B, L) -> (B, W)."""
    weight = mask.to(x.dtype)
    return torch.einsum("blw,bl->bw", x, weight) / weight.sum(dim=1, keepdim=True)
