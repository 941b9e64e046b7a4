"""The survival of each parity on sampled Pauli paths, inverted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from qmend import metrics
from qmend.datasets.circuits import CircuitBatch
from qmend.mitigation.base import BASELINES, Mitigator
from qmend.mitigation.baselines.readout_inversion import undo_readout
from qmend.mitigation.baselines.survival import LEAST_SURVIVAL, refine_rates
from qmend.mitigation.simplex import project_to_simplex
from qmend.types import FloatArray
from qmend.walsh import walsh_hadamard

if TYPE_CHECKING:
    from qmend.datasets.table import LabelledCircuits

#: Features of a parity that the three fitted numbers weigh.
_WEIGHED = ("ended_rate", "ended_idle_rate", "two_qubit_gates")
#: Training circuits of each number of qubits that a fit looks at; a few numbers need no more.
_FITTED = 4000

#: (parities, features, numbers) -> parities, see :func:`fit_parities`.
ParityMap = Callable[[FloatArray, FloatArray, FloatArray], FloatArray]


@BASELINES.register("path_inversion")
class PathInversion(Mitigator):
    """Invert readout error, then divide each parity by its survival.

    y_s = f_s <Z_s>,   f_s = exp(-(a gates_s + b idle_s + c CX_s)),

    where gates_s and idle_s are the losses that the calibration predicts on the sampled Pauli
    paths of parity s, and CX_s the two-qubit gates that act on it (see
    :mod:`qmend.noise.paths`). The first two are averages over the paths that end without X or Y on
    the initial state, which alone add to <Z_s>. a, b, c >= 0 minimise the mean L1 error of
    the mitigated training circuits, from the least-squares fit of their measured parities. Before
    the fit a = 1 and b = c = 0: the calibration's gate errors alone.
    """

    name = "path_inversion"
    parameters = 3

    def __init__(self) -> None:
        self.rates: FloatArray = np.array([1.0, 0.0, 0.0])

    def fit(self, *train: LabelledCircuits) -> Mitigator:
        def forward(true: FloatArray, losses: FloatArray, rates: FloatArray) -> FloatArray:
            noisy: FloatArray = np.exp(-losses @ rates) * true
            return noisy

        self.rates = fit_parities(train, _losses, forward, _invert, self.rates)
        return self

    def mitigate(self, circuits: CircuitBatch) -> FloatArray:
        seen = measured_parities(circuits)
        return to_distributions(_invert(seen, _losses(circuits), self.rates))


def _losses(circuits: CircuitBatch) -> FloatArray:
    return path_losses(circuits, _WEIGHED)


def _invert(seen: FloatArray, losses: FloatArray, rates: FloatArray) -> FloatArray:
    inverted: FloatArray = seen / np.maximum(np.exp(-losses @ rates), LEAST_SURVIVAL)
    return inverted


def path_losses(circuits: CircuitBatch, names: Sequence[str]) -> FloatArray:
    """(N, 2^m, len(names)) features of each parity, by their names in ``noise.paths``."""
    from qmend.noise.paths import FEATURES, path_features

    columns = [FEATURES.index(name) for name in names]
    losses = np.zeros((len(circuits), 2**circuits.n_measured, len(names)))
    for k, chain in enumerate(circuits.chains):
        rows = np.flatnonzero(circuits.calibration_index == k)
        if len(rows):
            table, measured = circuits.instructions.select(rows), circuits.positions[rows]
            features = path_features(table, *chain, measured=measured)
            losses[rows] = features[:, :, columns]
    return losses


def measured_parities(circuits: CircuitBatch) -> FloatArray:
    """Compute the measured <Z_s> (N, 2^m) with the readout error undone."""
    return walsh_hadamard(undo_readout(circuits, circuits.noisy))


def to_distributions(parities: FloatArray) -> FloatArray:
    """(N, 2^m) the distributions nearest to those with such parities."""
    return project_to_simplex(walsh_hadamard(parities) / parities.shape[1])


def fit_parities(
    train: Sequence[LabelledCircuits],
    features: Callable[[CircuitBatch], FloatArray],
    forward: ParityMap,
    inverse: ParityMap,
    start: FloatArray,
    upper: Sequence[float | None] | None = None,
) -> FloatArray:
    """Fit numbers >= 0 of a noise model of parities to training circuits.

    They minimise the mean L1 error of the mitigated circuits, from the least-squares fit of the
    measured parities.

    Args:
        train: the circuits of each size.
        features: circuits -> (N, 2^m, K) of each parity, such as its losses.
        forward: (true parities, features, numbers) -> the noisy ones.
        inverse: (measured parities, features, numbers) -> the true ones.
        start: numbers of the least-squares fit's start.
        upper: greatest value of each number, None where there is none; None: of all.
    """
    from scipy.optimize import least_squares

    parts = []
    for part in train:
        count = len(part)
        rows = np.unique(np.linspace(0, count - 1, min(count, _FITTED)).astype(np.int64))
        circuits, ideal = part.circuits.select(rows), part.ideal[rows]
        known, seen = features(circuits), measured_parities(circuits)
        parts.append((known, seen, ideal, walsh_hadamard(ideal)))

    def residuals(numbers: FloatArray) -> FloatArray:
        left = [forward(true, known, numbers) - seen for known, seen, _, true in parts]
        return np.concatenate([each.reshape(-1) for each in left])

    def error(numbers: FloatArray) -> float:
        errors = [
            metrics.l1(to_distributions(inverse(seen, known, numbers)), ideal)
            for known, seen, ideal, _ in parts
        ]
        return float(np.concatenate(errors).mean())

    most = [np.inf if value is None else value for value in upper or [None] * len(start)]
    first = least_squares(residuals, start, bounds=(0, most)).x
    return refine_rates(error, first, 1e-3, (1e-4, 1e-7), upper)
