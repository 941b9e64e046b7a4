"""The paper's transformer encoder over the noisy distribution (arXiv 2601.14226)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from qmend.encodings.batch import Batch
from qmend.models.attention import DecoderBlock
from qmend.models.base import ARCHITECTURES, Architecture, Dimensions, Example
from qmend.models.sequences import JoinedLayers, OutcomeTokens, positions
from qmend.models.tf import SMALL, TransformerSizes


class NoisyEncoderConfig(TransformerSizes):
    """Sizes of a transformer.

    No correction head: every token is an outcome of P_noisy.
    """

    name: Literal["noisy_enc"]


@ARCHITECTURES.register("noisy_enc")
class NoisyEncoder(Architecture):
    """Let the outcomes attend to each other and to the circuit.

    softmax over x of f(D(y, m)_x), with y (2^n, W) of
    :class:`qmend.models.sequences.OutcomeTokens`, m (L, W) of
    :class:`qmend.models.sequences.JoinedLayers`, D pre-norm decoder blocks, and one MLP f W - 2 W -
    1 for all outcomes. In ``tfm`` the outcomes are the memory, here the circuit is.

    Source: arXiv 2601.14226, NOISY ENC; cross-attention to the circuit is this project's choice.
    """

    config_type = NoisyEncoderConfig
    head = "prediction"
    examples = {
        "paper": Example(SMALL),
        "token": Example({**SMALL, "encoding": "token"}),
    }

    def __init__(self, config: NoisyEncoderConfig, dimensions: Dimensions) -> None:
        super().__init__(config, dimensions)
        width = config.width
        self.outcomes = OutcomeTokens(dimensions, width)
        self.layers = JoinedLayers(dimensions, width, with_noisy=False)
        self.norm_layers = nn.LayerNorm(width)
        self.blocks = nn.ModuleList(
            DecoderBlock(width, config.heads, config.dropout) for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(width)
        # A bias would be the same for each outcome, and softmax does not see it.
        self.value = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, 1, bias=False)
        )

    def forward(self, batch: Batch) -> Tensor:
        y = self.outcomes(batch.noisy)  # (B, 2^n, W)
        x, mask = self.layers(batch)  # (B, 1 + L, W), (B, 1 + L)
        memory = self.norm_layers(x + positions(x))
        for block in self.blocks:
            y = block(y, memory, memory_mask=mask)
        values = self.value(self.norm(y)).squeeze(-1)  # (B, 2^n)
        return torch.softmax(values, dim=-1)
