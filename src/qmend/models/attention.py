"""Attention blocks of the transformers and the Perceiver (Jaegle et al., arXiv 2103.03206)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class Attention(nn.Module):
    """Multi-head attention softmax(Q K^T / sqrt(d)) V, queries and keys from different sources.

    Args:
        width: of queries and output.
        source: width of keys and values.
        heads: ``width`` must be a multiple.
        dropout: of attention weights, in training.
    """

    def __init__(self, width: int, source: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(source, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, source: Tensor, mask: Tensor | None = None) -> Tensor:
        """x (B, M, width), source (B, L, source), mask (B, L) True where attended."""
        q = self._split(self.query(x))  # (B, H, M, d)
        k, v = (self._split(part) for part in self.key_value(source).chunk(2, dim=-1))
        mixed = functional.scaled_dot_product_attention(
            q,
            k,
            v,
            attn_mask=None if mask is None else mask[:, None, None, :],
            dropout_p=self.dropout if self.training else 0.0,
        )  # (B, H, M, d)
        merged: Tensor = self.out(mixed.transpose(1, 2).flatten(2))  # (B, M, width)
        return merged

    def _split(self, x: Tensor) -> Tensor:
        return x.reshape(*x.shape[:-1], self.heads, -1).transpose(1, 2)


class FeedForward(nn.Sequential):
    """width -> 2 width -> width with GELU."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__(
            nn.LayerNorm(width),
            nn.Linear(width, 2 * width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(2 * width, width),
        )


class SelfAttentionBlock(nn.Module):
    """x + A(norm x), then x + FF(x): pre-norm."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = Attention(width, width, heads, dropout)
        self.feed_forward = FeedForward(width, dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """x (B, L, width), mask (B, L) True where attended -> (B, L, width)."""
        y = self.norm(x)
        x = x + self.attention(y, y, mask)
        out: Tensor = x + self.feed_forward(x)
        return out


class DecoderBlock(nn.Module):
    """x + A(norm x), then x + A(norm x, memory), then x + FF(x): pre-norm."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = Attention(width, width, heads, dropout)
        self.norm_cross = nn.LayerNorm(width)
        self.cross = Attention(width, width, heads, dropout)
        self.feed_forward = FeedForward(width, dropout)

    def forward(
        self,
        x: Tensor,
        memory: Tensor,
        mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
    ) -> Tensor:
        """x (B, L, width), memory (B, M, width), masks (B, L) and (B, M) True where attended."""
        y = self.norm(x)
        x = x + self.attention(y, y, mask)
        x = x + self.cross(self.norm_cross(x), memory, memory_mask)
        out: Tensor = x + self.feed_forward(x)
        return out


class PerceiverEncoder(nn.Module):
    """Learned latents read a sequence by cross-attention, then attend among themselves.

    Args:
        token: width of a token.
        latents: how many latent vectors.
        width: of a latent.
        depth: self-attention blocks.
        cross_heads, self_heads: heads of the two kinds of attention.
        dropout: in all blocks.
        max_length: longest sequence with its own learned positions; later tokens share the
            last one.
    """

    def __init__(
        self,
        token: int,
        latents: int,
        width: int,
        depth: int,
        cross_heads: int,
        self_heads: int,
        dropout: float,
        max_length: int = 512,
    ) -> None:
        super().__init__()
        self.embed = nn.Linear(token, width)
        self.position = nn.Parameter(0.02 * torch.randn(max_length, width))
        self.latents = nn.Parameter(0.02 * torch.randn(latents, width))
        self.norm_source = nn.LayerNorm(width)
        self.norm_latents = nn.LayerNorm(width)
        self.cross = Attention(width, width, cross_heads, dropout)
        self.feed_forward = FeedForward(width, dropout)
        self.blocks = nn.ModuleList(
            SelfAttentionBlock(width, self_heads, dropout) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor, mask: Tensor, extra: Tensor) -> Tensor:
        """tokens (B, L, F), mask (B, L), extra (B, E, width) always attended -> (B, M, width)."""
        length = tokens.shape[1]
        index = torch.arange(length, device=tokens.device).clamp_max(len(self.position) - 1)
        source = self.embed(tokens) + self.position[index]  # (B, L, width)
        source = self.norm_source(torch.cat([extra, source], dim=1))  # (B, E + L, width)
        seen = torch.cat([mask.new_ones(len(mask), extra.shape[1]), mask], dim=1)
        x = self.latents.expand(len(tokens), -1, -1)  # (B, M, width)
        x = x + self.cross(self.norm_latents(x), source, seen)
        x = x + self.feed_forward(x)
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.norm(x)
        return out
