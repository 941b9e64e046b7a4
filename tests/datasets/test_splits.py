"""Splits by job."""

from collections import Counter

import pytest

from qmend.datasets.config import SplitConfig
from qmend.datasets.splits import split_jobs
from reference import stored_rows


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
    names = split_jobs(jobs, SplitConfig(train=train, val=val, test=test), 0)
    count = Counter(names)
    assert len(names) == jobs
    assert min(count[s] for s in ("train", "val", "test")) >= 1
    if jobs * min(shares) >= 1:
        for name, share in zip(("train", "val", "test"), shares, strict=True):
            assert abs(count[name] - share * jobs) <= 1


def test_the_assignment_is_seeded_and_mixed():
    shares = SplitConfig(train=0.5, val=0.25, test=0.25)
    first = split_jobs(40, shares, 1)
    assert first == split_jobs(40, shares, 1)
    assert first != split_jobs(40, shares, 2)
    assert first != sorted(first)
    assert first != sorted(first, reverse=True)
