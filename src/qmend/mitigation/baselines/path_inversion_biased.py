"""The survival of each parity on sampled Pauli paths, inverted towards a state near |0...0>."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from qmend.datasets.circuits import CircuitBatch
from qmend.mitigation.base import BASELINES, Mitigator
from qmend.mitigation.baselines.path_inversion import (
    PathInversion,
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
    Before the fit a = 1, the others are 0.
    """

    name = "path_inversion_biased"
    parameters = 5
    calibration_values = PathInversion.calibration_values

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
    return path_losses(circuits, _WEIGHED)


def _decay(true: FloatArray, losses: FloatArray, numbers: FloatArray) -> FloatArray:
    survival, decayed = _channel(losses, numbers)
    noisy: FloatArray = decayed + survival * (true - decayed)
    return noisy


def _invert(seen: FloatArray, losses: FloatArray, numbers: FloatArray) -> FloatArray:
    survival, decayed = _channel(losses, numbers)
    inverted: FloatArray = decayed + (seen - decayed) / np.maximum(survival, LEAST_SURVIVAL)
    return inverted


def _channel(losses: FloatArray, numbers: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Compute each parity's survival and its value in the decayed state."""
    decayed = numbers[-1] ** losses[:, :, _WEIGHED.index("weight")]
    return np.exp(-losses @ numbers[:-1]), decayed
