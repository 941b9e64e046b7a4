"""The survival of each parity on sampled Pauli paths, inverted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from qmend import metrics
from qmend.datasets.circuits import CircuitBatch
from qmend.mitigation.base import BASELINES, Mitigator
from qmend.mitigation.baselines.readout_inversion import undo_readout
from qmend.mitigation.baselines.survival import LEAST_SURVIVAL
from qmend.mitigation.simplex import project_to_simplex
from qmend.types import FloatArray
from qmend.walsh import walsh_hadamard

if TYPE_CHECKING:
    from qmend.datasets.table import LabelledCircuits

#: Features of a parity that the three fitted numbers weigh.
_WEIGHED = ("survival_rate", "idle_rate", "two_qubit_gates")
#: Training circuits that the fit looks at; three numbers need no more.
_FITTED = 4000


@BASELINES.register("path_inversion")
class PathInversion(Mitigator):
    """Invert readout error, then divide each parity by its survival.

    y_s = f_s <Z_s>,   f_s = exp(-(a gates_s + b idle_s + c CX_s)),

    where gates_s and idle_s are the losses that the calibration predicts on the sampled Pauli
    paths of parity s, and CX_s the two-qubit gates that act on it (see
    :mod:`qmend.noise.paths`): nothing is simulated. a, b, c >= 0 minimise the mean L1 error of
    the mitigated training circuits, from the least-squares fit of their measured parities. Before
    the fit a = 1 and b = c = 0: the calibration's gate errors alone.
    """

    name = "path_inversion"
    parameters = 3

    def __init__(self) -> None:
        self.rates: FloatArray = np.array([1.0, 0.0, 0.0])

    def fit(self, train: LabelledCircuits) -> Mitigator:
        from scipy.optimize import least_squares, minimize

        count = len(train.circuits)
        rows = np.unique(np.linspace(0, count - 1, min(count, _FITTED)).astype(np.int64))
        circuits, ideal = train.circuits.select(rows), train.ideal[rows]
        losses, seen, true = _losses(circuits), _parities(circuits), walsh_hadamard(ideal)

        def residuals(rates: FloatArray) -> FloatArray:
            left: FloatArray = (np.exp(-losses @ rates) * true - seen).reshape(-1)
            return left

        start = least_squares(residuals, self.rates, bounds=(0, np.inf)).x

        def error(rates: FloatArray) -> float:
            return float(metrics.l1(_invert(seen, losses, rates), ideal).mean())

        simplex = np.vstack([start, start + np.diag(0.2 * start + 1e-3)])
        fit_result = minimize(
            error,
            start,
            method="Nelder-Mead",
            bounds=[(0, None)] * 3,
            options={"initial_simplex": simplex, "xatol": 1e-4, "fatol": 1e-7},
        )
        self.rates = fit_result.x
        return self

    def mitigate(self, circuits: CircuitBatch) -> FloatArray:
        return _invert(_parities(circuits), _losses(circuits), self.rates)


def _losses(circuits: CircuitBatch) -> FloatArray:
    """Return the features that the numbers weigh, (N, 2^n, 3)."""
    from qmend.noise.paths import FEATURES, path_features

    columns = [FEATURES.index(name) for name in _WEIGHED]
    losses = np.zeros((len(circuits), 2**circuits.n_qubits, len(_WEIGHED)))
    for k, chain in enumerate(circuits.chains):
        rows = np.flatnonzero(circuits.calibration_index == k)
        if len(rows):
            features = path_features(circuits.instructions.select(rows), *chain)
            losses[rows] = features[:, :, columns]
    return losses


def _parities(circuits: CircuitBatch) -> FloatArray:
    """Compute the measured <Z_s> (N, 2^n) with the readout error undone."""
    return walsh_hadamard(undo_readout(circuits, circuits.noisy))


def _invert(seen: FloatArray, losses: FloatArray, rates: FloatArray) -> FloatArray:
    survival = np.maximum(np.exp(-losses @ rates), LEAST_SURVIVAL)
    return project_to_simplex(walsh_hadamard(seen / survival) / seen.shape[1])
