"""Readout error undone by iterative Bayesian unfolding."""

from __future__ import annotations

import numpy as np

from qmend.datasets.circuits import CircuitBatch, measured_readout
from qmend.mitigation.base import BASELINES, Mitigator
from qmend.noise.readout import apply_readout
from qmend.types import FloatArray

#: More follow the shot noise of a measurement ever closer.
ITERATIONS = 10


@BASELINES.register("bayesian_unfolding")
class BayesianUnfolding(Mitigator):
    """Unfold each qubit's readout error, as :func:`unfold`, in :data:`ITERATIONS` steps.

    The result is a distribution, without a projection. Nachman, Urbanek, de Jong, Bauer, npj
    Quantum Information 6, 84 (2020).
    """

    name = "bayesian_unfolding"
    calibration_values = ("readout_error",)

    def mitigate(self, circuits: CircuitBatch) -> FloatArray:
        return unfold(circuits.noisy, measured_readout(circuits))


def unfold(noisy: FloatArray, response: FloatArray, iterations: int = ITERATIONS) -> FloatArray:
    """Unfold measured distributions by iterations of Bayes' theorem.

    t'(x) = t(x) sum_y R(y|x) m(y) / (R t)(y) from the uniform t, with measured m: Richardson
    and Lucy's deconvolution. It climbs the likelihood of the measured outcomes, and t stays a
    distribution. R = 1 gives m itself.

    Args:
        noisy: (N, 2^b) m.
        response: (N, b, 2, 2) column-stochastic matrices of each bit, whose product is R.
        iterations: at least 1.
    """
    transposed = np.swapaxes(response, -1, -2)
    unfolded = np.full_like(noisy, 1.0 / noisy.shape[1])
    for _ in range(iterations):
        predicted = apply_readout(unfolded, response)
        # Outcomes that t does not predict were not measured either.
        ratio = np.divide(noisy, predicted, out=np.zeros_like(noisy), where=predicted > 0)
        unfolded = unfolded * apply_readout(ratio, transposed)
    normalised: FloatArray = unfolded / unfolded.sum(axis=1, keepdims=True)
    return normalised
