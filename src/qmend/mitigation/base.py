"""The interface of mitigators and of runners of further circuits, and the baselines' registry."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np

from qmend.circuits.instructions import InstructionTable
from qmend.datasets.circuits import CircuitBatch
from qmend.registry import Registry
from qmend.types import FloatArray, QmendError

if TYPE_CHECKING:  # a config names baselines, and needs no tables
    from qmend.datasets.table import LabelledCircuits


class Mitigator(ABC):
    """A map from noisy distributions to better ones."""

    name: str
    #: Numbers fitted to training data.
    parameters: int = 0
    #: Shots for one circuit, as a multiple of those behind its noisy distribution.
    shots_factor: float = 1.0
    #: Mean total variation distance by which it changes noise-free frequencies, at most.
    noiseless_error: float = 1e-6
    #: Whether it simulates the circuit that it mitigates: a reference, no practical method.
    simulates: bool = False
    #: Whether uniform outcomes of unmeasured qubits stay so, and the others are mitigated as by
    #: their own distribution.
    takes_unmeasured: bool = False

    def fit(self, *train: LabelledCircuits) -> Mitigator:
        """Learn from labelled circuits; by default there is nothing to learn.

        Args:
            train: the circuits of each number of qubits.
        """
        return self

    @abstractmethod
    def mitigate(self, circuits: CircuitBatch) -> FloatArray:
        """Return distributions (N, 2^n) in chain order, rows summing to one."""

    def mitigate_uniform(self, circuits: CircuitBatch) -> FloatArray:
        """Mitigate the uniform distribution (N, 2^n) in place of each noisy one.

        Shots, circuits and calibrations stay. Any gain over the uniform distribution then does not
        come from the measurement.
        """
        return self.mitigate(_unmeasured(circuits))


#: Mitigators without a network, by name.
BASELINES: Registry[type[Mitigator]] = Registry(
    "qmend.mitigation.baselines", "baseline", "baselines"
)


def _unmeasured(circuits: CircuitBatch) -> CircuitBatch:
    return replace(circuits, noisy=np.full_like(circuits.noisy, 1.0 / circuits.noisy.shape[1]))


class MultiCircuitMitigator(Mitigator):
    """A mitigator that needs results of further circuits.

    It runs nothing itself: :class:`ExecutedMitigator` joins it to a :class:`Runner`. Both methods
    are pure, so that circuits can be run in a job and combined later.
    """

    #: Whether the further circuits are others than the one it mitigates, with an output of
    #: their own; else they are the same circuit again, such as with its gates folded.
    other_circuits: ClassVar[bool] = False

    @abstractmethod
    def construct_circuits(self, circuits: CircuitBatch) -> InstructionTable:
        """Construct k further circuits for each circuit.

        N k circuits: the k of the first circuit, then of the second, and so on. They are on the
        chains of their circuits, and depend on ``circuits.instructions`` alone.
        """

    @abstractmethod
    def combine_results(self, circuits: CircuitBatch, results: FloatArray) -> FloatArray:
        """Return mitigated distributions (N, 2^n) in chain order.

        Args:
            circuits: N measured circuits.
            results: (N, k, 2^n) frequencies of the further circuits in chain order, readout error
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
        """Return frequencies (N, k, 2^n) in chain order, readout error included.

        Args:
            circuits: N measured circuits.
            further: N k circuits, see :meth:`MultiCircuitMitigator.construct_circuits`. Each runs
                in the job of its circuit with as many shots.
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
        self.shots_factor, self.simulates = mitigator.shots_factor, mitigator.simulates
        self.noiseless_error = mitigator.noiseless_error

    def mitigate(self, circuits: CircuitBatch) -> FloatArray:
        further = self.mitigator.construct_circuits(circuits)
        return self.mitigator.combine_results(circuits, self.runner(circuits, further))

    def mitigate_uniform(self, circuits: CircuitBatch) -> FloatArray:
        """Mitigate as :meth:`Mitigator.mitigate_uniform`, reruns of the circuit uniform too.

        Other circuits are run as ever, but for those that happen to be the circuit.
        """
        unmeasured = _unmeasured(circuits)
        further = self.mitigator.construct_circuits(unmeasured)
        shape = (len(circuits), len(further) // len(circuits), circuits.noisy.shape[1])
        results = np.full(shape, 1.0 / shape[2])
        if self.mitigator.other_circuits:
            own = np.array(circuits.instructions.circuit_ids())[:, None]
            same = np.array(further.circuit_ids()).reshape(shape[:2]) == own
            results = np.where(same[:, :, None], results, self.runner(unmeasured, further))
        return self.mitigator.combine_results(unmeasured, results)
