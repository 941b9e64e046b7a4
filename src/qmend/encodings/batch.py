"""Encoded circuits as tensors, and a loader of batches."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor
from torch.nn import functional

from qmend.types import AnyArray


@dataclass(frozen=True)
class Batch:
    """B encoded circuits that measure m qubits each: the input of all networks.

    Float32, in chain order, with L tokens of F values. It is pickled as NumPy arrays: Ray's workers
    then read one copy in shared memory.

    Attributes:
        tokens: (B, L, F) one token a layer, instruction or parity; zero where ``mask`` is False.
        mask: (B, L) bool, True where there is a token.
        context: (B, C) standardised calibration values.
        noisy: (B, 2^m) measured frequencies.
        readout: (B, m) readout error of each measured qubit.
        shots: (B, 1).
        device: (B, 10) numbers of the device with their uncertainty, see
            :mod:`qmend.encodings.device_paths`; None: the encoding has none.
        ideal: (B, 2^m) the labels; None where they are unknown or hidden.
    """

    tokens: Tensor
    mask: Tensor
    context: Tensor
    noisy: Tensor
    readout: Tensor
    shots: Tensor
    device: Tensor | None = None
    ideal: Tensor | None = None

    def __len__(self) -> int:
        return len(self.noisy)

    @property
    def tensors(self) -> dict[str, Tensor]:
        """Map field names to tensors, without missing labels."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return sum(tensor.nbytes for tensor in self.tensors.values())

    @property
    def labels(self) -> Tensor:
        """Return ``ideal`` (B, 2^m), which must be known."""
        assert self.ideal is not None
        return self.ideal

    def select(self, index: Tensor | slice) -> Batch:
        """Select circuits."""
        return self._map(lambda tensor: tensor[index])

    def to(self, device: torch.device, non_blocking: bool = False) -> Batch:
        """Copy to a device; Lightning calls it."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def unlabelled(self) -> Batch:
        """Drop the labels, which a network must not see."""
        return replace(self, ideal=None)

    @property
    def n_bits(self) -> int:
        """Measured bits m of each circuit."""
        return self.readout.shape[1]

    @staticmethod
    def join_each(parts: Sequence[Batch]) -> tuple[Batch, ...]:
        """Concatenate the batches of each number of measured bits, ascending."""
        sizes = sorted({part.n_bits for part in parts})
        return tuple(Batch.join([p for p in parts if p.n_bits == bits]) for bits in sizes)

    @staticmethod
    def join(parts: Sequence[Batch]) -> Batch:
        """Concatenate batches of one m; shorter tokens are padded and masked."""
        length = max(part.mask.shape[1] for part in parts)
        padded = [part._padded(length).tensors for part in parts]
        return Batch(**{name: torch.cat([part[name] for part in padded]) for name in padded[0]})

    def _padded(self, length: int) -> Batch:
        missing = length - self.mask.shape[1]
        if not missing:
            return self
        return replace(
            self,
            tokens=functional.pad(self.tokens, (0, 0, 0, missing)),
            mask=functional.pad(self.mask, (0, missing)),
        )

    def _map(self, change: Callable[[Tensor], Tensor]) -> Batch:
        return Batch(**{name: change(tensor) for name, tensor in self.tensors.items()})

    def __reduce__(self) -> tuple[Callable[[Mapping[str, AnyArray]], Batch], tuple[object]]:
        arrays = {name: tensor.cpu().numpy() for name, tensor in self.tensors.items()}
        return _from_arrays, (arrays,)


def _from_arrays(arrays: Mapping[str, AnyArray]) -> Batch:
    with warnings.catch_warnings():
        # Arrays in shared memory can't be written, and a batch is only read.
        warnings.filterwarnings("ignore", message=".*not writable.*")
        return Batch(**{name: torch.from_numpy(array) for name, array in arrays.items()})


class BatchLoader:
    """Slices batches from tensors in memory, in order.

    Many times faster than a DataLoader, which collates row by row.
    """

    def __init__(self, *groups: Batch, batch_size: int) -> None:
        self.groups, self.batch_size = groups, batch_size

    def __len__(self) -> int:
        return sum(-(-len(group) // self.batch_size) for group in self.groups)

    def __iter__(self) -> Iterator[Batch]:
        for group in self.groups:
            for start in range(0, len(group), self.batch_size):
                yield group.select(slice(start, start + self.batch_size))
