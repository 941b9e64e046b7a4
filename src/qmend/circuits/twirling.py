"""Randomized compiling: random Pauli gates around the two-qubit gates of compiled circuits.

Wallman and Emerson, arXiv 1512.01098. Averaged over many such circuits, the coherent errors of
two-qubit gates become Pauli errors. Every Pauli gate is a native gate with its noise, merged with
the one-qubit gates beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache, lru_cache

import numpy as np

from qmend.circuits.instructions import Instruction, InstructionTable
from qmend.circuits.merging import Run
from qmend.circuits.statevector import UNITARIES, compiled_probabilities
from qmend.gates import TWO_QUBIT
from qmend.types import IntArray, QmendError

#: Largest difference allowed between the ideal distributions of a circuit and of one of its
#: randomizations: angles are rounded to steps of 5.7e-12.
TOLERANCE = 1e-9
#: A qubit, and its one-qubit gates between two two-qubit gates.
_Run = tuple[int, list[Instruction]]
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
    parts = []
    for k, seed in enumerate(seeds):
        circuit = TwirlableCircuit(table.circuit(k), table.n_qubits)
        child = np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, 0))
        size = (randomizations, circuit.two_qubit_gates, 2)
        drawn = np.random.Generator(np.random.PCG64(child)).integers(0, 4, size, dtype=np.uint32)
        parts.append(circuit.twirl(drawn.astype(np.int64)))
    compilations = InstructionTable.joined(parts)
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
        self._n_qubits = n_qubits
        self._parts: list[tuple[Instruction, _Run, _Run]] = []
        runs: list[_Run] = [(q, []) for q in range(n_qubits)]
        for instruction in instructions:
            name, a, b, _ = instruction
            if name in TWO_QUBIT:
                self._parts.append((instruction, runs[a], runs[b]))
                runs[a], runs[b] = (a, []), (b, [])
            else:
                runs[a][1].append(instruction)
        self._ends = runs

    @property
    def two_qubit_gates(self) -> int:
        return len(self._parts)

    def twirl(self, paulis: IntArray) -> InstructionTable:
        """Write the circuit several times, with Paulis around its two-qubit gates.

        Args:
            paulis: (R, gates, 2) numbers of those before the first and second qubit of each gate.
        """
        pieces: list[list[Instruction]] = []  # of which the R circuits are put together
        order: list[IntArray] = []  # (R,) number of each next piece

        def append_run(run: _Run, before: IntArray, after: IntArray) -> None:
            kinds, kind = np.unique(4 * before + after, return_inverse=True)
            order.append(len(pieces) + kind)
            gates = tuple(run[1])
            pieces.extend(_merge(run[0], gates, *divmod(k, 4)) for k in kinds.tolist())

        none = np.zeros(len(paulis), dtype=np.int64)
        behind = [none] * self._n_qubits  # Paulis after the last two-qubit gate of each qubit
        for number, (gate, first, second) in enumerate(self._parts):
            name, p, q, _ = gate
            a, b = paulis[:, number].T
            append_run(first, behind[p], a)
            append_run(second, behind[q], b)
            order.append(none + len(pieces))
            pieces.append([gate])
            behind[p], behind[q] = _behind(name)[:, a, b]
        for run, pauli in zip(self._ends, behind, strict=True):
            append_run(run, pauli, none)
        library = InstructionTable.from_circuits(self._n_qubits, pieces)
        table = library.select(np.stack(order, axis=1).reshape(-1))
        return replace(table, offsets=table.offsets[:: len(order)])


@lru_cache(maxsize=2**14)  # many runs are empty, or one basis change
def _merge(qubit: int, run: tuple[Instruction, ...], before: int, after: int) -> list[Instruction]:
    """Write a run with a Pauli before and one after it, in as few gates as these need."""
    merged = Run()
    for gate, angle in _pauli_gates(before):
        merged.append(gate, angle)
    for gate, _, _, angle in run:
        merged.append(gate, angle)
    for gate, angle in _pauli_gates(after):
        merged.append(gate, angle)
    merged.simplify()
    return merged.instructions(qubit)


def _pauli_gates(pauli: int) -> Iterator[tuple[str, float]]:
    """Write a Pauli as RZ and X, up to its phase."""
    if pauli & 2:
        yield "rz", np.pi
    if pauli & 1:
        yield "x", 0.0


@cache
def _behind(gate: str) -> IntArray:
    """(2, 4, 4) Paulis behind a two-qubit gate, by those before its first and second qubit."""
    unitary = UNITARIES[gate]
    behind = np.zeros((2, 4, 4), dtype=np.int64)
    for a, b in np.ndindex(4, 4):
        carried = unitary @ np.kron(_PAULIS[b], _PAULIS[a]) @ unitary.conj().T
        overlaps = [
            [abs(np.trace(np.kron(second, first) @ carried)) for second in _PAULIS]
            for first in _PAULIS
        ]
        behind[:, a, b] = np.unravel_index(np.argmax(overlaps), (4, 4))
    return behind
