"""The factor on all losses of a circuit that its measured distribution itself allows."""

from __future__ import annotations

import numpy as np
from scipy.special import log_ndtr

from qmend.noise.parity_model import NUMBERS, ParityLosses, ideal_parities
from qmend.types import FloatArray, IntArray
from qmend.walsh import walsh_hadamard

#: Logarithms of the common factor on all losses that :func:`from_distribution` tries.
LOG_FACTORS = np.linspace(-4.0, 2.0, 17)
#: Negative probability that an inverse may have, beside what shots make: this many times their
#: mean in a uniform distribution.
NEGATIVE_MASS, SHOT_NOISE = 0.05, 1.5
#: Survival that :func:`from_distribution` takes for the least.
_LEAST = 1e-6


def from_distribution(
    losses: ParityLosses, seen: FloatArray, shots: IntArray, theta: FloatArray
) -> FloatArray:
    """(N,) logarithm of the largest common factor on all losses that a distribution allows.

    The stronger an inverse, the more negative probabilities it has. The factor is the first at
    which those of the inverse, not projected, sum to :data:`NEGATIVE_MASS` and
    :data:`SHOT_NOISE` times 2^m sigma / sqrt(2 pi), where sigma is the deviation of an outcome
    that the shots of the measured parities make there. Between :data:`LOG_FACTORS` the sums are
    interpolated. No label takes part.

    It is a bound, no estimate: on simulated devices the factor that fits best is mostly far below
    it, and near where half of the outcomes are ideally 0.

    Args:
        seen: (N, 2^m) measured parities.
        shots: (N,).
        theta: (4,), or (N, 4) of each circuit's own job; the factor adds to its first three.

    Returns:
        Between the ends of :data:`LOG_FACTORS`; the upper end where the distribution says nothing,
        as a uniform one.
    """
    size = seen.shape[-1]
    tried = np.zeros((len(LOG_FACTORS), 1, len(NUMBERS)))
    tried[..., :3] = LOG_FACTORS[:, None, None]
    tried = tried + theta
    inverse = walsh_hadamard(ideal_parities(losses, seen, tried, _LEAST)) / size
    negative = -np.minimum(inverse, 0.0).sum(axis=-1)
    # Errors of the parities by their own total loss, the bias left aside.
    a, u, r = np.exp(np.moveaxis(tried[..., :3, None], -2, 0))
    bits = (np.arange(size)[:, None] >> np.arange(losses.n_measured)) & 1
    total = a * losses.gates + u * losses.waits + (r * losses.readout) @ bits.T
    kept = np.maximum(np.exp(-total), _LEAST)
    variance = (np.maximum(1 - seen**2, 0) / shots[:, None] / kept**2).sum(axis=-1)
    excess = negative - NEGATIVE_MASS - SHOT_NOISE * np.sqrt(variance / (2 * np.pi))
    return _first_crossing(excess)


def bounded_factor(
    losses: ParityLosses, numbers: FloatArray, circuit: FloatArray, bound: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Condition the logarithm of the factor on all losses of a circuit on its upper bound.

    Before it is normal with mean 0; its variance is that which the numbers of the device give to
    the sum of the losses of all parities, and the circuit's own.

    Args:
        numbers: (N, 8 or more) mean and deviation of theta come first.
        circuit: (N,) deviation of the logarithm of each circuit's own factor.
        bound: (N,) as of :func:`from_distribution`.

    Returns:
        Mean (N,) of the normal distribution that ends at the bound, and its deviation (N,) in
        units of that before, at most 1.
    """
    size = losses.gates.shape[1]
    bits = (np.arange(size)[:, None] >> np.arange(losses.n_measured)) & 1
    parts = np.stack([losses.gates, losses.waits, losses.readout @ bits.T], axis=-1)
    parts = parts.sum(axis=1) * np.exp(numbers[:, :3])  # (N, 3)
    share = parts / np.maximum(parts.sum(axis=1, keepdims=True), _LEAST)
    deviation = np.sqrt(((share * numbers[:, 4:7]) ** 2).sum(axis=1) + circuit**2)
    z = bound / deviation
    slope = np.exp(-(z**2) / 2 - np.log(2 * np.pi) / 2 - log_ndtr(z))
    return -deviation * slope, np.sqrt(np.clip(1 - slope * (z + slope), 0.01, 1.0))


def _first_crossing(excess: FloatArray) -> FloatArray:
    """(N,) where (F, N) first exceeds 0 on :data:`LOG_FACTORS`, linearly; its ends where never."""
    over = excess > 0
    last = len(LOG_FACTORS) - 1
    after = np.where(over.any(axis=0), over.argmax(axis=0), last)
    before = np.maximum(after - 1, 0)
    column = np.arange(excess.shape[1])
    low, high = excess[before, column], excess[after, column]
    share = np.where(high > low, -low / np.where(high > low, high - low, 1.0), 1.0)
    share = np.where(over[after, column], np.clip(share, 0.0, 1.0), 1.0)
    found: FloatArray = LOG_FACTORS[before] + share * (LOG_FACTORS[after] - LOG_FACTORS[before])
    return found
