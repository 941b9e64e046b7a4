"""Outcomes reweighted by their neighbours on the Hamming graph."""

from __future__ import annotations

import numpy as np

from qmend.datasets.circuits import CircuitBatch
from qmend.mitigation.base import BASELINES, Mitigator
from qmend.types import FloatArray


@BASELINES.register("hammer_like")
class HammerLike(Mitigator):
    """Multiply each outcome's probability by the support of its Hamming neighbours.

    p'(x) ~ p(x) [p(x) + sum_y w_d p(y)] over the less probable y at a Hamming distance d from x
    with 0 < d < m/2, where 1/w_d = sum_x sum_y p(y) over all observed x and all y at a distance d
    from it. Errors near a right outcome vouch for it; the circuit and its device are not looked
    at. Distributions without noise are sharpened, too.

    Rebuilt from HAMMER (Tannu, Das, Ayanzadeh, Qureshi, MICRO 2022).
    """

    name = "hammer_like"
    noiseless_error = 0.3

    def mitigate(self, circuits: CircuitBatch) -> FloatArray:
        return reweight(circuits.noisy)


def reweight(noisy: FloatArray) -> FloatArray:
    """Reweight distributions (N, 2^m) as :class:`HammerLike`."""
    outcomes = np.arange(noisy.shape[1])
    distance = np.bitwise_count(outcomes)
    bits = noisy.shape[1].bit_length() - 1
    support = noisy.copy()
    for d in range(1, (bits + 1) // 2):
        strength, less_probable = np.zeros(len(noisy)), np.zeros_like(noisy)
        for mask in np.flatnonzero(distance == d):
            neighbour = noisy[:, outcomes ^ mask]
            strength += np.where(noisy > 0, neighbour, 0.0).sum(axis=1)
            less_probable += np.where(noisy > neighbour, neighbour, 0.0)
        # Without any neighbour there is nothing to weigh.
        weight = np.divide(1.0, strength, out=np.zeros_like(strength), where=strength > 0)
        support += weight[:, None] * less_probable
    reweighted: FloatArray = noisy * support
    normalised: FloatArray = reweighted / reweighted.sum(axis=1, keepdims=True)
    return normalised
