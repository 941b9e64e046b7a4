"""The paper's transformer over the layers of a circuit (arXiv 2601.14226)."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator
from torch import Tensor, nn

from qmend.encodings.batch import Batch
from qmend.models.attention import SelfAttentionBlock
from qmend.models.base import ARCHITECTURES, Architecture, Dimensions, Example
from qmend.models.config import ModelConfig
from qmend.models.heads import DistributionHead, Head
from qmend.models.sequences import JoinedLayers, masked_mean, positions

#: Fields of a small transformer.
SMALL = {"width": 16, "depth": 2, "heads": 4}


class TransformerSizes(ModelConfig):
    """``depth`` blocks; ``width`` a multiple of ``heads``. The paper's were best with 1-2."""

    encoding: str
    width: int = Field(ge=1)
    depth: int = Field(ge=1)
    heads: int = Field(ge=1)
    dropout: float = Field(ge=0.0, lt=1.0)

    @model_validator(mode="after")
    def _divisible(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"width ({self.width}) must be a multiple of heads ({self.heads})")
        return self


class TransformerConfig(TransformerSizes):
    """Sizes and head."""

    name: Literal["tf"]
    head: Head


@ARCHITECTURES.register("tf")
class Transformer(Architecture):
    """Let the circuit's layers attend to each other; map their mean.

    z = mean_l T(x)_l, with x (L, W) of :class:`qmend.models.sequences.JoinedLayers` and T pre-norm
    self-attention blocks. prediction: softmax(f(z)), x with P_noisy. correction:
    softmax(2^n c(z) * P_noisy), x without. f and c are MLPs W - 2 W - 2^n.

    Source: arXiv 2601.14226, TF; Vaswani et al., arXiv 1706.03762.
    """

    config_type = TransformerConfig
    head = "prediction"
    examples = {
        "prediction": Example(SMALL),
        "correction": Example({**SMALL, "head": "correction"}),
        "token": Example({**SMALL, "encoding": "token"}),
    }

    def __init__(self, config: TransformerConfig, dimensions: Dimensions) -> None:
        super().__init__(config, dimensions)
        width = config.width
        self.layers = JoinedLayers(dimensions, width, config.head == "prediction")
        self.blocks = nn.ModuleList(
            SelfAttentionBlock(width, config.heads, config.dropout) for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(width)
        self.readout = DistributionHead(width, dimensions.outcomes, config.head)

    def forward(self, batch: Batch) -> Tensor:
        x, mask = self.layers(batch)  # (B, 1 + L, W), (B, 1 + L)
        x = x + positions(x)
        for block in self.blocks:
            x = block(x, mask)
        pooled = masked_mean(self.norm(x), mask)  # (B, W)
        distribution: Tensor = self.readout(pooled, batch.noisy)
        return distribution
