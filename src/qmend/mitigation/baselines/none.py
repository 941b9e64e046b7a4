"""No mitigation: what every other mitigator is measured against."""

from __future__ import annotations

from qmend.datasets.circuits import CircuitBatch
from qmend.mitigation.base import BASELINES, Mitigator
from qmend.types import FloatArray


@BASELINES.register("none")
class NoMitigation(Mitigator):
    """The measured frequencies as they are."""

    name = "none"

    def mitigate(self, circuits: CircuitBatch) -> FloatArray:
        return circuits.noisy
