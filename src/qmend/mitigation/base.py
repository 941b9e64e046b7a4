"""The interface of every mitigator, and of the further measurements that some need."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np

from qmend.circuits.instructions import InstructionTable
from qmend.datasets.circuits import CircuitBatch
from qmend.types import FloatArray

if TYPE_CHECKING:  # a config names baselines, and needs no tables
    from qmend.datasets.table import LabelledCircuits


class Mitigator(ABC):
    """Noisy distributions in, better ones out."""

    name: ClassVar[str]
    #: Numbers fitted to training data.
    parameters: int = 0
    #: Shots that a circuit takes in all, over those behind its noisy distribution.
    shots_factor: float = 1.0
    #: Mean total variation distance by which it changes noise-free frequencies, at most.
    noiseless_error: ClassVar[float] = 1e-6
    #: Whether it simulates the very circuit it mitigates: a reference, no practical method.
    simulates: bool = False

    def fit(self, train: LabelledCircuits) -> Mitigator:
        """Learn from labelled circuits; nothing to learn for some."""
        return self

    @abstractmethod
    def mitigate(self, circuits: CircuitBatch) -> FloatArray:
        """(N, 2^n) distributions in chain order, rows summing to one."""

    def mitigate_uniform(self, circuits: CircuitBatch) -> FloatArray:
        """(N, 2^n) what it makes of the circuits if nothing was measured of them.

        The uniform distribution stands in for each noisy one; shots, circuits and calibrations
        stay. What still comes near the ideal does not come from the measurement.
        """
        uniform = np.full_like(circuits.noisy, 1.0 / circuits.noisy.shape[1])
        return self.mitigate(replace(circuits, noisy=uniform))


class Reruns(Protocol):
    """Runs more circuits under the noise that measured ones had."""

    def __call__(self, circuits: CircuitBatch, variants: InstructionTable) -> FloatArray:
        """(N, k, 2^n) frequencies in chain order, readout error included.

        Args:
            circuits: N measured circuits.
            variants: N k circuits, the k variants of the first circuit, then of the second, and
                so on. Each runs in the job of its circuit with as many shots.
        """


class RerunMitigator(Mitigator):
    """A mitigator that needs more than the noisy distribution.

    Args:
        reruns: measures its further circuits.
    """

    #: Whether its further circuits are others than the one it mitigates, with an output of
    #: their own; else they are the same circuit again, such as with its gates folded.
    other_circuits: ClassVar[bool] = False

    def __init__(self, reruns: Reruns) -> None:
        self.reruns = reruns

    def mitigate_uniform(self, circuits: CircuitBatch) -> FloatArray:
        """As :meth:`Mitigator.mitigate_uniform`: reruns of the circuit come out uniform too.

        Other circuits are measured as they were, but for those that happen to be the circuit.
        """
        blind = copy.copy(self)
        blind.reruns = _Unmeasured(self.reruns if self.other_circuits else None)
        return super(RerunMitigator, blind).mitigate_uniform(circuits)


class _Unmeasured:
    """:class:`Reruns` in which the circuits themselves come out uniform.

    Args:
        others: measures the variants that are other circuits; None where none is.
    """

    def __init__(self, others: Reruns | None) -> None:
        self.others = others

    def __call__(self, circuits: CircuitBatch, variants: InstructionTable) -> FloatArray:
        count, outcomes = len(circuits), 2**circuits.n_qubits
        shape = (count, len(variants) // count, outcomes)
        if self.others is None:
            return np.full(shape, 1.0 / outcomes)
        measured = self.others(circuits, variants)
        own, theirs = circuits.instructions.circuit_ids(), variants.circuit_ids()
        same = np.array(theirs).reshape(shape[:2]) == np.array(own)[:, None]
        return np.where(same[:, :, None], 1.0 / outcomes, measured)
