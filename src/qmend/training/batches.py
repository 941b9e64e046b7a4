"""Training batches by the number of their epoch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Protocol

import torch
from torch import Tensor

from qmend.encodings.batch import Batch


class TrainingBatches(Protocol):
    """Labelled batches for each epoch of a training.

    Attributes:
        identity: hex digest of all that decides the batches; a training is resumed only where it
            is equal.
    """

    @property
    def identity(self) -> str: ...

    def __len__(self) -> int:
        """Return the number of batches, the same in each epoch."""

    def epoch(self, number: int) -> Iterator[Batch]:
        """Yield the batches of an epoch, counted from 0, in any order of epochs."""


class ShuffledBatches:
    """The same circuits in each epoch, in the ``number``-th permutation of a seed."""

    def __init__(self, data: Batch, batch_size: int, seed: int) -> None:
        self.data, self.batch_size, self.seed = data, batch_size, seed
        self._generator = torch.Generator().manual_seed(seed)
        self._drawn = 0

    def __len__(self) -> int:
        return -(-len(self.data) // self.batch_size)

    @property
    def identity(self) -> str:
        return f"{digest(self.data.tensors)}:{self.batch_size}:{self.seed}"

    def epoch(self, number: int) -> Iterator[Batch]:
        for index in torch.split(self._permutation(number), self.batch_size):
            yield self.data.select(index)

    def _permutation(self, number: int) -> Tensor:
        """Draw the permutation of an epoch, after all those before it."""
        if number < self._drawn:
            self._generator.manual_seed(self.seed)
            self._drawn = 0
        while True:
            order = torch.randperm(len(self.data), generator=self._generator)
            self._drawn += 1
            if self._drawn > number:
                return order


class EpochLoader:
    """Training batches as Lightning reads them.

    Lightning calls ``sampler.set_epoch``, then iterates once.
    """

    def __init__(self, batches: TrainingBatches) -> None:
        self.batches = batches
        self.number = 0

    @property
    def sampler(self) -> EpochLoader:
        return self

    def set_epoch(self, number: int) -> None:
        self.number = number

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Batch]:
        # A generator: the epoch is looked up when the first batch is asked for.
        yield from self.batches.epoch(self.number)


def digest(tensors: Mapping[str, Tensor]) -> str:
    """Hash names, types, shapes and bytes of tensors: 16 hex digits of SHA-256."""
    sha = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        sha.update(flat.view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()[:16]
