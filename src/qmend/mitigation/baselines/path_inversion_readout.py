"""Readout errors of each qubit, fitted beside the survival of parities on sampled Pauli paths."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from qmend.datasets.circuits import CircuitBatch, measured_readout
from qmend.mitigation.base import BASELINES, Mitigator
from qmend.mitigation.baselines.path_inversion import (
    PathInversion,
    damp,
    fit_parities,
    to_distributions,
    undamp,
    weighed_losses,
)
from qmend.noise.readout import apply_readout
from qmend.types import FloatArray, IntArray
from qmend.walsh import walsh_hadamard

if TYPE_CHECKING:
    from qmend.datasets.table import LabelledCircuits

#: A device and its physical qubit.
Qubit = tuple[str, int]
#: Qubits with errors of their own, at most: each number costs a fit as much time again.
_MOST_QUBITS = 16
#: Greatest fitted probability of a flip: at 1/2 a qubit says nothing.
_MOST_ERROR = 0.45


@BASELINES.register("path_inversion_readout")
class PathInversionReadout(Mitigator):
    """Invert fitted readout errors, then divide each parity by its survival.

    y = (R_1 x ... x R_m) f_s <Z_s>,   f_s = exp(-(a gates_s + b idle_s + c CX_s)),

    with the losses of :class:`~qmend.mitigation.baselines.path_inversion.PathInversion`. R_q has
    the flips e0 = P(1|0) and e1 = P(0|1) of a physical qubit of a device. They and a, b, c are
    fitted as there, with soft L1 in place of a simplex, all >= 0 and the flips <= .45. The sixteen
    qubits that most training circuits measure have flips of their own; all others have their mean.
    Before the fit it is path inversion, with the calibration's readout errors.

    Attributes:
        parameters: a, b, c, and after the fit two for each qubit with flips of its own.
        qubits: those, K of them; none before the fit.
        numbers: (3 + 2 K,) a, b, c, then e0 and e1 of each.
    """

    name = "path_inversion_readout"
    parameters = 3
    calibration_values = PathInversion.calibration_values

    def __init__(self) -> None:
        self.qubits: tuple[Qubit, ...] = ()
        self.numbers: FloatArray = np.array([1.0, 0.0, 0.0])

    def fit(self, *train: LabelledCircuits) -> Mitigator:
        reported = _reported_errors(train)
        self.qubits = tuple(sorted(reported, key=lambda qubit: (-len(reported[qubit]), qubit)))
        self.qubits = self.qubits[:_MOST_QUBITS]
        errors = [min(float(np.mean(reported[qubit])), _MOST_ERROR) for qubit in self.qubits]
        start = np.concatenate([[1.0, 0.0, 0.0], np.repeat(errors, 2)])
        upper = [None] * 3 + [_MOST_ERROR] * (2 * len(errors))
        self.numbers = fit_parities(
            train, self._features, _measure, _invert, start, upper, _raw_parities, many=True
        )
        self.parameters = len(self.numbers)
        return self

    def mitigate(self, circuits: CircuitBatch) -> FloatArray:
        if not self.qubits:
            return PathInversion().mitigate(circuits)
        seen = _raw_parities(circuits)
        return to_distributions(_invert(seen, self._features(circuits), self.numbers))

    def _features(self, circuits: CircuitBatch) -> _Features:
        rows = {qubit: row for row, qubit in enumerate(self.qubits)}
        qubits = [[rows.get(q, len(rows)) for q in own] for own in _measured_qubits(circuits)]
        return _Features(weighed_losses(circuits), np.array(qubits))


@dataclass(frozen=True)
class _Features:
    """Features of circuits that the fitted numbers act on.

    Attributes:
        losses: (N, 2^m, 3) of each parity.
        qubits: (N, m) which of the K qubits each bit is read from; K: another.
    """

    losses: FloatArray
    qubits: IntArray


def _measured_qubits(circuits: CircuitBatch) -> list[list[Qubit]]:
    """List the m qubits that each circuit measures, in the order of bits."""
    chains = circuits.chains
    pairs = zip(circuits.calibration_index.tolist(), circuits.positions.tolist(), strict=True)
    return [
        [(chains[k][0].device, chains[k][1][position]) for position in positions]
        for k, positions in pairs
    ]


def _reported_errors(train: Sequence[LabelledCircuits]) -> dict[Qubit, list[float]]:
    """Collect the calibrations' readout errors of each measured qubit, once a circuit."""
    errors: dict[Qubit, list[float]] = defaultdict(list)
    for part in train:
        flips = measured_readout(part.circuits)[:, :, 1, 0]
        for qubits, values in zip(_measured_qubits(part.circuits), flips.tolist(), strict=True):
            for qubit, value in zip(qubits, values, strict=True):
                errors[qubit].append(value)
    return errors


def _raw_parities(circuits: CircuitBatch) -> FloatArray:
    parities: FloatArray = walsh_hadamard(circuits.noisy)
    return parities


def _measure(true: FloatArray, known: _Features, numbers: FloatArray) -> FloatArray:
    matrices = _readout(numbers)[known.qubits]
    return apply_readout(damp(true, known.losses, numbers[:3]), matrices)


def _invert(seen: FloatArray, known: _Features, numbers: FloatArray) -> FloatArray:
    inverse: FloatArray = np.linalg.inv(_readout(numbers)).astype(np.float64)
    return undamp(apply_readout(seen, inverse[known.qubits]), known.losses, numbers[:3])


def _readout(numbers: FloatArray) -> FloatArray:
    """(K + 1, 2, 2) R_q on (1, <Z>): <Z> -> e1 - e0 + (1 - e0 - e1) <Z>."""
    own = numbers[3:].reshape(-1, 2)
    e0, e1 = np.vstack([own, own.mean(axis=0)]).T
    rows = np.array([[np.ones_like(e0), np.zeros_like(e0)], [e1 - e0, 1 - e0 - e1]])
    return rows.transpose(2, 0, 1)
