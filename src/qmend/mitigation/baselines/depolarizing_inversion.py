"""Global depolarizing noise, fitted to training circuits and inverted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from qmend import metrics
from qmend.datasets.circuits import CircuitBatch
from qmend.gates import TWO_QUBIT
from qmend.mitigation.base import BASELINES, Mitigator
from qmend.mitigation.baselines.survival import undo_depolarizing
from qmend.types import FloatArray, QmendError

if TYPE_CHECKING:
    from qmend.datasets.table import LabelledCircuits


@BASELINES.register("depolarizing_inversion")
class DepolarizingInversion(Mitigator):
    """Invert global depolarizing noise of three fitted numbers.

    noisy = s ideal + (1 - s) uniform with s = exp(-(a + b CX + c SX)) and the counts of
    two-qubit and SX (and X) gates. The numbers minimise the mean L1 error of the mitigated training
    circuits, from a least-squares start.
    """

    name = "depolarizing_inversion"
    parameters = 3

    def __init__(self) -> None:
        self.rates: FloatArray | None = None

    def fit(self, train: LabelledCircuits) -> Mitigator:
        from scipy.optimize import minimize

        counts = _gate_counts(train.circuits)
        uniform = 1.0 / train.ideal.shape[1]
        signal, seen = train.ideal - uniform, train.circuits.noisy - uniform
        weight = (signal**2).sum(axis=1)
        informative = weight > 1e-12
        survival = np.clip(
            (signal * seen).sum(axis=1)[informative] / weight[informative], 0.01, 1.0
        )
        start = np.linalg.lstsq(counts[informative], -np.log(survival), rcond=None)[0]

        def error(rates: FloatArray) -> float:
            mitigated = _invert(train.circuits.noisy, counts, rates)
            return float(metrics.l1(mitigated, train.ideal).mean())

        # Nelder-Mead's own first simplex is useless for values near zero: 20 % steps instead.
        simplex = np.vstack([start, start + np.diag(0.2 * np.abs(start) + 1e-4)])
        fit_result = minimize(
            error, start, method="Nelder-Mead", options={"initial_simplex": simplex, "xatol": 1e-6}
        )
        self.rates = fit_result.x
        return self

    def mitigate(self, circuits: CircuitBatch) -> FloatArray:
        if self.rates is None:
            raise QmendError("The depolarizing inversion must be fitted to training data first.")
        return _invert(circuits.noisy, _gate_counts(circuits), self.rates)


def _gate_counts(circuits: CircuitBatch) -> FloatArray:
    table = circuits.instructions
    two, one = table.count(*TWO_QUBIT), table.count("sx", "x")
    return np.stack([np.ones(len(table)), two, one], axis=1)


def _invert(noisy: FloatArray, counts: FloatArray, rates: FloatArray) -> FloatArray:
    return undo_depolarizing(noisy, np.exp(-counts @ rates))
