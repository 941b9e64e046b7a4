"""One token a parity, and numbers of the device with their uncertainty."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from qmend.datasets.circuits import CircuitBatch, measured_readout
from qmend.encodings.base import ENCODINGS, Float32
from qmend.encodings.paths import PathsEncoding
from qmend.types import AnyArray, FloatArray, IntArray
from qmend.walsh import walsh_hadamard

if TYPE_CHECKING:  # loads numba
    from qmend.noise.device_numbers import References
    from qmend.noise.parity_model import ParityLosses

#: Numbers of references that circuits are trained with.
_REFERENCES = (0, 1, 3, 9)
_STREAM = 0x5EF5


@ENCODINGS.register("device_paths")
class DevicePathsEncoding(PathsEncoding):
    """The tokens and the context of ``paths``, with numbers of the device.

    These are (10): mean and deviation of the four numbers of :mod:`qmend.noise.parity_model`,
    log(1 + K) for K references, and the logarithm of the further factor on all losses that the
    measured distribution itself allows. That bound has already moved the means of the first three
    numbers and narrowed their deviations (:mod:`qmend.noise.common_factor`). In training, circuits
    of a job are references of its others; their number is drawn for each job.
    """

    name = "device_paths"
    version = 2

    def device(
        self,
        circuits: CircuitBatch,
        tokens: Float32,
        ideal: FloatArray | None,
        job: IntArray | None,
    ) -> FloatArray:
        from qmend.noise.common_factor import bounded_factor, from_distribution
        from qmend.noise.device_numbers import EXECUTED, SUBMITTED

        losses = losses_of(circuits, tokens)
        if circuits.numbers is not None:
            numbers = circuits.numbers
        elif ideal is not None and job is not None:
            numbers = _numbers_of_jobs(circuits, losses, ideal, job)
        else:
            numbers = known_numbers(circuits)
        seen = walsh_hadamard(circuits.noisy)
        bound = from_distribution(losses, seen, circuits.shots, numbers[:, :4])
        own = np.where(_executed(circuits), EXECUTED.circuit, SUBMITTED.circuit)
        shift, narrower = bounded_factor(losses, numbers, own, bound)
        numbers = numbers.copy()
        numbers[:, :3] += shift[:, None]
        numbers[:, 4:7] *= narrower[:, None]
        return np.column_stack([numbers, bound - shift])

    def losses(self, circuits: CircuitBatch) -> ParityLosses:
        """Compute what calibrations say of the losses of circuits."""
        return losses_of(circuits, self.tokens(circuits)[0])


def losses_of(circuits: CircuitBatch, tokens: Float32) -> ParityLosses:
    """Compute what calibrations say of the losses of circuits, from their tokens."""
    from qmend.noise.parity_model import ParityLosses

    return ParityLosses.of(tokens.astype(np.float64), measured_readout(circuits)[:, :, 1, 0])


def references_of(
    circuits: CircuitBatch, losses: ParityLosses, ideal: FloatArray, rows: IntArray
) -> References:
    """Take some circuits, whose ideals are known, as references."""
    from qmend.noise.device_numbers import References
    from qmend.noise.parity_model import ParityLosses

    return References(
        ParityLosses(losses.gates[rows], losses.waits[rows], losses.readout[rows]),
        walsh_hadamard(circuits.noisy[rows]),
        walsh_hadamard(ideal[rows]),
        circuits.shots[rows],
    )


def known_numbers(circuits: CircuitBatch, references: Sequence[References] = ()) -> FloatArray:
    """(N, 9) mean, deviation and log(1 + K), from K references of the job of all circuits."""
    from qmend.noise.device_numbers import EXECUTED, SUBMITTED, posterior

    missing, executed = _missing(circuits), _executed(circuits)
    kinds, place = np.unique(np.column_stack([missing, executed]), axis=0, return_inverse=True)
    count = sum(len(part.shots) for part in references)
    rows = []
    for *lacks, ran in kinds.tolist():
        numbers = posterior(EXECUTED if ran else SUBMITTED, np.array(lacks), references)
        rows.append(np.concatenate([numbers.mean, numbers.deviation, [np.log1p(count)]]))
    own: FloatArray = np.array(rows)[place.reshape(-1)]
    return own


def _executed(circuits: CircuitBatch) -> AnyArray:
    """(N,) whether circuits show the gates that ran."""
    return np.ones(len(circuits), bool) if circuits.executed is None else circuits.executed


def _missing(circuits: CircuitBatch) -> AnyArray:
    if circuits.filled is None:
        return np.zeros((len(circuits), 3), dtype=bool)
    return circuits.filled


def _numbers_of_jobs(
    circuits: CircuitBatch, losses: ParityLosses, ideal: FloatArray, job: IntArray
) -> FloatArray:
    """(N, 9) as :func:`known_numbers`, with circuits of each job as references of its others.

    Their number is drawn for each job. They themselves have none.
    """
    numbers = known_numbers(circuits)
    for number in np.unique(job).tolist():
        rows = np.flatnonzero(job == number)
        rng = np.random.default_rng([_STREAM, number])
        count = int(rng.choice(_REFERENCES))
        if 0 < count < len(rows):
            order = rng.permutation(rows)
            few, others = order[:count], order[count:]
            parts = [references_of(circuits, losses, ideal, few)]
            numbers[others] = known_numbers(circuits.select(others), parts)
    return numbers
