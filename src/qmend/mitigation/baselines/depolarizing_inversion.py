"""Global depolarizing noise, fitted to training circuits and inverted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from qmend import metrics
from qmend.datasets.circuits import CircuitBatch
from qmend.gates import TWO_QUBIT
from qmend.mitigation.base import BASELINES, Mitigator
from qmend.mitigation.baselines.survival import refine_rates, undo_depolarizing
from qmend.types import FloatArray, QmendError

if TYPE_CHECKING:
    from qmend.datasets.table import LabelledCircuits


@BASELINES.register("depolarizing_inversion")
class DepolarizingInversion(Mitigator):
    """Invert global depolarizing noise of three fitted numbers.

    noisy = s ideal + (1 - s) uniform with s = exp(-(a + b CX + c SX)) and the counts of
    two-qubit and SX (and X) gates. The numbers a, b, c >= 0 minimise the mean L1 error of the
    mitigated training circuits, from a least-squares start.
    """

    name = "depolarizing_inversion"
    parameters = 3

    def __init__(self) -> None:
        self.rates: FloatArray | None = None

    def fit(self, *train: LabelledCircuits) -> Mitigator:
        from scipy.optimize import lsq_linear

        counts = [_gate_counts(part.circuits) for part in train]
        regressors, losses = [], []
        for part, count in zip(train, counts, strict=True):
            uniform = 1.0 / part.ideal.shape[1]
            signal, seen = part.ideal - uniform, part.circuits.noisy - uniform
            weight = (signal**2).sum(axis=1)
            informative = weight > 1e-12
            survival = (signal * seen).sum(axis=1)[informative] / weight[informative]
            regressors.append(count[informative])
            losses.append(-np.log(np.clip(survival, 0.01, 1.0)))
        rows, lost = np.concatenate(regressors), np.concatenate(losses)
        start = lsq_linear(rows, lost, bounds=(0, np.inf)).x if len(rows) else np.zeros(3)

        def error(rates: FloatArray) -> float:
            errors = [
                metrics.l1(_invert(part.circuits.noisy, count, rates), part.ideal)
                for part, count in zip(train, counts, strict=True)
            ]
            return float(np.concatenate(errors).mean())

        self.rates = refine_rates(error, start, 1e-4, (1e-6, 1e-4))
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
