"""The paper's transformer with the noisy distribution as a memory (arXiv 2601.14226)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from torch import Tensor, nn

from qmend.encodings.batch import Batch
from qmend.models.attention import DecoderBlock
from qmend.models.base import ARCHITECTURES, CIRCUIT_AND_COUNTS, Architecture, Dimensions, Example
from qmend.models.config import ModelConfig
from qmend.models.heads import DistributionHead
from qmend.models.sequences import JoinedLayers, OutcomeTokens, masked_mean, positions
from qmend.models.tf import SMALL, TransformerSizes


class MemoryTransformerConfig(TransformerSizes):
    """Sizes. It has no correction head: what reads the memory knows P_noisy."""

    name: Literal["tfm"]


@ARCHITECTURES.register("tfm")
class MemoryTransformer(Architecture):
    """A decoder: the layers, joined with the calibration, attend to each other and to the
    memory, one token for each outcome of P_noisy; mean over the layers, MLP, softmax.

    softmax(f(C, B, P_noisy)). (arXiv 2601.14226, TFM; the decoder of Vaswani et al.,
    arXiv 1706.03762, without causal mask and with pre-norm blocks)
    """

    config_type: ClassVar[type[ModelConfig]] = MemoryTransformerConfig
    head: ClassVar[str] = "prediction"
    examples: ClassVar[Mapping[str, Example]] = {
        "paper": Example(SMALL, CIRCUIT_AND_COUNTS),
        "token": Example({**SMALL, "encoding": "token"}, CIRCUIT_AND_COUNTS),
    }

    def __init__(self, config: MemoryTransformerConfig, dimensions: Dimensions) -> None:
        super().__init__(config, dimensions)
        width = config.width
        self.layers = JoinedLayers(dimensions, width, with_noisy=False)
        self.memory = OutcomeTokens(dimensions, width)
        self.blocks = nn.ModuleList(
            DecoderBlock(width, config.heads, config.dropout) for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(width)
        self.readout = DistributionHead(width, dimensions.outcomes, "prediction")

    def forward(self, batch: Batch) -> Tensor:
        x, mask = self.layers(batch)  # (B, 1 + L, W), (B, 1 + L)
        x = x + positions(x)
        memory = self.memory(batch.noisy)  # (B, 2^n, W)
        for block in self.blocks:
            x = block(x, memory, mask=mask)
        pooled = masked_mean(self.norm(x), mask)  # (B, W)
        distribution: Tensor = self.readout(pooled, batch.noisy)
        return distribution
