"""A trained network as a mitigator."""

from __future__ import annotations

from typing import ClassVar

from qmend.datasets.circuits import CircuitBatch
from qmend.mitigation.base import Mitigator
from qmend.training.fit import TrainedModel
from qmend.types import FloatArray


class LearnedMitigator(Mitigator):
    """Wraps a trained network; :func:`qmend.training.fit.fit` does the fitting."""

    name: ClassVar[str] = "learned"

    def __init__(self, model: TrainedModel) -> None:
        self.model = model
        self.parameters = model.parameters

    def mitigate(self, circuits: CircuitBatch) -> FloatArray:
        return self.model.mitigate(circuits)
