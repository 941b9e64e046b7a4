"""The paper's transformer over the layers of a circuit (arXiv 2601.14226)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator
from torch import Tensor, nn

from qmend.encodings.batch import Batch
from qmend.models.attention import SelfAttentionBlock
from qmend.models.base import ARCHITECTURES, CIRCUIT_AND_COUNTS, Architecture, Dimensions, Example
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
    """Self-attention among x_l, each layer joined with calibration and P_noisy; mean over the
    layers, MLP, softmax.

    prediction: softmax(f(C, B, P_noisy)). correction: softmax(c(C, B) * P_noisy), x_l without
    P_noisy. (arXiv 2601.14226, TF; Vaswani et al., arXiv 1706.03762, with pre-norm blocks)
    """

    config_type: ClassVar[type[ModelConfig]] = TransformerConfig
    head: ClassVar[str] = "prediction"
    examples: ClassVar[Mapping[str, Example]] = {
        "prediction": Example(SMALL, CIRCUIT_AND_COUNTS),
        "correction": Example({**SMALL, "head": "correction"}, CIRCUIT_AND_COUNTS),
        "token": Example({**SMALL, "encoding": "token"}, CIRCUIT_AND_COUNTS),
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
