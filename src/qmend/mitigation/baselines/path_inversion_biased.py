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
_WEIGHED = ("survival_rate", "idle_rate", "two_qubit_gates", "weight")


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

    def __init__(self) -> None:
        self.numbers: FloatArray = np.array([1.0, 0.0, 0.0, 0.0, 0.0])

    def fit(self, *train: LabelledCircuits) -> Mitigator:
        upper = (None, None, None, None, 1.0)
        self.numbers = fit_parities(train, _WEIGHED, _decay, _invert, self.numbers, upper)
        return self

    def mitigate(self, circuits: CircuitBatch) -> FloatArray:
        losses = path_losses(circuits, _WEIGHED)
        return to_distributions(_invert(measured_parities(circuits), losses, self.numbers))


def _decay(true: FloatArray, losses: FloatArray, numbers: FloatArray) -> FloatArray:
    survival, decayed = _survival(losses, numbers), _decayed(losses, numbers)
    noisy: FloatArray = decayed + survival * (true - decayed)
    return noisy


def _invert(seen: FloatArray, losses: FloatArray, numbers: FloatArray) -> FloatArray:
    survival, decayed = _survival(losses, numbers), _decayed(losses, numbers)
    inverted: FloatArray = decayed + (seen - decayed) / np.maximum(survival, LEAST_SURVIVAL)
    return inverted


def _survival(losses: FloatArray, numbers: FloatArray) -> FloatArray:
    survival: FloatArray = np.exp(-losses @ numbers[:-1])
    return survival


def _decayed(losses: FloatArray, numbers: FloatArray) -> FloatArray:
    """Compute the parities of the decayed state."""
    decayed: FloatArray = numbers[-1] ** losses[:, :, _WEIGHED.index("weight")]
    return decayed
