"""Training batches by the number of their epoch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
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
    """The same circuits in each epoch, in the ``number``-th permutation of a seed.

    Args:
        groups: of one number of measured bits each, and so is each batch.
    """

    def __init__(self, groups: Sequence[Batch], batch_size: int, seed: int) -> None:
        self.groups, self.batch_size, self.seed = groups, batch_size, seed
        self._generator = torch.Generator().manual_seed(seed)
        self._drawn = 0

    def __len__(self) -> int:
        return sum(-(-len(group) // self.batch_size) for group in self.groups)

    @property
    def identity(self) -> str:
        digests = "+".join(digest(group.tensors) for group in self.groups)
        return f"{digests}:{self.batch_size}:{self.seed}"

    def epoch(self, number: int) -> Iterator[Batch]:
        for group, index in self._permutation(number):
            yield self.groups[group].select(index)

    def _permutation(self, number: int) -> list[tuple[int, Tensor]]:
        """Draw the batches of an epoch, after all those before it."""
        if number < self._drawn:
            self._generator.manual_seed(self.seed)
            self._drawn = 0
        rows = list(map(len, self.groups))
        while True:
            drawn = draw_batches(rows, self.batch_size, len(self), self._generator)
            self._drawn += 1
            if self._drawn > number:
                return drawn


def draw_batches(
    rows: Sequence[int], batch_size: int, batches: int, generator: torch.Generator
) -> list[tuple[int, Tensor]]:
    """Divide groups of rows at random into batches of one group each, in random order.

    Args:
        rows: of each group.
        batch_size: at most.
        batches: in all, no fewer than the groups fill; further ones divide the largest.

    Returns:
        The group of each batch, and its rows there.
    """
    share = [-(-count // batch_size) for count in rows]
    if len(rows) == 1 and share[0] == batches:
        order = torch.randperm(rows[0], generator=generator)
        return [(0, index) for index in torch.split(order, batch_size)]
    while sum(share) < batches:
        sizes = [count / parts for count, parts in zip(rows, share, strict=True)]
        share[sizes.index(max(sizes))] += 1
    drawn = [
        (group, index)
        for group, (count, parts) in enumerate(zip(rows, share, strict=True))
        for index in torch.tensor_split(torch.randperm(count, generator=generator), parts)
    ]
    return [drawn[k] for k in torch.randperm(len(drawn), generator=generator).tolist()]


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
