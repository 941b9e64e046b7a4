"""Distributions on a grid, and shots drawn from them with a seed for each circuit.

Probabilities are stored as multiples of 2^-24 (6e-8), far below shot noise. On the grid all sums
are exact, so shots follow from the stored probabilities and a seed by integer arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import cast

import numpy as np

from qmend.types import AnyArray, FloatArray, IntArray, QmendError

#: Steps of the grid between 0 and 1.
STEPS = 2**24
#: Values as near to the middle between two steps are decided by a reference.
_DOUBTFUL = 1e-11
#: Entries of the table by which an outcome is looked up.
_GUIDE = 2**12


def round_distributions(
    probabilities: FloatArray, reference: FloatArray | None = None
) -> FloatArray:
    """Round (N, 2^n) distributions to the grid; rows add up to exactly 1.

    The cumulative distribution is rounded, so that a value changes by less than a step.

    Args:
        reference: the same distributions by arithmetic that is the same on every processor; it
            decides where ``probabilities``, of a library's arithmetic, are within 1e-11 of the
            middle between two steps.

    Raises:
        QmendError: if a row is not finite or adds up to no positive number.
    """
    steps = _cumulative(probabilities)
    if reference is not None:
        doubtful = np.abs(steps - np.floor(steps) - 0.5) <= _DOUBTFUL * STEPS
        steps = np.where(doubtful, _cumulative(reference), steps)
    return np.diff(np.rint(steps), axis=1, prepend=0.0) / STEPS


def _cumulative(probabilities: FloatArray) -> FloatArray:
    """(N, 2^n) sums of the first outcomes in steps, not rounded; the last is :data:`STEPS`."""
    sums = np.cumsum(np.maximum(probabilities, 0.0), axis=1)
    if not (np.isfinite(sums[:, -1]) & (sums[:, -1] > 0)).all():
        raise QmendError("A distribution has a value that is not finite, or no positive one.")
    steps: FloatArray = sums / sums[:, -1:] * STEPS
    return steps


def sample_counts(
    probabilities: FloatArray, shots: int | IntArray, seeds: Sequence[np.random.SeedSequence]
) -> IntArray:
    """(N, 2^n) multinomial counts; row i depends on its own distribution, shots and seed alone.

    Probabilities are first rounded to the grid. Each shot draws an integer uniform over its
    steps, as ``Generator.integers`` does, and the inverse of the distribution function gives its
    outcome.

    Args:
        shots: of all rows, or (N,) of each.
    """
    grid = np.rint(round_distributions(probabilities) * STEPS)
    cumulative = np.cumsum(grid, axis=1).astype(np.int64)
    counts = np.zeros(grid.shape, dtype=np.int64)
    count = _compiled_counting()
    drawn = np.broadcast_to(shots, len(seeds)).tolist()
    for row, (size, seed) in enumerate(zip(drawn, seeds, strict=True)):
        words = np.random.PCG64(seed).random_raw(-(-size // 2)).astype("<u8", copy=False)
        count(cumulative[row], words.view("<u4")[:size], counts[row])
    return counts


def _count(cumulative: IntArray, words: AnyArray, counts: IntArray) -> None:
    """Add each draw to the first outcome whose cumulative probability exceeds it.

    Args:
        words: random 32 bits, whose upper 24 are the draw.
    """
    width = STEPS // _GUIDE
    guide = np.empty(_GUIDE, dtype=np.int64)  # the first outcome possible in each interval
    outcome = 0
    for k in range(_GUIDE):
        while cumulative[outcome] <= k * width:
            outcome += 1
        guide[k] = outcome
    for word in words:
        draw = word >> 8
        outcome = guide[draw // width]
        while cumulative[outcome] <= draw:
            outcome += 1
        counts[outcome] += 1


@cache
def _compiled_counting() -> Callable[..., None]:
    """Compile :func:`_count`; numba loads slowly."""
    import numba

    return cast("Callable[..., None]", numba.njit(cache=True, nogil=True)(_count))
