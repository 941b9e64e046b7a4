"""The paper's circuit encoding: an array (layers, 5, 5) and 101 calibration values."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qmend.circuits.instructions import InstructionTable
from qmend.datasets.circuits import CircuitBatch
from qmend.devices.calibration import Calibration
from qmend.devices.vector import CHAIN_LENGTH, calibration_vector
from qmend.encodings.base import ENCODINGS, Encoding, Float32
from qmend.gates import GATE_CODE, GATES
from qmend.types import AnyArray, FloatArray, IntArray, QmendError

CHANNELS = 5
_ENCODED_GATES = ("x", "sx", "rz", "cx")
#: Channel of each gate code; -1 for gates that have none.
_CHANNEL = np.array([_ENCODED_GATES.index(g) if g in _ENCODED_GATES else -1 for g in GATES])


def encode_layers(table: InstructionTable) -> tuple[AnyArray, IntArray]:
    """Encode each as-soon-as-possible layer and qubit by a 5-vector.

    X = (1,0,0,0,0); SX = (0,1,0,0,0); RZ(a) = (0,0,(a mod 2)/2,0,0) with a in units of pi;
    CX control = (0,0,0,-(1+target),0); CX target = (0,0,0,1+control,0). In one more layer at the
    end channel 4 is 1: all qubits are measured. Idle and padding are 0; RZ(0) and ID are dropped
    before layering.

    Source: arXiv 2601.14226.

    Returns:
        (N, L, n, 5) float32, and the number (N,) of each circuit's last layer.

    Raises:
        QmendError: if a circuit has a gate that the encoding has no channel for.
    """
    foreign = ~np.isin(table.gate, [GATE_CODE[g] for g in (*_ENCODED_GATES, "id")])
    if foreign.any():
        gate = GATES[table.gate[foreign][0]]
        raise QmendError(
            f"The paper's encoding has no channel for {gate!r}; use encoding=token for this device."
        )
    turns = np.mod(table.angle / np.pi, 2.0) / 2.0
    turns = np.where(turns >= 1.0, 0.0, turns)
    idle = (table.gate == GATE_CODE["id"]) | ((table.gate == GATE_CODE["rz"]) & (turns == 0.0))
    kept = _without(table, idle)
    turns = turns[~idle]
    layer, circuit = kept.layers(), kept.circuit_index
    depth = kept.depth()
    n = table.n_qubits
    out = np.zeros((len(table), int(depth.max(initial=0)) + 1, n, CHANNELS), dtype=np.float32)
    cell = (circuit * out.shape[1] + layer) * n  # flat index of (circuit, layer, qubit 0)
    value = np.where(kept.gate == GATE_CODE["rz"], turns, 1.0)
    two = kept.gate == GATE_CODE["cx"]
    control, target = kept.first[two], kept.second[two]
    value[two] = -(1.0 + target)
    flat = out.reshape(-1)
    flat[(cell + kept.first) * CHANNELS + _CHANNEL[kept.gate]] = value
    flat[(cell[two] + target) * CHANNELS + _CHANNEL[GATE_CODE["cx"]]] = 1.0 + control
    out[np.arange(len(table)), depth, :, 4] = 1.0
    return out, depth


def _without(table: InstructionTable, drop: NDArray[np.bool_]) -> InstructionTable:
    """Remove the instructions (K,) where ``drop`` is True."""
    dropped = np.bincount(table.circuit_index[drop], minlength=len(table))
    offsets = np.concatenate([[0], np.cumsum(table.lengths - dropped)])
    keep = ~drop
    return InstructionTable(
        table.n_qubits,
        offsets,
        table.gate[keep],
        table.first[keep],
        table.second[keep],
        table.angle[keep],
    )


@ENCODINGS.register("paper")
class PaperEncoding(Encoding):
    """One token a layer (25 values), and the 101-value calibration vector as context."""

    name = "paper"
    version = 1
    gates = (*_ENCODED_GATES, "id")

    def tokens(self, batch: CircuitBatch) -> tuple[Float32, NDArray[np.bool_]]:
        layers, last = encode_layers(batch.instructions)
        tokens = layers.reshape(*layers.shape[:2], -1)
        return tokens, np.arange(tokens.shape[1]) <= last[:, None]

    def context(self, calibration: Calibration, layout: tuple[int, ...]) -> FloatArray:
        if len(layout) != CHAIN_LENGTH:
            raise QmendError(
                f"The paper's encoding is defined on {CHAIN_LENGTH} qubits, not "
                f"{len(layout)}; use encoding=token."
            )
        return calibration_vector(calibration, layout)
