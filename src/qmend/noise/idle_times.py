"""Times for which qubits of circuits wait, by layers of gates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qmend.circuits.instructions import InstructionTable
from qmend.gates import GATE_CODE
from qmend.noise.timed_channels import sort_stably
from qmend.types import FloatArray, IntArray


@dataclass(frozen=True)
class Schedule:
    """Circuits in layers, each as long as its longest gate; RZ takes no time.

    Attributes:
        shape: N circuits, n qubits, L layers.
        layer: (K,) of each instruction, RZ too.
        circuit, qubit, at, length: (P,) of each other gate on each of its qubits: circuit, qubit,
            layer and length (us).
        start: (N, L + 1) of each layer, us.
    """

    shape: tuple[int, int, int]
    layer: IntArray
    circuit: IntArray
    qubit: IntArray
    at: IntArray
    length: FloatArray
    start: FloatArray

    @staticmethod
    def of(table: InstructionTable, lengths: FloatArray) -> Schedule:
        """Lay out circuits by (gates, n, n + 1) lengths, the last column without second qubit."""
        layer = table.layers(virtual=("rz",))
        gate = np.flatnonzero(table.gate != GATE_CODE["rz"])
        pair = gate[table.second[gate] >= 0]
        qubit = np.concatenate([table.first[gate], table.second[pair]])
        gate = np.concatenate([gate, pair])
        circuit, at = table.circuit_index[gate], layer[gate]
        length = lengths[table.gate[gate], table.first[gate], table.second[gate]]
        duration = np.zeros((len(table), int(at.max(initial=-1)) + 1))
        np.maximum.at(duration, (circuit, at), length)
        start = np.concatenate([np.zeros((len(table), 1)), np.cumsum(duration, axis=1)], axis=1)
        shape = len(table), table.n_qubits, duration.shape[1]
        return Schedule(shape, layer, circuit, qubit, at, length, start)

    def waits(self) -> tuple[IntArray, IntArray, IntArray, FloatArray]:
        """List times (us) before each gate and the end: circuit, qubit, layer of the gate, time."""
        circuits, n, depth = self.shape
        # A last, empty gate of every qubit at the end of its circuit.
        circuit = np.concatenate([self.circuit, np.repeat(np.arange(circuits), n)])
        qubit = np.concatenate([self.qubit, np.tile(np.arange(n), circuits)])
        at = np.concatenate([self.at, np.full(circuits * n, depth)])
        length = np.concatenate([self.length, np.zeros(circuits * n)])
        order = sort_stably(circuit, qubit, at)
        circuit, qubit, at = circuit[order], qubit[order], at[order]
        begin = self.start[circuit, at]
        end = np.roll(begin + length[order], 1)
        first = np.ones(len(order), dtype=bool)
        first[1:] = (circuit[1:] != circuit[:-1]) | (qubit[1:] != qubit[:-1])
        return circuit, qubit, at, np.where(first, begin, begin - end)

    def waits_by_layer(self) -> tuple[IntArray, IntArray, IntArray, FloatArray]:
        """List waits within layers, also after a shorter gate: circuit, qubit, layer, time (us)."""
        busy = np.zeros(self.shape)
        busy[self.circuit, self.qubit, self.at] = self.length
        waits = np.diff(self.start, axis=1)[:, None, :] - busy
        circuit, qubit, at = np.nonzero(waits > 1e-12)
        return circuit, qubit, at, waits[circuit, qubit, at]

    def common_waits(self, pairs: IntArray) -> tuple[IntArray, IntArray, IntArray, FloatArray]:
        """List layers without a gate on a pair: circuit, row of ``pairs``, layer, time (us)."""
        busy = np.zeros(self.shape, dtype=bool)
        busy[self.circuit, self.qubit, self.at] = True
        duration = np.diff(self.start, axis=1)
        free = ~busy[:, pairs].any(axis=2) & (duration > 0)[:, None]
        circuit, at, pair = np.nonzero(free.transpose(0, 2, 1))
        return circuit, pair, at, duration[circuit, at]
