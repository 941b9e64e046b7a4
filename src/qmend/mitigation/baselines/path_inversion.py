"""The survival of each parity on sampled Pauli paths, inverted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

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
#: Errors of probabilities below which soft L1 turns quadratic.
_SOFT = 0.003

Features = TypeVar("Features")
#: (parities, features, numbers) -> parities, see :func:`fit_parities`.
ParityMap = Callable[[FloatArray, Features, FloatArray], FloatArray]


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
    calibration_values = (
        "readout_error",
        "t1_us",
        "t2_us",
        "one_qubit_error",
        "one_qubit_length_ns",
        "two_qubit_error",
        "two_qubit_length_ns",
    )

    def __init__(self) -> None:
        self.rates: FloatArray = np.array([1.0, 0.0, 0.0])

    def fit(self, *train: LabelledCircuits) -> Mitigator:
        self.rates = fit_parities(train, weighed_losses, damp, undamp, self.rates)
        return self

    def mitigate(self, circuits: CircuitBatch) -> FloatArray:
        seen = measured_parities(circuits)
        return to_distributions(undamp(seen, weighed_losses(circuits), self.rates))


def weighed_losses(circuits: CircuitBatch) -> FloatArray:
    """(N, 2^m, 3) losses of each parity that a, b and c weigh."""
    return path_losses(circuits, _WEIGHED)


def damp(true: FloatArray, losses: FloatArray, rates: FloatArray) -> FloatArray:
    """(N, 2^m) f_s <Z_s>: the parities that survive, in readout without error."""
    survived: FloatArray = np.exp(-losses @ rates) * true
    return survived


def undamp(survived: FloatArray, losses: FloatArray, rates: FloatArray) -> FloatArray:
    """Invert :func:`damp`, f_s taken as no less than ``LEAST_SURVIVAL``."""
    true: FloatArray = survived / np.maximum(np.exp(-losses @ rates), LEAST_SURVIVAL)
    return true


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
    features: Callable[[CircuitBatch], Features],
    forward: ParityMap[Features],
    inverse: ParityMap[Features],
    start: FloatArray,
    upper: Sequence[float | None] | None = None,
    measured: Callable[[CircuitBatch], FloatArray] = measured_parities,
    many: bool = False,
) -> FloatArray:
    """Fit numbers >= 0 of a noise model of parities to training circuits.

    They minimise the mean L1 error of the mitigated circuits, from the least-squares fit of the
    measured parities.

    Args:
        train: the circuits of each size.
        features: circuits -> what the numbers act on, such as (N, 2^m, K) losses.
        forward: (true parities, features, numbers) -> the noisy ones.
        inverse: (measured parities, features, numbers) -> the true ones.
        start: numbers of the least-squares fit's start.
        upper: greatest value of each number, None where there is none; None: of all.
        measured: circuits -> (N, 2^m) the parities that ``forward`` gives.
        many: there are more numbers than a simplex takes. Least squares of soft L1 then replace
            it: sum of w (sqrt(w^2 + d^2) - w) over the errors d of probabilities, w = .003.
    """
    from scipy.optimize import least_squares

    parts = []
    for part in train:
        count = len(part)
        rows = np.unique(np.linspace(0, count - 1, min(count, _FITTED)).astype(np.int64))
        circuits, ideal = part.circuits.select(rows), part.ideal[rows]
        known, seen = features(circuits), measured(circuits)
        parts.append((known, seen, ideal, walsh_hadamard(ideal)))

    def off_measured(numbers: FloatArray) -> FloatArray:
        off = [forward(true, known, numbers) - seen for known, seen, _, true in parts]
        return np.concatenate([each.reshape(-1) for each in off])

    def off_ideal(numbers: FloatArray) -> FloatArray:
        off = [to_distributions(inverse(seen, known, numbers)) - p for known, seen, p, _ in parts]
        return np.concatenate([each.reshape(-1) for each in off])

    def error(numbers: FloatArray) -> float:
        errors = [
            metrics.l1(to_distributions(inverse(seen, known, numbers)), ideal)
            for known, seen, ideal, _ in parts
        ]
        return float(np.concatenate(errors).mean())

    most = [np.inf if value is None else value for value in upper or [None] * len(start)]
    first = least_squares(off_measured, start, bounds=(0, most)).x
    if not many:
        return refine_rates(error, first, 1e-3, (1e-4, 1e-7), upper)
    soft = {"loss": "soft_l1", "f_scale": _SOFT, "ftol": 1e-4}
    numbers: FloatArray = least_squares(off_ideal, first, bounds=(0, most), **soft).x
    return numbers
