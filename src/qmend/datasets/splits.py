"""Splits by job: circuits of one job share a calibration and a drift, so they stay together."""

from __future__ import annotations

import numpy as np

from qmend.datasets.config import SplitConfig
from qmend.types import Split


def split_jobs(jobs: int, shares: SplitConfig, seed: int) -> list[Split]:
    """The split of each job: a seeded permutation cut at the shares, none left empty."""
    test = min(max(1, round(shares.test * jobs)), jobs - 2)
    val = min(max(1, round(shares.val * jobs)), jobs - test - 1)
    order = np.random.default_rng(seed).permutation(jobs)
    names: list[Split] = ["train"] * jobs
    for rank, job in enumerate(order):
        names[job] = "test" if rank < test else "val" if rank < test + val else "train"
    return names
