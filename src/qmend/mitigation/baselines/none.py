"""No mitigation: the reference of every other mitigator."""

from __future__ import annotations

from qmend.datasets.circuits import CircuitBatch
from qmend.mitigation.base import BASELINES, Mitigator
from qmend.types import FloatArray


@BASELINES.register("none")
class NoMitigation(Mitigator):
    """Return the measured frequencies unchanged."""

    name = "none"

    def mitigate(self, circuits: CircuitBatch) -> FloatArray:
        return circuits.noisy
