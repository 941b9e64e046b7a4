"""Readout error: each qubit's outcome flips with its own probabilities, independently."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qmend.devices.calibration import Calibration
from qmend.types import FloatArray


def readout_matrices(calibration: Calibration, layout: Sequence[int]) -> FloatArray:
    """(n, 2, 2) column-stochastic matrices M[measured, prepared] in chain order.

    The reported readout error e is taken as symmetric, as Aer's device model does.

    Raises:
        QmendError: if a qubit's readout error is missing.
    """
    errors = [calibration.value(calibration.qubit(q), "readout_error") for q in layout]
    return np.array([[[1 - e, e], [e, 1 - e]] for e in errors])


def asymmetric_readout_matrices(calibration: Calibration, layout: Sequence[int]) -> FloatArray:
    """(n, 2, 2) matrices as of :func:`readout_matrices`, with P(1|0) and P(0|1) apart.

    Raises:
        QmendError: if a qubit has no value of the two.
    """
    qubits = [calibration.qubit(q) for q in layout]
    up = np.array([calibration.value(q, "prob_meas1_prep0") for q in qubits])
    down = np.array([calibration.value(q, "prob_meas0_prep1") for q in qubits])
    return np.stack([np.stack([1 - up, down], -1), np.stack([up, 1 - down], -1)], axis=1)


def apply_readout(probabilities: FloatArray, matrices: FloatArray) -> FloatArray:
    """Apply one 2x2 matrix to each bit of distributions.

    Args:
        probabilities: (..., 2^n) with bit k of the index the qubit k.
        matrices: (n, 2, 2), or (..., n, 2, 2) with matrices of each distribution's own; their
            inverses undo the error.
    """
    out = probabilities
    for qubit in range(matrices.shape[-3]):
        # Sums of products rather than a matrix product, whose rounding depends on the batch.
        split = out.reshape(*out.shape[:-1], -1, 2, 2**qubit)
        zero, one = split[..., 0, :], split[..., 1, :]
        entry = matrices[..., qubit, :, :, None, None]
        rows = [entry[..., k, 0, :, :] * zero + entry[..., k, 1, :, :] * one for k in (0, 1)]
        out = np.stack(rows, axis=-2).reshape(probabilities.shape)
    return out
