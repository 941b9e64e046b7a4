"""The paper's transformer with the noisy distribution as a memory (arXiv 2601.14226)."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from qmend.encodings.batch import Batch
from qmend.models.attention import DecoderBlock
from qmend.models.base import ARCHITECTURES, Architecture, Dimensions, Example
from qmend.models.heads import DistributionHead
from qmend.models.sequences import JoinedLayers, OutcomeTokens, masked_mean, positions
from qmend.models.tf import SMALL, TransformerSizes


class MemoryTransformerConfig(TransformerSizes):
    """Sizes of a transformer.

    No correction head: all that reads the memory knows P_noisy.
    """

    name: Literal["tfm"]


@ARCHITECTURES.register("tfm")
class MemoryTransformer(Architecture):
    """Let the circuit's layers attend to each other and to outcomes.

    softmax(f(mean_l D(x, m)_l)), with x (L, W) of :class:`qmend.models.sequences.JoinedLayers`,
    m (2^n, W) of :class:`qmend.models.sequences.OutcomeTokens`, D pre-norm decoder blocks without
    a causal mask, and f an MLP W - 2 W - 2^n.

    Source: arXiv 2601.14226, TFM; Vaswani et al., arXiv 1706.03762.
    """

    config_type = MemoryTransformerConfig
    head = "prediction"
    examples = {
        "paper": Example(SMALL),
        "token": Example({**SMALL, "encoding": "token"}),
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
