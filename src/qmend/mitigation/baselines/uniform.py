"""The uniform distribution: what a mitigator that knows nothing would guess."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from qmend.datasets.circuits import CircuitBatch
from qmend.mitigation.base import Mitigator
from qmend.mitigation.baselines.registry import BASELINES
from qmend.types import FloatArray


@BASELINES.register("uniform")
class Uniform(Mitigator):
    """The uniform distribution, whatever was measured."""

    name: ClassVar[str] = "uniform"
    noiseless_error: ClassVar[float] = 1.0  # it ignores them

    def mitigate(self, circuits: CircuitBatch) -> FloatArray:
        return np.full_like(circuits.noisy, 1.0 / circuits.noisy.shape[1])
