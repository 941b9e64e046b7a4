"""Angles that are those of an algorithm in a share of the circuits only."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from qmend.circuits.families import Family
from qmend.portable import standard_normal
from qmend.types import FloatArray


class InexactFamily(Family):
    """A family of an algorithm whose angles may be off.

    With ``exact_probability`` a circuit has the algorithm's own angles. Else each has a normal
    error of deviation ``angle_noise`` in radians, and outcomes are less certain.
    """

    exact_probability: float = Field(ge=0, le=1)
    angle_noise: float = Field(ge=0, le=3)

    def draw_errors(self, rng: np.random.Generator, count: int) -> FloatArray:
        """(count,) errors of a circuit's angles in radians."""
        deviation = 0.0 if rng.random() < self.exact_probability else self.angle_noise
        return deviation * standard_normal(rng, count)
