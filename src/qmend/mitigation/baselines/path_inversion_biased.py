"""The survival of each parity on sampled Pauli paths, inverted towards a state near |0...0>."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from qmend.datasets.circuits import CircuitBatch
from qmend.mitigation.base import BASELINES, Mitigator
from qmend.mitigation.baselines.path_inversion import (
    fit_parities,
    measured_parities,
    path_losses,
    to_distributions,
)
from qmend.mitigation.baselines.survival import LEAST_SURVIVAL
from qmend.types import FloatArray

if TYPE_CHECKING:
    from qmend.datasets.table import LabelledCircuits

#: The losses of a parity that the first four fitted numbers weigh, and its number of qubits.
_WEIGHED = ("ended_rate", "ended_idle_rate", "two_qubit_gates", "weight")


@BASELINES.register("path_inversion_biased")
class PathInversionBiased(Mitigator):
    """Invert losses of parities towards a product state that leans to |0>.

    y_s = f_s <Z_s> + (1 - f_s) z^|s|,   f_s = exp(-(a gates_s + b idle_s + c CX_s + d |s|)),

    with the losses of :class:`~qmend.mitigation.baselines.path_inversion.PathInversion`. What
    is lost decays to a product state with <Z> = z on each qubit, as relaxation does, in place of
    the uniform distribution (z = 0). d is a loss per measured qubit, beyond the readout error of
    the calibration, which is undone first. a, b, c, d >= 0 and 0 <= z <= 1 are fitted as there.
    Before the fit a = 1, the others are 0. Parities of qubits that were not measured stay 0.
    """

    name = "path_inversion_biased"
    takes_unmeasured = True
    parameters = 5

    def __init__(self) -> None:
        self.numbers: FloatArray = np.array([1.0, 0.0, 0.0, 0.0, 0.0])

    def fit(self, *train: LabelledCircuits) -> Mitigator:
        upper = (None, None, None, None, 1.0)
        self.numbers = fit_parities(train, _features, _decay, _invert, self.numbers, upper)
        return self

    def mitigate(self, circuits: CircuitBatch) -> FloatArray:
        seen = measured_parities(circuits)
        return to_distributions(_invert(seen, _features(circuits), self.numbers))


def _features(circuits: CircuitBatch) -> FloatArray:
    """(N, 2^n, 5) losses of each parity, then whether all its qubits were measured."""
    qubits = (np.arange(2**circuits.n_qubits)[:, None] >> np.arange(circuits.n_qubits)) & 1
    measured = (circuits.unmeasured @ qubits.T == 0)[:, :, None]
    return np.concatenate([path_losses(circuits, _WEIGHED), measured], axis=2)


def _decay(true: FloatArray, features: FloatArray, numbers: FloatArray) -> FloatArray:
    survival, decayed, measured = _channel(features, numbers)
    noisy: FloatArray = measured * (decayed + survival * (true - decayed))
    return noisy


def _invert(seen: FloatArray, features: FloatArray, numbers: FloatArray) -> FloatArray:
    survival, decayed, measured = _channel(features, numbers)
    least = np.maximum(survival, LEAST_SURVIVAL)
    inverted: FloatArray = measured * (decayed + (seen - decayed) / least)
    return inverted


def _channel(
    features: FloatArray, numbers: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Compute each parity's survival and its value in the decayed state; tell the measured."""
    losses, measured = features[:, :, :-1], features[:, :, -1]
    decayed = numbers[-1] ** losses[:, :, _WEIGHED.index("weight")]
    return np.exp(-losses @ numbers[:-1]), decayed, measured
