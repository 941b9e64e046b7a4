"""Fit the best constant distribution: all that is known before any measurement."""

from __future__ import annotations

import numpy as np

from qmend import metrics
from qmend.types import FloatArray

#: Shares of the circuits, those that a constant suits best, to which it is fitted again.
_SHARES = (0.85, 0.6)
_STEPS = 6
#: Halvings of the quantile's level: to the last bit of a float64.
_HALVINGS = 60


def best_constant(ideal: FloatArray) -> FloatArray:
    """Fit one distribution to all circuits.

    c (2^n,) with the median of |ideal - c|_1 / |ideal - u|_1 as low as possible; u is the uniform
    distribution.

    The median is not convex. The search starts at u and at the exact minimum of the mean, then
    fits the mean again to the circuits that the last constant suited best, as least trimmed
    squares does (Rousseeuw, Van Driessen, Data Min. Knowl. Discov. 12, 29 (2006)), as long as
    that lowers the median.

    Args:
        ideal: (N, 2^n) of the training circuits.
    """

    def median(constant: FloatArray) -> float:
        return metrics.median_l1rc(metrics.uniform_l1rc(ideal, constant))

    uniform = np.full(ideal.shape[1], 1.0 / ideal.shape[1])
    start = constant_of_least_mean(ideal)
    best, lowest = min([(uniform, 0.0), (start, median(start))], key=lambda candidate: candidate[1])
    for share in _SHARES:
        current, last = start, np.inf
        for _ in range(_STEPS):
            change = metrics.uniform_l1rc(ideal, current)
            kept = np.argsort(change)[: max(1, int(share * len(ideal)))]  # NaN last
            current = constant_of_least_mean(ideal[kept])
            value = median(current)
            if not value < last:
                break
            last = value
            if value < lowest:
                best, lowest = current, value
    return best


def constant_of_least_mean(ideal: FloatArray) -> FloatArray:
    """Compute the constant distribution of least mean relative L1 error.

    The exact minimum c (2^n,) of the mean of |ideal - c|_1 / |ideal - u|_1; u where all circuits
    are u.

    A weighted median problem for each outcome, joined by sum c = 1 alone. With a Lagrange
    multiplier for that, c_x is the quantile of the circuits' ideal p(x), weights 1 / |ideal -
    u|_1, at one level that all outcomes share: bisection finds it, and c >= 0 holds by itself.
    """
    outcomes = ideal.shape[1]
    distance = metrics.l1(ideal, np.full_like(ideal, 1.0 / outcomes))
    usable = distance > metrics.UNIFORM_TOLERANCE
    if not usable.any():
        return np.full(outcomes, 1.0 / outcomes)
    values, weight = ideal[usable], 1.0 / distance[usable]
    order = values.argsort(axis=0, kind="stable")
    values = np.take_along_axis(values, order, axis=0)
    level = np.cumsum(weight[order], axis=0)
    level /= level[-1]

    def quantiles(at: float) -> FloatArray:
        rows = np.array([np.searchsorted(column, at) for column in level.T])
        at_level: FloatArray = values[rows, np.arange(outcomes)]
        return at_level

    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if quantiles(middle).sum() < 1 else (low, middle)
    # The sum jumps at this level: any point between the two sides is as good.
    below, above = quantiles(low), quantiles(high)
    gap = above.sum() - below.sum()
    share = (1 - below.sum()) / gap if gap > 0 else 0.0
    constant: FloatArray = below + np.clip(share, 0.0, 1.0) * (above - below)
    constant /= constant.sum()
    return constant
