"""Search for the bit order under which one- and two-bit marginals agree best.

For so many bits that not all permutations can be compared. The agreement of a bit order p is
sum over records of sum_i z_i z'_p(i) + sum_i<j z_ij z'_p(i)p(j), with measured <Z_i> and
<Z_i Z_j> and ideal ones (primed). Depolarization does not change the best p.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations

import numpy as np
from scipy.optimize import linear_sum_assignment

from qmend.types import FloatArray, IntArray


def best_order(marginals: Iterable[tuple[FloatArray, FloatArray]]) -> tuple[int, ...]:
    """Search from the identity, the reversal and the best assignment of single bits, by swaps.

    Args:
        marginals: (n, n) measured and ideal <Z_i Z_j> of each record, <Z_i> on the diagonal.
    """
    measured, ideal = (np.array(part) for part in zip(*marginals, strict=True))
    n = measured.shape[-1]
    # (n, n, n, n) products of marginals, summed over records: all that the search needs.
    doubles = np.tensordot(measured, ideal, axes=(0, 0))
    singles = np.einsum("iikk->ik", doubles)
    left, right = np.triu_indices(n, 1)

    def agreement(order: IntArray) -> float:
        one = singles[np.arange(n), order].sum()
        return float(one + doubles[left, right, order[left], order[right]].sum())

    identity = np.arange(n)
    best, most = identity, agreement(identity)
    for start in (identity, identity[::-1], linear_sum_assignment(-singles)[1]):
        order, agreed = start, agreement(start)
        while True:
            swapped = [_swap(order, a, b) for a, b in combinations(range(n), 2)]
            reached = [agreement(other) for other in swapped]
            step = int(np.argmax(reached))
            if not reached[step] > agreed + 1e-9:
                break
            order, agreed = swapped[step], reached[step]
        if agreed > most + 1e-9:
            best, most = order, agreed
    return tuple(int(k) for k in best)


def _swap(order: IntArray, a: int, b: int) -> IntArray:
    swapped = order.copy()
    swapped[a], swapped[b] = order[b], order[a]
    return swapped
