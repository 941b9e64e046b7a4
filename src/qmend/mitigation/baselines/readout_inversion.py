"""Readout error undone by the exact inverse of its matrices."""

from __future__ import annotations

import numpy as np

from qmend.datasets.circuits import CircuitBatch
from qmend.mitigation.base import BASELINES, Mitigator
from qmend.mitigation.simplex import project_to_simplex
from qmend.noise.readout import apply_readout, readout_matrices
from qmend.types import FloatArray


@BASELINES.register("readout_inversion")
class ReadoutInversion(Mitigator):
    """Invert each qubit's readout matrix; take the nearest distribution."""

    name = "readout_inversion"
    takes_unmeasured = True

    def mitigate(self, circuits: CircuitBatch) -> FloatArray:
        return project_to_simplex(undo_readout(circuits, circuits.noisy))


def undo_readout(circuits: CircuitBatch, frequencies: FloatArray) -> FloatArray:
    """Invert the readout matrices of each circuit's calibration.

    (R_1 x ... x R_n)^-1 p with the 2x2 matrices R_q.

    Args:
        frequencies: (N, ..., 2^n) measured under the calibrations of ``circuits``.

    Returns:
        The same shape: quasi-distributions, which sum to one but may be negative.
    """
    out = np.empty_like(frequencies)
    for k, chain in enumerate(circuits.chains):
        at = circuits.calibration_index == k
        if not at.any():
            continue
        matrices = readout_matrices(*chain)
        # A qubit whose readout error is 1/2 says nothing: pseudo-inverse.
        inverse: FloatArray = np.linalg.pinv(matrices).astype(np.float64)
        out[at] = apply_readout(frequencies[at], inverse)
    return out
