"""The instruction table: compiled circuits as flat arrays, many at once.

One instruction is a gate, one or two chain positions and an angle. Circuits of different
lengths are stored one after the other (compressed rows): circuit ``i`` owns the instructions
``offsets[i]:offsets[i+1]``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import cast

import numpy as np

from qmend.gates import GATE_CODE, GATES, TWO_QUBIT
from qmend.types import AnyArray, FloatArray, IntArray, QmendError, nearest

Instruction = tuple[str, int, int, float]


@dataclass(frozen=True)
class InstructionTable:
    """Compiled circuits of one register size.

    Attributes:
        n_qubits: register size; chain positions run from 0 to ``n_qubits - 1``.
        offsets: (N + 1,) start of each circuit in the flat arrays.
        gate: (K,) codes, see :data:`qmend.gates.GATES`.
        first: (K,) chain position of the gate, the control of a two-qubit gate.
        second: (K,) target of a two-qubit gate, -1 for a one-qubit gate.
        angle: (K,) angle in radians, 0 for gates without one.
    """

    n_qubits: int
    offsets: IntArray
    gate: IntArray
    first: IntArray
    second: IntArray
    angle: FloatArray

    def __post_init__(self) -> None:
        two = np.isin(self.gate, [GATE_CODE[g] for g in TWO_QUBIT])
        if len(self.gate) and (self.gate.min() < 0 or self.gate.max() >= len(GATES)):
            raise QmendError(f"The instruction table has a gate code outside 0..{len(GATES) - 1}.")
        inside = (self.first >= 0) & (self.first < self.n_qubits) & (self.second < self.n_qubits)
        if not inside.all():
            bad = int(np.flatnonzero(~inside)[0])
            raise QmendError(
                f"Instruction {bad} ({GATES[self.gate[bad]]}) acts on chain positions "
                f"({self.first[bad]}, {self.second[bad]}), but the register has only "
                f"{self.n_qubits} qubits; choose a layout that holds the circuit."
            )
        if not np.isfinite(self.angle).all():
            bad = int(np.flatnonzero(~np.isfinite(self.angle))[0])
            raise QmendError(
                f"Instruction {bad} ({GATES[self.gate[bad]]}) has the angle {self.angle[bad]}; "
                "give a finite number."
            )
        if not ((self.second >= 0) == two).all() or (self.first == self.second).any():
            raise QmendError(
                "A two-qubit gate needs two different chain positions, a one-qubit gate just one."
            )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> IntArray:
        """(N,) instructions in each circuit."""
        return np.diff(self.offsets)

    @property
    def circuit_index(self) -> IntArray:
        """(K,) the circuit that each instruction belongs to."""
        return np.repeat(np.arange(len(self)), self.lengths)

    def count(self, *gates: str) -> IntArray:
        """(N,) how many of the named gates each circuit has."""
        wanted = np.isin(self.gate, [GATE_CODE[g] for g in gates])
        return np.bincount(self.circuit_index[wanted], minlength=len(self)).astype(np.int64)

    def circuit(self, index: int) -> list[Instruction]:
        """Return the instructions of one circuit as (gate, first, second, angle)."""
        rows = slice(self.offsets[index], self.offsets[index + 1])
        return [
            (GATES[g], int(a), int(b), float(t))
            for g, a, b, t in zip(
                self.gate[rows], self.first[rows], self.second[rows], self.angle[rows], strict=True
            )
        ]

    def select(self, index: IntArray) -> InstructionTable:
        """Select circuits by ``index``, in that order."""
        lengths = self.lengths[index]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        rows = np.repeat(self.offsets[:-1][index] - offsets[:-1], lengths) + np.arange(offsets[-1])
        return InstructionTable(
            self.n_qubits,
            offsets.astype(np.int64),
            self.gate[rows],
            self.first[rows],
            self.second[rows],
            self.angle[rows],
        )

    def layers(self, virtual: tuple[str, ...] = ()) -> IntArray:
        """(K,) as-soon-as-possible layer of each instruction, from 0.

        An instruction is in the first layer in which all its qubits are free; every gate,
        RZ too, fills one layer.

        Args:
            virtual: gates that take no time: they are in the layer of the gate that follows on
                their qubit, and fill none.
        """
        lasting = np.array([gate not in virtual for gate in GATES])[self.gate]
        layer = np.empty(len(self.gate), dtype=np.int64)
        _compiled_filler()(self.n_qubits, self.offsets, self.first, self.second, lasting, layer)
        return layer

    def depth(self) -> IntArray:
        """(N,) number of layers of each circuit."""
        depth = np.zeros(len(self), dtype=np.int64)
        np.maximum.at(depth, self.circuit_index, self.layers() + 1)
        return depth

    @staticmethod
    def from_circuits(n_qubits: int, circuits: Iterable[Sequence[Instruction]]) -> InstructionTable:
        """Build the table from lists of (gate, first, second, angle).

        Raises:
            QmendError: if a gate is not native to any supported processor.
        """
        flat: list[Instruction] = []
        offsets = [0]
        for circuit in circuits:
            flat.extend(circuit)
            offsets.append(len(flat))
        unknown = {gate for gate, *_ in flat} - set(GATES)
        if unknown:
            gate = sorted(unknown)[0]
            raise QmendError(
                f"Gate {gate!r} is outside the native set; compile the circuit for the device "
                f"first. {nearest(gate, GATES)}"
            )
        return InstructionTable(
            n_qubits,
            np.array(offsets, dtype=np.int64),
            np.array([GATE_CODE[g] for g, *_ in flat], dtype=np.int64),
            np.array([a for _, a, _, _ in flat], dtype=np.int64),
            np.array([b for _, _, b, _ in flat], dtype=np.int64),
            np.array([t for *_, t in flat], dtype=np.float64),
        )

    @staticmethod
    def joined(tables: Sequence[InstructionTable]) -> InstructionTable:
        """Join tables of one register size, the circuits one after the other."""
        names = ("gate", "first", "second", "angle")
        columns = [np.concatenate([getattr(table, name) for table in tables]) for name in names]
        lengths = np.concatenate([table.lengths for table in tables])
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        return InstructionTable(tables[0].n_qubits, offsets, *columns)

    def circuit_ids(self, measured: IntArray | None = None) -> list[str]:
        """SHA-256 (first 32 hex digits) of each circuit's instructions and measurement order.

        Args:
            measured: (N, n_bits) chain position behind each classical bit; None: every qubit in
                chain order. Circuits of one such id are the same one, whatever they measure.
        """
        if measured is None:
            measured = np.tile(np.arange(self.n_qubits), (len(self), 1))
        records = np.zeros(
            len(self.gate), dtype=[("g", "<i2"), ("a", "<i2"), ("b", "<i2"), ("t", "<f8")]
        )
        records["g"], records["a"], records["b"] = self.gate, self.first, self.second
        records["t"] = self.angle
        body = records.tobytes()
        size = records.dtype.itemsize
        ids = []
        for i in range(len(self)):
            head = np.concatenate([[self.n_qubits], measured[i]]).astype("<i2").tobytes()
            part = body[self.offsets[i] * size : self.offsets[i + 1] * size]
            ids.append(hashlib.sha256(head + part).hexdigest()[:32])
        return ids


def _layers_one_by_one(
    n_qubits: int,
    offsets: IntArray,
    first: IntArray,
    second: IntArray,
    lasting: AnyArray,
    layer: IntArray,
) -> None:
    """Fill ``layer`` (K,); see :meth:`InstructionTable.layers`."""
    level = np.empty(n_qubits, dtype=np.int64)  # first free layer of each qubit
    for circuit in range(len(offsets) - 1):
        level[:] = 0
        for k in range(offsets[circuit], offsets[circuit + 1]):
            a, b = first[k], second[k]
            at = level[a] if b < 0 else max(level[a], level[b])
            layer[k] = at
            level[a] = at + lasting[k]
            if b >= 0:
                level[b] = at + lasting[k]


@cache
def _compiled_filler() -> Callable[..., None]:
    """Compile :func:`_layers_one_by_one`; a config needs no compiler, and numba loads slowly."""
    import numba

    return cast("Callable[..., None]", numba.njit(cache=True, nogil=True)(_layers_one_by_one))
