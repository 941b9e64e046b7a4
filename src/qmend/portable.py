"""Elementary functions and random numbers that have the same bits on every processor.

A library's ``exp`` or ``cos`` takes another path on each processor, and a matrix product another
order of its sums: the last bits differ. What decides the bytes of a dataset is therefore computed
from additions, subtractions, multiplications, divisions and square roots alone, element by
element and in a fixed order; IEEE 754 fixes each of these to the last bit. Errors are below five
units in the last place. Arguments are floats or arrays of float64; so are results.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from qmend.types import FloatArray, QmendError

#: ln 2 in two parts; the first ends in zeros, so that small multiples of it are exact.
_LN2 = (6.93147180369123816490e-01, 1.90821492927058770002e-10)
#: pi / 2 in three parts, each but the last with 33 bits.
_HALF_PI = (1.57079632673412561417e00, 6.07710050630396597660e-11, 2.02226624879595063154e-21)
#: Larger angles lose the bits that their remainder needs.
_MAX_ANGLE = 1e6

# Coefficients of Taylor series; divisions of exact numbers are correctly rounded.
_EXP = [1 / float(f) for f in np.cumprod([1, *range(1, 15)])]
_COS = [(-1.0) ** k / float(f) for k, f in enumerate(np.cumprod([1, *range(1, 19)])[::2])]
_SIN = [(-1.0) ** k / float(f) for k, f in enumerate(np.cumprod([1, *range(1, 20)])[1::2])]
_ATANH = [1 / float(2 * k + 1) for k in range(13)]
_ARCTAN = [(-1.0) ** k / float(2 * k + 1) for k in range(10)]


def exp(x: Any) -> FloatArray:
    """e^x; 0 below -745.

    Raises:
        QmendError: if a value is not finite or exceeds 709.
    """
    x = _finite(x, 709.0, low=-np.inf)
    if (x < -745.0).any():
        return np.where(x < -745.0, 0.0, exp(np.maximum(x, -745.0)))
    turns = np.rint(x * 1.4426950408889634)
    rest = (x - turns * _LN2[0]) - turns * _LN2[1]
    value: FloatArray = np.ldexp(_horner(rest, _EXP), turns.astype(np.int64))
    return value


def log(x: Any) -> FloatArray:
    """Natural logarithm of positive numbers.

    Raises:
        QmendError: if a value is not positive and finite.
    """
    x = _finite(x, np.inf)
    if not (x > 0).all():
        raise QmendError("A logarithm needs positive numbers.")
    mantissa, exponent = np.frexp(x)  # in 1/2 .. 1
    small = mantissa < 0.7071067811865476
    mantissa = np.where(small, 2 * mantissa, mantissa)
    exponent = exponent - small
    s = (mantissa - 1) / (mantissa + 1)
    series = 2 * s * _horner(s * s, _ATANH)
    value: FloatArray = exponent * _LN2[0] + (exponent * _LN2[1] + series)
    return value


def cos(x: Any) -> FloatArray:
    """Cosine of angles in radians, see :func:`cos_sin`."""
    return cos_sin(x)[0]


def sin(x: Any) -> FloatArray:
    """Sine of angles in radians, see :func:`cos_sin`."""
    return cos_sin(x)[1]


def cos_sin(x: Any) -> tuple[FloatArray, FloatArray]:
    """Cosine and sine of angles in radians.

    Raises:
        QmendError: if an angle is not finite or exceeds 1e6.
    """
    x = _finite(x, _MAX_ANGLE)
    quarters = np.rint(x * 0.6366197723675814)
    rest = ((x - quarters * _HALF_PI[0]) - quarters * _HALF_PI[1]) - quarters * _HALF_PI[2]
    square = rest * rest
    cosine, sine = _horner(square, _COS), rest * _horner(square, _SIN)
    quadrant = quarters.astype(np.int64)
    odd, sign = (quadrant & 1) == 1, 1.0 - (quadrant & 2)
    return sign * np.where(odd, -sine, cosine), sign * np.where(odd, cosine, sine)


def arctan2(y: Any, x: Any) -> FloatArray:
    """Angle of the points (x, y) in radians, -pi .. pi; 0 at the origin."""
    y, x = np.broadcast_arrays(_finite(y, np.inf), _finite(x, np.inf))
    size = np.maximum(np.abs(x), np.abs(y))
    ratio = np.minimum(np.abs(x), np.abs(y)) / np.where(size > 0, size, 1.0)
    for _ in range(3):  # arctan t = 2 arctan(t / (1 + sqrt(1 + t^2)))
        ratio = ratio / (1 + np.sqrt(1 + ratio * ratio))
    angle = 8 * (ratio * _horner(ratio * ratio, _ARCTAN))
    angle = np.where(np.abs(y) > np.abs(x), np.pi / 2 - angle, angle)
    angle = np.where(x < 0, np.pi - angle, angle)
    signed: FloatArray = np.where(y < 0, -angle, angle)
    return signed


def arccos(x: Any) -> FloatArray:
    """Angle in 0 .. pi with this cosine.

    Raises:
        QmendError: if a value is outside -1 .. 1.
    """
    x = _finite(x, 1.0)
    return arctan2(np.sqrt((1 - x) * (1 + x)), x)


def uniform(
    rng: np.random.Generator, low: float, high: float, size: int | None = None
) -> FloatArray:
    """Draw numbers uniform in low .. high.

    ``Generator.uniform`` fuses its product and sum on processors that can.
    """
    return low + (high - low) * np.asarray(rng.random(size))


def standard_normal(rng: np.random.Generator, size: int) -> FloatArray:
    """Draw (size,) standard normal numbers; the first ones of more are the same.

    From uniform ones, by Box and Muller (1958): the tails of ``Generator.standard_normal`` are
    logarithms of the C library.
    """
    u, v = rng.random(((size + 1) // 2, 2)).T
    radius = np.sqrt(-2 * log(1 - u))
    cosine, sine = cos_sin(2 * np.pi * v)
    pairs: FloatArray = np.stack([radius * cosine, radius * sine], axis=1)
    return pairs.ravel()[:size]


def _finite(x: Any, most: float, low: float | None = None) -> FloatArray:
    values: FloatArray = np.asarray(x, dtype=np.float64)
    low = -most if low is None else low
    if not ((values >= low) & (values <= most) & np.isfinite(values)).all():
        raise QmendError(f"A number is not finite or outside {low:g} .. {most:g}.")
    return values


def _horner(x: FloatArray, coefficients: list[float]) -> FloatArray:
    """sum_k c_k x^k."""
    total: FloatArray = np.full_like(x, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        total *= x
        total += coefficient
    return total
