"""Channels of circuits with the moments at which they act, and their order in time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

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

    def program(self, table: InstructionTable, one: Tensor, two: Tensor) -> Program:
        """Sort the channels by time into a program; equal moments keep their order."""
        order = np.lexsort((self.phase, self.layer, self.circuit))
        counts = np.bincount(self.circuit, minlength=len(table))
        return Program(
            table.n_qubits,
            np.concatenate([[0], np.cumsum(counts)]),
            self.first[order],
            self.second[order],
            self.row[order],
            one,
            two,
        )
