"""Losses of signal: how they are inverted, and how their rates are fitted."""

from __future__ import annotations

from collections.abc import Callable, Sequence

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


def refine_rates(
    error: Callable[[FloatArray], float],
    start: FloatArray,
    step: float,
    tolerance: tuple[float, float],
    upper: Sequence[float | None] | None = None,
) -> FloatArray:
    """Minimise an error over rates >= 0, by Nelder and Mead's simplex.

    No noise makes signal grow: a fit to few circuits that finds a negative rate has found an
    accident, and extrapolates it.

    Args:
        error: of rates.
        start: rates >= 0.
        step: first step of each rate, beside a fifth of its start.
        tolerance: of the rates and of the error.
        upper: greatest value of each, None where there is none; None: of all.
    """
    from scipy.optimize import minimize

    # Nelder-Mead's own first simplex is useless for values near zero: 20 % steps instead.
    simplex = np.vstack([start, start + np.diag(0.2 * start + step)])
    bounds = [(0.0, most) for most in upper or [None] * len(start)]
    options = {"initial_simplex": simplex, "xatol": tolerance[0], "fatol": tolerance[1]}
    found = minimize(error, start, method="Nelder-Mead", bounds=bounds, options=options)
    rates: FloatArray = found.x
    return rates
