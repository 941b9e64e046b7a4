"""Channels of circuits with the moments at which they act, and their order in time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from qmend.circuits.instructions import InstructionTable
from qmend.simulation.program import Program
from qmend.types import IntArray


@dataclass(frozen=True)
class TimedChannels:
    """Channels with the moment at which they act: circuit, layer, phase within the layer."""

    circuit: IntArray
    layer: IntArray
    phase: IntArray
    first: IntArray
    second: IntArray
    row: IntArray

    @staticmethod
    def of(
        circuit: IntArray,
        layer: IntArray,
        phase: int,
        first: IntArray,
        second: IntArray | None,
        row: IntArray,
    ) -> TimedChannels:
        other = np.full(len(row), -1) if second is None else second
        return TimedChannels(circuit, layer, np.full(len(row), phase), first, other, row.copy())

    @staticmethod
    def joined(parts: Sequence[TimedChannels]) -> TimedChannels:
        names = TimedChannels.__dataclass_fields__
        return TimedChannels(**{n: np.concatenate([getattr(p, n) for p in parts]) for n in names})

    def program(self, table: InstructionTable) -> Program:
        """Sort channels by time into a program without tables; equal moments keep their order."""
        order = sort_stably(self.circuit, self.layer, self.phase)
        counts = np.bincount(self.circuit, minlength=len(table))
        return Program(
            table.n_qubits,
            np.concatenate([[0], np.cumsum(counts)]),
            self.first[order],
            self.second[order],
            self.row[order],
            one=torch.zeros(0, 4, 4, dtype=torch.float64),
            two=torch.zeros(0, 16, 16, dtype=torch.float64),
        )


def sort_stably(*keys: IntArray) -> IntArray:
    """Sort by keys of at least 0, the first most significant; equal ones keep their order.

    As ``np.lexsort``, which sorts once for each key.
    """
    together = keys[0]
    for key in keys[1:]:
        together = together * (key.max(initial=0) + 1) + key
    return np.argsort(together, kind="stable")
