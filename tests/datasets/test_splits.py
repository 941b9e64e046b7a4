"""Splits by job."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from qmend.datasets.config import SplitConfig
from qmend.datasets.splits import split_jobs
from qmend.types import QmendError
from reference import stored_rows


def dates(jobs: int, snapshots: int = 1) -> list[datetime]:
    """When each job ran, snapshots taken in turn."""
    start = datetime(2024, 2, 28, tzinfo=UTC)
    return [start + timedelta(days=k % snapshots) for k in range(jobs)]


def test_no_job_and_no_circuit_is_in_two_splits(tiny_folder):
    rows = stored_rows(tiny_folder)
    for name in ("job_id", "circuit_id"):
        owners: dict[str, set] = {}
        for row in rows:
            owners.setdefault(row[name], set()).add(row["split"])
        assert {len(splits) for splits in owners.values()} == {1}
    assert len({r["circuit_id"] for r in rows}) == len(rows)
    jobs = {r["job_id"]: r["split"] for r in rows}
    assert Counter(jobs.values()) == {"train": 17, "val": 2, "test": 5}  # .7, .1, .2 of 24


def test_jobs_are_whole_and_in_order(tiny_folder):
    rows = stored_rows(tiny_folder)
    assert [r["job_id"] for r in rows] == [f"tiny-{k // 4:06d}" for k in range(96)]


@pytest.mark.parametrize("jobs", [3, 4, 5, 10, 37, 160])
@pytest.mark.parametrize("shares", [(0.7, 0.1, 0.2), (0.5, 0.125, 0.375), (0.02, 0.96, 0.02)])
def test_shares_are_kept_and_none_is_empty(jobs, shares):
    train, val, test = shares
    names = split_jobs(dates(jobs), SplitConfig(train=train, val=val, test=test), 0)
    count = Counter(names)
    assert len(names) == jobs
    assert min(count[s] for s in ("train", "val", "test")) >= 1
    if jobs * min(shares) >= 1:
        for name, share in zip(("train", "val", "test"), shares, strict=True):
            assert abs(count[name] - share * jobs) <= 1


def test_the_assignment_is_seeded_and_mixed():
    shares = SplitConfig(train=0.5, val=0.25, test=0.25)
    first = split_jobs(dates(40), shares, 1)
    assert first == split_jobs(dates(40), shares, 1)
    assert first != split_jobs(dates(40), shares, 2)
    assert first != sorted(first)
    assert first != sorted(first, reverse=True)


@pytest.mark.parametrize(("jobs", "snapshots"), [(40, 40), (40, 7), (30, 3), (200, 40), (9, 4)])
@pytest.mark.parametrize("shares", [(0.7, 0.1, 0.2), (0.5, 0.125, 0.375), (0.02, 0.96, 0.02)])
def test_by_time_nothing_comes_before_what_was_trained_on(jobs, snapshots, shares):
    train, val, test = shares
    times = dates(jobs, snapshots)
    names = split_jobs(times, SplitConfig(by="time", train=train, val=val, test=test), 0)
    of = {s: [t for t, n in zip(times, names, strict=True) if n == s] for s in set(names)}
    assert set(of) == {"train", "val", "test"}
    assert max(of["train"]) < min(of["val"])
    assert max(of["val"]) < min(of["test"])
    if snapshots == jobs:
        np.testing.assert_allclose(len(of["train"]) / jobs, train, atol=1.01 / jobs)


def test_by_time_needs_three_dates():
    with pytest.raises(QmendError, match=r"split.by=time .* three dates, these have 2"):
        split_jobs(dates(40, 2), SplitConfig(by="time"), 0)
