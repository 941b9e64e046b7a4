"""The project's own encoding: one token an instruction, with its gate's calibration values."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qmend.datasets.circuits import CircuitBatch
from qmend.devices.calibration import Calibration
from qmend.encodings.base import ENCODINGS, Encoding, Float32, qubit_values
from qmend.gates import GATE_CODE, GATES
from qmend.types import FloatArray

#: Chain positions have a one-hot column each up to this many qubits.
MAX_QUBITS = 10

_GATE = 0
_FIRST = _GATE + len(GATES)
_SECOND = _FIRST + MAX_QUBITS
_COS, _SIN, _FROM_END = (_SECOND + MAX_QUBITS + k for k in range(3))
_ERROR, _LENGTH, _RATE_1, _RATE_2 = (_FROM_END + 1 + k for k in range(4))
#: Columns of a token; see :class:`TokenEncoding`.
TOKEN_FEATURES = _RATE_2 + 1
#: Columns of the one-hot gate codes, and of the gate error in per cent.
GATE_COLUMNS = slice(_GATE, _FIRST)
ERROR_COLUMN = _ERROR


@ENCODINGS.register("token")
class TokenEncoding(Encoding):
    """One token an instruction, in fixed physical units for all devices.

    Columns: gate (one-hot over the native gates of all supported devices); first and second
    chain position (one-hot); cos and sin of an RZ's angle; layers to the end of the circuit / 10;
    error of the gate on its qubits in per cent; its length in us; length / T1 and length / T2 in
    per cent (mean over its qubits). Context (3 n): readout error, T1 and T2 of each qubit,
    standardised on the training split.
    """

    name = "token"
    version = 1

    def tokens(self, batch: CircuitBatch) -> tuple[Float32, NDArray[np.bool_]]:
        table = batch.instructions
        circuit = table.circuit_index
        position = np.arange(len(circuit)) - table.offsets[circuit]
        width = int(table.lengths.max(initial=1))
        tokens = np.zeros((len(table), width, TOKEN_FEATURES), dtype=np.float32)
        mask = np.zeros((len(table), width), dtype=bool)
        mask[circuit, position] = True
        tokens[circuit, position, _GATE + table.gate] = 1.0
        tokens[circuit, position, _FIRST + table.first] = 1.0
        two = table.second >= 0
        tokens[circuit[two], position[two], _SECOND + table.second[two]] = 1.0
        is_rz = table.gate == GATE_CODE["rz"]
        tokens[circuit, position, _COS] = np.where(is_rz, np.cos(table.angle), 0.0)
        tokens[circuit, position, _SIN] = np.where(is_rz, np.sin(table.angle), 0.0)
        tokens[circuit, position, _FROM_END] = (table.depth()[circuit] - table.layers()) / 10.0
        lookup = np.stack([_gate_values(*chain) for chain in batch.chains])
        which = batch.calibration_index[circuit]
        tokens[circuit, position, _ERROR:] = lookup[which, table.gate, table.first, table.second]
        return tokens, mask

    def context(self, calibration: Calibration, layout: tuple[int, ...]) -> FloatArray:
        return qubit_values(calibration, layout).reshape(-1)


def _gate_values(calibration: Calibration, layout: tuple[int, ...]) -> FloatArray:
    """Tabulate the last four columns by gate and chain positions.

    (gates, n, n + 1, 4) error (%), length (us), length / T1 (%), length / T2 (%); 0 where there is
    no gate. One-qubit gates have the last second position.
    """
    n = len(layout)
    position = {physical: k for k, physical in enumerate(layout)}
    values = np.zeros((len(GATES), n, n + 1, 4))
    for gate in calibration.gates:
        if gate.gate not in GATE_CODE or gate.gate == "rz":
            continue
        if not all(q in position for q in gate.qubits):
            continue
        length = calibration.value(gate, "length_ns") * 1e-3
        qubits = [calibration.qubit(q) for q in gate.qubits]
        rates = [
            100.0 * float(np.mean([length / calibration.value(q, field) for q in qubits]))
            for field in ("t1_us", "t2_us")
        ]
        second = position[gate.qubits[1]] if len(gate.qubits) == 2 else -1
        values[GATE_CODE[gate.gate], position[gate.qubits[0]], second] = [
            100.0 * calibration.value(gate, "error"),
            length,
            *rates,
        ]
    return values
