"""Encoded circuits as tensors in memory, and batches sliced from them."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from qmend.datasets.table import LabelledCircuits
from qmend.encodings.base import Encoded, Encoding

Batch = dict[str, Tensor]


def as_tensors(encoded: Encoded, with_tokens: bool = True) -> Batch:
    """Every array of an encoding as a tensor, sharing memory.

    Args:
        with_tokens: if not, ``tokens`` and ``mask`` have length 0.
    """
    tensors = {name: torch.from_numpy(array) for name, array in encoded.arrays().items()}
    if not with_tokens:
        tensors["tokens"], tensors["mask"] = tensors["tokens"][:, :0], tensors["mask"][:, :0]
    return tensors


def labelled_tensors(encoding: Encoding, data: LabelledCircuits, with_tokens: bool) -> Batch:
    """As :func:`as_tensors`, with ``ideal`` (N, 2^n) float32."""
    tensors = as_tensors(encoding(data.circuits), with_tokens)
    tensors["ideal"] = torch.from_numpy(data.ideal).float()
    return tensors


class BatchLoader:
    """Slices batches from tensors in memory; a fresh permutation each pass when shuffled.

    Many times faster than a DataLoader, which collates row by row.
    """

    def __init__(self, tensors: Batch, batch_size: int, seed: int | None = None) -> None:
        self.tensors, self.batch_size = tensors, batch_size
        self.rows = len(next(iter(tensors.values())))
        self.generator = None if seed is None else torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        return -(-self.rows // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        if self.generator is None:
            for start in range(0, self.rows, self.batch_size):
                yield {k: v[start : start + self.batch_size] for k, v in self.tensors.items()}
        else:
            order = torch.randperm(self.rows, generator=self.generator)
            for start in range(0, self.rows, self.batch_size):
                index = order[start : start + self.batch_size]
                yield {k: v[index] for k, v in self.tensors.items()}
