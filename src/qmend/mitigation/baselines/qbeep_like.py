"""Bit flips of gate errors on the Hamming graph, deconvolved."""

from __future__ import annotations

import numpy as np

from qmend.datasets.circuits import CircuitBatch, measured_readout
from qmend.mitigation.base import BASELINES, Mitigator
from qmend.mitigation.baselines.bayesian_unfolding import unfold
from qmend.mitigation.baselines.calibration_inversion import (
    CalibrationInversion,
    predicted_survival,
)
from qmend.types import FloatArray


@BASELINES.register("qbeep_like")
class QBeepLike(Mitigator):
    """Deconvolve errors that spread over the Hamming graph, as wide as gate errors say.

    A Poisson number of errors, of mean L = -log(prod_gates (1 - p)) with the depolarizing
    probability p that belongs to a gate's reported error, each flips one bit at random. A bit then
    is flipped with probability e = (1 - exp(-2 L / n)) / 2, and the Hamming distance to the
    ideal outcome is binomial. These flips and the calibration's readout error are undone together
    by :func:`~qmend.mitigation.baselines.bayesian_unfolding.unfold`, Richardson and Lucy's
    deconvolution.

    Rebuilt from the idea of Q-BEEP (Stein, Wiebe, Ding, Ang, Li, ISCA 2023), a spectrum over
    Hamming distances whose width comes from the calibration; its own update differs.
    """

    name = "qbeep_like"
    calibration_values = CalibrationInversion.calibration_values

    def mitigate(self, circuits: CircuitBatch) -> FloatArray:
        errors = -np.log(predicted_survival(circuits))
        flips = flip_matrices(errors, circuits.n_qubits)
        return unfold(circuits.noisy, measured_readout(circuits) @ flips[:, None])


def flip_matrices(errors: FloatArray, n_qubits: int) -> FloatArray:
    """(N, 2, 2) the flip of a bit under a Poisson number of errors, each on a random bit.

    Args:
        errors: (N,) their mean in each circuit.
    """
    flipped = (1 - np.exp(-2 * errors / n_qubits)) / 2
    return np.stack([1 - flipped, flipped, flipped, 1 - flipped], axis=1).reshape(-1, 2, 2)
