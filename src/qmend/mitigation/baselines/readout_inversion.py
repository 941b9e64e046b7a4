"""Readout error undone by the exact inverse of its matrices."""

from __future__ import annotations

import numpy as np

from qmend.datasets.circuits import CircuitBatch, measured_readout
from qmend.mitigation.base import BASELINES, Mitigator
from qmend.mitigation.simplex import project_to_simplex
from qmend.noise.readout import apply_readout
from qmend.types import FloatArray


@BASELINES.register("readout_inversion")
class ReadoutInversion(Mitigator):
    """Invert each qubit's readout matrix; take the nearest distribution."""

    name = "readout_inversion"
    calibration_values = ("readout_error",)

    def mitigate(self, circuits: CircuitBatch) -> FloatArray:
        return project_to_simplex(undo_readout(circuits, circuits.noisy))


def undo_readout(circuits: CircuitBatch, frequencies: FloatArray) -> FloatArray:
    """Invert the readout matrices of each circuit's calibration.

    (R_1 x ... x R_m)^-1 p with the 2x2 matrices R_q of the measured qubits.

    Args:
        frequencies: (N, ..., 2^m) measured under the calibrations of ``circuits``.

    Returns:
        The same shape: quasi-distributions, which sum to one but may be negative.
    """
    # A qubit whose readout error is 1/2 says nothing: pseudo-inverse.
    inverse: FloatArray = np.linalg.pinv(measured_readout(circuits)).astype(np.float64)
    between = (1,) * (frequencies.ndim - 2)
    return apply_readout(frequencies, inverse.reshape(len(inverse), *between, *inverse.shape[1:]))
