"""The uniform distribution: the guess without any measurement."""

from __future__ import annotations

import numpy as np

from qmend.datasets.circuits import CircuitBatch
from qmend.mitigation.base import BASELINES, Mitigator
from qmend.types import FloatArray


@BASELINES.register("uniform")
class Uniform(Mitigator):
    """Return the uniform distribution for every circuit."""

    name = "uniform"
    noiseless_error = 1.0  # it ignores the frequencies

    def mitigate(self, circuits: CircuitBatch) -> FloatArray:
        return np.full_like(circuits.noisy, 1.0 / circuits.noisy.shape[1])
