"""Elementary functions with the same bits everywhere: right, and what they always were."""

import hashlib

import mpmath
import numpy as np
import pytest
from scipy import stats

from qmend import portable
from qmend.types import QmendError

_ANGLES = np.linspace(-20, 20, 2001)
_CASES = {
    "exp": (portable.exp, mpmath.exp, np.linspace(-30, 3, 2001)),
    "log": (portable.log, mpmath.log, np.linspace(1e-3, 40, 2001)),
    "cos": (portable.cos, mpmath.cos, _ANGLES),
    "sin": (portable.sin, mpmath.sin, _ANGLES),
    "arccos": (portable.arccos, mpmath.acos, np.linspace(-1, 1, 2001)),
    "arctan": (lambda x: portable.arctan2(x, 1.0), mpmath.atan, _ANGLES),
}


@pytest.mark.parametrize("name", _CASES)
def test_errors_are_below_five_units_in_the_last_place(name):
    function, exact, points = _CASES[name]
    with mpmath.workprec(150):
        truth = [exact(mpmath.mpf(float(x))) for x in points]
        for value, true in zip(function(points), truth, strict=True):
            unit = mpmath.mpf(float(np.spacing(abs(float(true)) or 1e-300)))
            assert abs(mpmath.mpf(float(value)) - true) <= 5 * unit


def test_the_bits_are_those_of_every_other_machine():
    values = [function(points) for function, _, points in _CASES.values()]
    digest = hashlib.sha256(np.concatenate(values).astype("<f8").tobytes()).hexdigest()
    assert digest[:16] == "aba43638ab90c731"


def test_all_quadrants_and_the_edges():
    x, y = np.array([1, 1, -1, -1, 0, 0, -1.0]), np.array([1, -1, 1, -1, 1, 0, 0.0])
    np.testing.assert_allclose(portable.arctan2(y, x), np.arctan2(y, x), rtol=1e-15)
    values = [portable.exp(-800.0), portable.exp(0.0), portable.cos(0.0)]
    np.testing.assert_array_equal(values, [0, 1, 1])


def test_normal_draws_are_normal_and_more_begin_with_fewer():
    draws = portable.standard_normal(np.random.default_rng(0), 20001)
    assert stats.kstest(draws, "norm").pvalue > 0.01
    assert abs(np.corrcoef(draws[:-1], draws[1:])[0, 1]) < 0.02
    for size in (0, 1, 2, 7):
        fewer = portable.standard_normal(np.random.default_rng(0), size)
        np.testing.assert_array_equal(fewer, draws[:size])


def test_uniform_draws_are_the_generators_own_where_nothing_is_fused():
    draws = portable.uniform(np.random.default_rng(0), -3.0, 0.7, 1000)
    np.testing.assert_allclose(draws, np.random.default_rng(0).uniform(-3.0, 0.7, 1000), atol=1e-15)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_no_number_is_refused(bad):
    for function in (portable.exp, portable.log, portable.cos_sin, portable.arccos):
        with pytest.raises(QmendError, match="not finite"):
            function(bad)
