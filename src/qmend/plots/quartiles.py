"""Quartiles of a figure in bins of about equally many circuits."""

from __future__ import annotations

import numpy as np

from qmend.types import AnyArray, FloatArray


def binned_quartiles(
    x: AnyArray, values: AnyArray, bins: int
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Bin circuits by quantiles of x; compute mean x and quartiles of the values.

    Args:
        x: (N,) such as two-qubit gates.
        values: (N,) NaN are left out, and so is a bin with nothing else.
        bins: at most; equal x share one.

    Returns:
        (B,) means of x, lower quartiles, medians, upper quartiles.
    """
    edges = np.unique(np.quantile(x, np.linspace(0, 1, bins + 1)))
    bin_of = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, max(len(edges) - 2, 0))
    rows = []
    for k in np.unique(bin_of):
        inside = values[bin_of == k]
        inside = inside[~np.isnan(inside)]
        if len(inside):
            rows.append([x[bin_of == k].mean(), *np.percentile(inside, [25, 50, 75])])
    means, low, middle, high = np.array(rows, dtype=float).reshape(-1, 4).T
    return means, low, middle, high
