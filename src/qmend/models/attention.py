"""Attention blocks of the transformers and the Perceivers (Vaswani et al., arXiv 1706.03762)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class Attention(nn.Module):
    """Multi-head attention softmax(Q K^T / sqrt(d)) V, with d = width / heads.

    Args:
        width: of queries, keys, values and output; a multiple of ``heads``.
        dropout: of attention weights, in training.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, source: Tensor, mask: Tensor | None = None) -> Tensor:
        """Attend from x (B, M, W) to source (B, L, W) -> (B, M, W).

        Args:
            mask: (B, L) True where attended; None: everywhere.
        """
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
    """LayerNorm, then an MLP W - 2 W - W with GELU."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__(
            nn.LayerNorm(width),
            nn.Linear(width, 2 * width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(2 * width, width),
        )


class SelfAttentionBlock(nn.Module):
    """Pre-norm block: x + A(norm x), then x + FF(x)."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads, dropout)
        self.feed_forward = FeedForward(width, dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map x (B, L, W), mask (B, L) True where attended -> (B, L, W)."""
        y = self.norm(x)
        x = x + self.attention(y, y, mask)
        out: Tensor = x + self.feed_forward(x)
        return out


class DecoderBlock(nn.Module):
    """Pre-norm block: x + A(norm x), then x + A(norm x, memory), then x + FF(x)."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads, dropout)
        self.norm_cross = nn.LayerNorm(width)
        self.cross = Attention(width, heads, dropout)
        self.feed_forward = FeedForward(width, dropout)

    def forward(
        self,
        x: Tensor,
        memory: Tensor,
        mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
    ) -> Tensor:
        """Map x (B, L, W), memory (B, M, W), masks (B, L), (B, M) True where attended."""
        y = self.norm(x)
        x = x + self.attention(y, y, mask)
        x = x + self.cross(self.norm_cross(x), memory, memory_mask)
        out: Tensor = x + self.feed_forward(x)
        return out
