"""Fewer, larger channels: the same circuits with every run of channels multiplied out.

Runs of one-qubit channels become one matrix, these join the two-qubit channel that follows on
their qubit, and consecutive two-qubit channels on one pair become one. Equal products are
formed once, whatever the number of circuits that hold them. All of it is differentiable, and
the structure is found once for many values of the channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from qmend.simulation import channels
from qmend.simulation.program import Program
from qmend.types import IntArray


@dataclass(frozen=True)
class Fusion:
    """Which channels of a program are multiplied, and in which order.

    Attributes:
        n_qubits: register size.
        offsets: (N + 1,) start of each circuit in ``first``, ``second`` and ``row``.
        first, second, row: (K,) the fused program; the lower qubit of a pair comes first.
        runs: one-qubit products, each the rows of ``one`` in the order of time.
        elements: (E, 4) row of ``two``, 1 if its first qubit is the higher, run before it on the
            lower and on the higher qubit.
        blocks: two-qubit products, each the rows of ``elements`` in the order of time.
    """

    n_qubits: int
    offsets: IntArray
    first: IntArray
    second: IntArray
    row: IntArray
    runs: tuple[tuple[int, ...], ...]
    elements: IntArray
    blocks: tuple[tuple[int, ...], ...]

    @staticmethod
    def of(program: Program) -> Fusion:
        """Find the structure of a program; its channels' values do not matter."""
        n = program.n_qubits
        runs: dict[tuple[int, ...], int] = {(): 0}
        elements: dict[tuple[int, int, int, int], int] = {}
        blocks: dict[tuple[int, ...], int] = {}
        fused: list[tuple[int, int, int]] = []
        offsets = [0]
        first, second, row = (x.tolist() for x in (program.first, program.second, program.row))
        for circuit in range(len(program)):
            waiting: list[tuple[int, ...]] = [()] * n
            partner = [-1] * n
            block: list[tuple[int, ...]] = [()] * n  # at the lower qubit of an open pair

            def close(
                qubit: int, partner: list[int] = partner, block: list[tuple[int, ...]] = block
            ) -> None:
                if partner[qubit] >= 0:
                    low, high = sorted((qubit, partner[qubit]))
                    fused.append((low, high, blocks.setdefault(block[low], len(blocks))))
                    partner[low] = partner[high] = -1

            for k in range(int(program.offsets[circuit]), int(program.offsets[circuit + 1])):
                a, b = first[k], second[k]
                if b < 0:
                    waiting[a] += (row[k],)
                    continue
                low, high = min(a, b), max(a, b)
                if partner[low] != high:
                    close(low)
                    close(high)
                    partner[low], partner[high], block[low] = high, low, ()
                before = [runs.setdefault(waiting[q], len(runs)) for q in (low, high)]
                key = (row[k], int(a > b), before[0], before[1])
                block[low] += (elements.setdefault(key, len(elements)),)
                waiting[low] = waiting[high] = ()
            for qubit in range(n):
                close(qubit)
            for qubit in range(n):
                if waiting[qubit]:
                    fused.append((qubit, -1, runs.setdefault(waiting[qubit], len(runs))))
            offsets.append(len(fused))
        columns = np.array(fused, dtype=np.int64).reshape(-1, 3)
        return Fusion(
            n,
            np.array(offsets, dtype=np.int64),
            columns[:, 0],
            columns[:, 1],
            columns[:, 2],
            tuple(runs),
            np.array(list(elements), dtype=np.int64).reshape(-1, 4),
            tuple(blocks),
        )

    def program(self, one: Tensor, two: Tensor) -> Program:
        """Multiply the channels (R1, 4, 4) and (R2, 16, 16) into the fused program."""
        runs = _products(one, self.runs)
        both = torch.cat([two, channels.swap_qubits(two)])
        gate, exchanged, low, high = (torch.from_numpy(column) for column in self.elements.T)
        elements = both[gate + exchanged * len(two)] @ channels.tensor(runs[low], runs[high])
        blocks = _products(elements, self.blocks)
        return Program(self.n_qubits, self.offsets, self.first, self.second, self.row, runs, blocks)


def _products(matrices: Tensor, runs: Sequence[tuple[int, ...]]) -> Tensor:
    """(len(runs), d, d) products of rows of (R, d, d), the first row rightmost; empty: identity."""
    size = matrices.shape[-1]
    if not runs:
        return matrices.new_zeros(0, size, size)
    lengths = np.array([len(run) for run in runs])
    order = np.argsort(-lengths, kind="stable")
    padded = np.zeros((len(runs), int(lengths.max())), dtype=np.int64)
    for at, run in enumerate(order):
        padded[at, : lengths[run]] = runs[run]
    rows = torch.from_numpy(padded)
    product = torch.eye(size, dtype=matrices.dtype).expand(len(runs), size, size)
    for step in range(padded.shape[1]):
        live = int((lengths > step).sum())
        factor = matrices[rows[:live, step]]
        longer = factor if step == 0 else factor @ product[:live]
        product = torch.cat([longer, product[live:]])
    return product[torch.from_numpy(np.argsort(order))]
