"""The interface of every mitigator, and of the further measurements that some need."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Protocol

from qmend.circuits.instructions import InstructionTable
from qmend.datasets.circuits import CircuitBatch
from qmend.datasets.table import LabelledCircuits
from qmend.types import FloatArray


class Mitigator(ABC):
    """Noisy distributions in, better ones out."""

    name: ClassVar[str]
    #: Numbers fitted to training data.
    parameters: int = 0
    #: Shots that a circuit takes in all, over those behind its noisy distribution.
    shots_factor: float = 1.0
    #: Whether it simulates the very circuit it mitigates: a reference, no practical method.
    simulates: bool = False

    def fit(self, train: LabelledCircuits) -> Mitigator:
        """Learn from labelled circuits; nothing to learn for some."""
        return self

    @abstractmethod
    def mitigate(self, circuits: CircuitBatch) -> FloatArray:
        """(N, 2^n) distributions in chain order, rows summing to one."""


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

    def __init__(self, reruns: Reruns) -> None:
        self.reruns = reruns
