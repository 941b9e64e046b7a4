"""The interface of every mitigator."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from qmend.datasets.circuits import CircuitBatch
from qmend.datasets.table import LabelledCircuits
from qmend.types import FloatArray


class Mitigator(ABC):
    """Noisy distributions in, better ones out."""

    name: ClassVar[str]
    #: Numbers fitted to training data.
    parameters: int = 0

    def fit(self, train: LabelledCircuits) -> Mitigator:
        """Learn from labelled circuits; nothing to learn for some."""
        return self

    @abstractmethod
    def mitigate(self, circuits: CircuitBatch) -> FloatArray:
        """(N, 2^n) distributions in chain order, rows summing to one."""
