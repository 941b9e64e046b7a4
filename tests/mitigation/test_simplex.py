"""The nearest distribution, against independent ways to find it."""

import numpy as np
import pytest
from scipy.optimize import brentq, minimize

from qmend.mitigation.simplex import project_to_simplex


@pytest.fixture
def quasi() -> np.ndarray:
    """Quasi-distributions with negative entries, some far from the simplex."""
    rng = np.random.default_rng(0)
    rows = rng.normal(0.25, 0.4, size=(40, 4))
    return np.concatenate([rows, 5 * rows, rng.dirichlet(np.ones(4), size=5)])


def test_it_solves_the_quadratic_programme(quasi):
    """min |x - q|^2 with sum x = 1 and x >= 0, by a general solver."""
    projected = project_to_simplex(quasi)
    for q, x in zip(quasi, projected, strict=True):
        nearest = minimize(
            lambda y, q=q: ((y - q) ** 2).sum(),
            np.full(4, 0.25),
            jac=lambda y, q=q: 2 * (y - q),
            bounds=[(0, None)] * 4,
            constraints={"type": "eq", "fun": lambda y: y.sum() - 1},
            method="SLSQP",
            options={"ftol": 1e-14},
        )
        np.testing.assert_allclose(x, nearest.x, atol=1e-6)


def test_it_is_the_threshold_that_leaves_one():
    """Optimality: x = max(q - t, 0) with the one t for which it sums to 1."""
    quasi = np.random.default_rng(1).normal(1 / 32, 0.05, size=(50, 32))
    projected = project_to_simplex(quasi)
    for q, x in zip(quasi, projected, strict=True):
        t = brentq(lambda t, q=q: np.maximum(q - t, 0).sum() - 1, -2, 2, xtol=1e-15)
        np.testing.assert_allclose(x, np.maximum(q - t, 0), atol=1e-12)


def test_no_distribution_is_nearer(quasi):
    rng = np.random.default_rng(2)
    projected = project_to_simplex(quasi)
    distance = ((projected - quasi) ** 2).sum(axis=1)
    others = np.concatenate([rng.dirichlet(np.ones(4), size=300), np.eye(4)])
    for q, d in zip(quasi, distance, strict=True):
        assert d <= ((others - q) ** 2).sum(axis=1).min() + 1e-12


def test_distributions_stay_as_they_are():
    rows = np.concatenate([np.random.default_rng(3).dirichlet(np.ones(8), size=20), np.eye(8)])
    np.testing.assert_allclose(project_to_simplex(rows), rows, atol=1e-14)


def test_the_result_is_a_distribution(quasi):
    projected = project_to_simplex(quasi)
    assert (projected >= 0).all()
    np.testing.assert_allclose(projected.sum(axis=1), 1, atol=1e-14)


def test_by_hand():
    """Smolin et al., worked: the negative entry is cut, its deficit shared by the others."""
    np.testing.assert_allclose(project_to_simplex(np.array([[0.7, 0.5, -0.2]])), [[0.6, 0.4, 0]])
    np.testing.assert_allclose(project_to_simplex(np.array([[3.0, 0.0]])), [[1, 0]])
