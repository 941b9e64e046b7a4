"""What supplies the training batches: the number of an epoch alone decides them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Protocol

import torch

from qmend.encodings.tensors import Batch, BatchLoader


class TrainingBatches(Protocol):
    """Labelled batches for each epoch of a training.

    Attributes:
        identity: hex digest of all that decides the batches; a training is resumed only with
            equal ones.
    """

    @property
    def identity(self) -> str: ...

    def __len__(self) -> int:
        """Batches an epoch, the same in each."""

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of an epoch, counted from 0, whichever were asked for before."""


class ShuffledBatches(BatchLoader):
    """The same circuits in each epoch, in a permutation of its own: the ``number``-th of a seed."""

    def __init__(self, tensors: Batch, batch_size: int, seed: int) -> None:
        super().__init__(tensors, batch_size, seed)
        self.seed = seed
        self._drawn = 0

    @property
    def identity(self) -> str:
        return f"{tensors_digest(self.tensors)}:{self.batch_size}:{self.seed}"

    def epoch(self, number: int) -> Iterator[Batch]:
        self._skip_to(number)
        yield from self

    def __iter__(self) -> Iterator[Batch]:
        self._drawn += 1
        yield from super().__iter__()

    def _skip_to(self, number: int) -> None:
        """Draw the permutations before; all but none where epochs follow each other."""
        if self.generator is None or self._drawn == number:
            return
        self.generator.manual_seed(self.seed)
        for _ in range(number):
            torch.randperm(self.rows, generator=self.generator)
        self._drawn = number


class EpochLoader:
    """Batches as Lightning takes them: it tells ``sampler`` the epoch, then iterates once."""

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


def tensors_digest(tensors: Batch) -> str:
    """SHA-256 (first 16 hex digits) over the names, shapes and bytes of all tensors."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]
