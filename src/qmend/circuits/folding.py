"""Gates that are followed by pairs of themselves, which change nothing without noise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qmend.circuits.instructions import InstructionTable


def fold_two_qubit_gates(
    table: InstructionTable, most: float, seeds: Sequence[np.random.SeedSequence]
) -> InstructionTable:
    """Follow two-qubit gates by pairs of themselves, at random: G -> G G G.

    CX, ECR and CZ are their own inverses. It stands for the gates of a routing that nobody knows.

    Args:
        most: each circuit draws its share of gates uniformly from 0 to this one.
        seeds: of each circuit.
    """
    copies = np.ones(len(table.gate), dtype=np.int64)
    two = table.second >= 0
    for circuit, seed in enumerate(seeds):
        rows = slice(table.offsets[circuit], table.offsets[circuit + 1])
        rng = np.random.default_rng(seed)
        share = most * rng.random()
        copies[rows] += 2 * (two[rows] & (rng.random(rows.stop - rows.start) < share))
    taken = np.repeat(np.arange(len(copies)), copies)
    ends = np.concatenate([[0], np.cumsum(copies)])
    return InstructionTable(
        table.n_qubits,
        ends[table.offsets],
        table.gate[taken],
        table.first[taken],
        table.second[taken],
        table.angle[taken],
    )
