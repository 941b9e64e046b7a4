"""The uniform distribution: what a mitigator that knows nothing would guess."""

from __future__ import annotations

import numpy as np

from qmend.datasets.circuits import CircuitBatch
from qmend.mitigation.base import BASELINES, Mitigator
from qmend.types import FloatArray


@BASELINES.register("uniform")
class Uniform(Mitigator):
    """The uniform distribution, whatever was measured."""

    name = "uniform"
    noiseless_error = 1.0  # it ignores them

    def mitigate(self, circuits: CircuitBatch) -> FloatArray:
        return np.full_like(circuits.noisy, 1.0 / circuits.noisy.shape[1])
