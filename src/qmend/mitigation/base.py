"""The interface of mitigators and of runners of further circuits, and the baselines' registry."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Protocol

import numpy as np

from qmend.circuits.instructions import InstructionTable
from qmend.datasets.circuits import CircuitBatch
from qmend.registry import Registry
from qmend.types import FloatArray, IntArray, QmendError

if TYPE_CHECKING:  # a config names baselines, and needs no tables
    from qmend.datasets.table import LabelledCircuits


class KnownCircuits(NamedTuple):
    """Measured circuits of one size with their ideals (N, 2^m), in chain order."""

    circuits: CircuitBatch
    ideal: FloatArray


class Mitigator(ABC):
    """A map from noisy distributions to better ones."""

    name: str
    #: Numbers fitted to training data.
    parameters: int = 0
    #: Shots for one circuit, as a multiple of those behind its noisy distribution.
    shots_factor: float = 1.0
    #: Calibration values that it reads, named as by ``MeanCalibration`` of ``devices``.
    calibration_values: tuple[str, ...] = ()
    #: Whether it may give the input back on purpose.
    abstains: bool = False
    #: Mean total variation distance by which it changes noise-free frequencies, at most.
    noiseless_error: float = 1e-6

    def fit(self, *train: LabelledCircuits) -> Mitigator:
        """Learn from labelled circuits; by default there is nothing to learn.

        Args:
            train: the circuits of each number of qubits and of measured ones.
        """
        return self

    @abstractmethod
    def mitigate(self, circuits: CircuitBatch) -> FloatArray:
        """Return distributions (N, 2^m) in chain order, rows summing to one."""

    def with_references(
        self, circuits: CircuitBatch, references: Sequence[KnownCircuits]
    ) -> CircuitBatch:
        """Give circuits the numbers that references of their job tell.

        Raises:
            QmendError: if the mitigator reads no such numbers.
        """
        raise QmendError(
            f"{self.name} takes no references; only a network with model.encoding=device_paths "
            "does."
        )

    def mitigate_others(
        self, batches: Sequence[CircuitBatch], others: CircuitBatch, flips: IntArray
    ) -> list[FloatArray]:
        """Mitigate the measurements of other circuits as if they were of those of each batch.

        Each circuit keeps its instructions and its calibration.

        Args:
            batches: of N circuits each.
            others: N measured circuits.
            flips: (N,) bits that are flipped in all outcomes of each measurement.
        """
        return [self.mitigate(_exchanged(circuits, others, flips)) for circuits in batches]


#: Mitigators without a network, by name.
BASELINES: Registry[type[Mitigator]] = Registry(
    "qmend.mitigation.baselines", "baseline", "baselines"
)


def _flipped(distributions: FloatArray, flips: IntArray) -> FloatArray:
    """Flip bits of all outcomes: (N, ..., 2^m) p(x) -> p(x ^ flips)."""
    outcomes = np.arange(distributions.shape[-1]) ^ flips[:, None]
    shape = (len(flips), *[1] * (distributions.ndim - 2), outcomes.shape[1])
    flipped: FloatArray = np.take_along_axis(distributions, outcomes.reshape(shape), axis=-1)
    return flipped


def _exchanged(circuits: CircuitBatch, others: CircuitBatch, flips: IntArray) -> CircuitBatch:
    return replace(circuits, noisy=_flipped(others.noisy, flips), shots=others.shots)


class MultiCircuitMitigator(Mitigator):
    """A mitigator that needs results of further circuits.

    It runs nothing itself: :class:`ExecutedMitigator` joins it to a :class:`Runner`. Both methods
    are pure, so that circuits can be run in a job and combined later.
    """

    #: Whether the further circuits are others than the one it mitigates, with an output of
    #: their own; else they are the same circuit again, such as with its gates folded.
    other_circuits: ClassVar[bool] = False
    #: Whether it takes the probabilities of the further circuits, as of infinitely many shots.
    exact_results: ClassVar[bool] = False

    @abstractmethod
    def construct_circuits(self, circuits: CircuitBatch) -> InstructionTable:
        """Construct k further circuits for each circuit.

        N k circuits: the k of the first circuit, then of the second, and so on. They are on the
        chains of their circuits, and depend on ``circuits.instructions`` alone.
        """

    @abstractmethod
    def combine_results(self, circuits: CircuitBatch, results: FloatArray) -> FloatArray:
        """Return mitigated distributions (N, 2^m) in chain order.

        Args:
            circuits: N measured circuits.
            results: (N, k, 2^m) frequencies of the further circuits in chain order, readout error
                included, in the order of :meth:`construct_circuits`.
        """

    def mitigate(self, circuits: CircuitBatch) -> FloatArray:
        """Refuse: one measurement of each circuit is not enough.

        Raises:
            QmendError: always.
        """
        raise QmendError(
            f"{self.name} needs further circuits: run those of construct_circuits and give their "
            "results to combine_results."
        )


class Runner(Protocol):
    """Runs further circuits under the noise that measured ones had."""

    def __call__(self, circuits: CircuitBatch, further: InstructionTable) -> FloatArray:
        """Return frequencies (N, k, 2^m) in chain order, readout error included.

        Args:
            circuits: N measured circuits.
            further: N k circuits, see :meth:`MultiCircuitMitigator.construct_circuits`. Each runs
                in the job of its circuit with as many shots, and measures the same qubits.
        """


class ExecutedMitigator(Mitigator):
    """A mitigator that needs further circuits, and the runner that runs them.

    Args:
        mitigator: constructs the circuits and combines their results.
        runner: runs them.
    """

    def __init__(self, mitigator: MultiCircuitMitigator, runner: Runner) -> None:
        self.mitigator, self.runner = mitigator, runner
        self.name, self.parameters = mitigator.name, mitigator.parameters
        self.shots_factor = mitigator.shots_factor
        self.noiseless_error = mitigator.noiseless_error

    def mitigate(self, circuits: CircuitBatch) -> FloatArray:
        further = self.mitigator.construct_circuits(circuits)
        return self.mitigator.combine_results(circuits, self.runner(circuits, further))

    def mitigate_others(
        self, batches: Sequence[CircuitBatch], others: CircuitBatch, flips: IntArray
    ) -> list[FloatArray]:
        """Mitigate as :meth:`Mitigator.mitigate_others`, reruns exchanged too.

        A measurement of another circuit comes with that circuit's own reruns, which are run once
        for all batches. Further circuits that are others are run as ever, but for those that happen
        to be the circuit.
        """
        if self.mitigator.other_circuits:
            return [self._among_others(circuits, others, flips) for circuits in batches]
        further = self.mitigator.construct_circuits(others)
        results = _flipped(self.runner(others, further), flips)
        return [
            self.mitigator.combine_results(_exchanged(circuits, others, flips), results)
            for circuits in batches
        ]

    def _among_others(
        self, circuits: CircuitBatch, others: CircuitBatch, flips: IntArray
    ) -> FloatArray:
        exchanged = _exchanged(circuits, others, flips)
        further = self.mitigator.construct_circuits(exchanged)
        results = self.runner(circuits, further)
        own = np.array(circuits.instructions.circuit_ids())[:, None]
        same = np.array(further.circuit_ids()).reshape(results.shape[:2]) == own
        results = np.where(same[:, :, None], exchanged.noisy[:, None], results)
        return self.mitigator.combine_results(exchanged, results)
