"""Randomized compiling: random Pauli gates around the two-qubit gates of compiled circuits.

Wallman and Emerson, arXiv 1512.01098. Averaged over many such circuits, the coherent errors of
two-qubit gates become Pauli errors. Every Pauli gate is a native gate with its noise, merged with
the one-qubit gates beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache

import numpy as np

from qmend.circuits.instructions import Instruction, InstructionTable
from qmend.circuits.merging import Run
from qmend.circuits.statevector import UNITARIES, compiled_probabilities
from qmend.gates import TWO_QUBIT
from qmend.types import IntArray, QmendError

#: Largest difference allowed between the ideal distributions of a circuit and of one of its
#: randomizations: angles are rounded to steps of 5.7e-12.
TOLERANCE = 1e-9
#: Matrices of I, X, Z, Y, as (x, z) bits of their number.
_PAULIS = [
    np.array(rows, dtype=complex)
    for rows in ([[1, 0], [0, 1]], [[0, 1], [1, 0]], [[1, 0], [0, -1]], [[0, -1j], [1j, 0]])
]


def randomize(
    table: InstructionTable, seeds: Sequence[np.random.SeedSequence], randomizations: int
) -> InstructionTable:
    """Compile each circuit several times, each with other Paulis; 0: leave it as compiled.

    A two-qubit gate G becomes (C x D) G (A x B) with A and B uniform in I, X, Y, Z, and
    C x D = +-G (A x B) G^-1. No two-qubit gate is added or removed.

    Args:
        seeds: of each circuit; child 0 is that of its Paulis.

    Returns:
        N * max(randomizations, 1) circuits; those of a circuit follow each other.

    Raises:
        QmendError: if the ideal distribution of one is not its circuit's own.
    """
    if not randomizations:
        return table
    twirled = []
    for k, seed in enumerate(seeds):
        circuit = TwirlableCircuit(table.circuit(k), table.n_qubits)
        child = np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, 0))
        size = (randomizations, circuit.two_qubit_gates, 2)
        drawn = np.random.Generator(np.random.PCG64(child)).integers(0, 4, size, dtype=np.uint32)
        twirled += [circuit.twirl(paulis) for paulis in drawn.tolist()]
    compilations = InstructionTable.from_circuits(table.n_qubits, twirled)
    own = np.repeat(compiled_probabilities(table), randomizations, axis=0)
    if not (np.abs(compiled_probabilities(compilations) - own) <= TOLERANCE).all():
        raise QmendError(
            "A randomization of a circuit has another ideal distribution than the circuit itself; "
            "use dataset.twirling.randomizations=0."
        )
    return compilations


def split_shots(shots: IntArray, compilations: int) -> IntArray:
    """(N, compilations) shots of each compilation of each circuit, as equal as integers allow."""
    return shots[:, None] // compilations + (
        np.arange(compilations) < shots[:, None] % compilations
    )


class TwirlableCircuit:
    """A compiled circuit as runs of one-qubit gates and the two-qubit gates between them."""

    def __init__(self, instructions: Iterable[Instruction], n_qubits: int) -> None:
        self._parts: list[tuple[Instruction, _Wire, _Wire]] = []
        wires = [_Wire(q) for q in range(n_qubits)]
        for instruction in instructions:
            name, a, b, _ = instruction
            if name in TWO_QUBIT:
                self._parts.append((instruction, wires[a], wires[b]))
                wires[a], wires[b] = _Wire(a), _Wire(b)
            else:
                wires[a].gates.append(instruction)
        self._ends = wires

    @property
    def two_qubit_gates(self) -> int:
        return len(self._parts)

    def twirl(self, paulis: Sequence[Sequence[int]]) -> list[Instruction]:
        """Write the circuit with Paulis around its two-qubit gates.

        Args:
            paulis: numbers of those before the first and second qubit of each gate.
        """
        behind = [0] * len(self._ends)  # Pauli after the last two-qubit gate of each qubit
        out: list[Instruction] = []
        for (gate, first, second), (a, b) in zip(self._parts, paulis, strict=True):
            name, p, q, _ = gate
            out += first.merged(behind[p], a)
            out += second.merged(behind[q], b)
            out.append(gate)
            behind[p], behind[q] = _behind(name)[a][b]
        for wire, pauli in zip(self._ends, behind, strict=True):
            out += wire.merged(pauli, 0)
        return out


class _Wire:
    """One-qubit gates of a qubit between two two-qubit gates."""

    def __init__(self, qubit: int) -> None:
        self.qubit = qubit
        self.gates: list[Instruction] = []
        self._merged: dict[tuple[int, int], list[Instruction]] = {}

    def merged(self, before: int, after: int) -> list[Instruction]:
        """Write the gates with a Pauli before and one after them, as few as these need."""
        if (before, after) not in self._merged:
            run = Run()
            for gate, angle in self._with_paulis(before, after):
                run.append(gate, angle)
            run.simplify()
            self._merged[before, after] = run.instructions(self.qubit)
        return self._merged[before, after]

    def _with_paulis(self, before: int, after: int) -> Iterator[tuple[str, float]]:
        yield from _pauli_gates(before)
        for name, _, _, angle in self.gates:
            yield name, angle
        yield from _pauli_gates(after)


def _pauli_gates(pauli: int) -> Iterator[tuple[str, float]]:
    """Write a Pauli as RZ and X, up to its phase."""
    if pauli & 2:
        yield "rz", np.pi
    if pauli & 1:
        yield "x", 0.0


@cache
def _behind(gate: str) -> list[list[tuple[int, int]]]:
    """Paulis behind a two-qubit gate, by those before its first and second qubit."""
    unitary = UNITARIES[gate]

    def carried(a: int, b: int) -> tuple[int, int]:
        behind = unitary @ np.kron(_PAULIS[b], _PAULIS[a]) @ unitary.conj().T
        overlaps = {
            (c, d): abs(np.trace(np.kron(_PAULIS[d], _PAULIS[c]) @ behind))
            for c in range(4)
            for d in range(4)
        }
        return max(overlaps, key=overlaps.__getitem__)

    return [[carried(a, b) for b in range(4)] for a in range(4)]
