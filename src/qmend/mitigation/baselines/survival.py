"""Global depolarizing noise: the inverse for a known share of surviving signal."""

from __future__ import annotations

import numpy as np

from qmend.mitigation.simplex import project_to_simplex
from qmend.types import FloatArray

#: Survival below which an inverse would amplify shot noise without bound.
LEAST_SURVIVAL = 0.02


def undo_depolarizing(noisy: FloatArray, survival: FloatArray) -> FloatArray:
    """Invert global depolarizing noise; take the nearest distribution.

    noisy = s ideal + (1 - s) uniform, solved for the ideal.

    Args:
        noisy: (N, 2^n).
        survival: (N,) s, taken as no less than :data:`LEAST_SURVIVAL` and no more than 1.
    """
    s = np.clip(survival, LEAST_SURVIVAL, 1.0)[:, None]
    uniform = 1.0 / noisy.shape[1]
    return project_to_simplex((noisy - (1 - s) * uniform) / s)
