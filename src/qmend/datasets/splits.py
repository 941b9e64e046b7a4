"""Splits by job: circuits of one job share a calibration and a drift, so they stay together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

import numpy as np

from qmend.datasets.config import SplitConfig
from qmend.types import QmendError, Split


def split_jobs(times: Sequence[datetime], shares: SplitConfig, seed: int) -> list[Split]:
    """Assign each job to a split.

    By job: a seeded permutation cut at the shares, none left empty. By time: the earliest jobs
    train and the latest test, so that nothing is learned from the future; jobs of one moment
    (one calibration) stay together.

    Args:
        times: when each job ran.

    Raises:
        QmendError: by time, if the jobs ran at fewer than three moments.
    """
    if shares.by == "time":
        return _by_time(times, shares)
    jobs = len(times)
    test = min(max(1, round(shares.test * jobs)), jobs - 2)
    val = min(max(1, round(shares.val * jobs)), jobs - test - 1)
    order = np.random.default_rng(seed).permutation(jobs)
    names: list[Split] = ["train"] * jobs
    for rank, job in enumerate(order):
        names[job] = "test" if rank < test else "val" if rank < test + val else "train"
    return names


def _by_time(times: Sequence[datetime], shares: SplitConfig) -> list[Split]:
    jobs_at = Counter(times)
    moments = sorted(jobs_at)
    if len(moments) < 3:
        raise QmendError(
            f"dataset.split.by=time needs jobs of at least three dates, these have {len(moments)}; "
            "choose dataset/calibrations=drift, or dataset/split=by_job."
        )
    done = np.cumsum([jobs_at[m] for m in moments]) / len(times)
    # The first moment of the validation and of the test split, at least one moment each.
    val = min(int(np.searchsorted(done, shares.train - 1e-9)) + 1, len(moments) - 2)
    last = int(np.searchsorted(done, shares.train + shares.val - 1e-9)) + 1
    test = min(max(last, val + 1), len(moments) - 1)
    name: dict[datetime, Split] = {
        moment: "train" if rank < val else "val" if rank < test else "test"
        for rank, moment in enumerate(moments)
    }
    return [name[moment] for moment in times]
