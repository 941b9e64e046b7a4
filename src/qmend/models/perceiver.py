"""The paper's PERCEIVER with its heads (arXiv 2601.14226)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from qmend.encodings.batch import Batch
from qmend.models.attention import PerceiverEncoder
from qmend.models.base import ARCHITECTURES, CIRCUIT_AND_COUNTS, Architecture, Dimensions, Example
from qmend.models.config import ModelConfig
from qmend.models.heads import distribution


class PerceiverSizes(ModelConfig):
    """Sizes of a Perceiver encoder, ``width`` a multiple of both numbers of heads."""

    latents: int = Field(ge=1)
    width: int = Field(ge=1)
    depth: int = Field(ge=0)
    cross_heads: int = Field(ge=1)
    self_heads: int = Field(ge=1)
    dropout: float = Field(ge=0.0, lt=1.0)

    @model_validator(mode="after")
    def _divisible(self) -> Self:
        for heads in (self.cross_heads, self.self_heads):
            if self.width % heads:
                raise ValueError(f"width ({self.width}) must be a multiple of heads ({heads})")
        return self


class PerceiverConfig(PerceiverSizes):
    """The paper's sizes: 256 latents, width 1024 (Pauli) or 768 (Random), depth 4-5."""

    name: Literal["perceiver"]
    encoding: str
    head: Literal["correction", "normalised_correction", "prediction"]


_SMALL = {"latents": 4, "width": 16, "depth": 1, "cross_heads": 2, "self_heads": 4}


@ARCHITECTURES.register("perceiver")
class Perceiver(Architecture):
    """Latents cross-attend the layers of the circuit, the calibration and the noisy
    distribution; self-attention, mean over latents, MLP, softmax.

    prediction: softmax(f(C, B, P_noisy)). correction: softmax(c(C, B) * P_noisy).
    normalised_correction: c(C, B) * P_noisy, normalised, with c = exp(f): the same idea with a
    head that can leave P_noisy as it is. Both are blind to P_noisy elsewhere.
    """

    config_type: ClassVar[type[ModelConfig]] = PerceiverConfig
    head: ClassVar[str] = "prediction"
    examples: ClassVar[Mapping[str, Example]] = {
        "prediction": Example(_SMALL, CIRCUIT_AND_COUNTS),
        "correction": Example({**_SMALL, "head": "correction"}, CIRCUIT_AND_COUNTS),
        "normalised_correction": Example(
            {**_SMALL, "head": "normalised_correction"}, CIRCUIT_AND_COUNTS | {"shots"}
        ),
        "token": Example({**_SMALL, "encoding": "token"}, CIRCUIT_AND_COUNTS),
    }

    def __init__(self, config: PerceiverConfig, dimensions: Dimensions) -> None:
        super().__init__(config, dimensions)
        width = config.width
        self.encoder = PerceiverEncoder(
            dimensions.token,
            config.latents,
            width,
            config.depth,
            config.cross_heads,
            config.self_heads,
            config.dropout,
        )
        self.embed_context = nn.Linear(dimensions.context, width)
        if config.head == "prediction":
            self.embed_noisy = nn.Linear(dimensions.outcomes, width)
        self.readout_mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, dimensions.outcomes)
        )

    def forward(self, batch: Batch) -> Tensor:
        extra = [self.embed_context(batch.context)]
        if self.config.head == "prediction":
            # Frequencies are about 1 / 2^n: brought to order one.
            extra.append(self.embed_noisy(batch.noisy * self.dimensions.outcomes))
        latents = self.encoder(batch.tokens, batch.mask, torch.stack(extra, dim=1))  # (B, M, W)
        logits = self.readout_mlp(latents.mean(dim=1))  # (B, 2^n)
        if self.config.head == "correction":
            return distribution(logits, batch.noisy, "correction")
        if self.config.head == "normalised_correction":
            logits = logits + torch.log(batch.noisy + 0.5 / batch.shots)
        return torch.softmax(logits, dim=-1)
