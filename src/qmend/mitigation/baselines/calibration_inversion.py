"""The calibration's own prediction of the noise, inverted without any learning."""

from __future__ import annotations

import numpy as np

from qmend.datasets.circuits import CircuitBatch
from qmend.devices.calibration import Calibration
from qmend.gates import GATE_CODE, GATES
from qmend.mitigation.base import BASELINES, Mitigator
from qmend.mitigation.baselines.readout_inversion import undo_readout
from qmend.mitigation.baselines.survival import LEAST_SURVIVAL, undo_depolarizing
from qmend.types import FloatArray


@BASELINES.register("calibration_inversion")
class CalibrationInversion(Mitigator):
    """Invert readout error and the global depolarizing noise that gate errors predict.

    s = prod_gates (1 - p),   p = e d / (d - 1),

    where p is the depolarizing probability of a gate on d = 2 or 4 dimensions whose reported
    average error is e (Magesan, Gambetta, Emerson, Phys. Rev. Lett. 106, 180504 (2011)). RZ is
    virtual and has none; idle time is left out, since calibrations have no schedule.
    """

    name = "calibration_inversion"
    calibration_values = ("readout_error", "one_qubit_error", "two_qubit_error")

    def mitigate(self, circuits: CircuitBatch) -> FloatArray:
        return undo_depolarizing(
            undo_readout(circuits, circuits.noisy), predicted_survival(circuits)
        )


def predicted_survival(circuits: CircuitBatch) -> FloatArray:
    """Multiply 1 - p over the gates of each circuit (N,).

    Raises:
        QmendError: if the calibration lacks a gate of a circuit or its error.
    """
    table = circuits.instructions
    at = np.flatnonzero(table.gate != GATE_CODE["rz"])
    owner = table.circuit_index[at]
    columns = (circuits.calibration_index[owner], table.gate[at], table.first[at], table.second[at])
    kinds, which = np.unique(np.stack(columns, axis=1), axis=0, return_inverse=True)
    kept = [
        _gate_survival(circuits.calibrations[k], circuits.layouts[k], GATES[gate], (first, second))
        for k, gate, first, second in kinds.tolist()
    ]
    logarithms = np.log(np.array(kept, dtype=np.float64))
    total = np.bincount(owner, logarithms[which.reshape(-1)], minlength=len(table))
    survival: FloatArray = np.exp(total)
    return survival


def _gate_survival(
    calibration: Calibration, layout: tuple[int, ...], gate: str, positions: tuple[int, int]
) -> float:
    qubits = [layout[q] for q in positions if q >= 0]
    error = calibration.value(calibration.gate(gate, qubits), "error")
    d = 1 << len(qubits)
    return max(1 - error * d / (d - 1), LEAST_SURVIVAL)
