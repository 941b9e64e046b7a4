"""The Perceiver encoder, and the paper's PERCEIVER with its heads (arXiv 2601.14226)."""

from __future__ import annotations

from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from qmend.encodings.batch import Batch
from qmend.models.attention import Attention, FeedForward, SelfAttentionBlock
from qmend.models.base import ARCHITECTURES, CIRCUIT_AND_COUNTS, Architecture, Dimensions, Example
from qmend.models.config import ModelConfig
from qmend.models.heads import distribution


class PerceiverSizes(ModelConfig):
    """Sizes of a :class:`PerceiverEncoder`, ``width`` a multiple of both numbers of heads.

    Attributes:
        latents: number of latent vectors.
        depth: self-attention blocks.
        cross_heads, self_heads: heads of the two kinds of attention.
    """

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


class PerceiverEncoder(nn.Module):
    """Let learned latents read a sequence, then attend among themselves.

    z <- z + A(norm z, norm [extra, E x + position]), then z + FF(z), then ``depth`` self-attention
    blocks and a norm. Tokens beyond the last learned position share it.

    Source: Jaegle et al., arXiv 2103.03206.

    Args:
        token: values F of a token.
        positions: number of learned positions.
    """

    def __init__(self, token: int, sizes: PerceiverSizes, positions: int = 512) -> None:
        super().__init__()
        width, dropout = sizes.width, sizes.dropout
        self.embed = nn.Linear(token, width)
        self.position = nn.Parameter(0.02 * torch.randn(positions, width))
        self.latents = nn.Parameter(0.02 * torch.randn(sizes.latents, width))
        self.norm_source = nn.LayerNorm(width)
        self.norm_latents = nn.LayerNorm(width)
        self.cross = Attention(width, sizes.cross_heads, dropout)
        self.feed_forward = FeedForward(width, dropout)
        self.blocks = nn.ModuleList(
            SelfAttentionBlock(width, sizes.self_heads, dropout) for _ in range(sizes.depth)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor, mask: Tensor, extra: Tensor) -> Tensor:
        """Return the latents (B, M, W) after they read the tokens.

        Args:
            tokens: (B, L, F).
            mask: (B, L) True at tokens.
            extra: (B, E, W) vectors that are always attended, beside the tokens.
        """
        length = tokens.shape[1]
        index = torch.arange(length, device=tokens.device).clamp_max(len(self.position) - 1)
        source = self.embed(tokens) + self.position[index]  # (B, L, W)
        source = self.norm_source(torch.cat([extra, source], dim=1))  # (B, E + L, W)
        attended = torch.cat([mask.new_ones(len(mask), extra.shape[1]), mask], dim=1)
        x = self.latents.expand(len(tokens), -1, -1)  # (B, M, W)
        x = x + self.cross(self.norm_latents(x), source, attended)
        x = x + self.feed_forward(x)
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.norm(x)
        return out


class PerceiverConfig(PerceiverSizes):
    """The paper's sizes: 256 latents, width 1024 (Pauli) or 768 (Random), depth 4-5."""

    name: Literal["perceiver"]
    encoding: str
    head: Literal["correction", "normalised_correction", "prediction"]


#: Fields of a small Perceiver encoder.
SMALL = {"latents": 4, "width": 16, "depth": 1, "cross_heads": 2, "self_heads": 4}


@ARCHITECTURES.register("perceiver")
class Perceiver(Architecture):
    """Let latents read the circuit and its calibration, and map their mean.

    z = mean of the latents (M, W) of :class:`PerceiverEncoder` that read C, B and, for a prediction
    only, P_noisy. prediction: softmax(f(z)). correction: softmax(2^n f(z) * P_noisy).
    normalised_correction: softmax(f(z) + log P_noisy), a factor exp(f) that can leave P_noisy as
    it is. f is an MLP W - 2 W - 2^n.

    Source: arXiv 2601.14226, PERCEIVER; normalised_correction is this project's.
    """

    config_type = PerceiverConfig
    head = "prediction"
    examples = {
        "prediction": Example(SMALL),
        "correction": Example({**SMALL, "head": "correction"}),
        "normalised_correction": Example(
            {**SMALL, "head": "normalised_correction"}, CIRCUIT_AND_COUNTS | {"shots"}
        ),
        "token": Example({**SMALL, "encoding": "token"}),
    }

    def __init__(self, config: PerceiverConfig, dimensions: Dimensions) -> None:
        super().__init__(config, dimensions)
        width = config.width
        self.encoder = PerceiverEncoder(dimensions.token, config)
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
