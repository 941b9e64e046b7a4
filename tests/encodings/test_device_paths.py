"""Numbers of the device in an encoding: what training tells, and from which circuits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qmend.datasets.circuits import CircuitBatch
from qmend.datasets.table import LabelledCircuits, unknown_calibration_of
from qmend.encodings import ENCODINGS
from qmend.encodings.device_paths import DevicePathsEncoding, known_numbers
from qmend.noise.common_factor import bounded_factor, from_distribution
from qmend.noise.device_numbers import EXECUTED, SUBMITTED
from qmend.walsh import walsh_hadamard

JOBS, SIZE = 8, 12
COUNT, ALLOWED = 8, 9  # columns


@pytest.fixture(scope="module")
def jobs(tiny) -> LabelledCircuits:
    """96 circuits, which count as 8 jobs of 12."""
    return replace(tiny.rows, job=np.repeat(np.arange(JOBS), SIZE))


@pytest.fixture(scope="module")
def encoding(jobs) -> DevicePathsEncoding:
    fitted = ENCODINGS["device_paths"]().fit(jobs.circuits)
    assert isinstance(fitted, DevicePathsEncoding)
    return fitted


def device_of(encoding: DevicePathsEncoding, part: LabelledCircuits) -> np.ndarray:
    """(N, 10) numbers of training circuits."""
    return encoding.of_labelled(part).device.numpy()


@pytest.fixture(scope="module")
def numbers(encoding, jobs) -> np.ndarray:
    return device_of(encoding, jobs)


def bounded(
    encoding: DevicePathsEncoding, circuits: CircuitBatch, numbers: np.ndarray, own: float
) -> np.ndarray:
    """(N, 10) numbers that no measured distribution has bounded, as an encoding has them."""
    losses, seen = encoding.losses(circuits), walsh_hadamard(circuits.noisy)
    bound = from_distribution(losses, seen, circuits.shots, numbers[:, :4])
    shift, narrower = bounded_factor(losses, numbers, np.full(len(circuits), own), bound)
    moved = np.column_stack([numbers, bound - shift])
    moved[:, :3] += shift[:, None]
    moved[:, 4:7] *= narrower[:, None]
    return moved


def references(numbers: np.ndarray) -> np.ndarray:
    """(N,) whether each circuit is a reference of its job, or of a job without any."""
    return numbers[:, COUNT] == 0


def test_each_job_draws_how_many_of_its_circuits_are_references(numbers):
    drawn = set()
    for job in np.split(numbers, JOBS):
        (count,) = {round(float(np.expm1(k))) for k in job[:, COUNT]} - {0} or {0}
        drawn.add(count)
        assert references(job).sum() == (count or SIZE)
    assert drawn > {0}
    assert drawn <= {0, 1, 3, 9}
    assert len(drawn) > 2


def test_references_keep_the_prior_and_narrow_it_for_the_others(encoding, jobs, numbers):
    prior = np.concatenate([EXECUTED.known.mean, EXECUTED.known.deviation])
    own = references(numbers)
    known = known_numbers(jobs.circuits)
    np.testing.assert_allclose(known[:, :8], np.tile(prior, (len(known), 1)))
    alone = bounded(encoding, jobs.circuits, known, EXECUTED.circuit)
    np.testing.assert_allclose(numbers[own], alone[own], rtol=1e-4, atol=1e-4)
    deviation = numbers[~own, 4:8] / EXECUTED.known.deviation
    assert (deviation <= 1 + 1e-6).all()
    # Each learns something; the measured distribution says nothing of the bias.
    assert deviation.min(axis=1).max() < 1
    many = np.expm1(numbers[~own, COUNT]) > 8
    assert deviation[many].mean() < deviation[~many].mean()


def test_a_circuits_numbers_do_not_depend_on_its_own_label(encoding, jobs, numbers):
    """Labels of all circuits but references exchanged: nothing changes; of these: all does."""
    own = references(numbers)
    others = np.flatnonzero(~own)
    ideal = jobs.ideal.copy()
    ideal[others] = ideal[np.roll(others, 1)]
    np.testing.assert_array_equal(device_of(encoding, replace(jobs, ideal=ideal)), numbers)
    ideal = jobs.ideal.copy()
    ideal[own] = np.roll(ideal[own], 1, axis=1)
    changed = device_of(encoding, replace(jobs, ideal=ideal))
    assert (np.abs(changed - numbers)[others, :8].max(axis=1) > 1e-3).all()
    np.testing.assert_array_equal(changed[own], numbers[own])


def test_a_job_is_encoded_alike_alone_and_among_others(encoding, jobs, numbers):
    rows = np.flatnonzero(jobs.job == 3)
    np.testing.assert_allclose(device_of(encoding, jobs.select(rows)), numbers[rows], rtol=1e-5)


def test_without_labels_or_jobs_there_are_no_references(encoding, jobs):
    for batch in (encoding(jobs.circuits), encoding(jobs.circuits, jobs.ideal)):
        assert references(batch.device.numpy()).all()


def test_given_numbers_are_taken_and_labels_left_aside(encoding, jobs):
    given = np.random.default_rng(0).uniform(0.1, 0.5, (len(jobs), 9))
    circuits = replace(jobs.circuits, numbers=given)
    device = device_of(encoding, replace(jobs, circuits=circuits))
    expected = bounded(encoding, circuits, given, EXECUTED.circuit)
    np.testing.assert_allclose(device, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(device[:, [3, 7, 8]], given[:, [3, 7, 8]], rtol=1e-6)
    few = np.array([5, 1])
    np.testing.assert_allclose(
        encoding(circuits.select(few)).device.numpy(), device[few], rtol=1e-5
    )


def test_the_distribution_bounds_the_losses_at_the_numbers(encoding, jobs, numbers):
    circuits, theta = jobs.circuits, numbers[:, :4].astype(float)
    losses = encoding.losses(circuits)
    left = from_distribution(losses, walsh_hadamard(circuits.noisy), circuits.shots, theta)
    inside = (np.abs(left) < 1.9) & (numbers[:, ALLOWED] < 1.9)
    assert inside.sum() > 20
    # Both interpolate on a grid, from other numbers.
    np.testing.assert_allclose(numbers[inside, ALLOWED], left[inside], atol=0.25)
    assert (numbers[:, ALLOWED] > 0).all()  # the mean of what ends at the bound is below it


def test_tokens_and_context_are_those_of_paths(encoding, jobs):
    paths = ENCODINGS["paths"]().fit(jobs.circuits)(jobs.circuits)
    ours = encoding(jobs.circuits)
    assert paths.device is None
    for name in ("tokens", "mask", "context", "noisy", "readout", "shots"):
        np.testing.assert_array_equal(getattr(ours, name).numpy(), getattr(paths, name).numpy())


def test_missing_values_widen_the_prior_and_hidden_gates_move_it(jobs):
    few = jobs.select(np.arange(4)).circuits
    missing = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=bool)
    executed = np.array([True, True, True, False])
    device = known_numbers(replace(few, filled=missing, executed=executed))
    for row, lacks, ran in zip(device, missing, executed, strict=True):
        prior = (EXECUTED if ran else SUBMITTED).of(lacks)
        np.testing.assert_allclose(row[:4], prior.mean, rtol=1e-6)
        np.testing.assert_allclose(row[4:8], prior.deviation, rtol=1e-6)
    known = EXECUTED.known.deviation
    assert device[1, 4] > known[0]
    assert device[2, 5] > known[1]
    assert device[3, 6] > known[2]
    assert device[3, 0] > EXECUTED.known.mean[0]  # more gates run than are shown


def test_a_device_that_shows_nothing_has_the_widest_prior(encoding, jobs):
    """Its mean values are those of the training circuits, and they count as missing."""
    circuits = jobs.circuits
    unknown = unknown_calibration_of("x", circuits.layouts[0], circuits.instructions)
    part = replace(jobs, circuits=replace(circuits, calibrations=(unknown,)))
    device = device_of(encoding, part)
    assert (device[:, 4:8] <= EXECUTED.filled.deviation * (1 + 1e-6)).all()
    assert np.median(device[references(device), 4]) > np.median(
        device_of(encoding, jobs)[references(device), 4]
    )
    assert encoding.of_labelled(part).readout.std() < 1e-6
