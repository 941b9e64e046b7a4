"""Distributions of the states that programs end in."""

from __future__ import annotations

from typing import Any

import numpy as np

from qmend.simulation import kernel
from qmend.simulation.program import Program
from qmend.types import AnyArray
from qmend.walsh import walsh_hadamard


def probabilities(program: Program, dtype: type[np.floating[Any]] = np.float64) -> AnyArray:
    """Simulate circuits; (N, 2^n) exact distributions before readout, chain order.

    p(x) = 2^-n sum_s (-1)^(s.x) <Z_s>, the Walsh-Hadamard transform of the parities.
    """
    parities = kernel.evolve(program, dtype)
    distributions: AnyArray = walsh_hadamard(parities) / dtype(parities.shape[1])
    return distributions
