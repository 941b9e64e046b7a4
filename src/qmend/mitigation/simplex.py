"""The nearest probability distribution to a quasi-distribution."""

from __future__ import annotations

import numpy as np

from qmend.types import FloatArray


def project_to_simplex(quasi: FloatArray) -> FloatArray:
    """Row-wise Euclidean projection of (N, K) onto the probability simplex.

    The maximum-likelihood distribution under Gaussian noise: Smolin, Gambetta, Smith,
    Phys. Rev. Lett. 108, 070502 (2012).
    """
    descending = -np.sort(-quasi, axis=1)
    excess = np.cumsum(descending, axis=1) - 1.0
    rank = np.arange(1, quasi.shape[1] + 1)
    last = (descending - excess / rank > 0).sum(axis=1) - 1
    shift = np.take_along_axis(excess, last[:, None], axis=1) / (last[:, None] + 1)
    projected = np.maximum(quasi - shift, 0.0)
    normalised: FloatArray = projected / projected.sum(axis=1, keepdims=True)
    return normalised
