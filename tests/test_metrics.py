"""Distances, L1RC and bootstrap intervals against values worked by hand."""

import math

import numpy as np
import pytest

from qmend import metrics
from qmend.metrics import Bootstrap, Interval

P = np.array([[0.5, 0.5, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.25, 0.25, 0.25, 0.25]])
Q = np.array([[0.5, 0.0, 0.5, 0.0], [0.0, 0.0, 0.0, 1.0], [0.25, 0.25, 0.25, 0.25]])


def test_l1_and_total_variation():
    assert metrics.l1(P, Q).tolist() == [1.0, 2.0, 0.0]
    assert metrics.total_variation(P, Q).tolist() == [0.5, 1.0, 0.0]


def test_rmse_is_the_l2_distance_over_the_root_of_the_outcomes():
    expected = np.linalg.norm(P - Q, axis=1) / math.sqrt(P.shape[1])
    np.testing.assert_allclose(metrics.rmse(P, Q), expected, rtol=1e-12)
    assert metrics.rmse(np.array([[1.0, 0, 0, 0]]), np.array([[0, 0, 0, 1.0]]))[0] == math.sqrt(0.5)


def test_hellinger():
    """sqrt(1 - sum sqrt(p q)): overlaps 1/2, 0 and 1."""
    np.testing.assert_allclose(metrics.hellinger(P, Q), [math.sqrt(0.5), 1.0, 0.0], atol=1e-12)
    unequal = metrics.hellinger(np.array([[0.36, 0.64]]), np.array([[0.64, 0.36]]))
    np.testing.assert_allclose(unequal, [math.sqrt(1 - 2 * 0.48)], atol=1e-12)


def test_distances_do_not_care_about_order(random_distributions):
    p, q = random_distributions(9, 3), random_distributions(9, 3)[::-1]
    for distance in (metrics.l1, metrics.total_variation, metrics.hellinger):
        np.testing.assert_allclose(distance(p, q), distance(q, p), atol=1e-14)
        np.testing.assert_array_equal(distance(p, p), 0)


def test_kl_is_ideal_to_predicted():
    """0.5 ln(0.5/0.25) + 0.5 ln(0.5/0.75); the other direction differs."""
    ideal, predicted = np.array([[0.5, 0.5]]), np.array([[0.25, 0.75]])
    expected = 0.5 * math.log(2) + 0.5 * math.log(2 / 3)
    np.testing.assert_allclose(metrics.kl_divergence(ideal, predicted), [expected], atol=1e-8)
    other = 0.25 * math.log(0.5) + 0.75 * math.log(1.5)
    np.testing.assert_allclose(metrics.kl_divergence(predicted, ideal), [other], atol=1e-8)


def test_kl_floors_predictions_and_renormalises():
    """An outcome ruled out costs ln(1e9), to the renormalisation by 1 + 1e-9."""
    value = metrics.kl_divergence(np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]]))
    np.testing.assert_allclose(value, [-math.log(1e-9 / (1 + 1e-9))], rtol=1e-12)
    many = metrics.kl_divergence(np.eye(1, 32), np.eye(1, 32))
    np.testing.assert_allclose(many, [math.log(1 + 31e-9)], rtol=1e-6)


def test_l1rc_by_hand():
    """Perfect -1, unchanged 0, half the error gone -0.5, doubled +1."""
    ideal = np.array([[1.0, 0.0]] * 4)
    noisy = np.array([[0.8, 0.2]] * 4)
    mitigated = np.array([[1.0, 0.0], [0.8, 0.2], [0.9, 0.1], [0.6, 0.4]])
    np.testing.assert_allclose(metrics.l1rc(ideal, noisy, mitigated), [-1, 0, -0.5, 1], atol=1e-12)


def test_circuits_without_noisy_error_are_left_out():
    ideal = np.array([[1.0, 0.0]] * 3)
    noisy = np.array([[1.0, 0.0], [0.8, 0.2], [0.8, 0.2]])
    mitigated = np.array([[0.9, 0.1], [0.9, 0.1], [0.5, 0.5]])
    values = metrics.l1rc(ideal, noisy, mitigated)
    assert np.isnan(values).tolist() == [True, False, False]
    assert metrics.median_l1rc(values) == pytest.approx((-0.5 + 1.5) / 2)
    assert metrics.improved_pct(values) == 50
    assert metrics.harmed_pct(values) == 50


def test_shares_have_a_dead_zone_between_improved_and_harmed():
    values = np.array([-0.5, -1e-9, 0.0, 0.05, 0.0501, 2.0, np.nan])
    assert metrics.improved_pct(values) == pytest.approx(100 * 2 / 6)
    assert metrics.harmed_pct(values) == pytest.approx(100 * 2 / 6)


