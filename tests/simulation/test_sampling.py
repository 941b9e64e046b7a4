"""Shots drawn from exact distributions."""

import numpy as np
import pytest
from scipy import stats

from qmend.simulation.sampling import sample_counts


def seeds(*numbers: int) -> list[np.random.SeedSequence]:
    return [np.random.SeedSequence([n, 1]) for n in numbers]


def test_a_row_depends_on_its_own_seed_alone(random_distributions):
    """One by one, in another order, among other rows: the same counts."""
    p = random_distributions(6, 5)
    together = sample_counts(p, 1000, seeds(*range(6)))
    for k in range(6):
        np.testing.assert_array_equal(sample_counts(p[[k]], 1000, seeds(k))[0], together[k])
    np.testing.assert_array_equal(
        sample_counts(p[::-1], 1000, seeds(*reversed(range(6)))), together[::-1]
    )


def test_other_seeds_give_other_counts(random_distributions):
    p = np.repeat(random_distributions(1, 5), 4, axis=0)
    drawn = sample_counts(p, 1000, seeds(0, 1, 2, 0))
    assert len(np.unique(drawn, axis=0)) == 3
    np.testing.assert_array_equal(drawn[0], drawn[3])


def test_every_shot_is_counted(random_distributions):
    counts = sample_counts(random_distributions(5, 3), 777, seeds(*range(5)))
    assert counts.dtype == np.int64
    assert (counts >= 0).all()
    assert counts.sum(axis=1).tolist() == [777] * 5


def test_frequencies_fit_the_probabilities():
    """Chi-square of each of 60 circuits; the p-values themselves are uniform."""
    p = np.random.default_rng(0).dirichlet(np.full(16, 5.0), size=60)
    counts = sample_counts(p, 20_000, seeds(*range(60)))
    values = [stats.chisquare(c, 20_000 * q).pvalue for c, q in zip(counts, p, strict=True)]
    assert min(values) > 1e-4
    assert stats.kstest(values, "uniform").pvalue > 1e-3


def test_the_expectation_is_right_to_the_law_of_large_numbers():
    p = np.array([[0.5, 0.25, 0.125, 0.125]])
    frequency = sample_counts(p, 10_000_000, seeds(3))[0] / 1e7
    np.testing.assert_allclose(frequency, p[0], atol=5 * np.sqrt(0.25 / 1e7))


def test_impossible_outcomes_never_occur():
    counts = sample_counts(np.array([[0.0, 1.0, 0.0, 0.0]]), 5000, seeds(1))
    assert counts.tolist() == [[0, 5000, 0, 0]]


def test_rounding_errors_of_a_simulator_are_harmless():
    """Sums off by 1e-12 and zeros slightly below 0 occur in exact simulation."""
    p = np.array([[0.3, 0.7 + 1e-12, -1e-17, 0.0]])
    counts = sample_counts(p, 1000, seeds(1))[0]
    assert counts.sum() == 1000
    assert counts[2:].tolist() == [0, 0]


@pytest.mark.parametrize("rows", [0, 1])
def test_shapes_of_small_batches(rows):
    assert sample_counts(np.full((rows, 4), 0.25), 8, seeds(*range(rows))).shape == (rows, 4)


def test_draws_are_those_of_a_generators_integers():
    """Twice as many in each 64 random bits; an odd number of shots leaves half of the last."""
    p = np.full((1, 2**12), 2.0**-12)
    for shots in (1, 1000, 1001):
        (seed,) = seeds(shots)
        draws = np.random.default_rng(seed).integers(0, 2**24, shots, dtype=np.uint32)
        expected = np.bincount(draws // 2**12, minlength=2**12)
        np.testing.assert_array_equal(sample_counts(p, shots, [seed])[0], expected)