def test_the_shot_noise_reference_is_the_l1rc_of_removing_all_bias():
    """|noisy - noisy_exact| / |ideal - noisy| - 1: 0.1 / 0.4 - 1, and 0 / 0.4 - 1."""
    ideal = np.array([[1.0, 0.0]] * 3)
    noisy = np.array([[0.8, 0.2], [0.8, 0.2], [1.0, 0.0]])
    exact = np.array([[0.75, 0.25], [0.8, 0.2], [0.9, 0.1]])
    values = metrics.shot_noise_reference(ideal, noisy, exact)
    np.testing.assert_allclose(values, [-0.75, -1.0, np.nan], atol=1e-12)
    unbiased = noisy - exact + ideal
    np.testing.assert_allclose(values, metrics.l1rc(ideal, noisy, unbiased), atol=1e-12)


# Bootstrap


@pytest.mark.parametrize(("jobs", "unit"), [(19, "circuits"), (20, "jobs"), (45, "jobs")])
def test_jobs_are_resampled_where_there_are_twenty(jobs, unit):
    names = np.array([f"job-{k % jobs}" for k in range(100)])
    bootstrap = Bootstrap.over(names)
    assert bootstrap.unit == unit
    assert len(set(bootstrap.groups)) == (jobs if unit == "jobs" else 100)


def test_jobs_are_resampled_whole():
    """20 jobs of 1, 2, ... 20 circuits: each replicate has 20 of them, complete."""
    names = np.repeat([f"j{k:02d}" for k in range(20)], np.arange(1, 21))
    shuffled = np.random.default_rng(0).permutation(names)
    lengths = set()
    for index in list(Bootstrap.over(shuffled, replicates=30).samples()):
        drawn, count = np.unique(shuffled[index], return_counts=True)
        sizes = np.array([int(name[1:]) + 1 for name in drawn])
        assert (count % sizes == 0).all()
        assert (count // sizes).sum() == 20
        lengths.add(len(index))
    assert len(lengths) > 5  # with replacement


def test_circuits_are_resampled_one_by_one():
    bootstrap = Bootstrap.over(np.array(["a"] * 50), replicates=20)
    replicates = list(bootstrap.samples())
    assert all(len(index) == 50 for index in replicates)
    assert all(0.4 < len(set(index.tolist())) / 50 < 0.85 for index in replicates)


def test_replicates_are_the_same_at_every_call():
    """Two mitigators are compared on the same resampled circuits."""
    bootstrap = Bootstrap.over(np.arange(30), replicates=5)
    for a, b in zip(bootstrap.samples(), bootstrap.samples(), strict=True):
        np.testing.assert_array_equal(a, b)
    other = Bootstrap.over(np.arange(30), replicates=5, seed=1)
    assert not np.array_equal(next(bootstrap.samples()), next(other.samples()))


def test_the_interval_has_the_width_of_the_standard_error():
    values = np.random.default_rng(0).normal(size=400)
    found = Bootstrap.over(np.zeros(400)).interval(lambda index: float(values[index].mean()))
    assert found.value == pytest.approx(values.mean())
    assert found.lo < found.value < found.hi
    assert found.hi - found.lo == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)


def test_the_interval_covers_the_truth_as_often_as_it_says():
    """200 experiments on 60 circuits each: 95 % of intervals, give or take three sigma."""
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(200):
        values = rng.normal(size=60)
        interval = Bootstrap(np.arange(60), "circuits", 200).interval(
            lambda index, v=values: float(v[index].mean())
        )
        hits += interval.lo <= 0 <= interval.hi
    assert 0.90 <= hits / 200 <= 0.99


def test_circuits_of_a_job_that_err_together_widen_the_interval():
    """Resampling circuits would pretend to know 40 times more."""
    rng = np.random.default_rng(2)
    values = np.repeat(rng.normal(size=25), 40)
    jobs = np.repeat(np.arange(25), 40)

    def mean(index) -> float:
        return float(values[index].mean())

    by_job = Bootstrap.over(jobs).interval(mean)
    by_circuit = Bootstrap(np.arange(1000), "circuits").interval(mean)
    assert by_job.value == by_circuit.value
    ratio = (by_job.hi - by_job.lo) / (by_circuit.hi - by_circuit.lo)
    assert ratio == pytest.approx(np.sqrt(40), rel=0.2)


def test_error_bars_are_never_negative():
    """Few draws may leave the figure itself outside their interval."""
    assert Interval(0.5, 0.25, 1.0).arms == (0.25, 0.5)
    assert Interval(0.5, 0.75, 1.0).arms == (0.0, 0.5)
    assert Interval(0.5, 0.0, 0.25).arms == (0.5, 0.0)
