"""Distances between distributions, L1RC, and bootstrap intervals. Pure numpy.

Distributions are rows of (N, K) arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from qmend.types import AnyArray, FloatArray, IntArray

#: L1RC above this counts as harm.
HARM_THRESHOLD = 0.05
#: Predictions are floored here, and renormalised, before KL.
KL_FLOOR = 1e-9
#: With at least this many jobs in the test split the bootstrap resamples jobs, else circuits.
MIN_JOBS = 20


def l1(p: FloatArray, q: FloatArray) -> FloatArray:
    """(N,) sum |p - q|."""
    distance: FloatArray = np.abs(p - q).sum(axis=1)
    return distance


def total_variation(p: FloatArray, q: FloatArray) -> FloatArray:
    """(N,) half the L1 distance."""
    return l1(p, q) / 2


def hellinger(p: FloatArray, q: FloatArray) -> FloatArray:
    """(N,) sqrt(sum (sqrt p - sqrt q)^2 / 2)."""
    distance: FloatArray = np.sqrt(((np.sqrt(p) - np.sqrt(q)) ** 2).sum(axis=1) / 2)
    return distance


def rmse(p: FloatArray, q: FloatArray) -> FloatArray:
    """(N,) sqrt(mean (p - q)^2) over outcomes."""
    distance: FloatArray = np.sqrt(((p - q) ** 2).mean(axis=1))
    return distance


def kl_divergence(ideal: FloatArray, predicted: FloatArray) -> FloatArray:
    """(N,) KL(ideal || predicted) in nats, ``predicted`` floored at 1e-9 and renormalised."""
    floored = np.maximum(predicted, KL_FLOOR)
    floored = floored / floored.sum(axis=1, keepdims=True)
    safe = np.where(ideal > 0, ideal, 1.0)
    divergence: FloatArray = np.where(ideal > 0, ideal * np.log(safe / floored), 0.0).sum(axis=1)
    return divergence


def l1rc(ideal: FloatArray, noisy: FloatArray, mitigated: FloatArray) -> FloatArray:
    """Compute the relative change of the L1 error.

    (N,) (|ideal - mitigated| - |ideal - noisy|) / |ideal - noisy|; -1 is perfect, 0 no change,
    NaN where the noisy error is zero.
    """
    before, after = l1(ideal, noisy), l1(ideal, mitigated)
    with np.errstate(divide="ignore", invalid="ignore"):
        change: FloatArray = np.where(before > 0, (after - before) / before, np.nan)
    return change


def median_l1rc(values: FloatArray) -> float:
    """Compute the median without NaN (circuits without noisy error); NaN if nothing is left."""
    values = values[~np.isnan(values)]
    return float(np.median(values)) if len(values) else float("nan")


def improved_pct(values: FloatArray) -> float:
    """Compute the share of circuits with L1RC < 0, in per cent; NaN if nothing is left."""
    values = values[~np.isnan(values)]
    return float(100.0 * (values < 0).mean()) if len(values) else float("nan")


def harmed_pct(values: FloatArray) -> float:
    """Compute the share of circuits with L1RC > 0.05, in per cent; NaN if nothing is left."""
    values = values[~np.isnan(values)]
    return float(100.0 * (values > HARM_THRESHOLD).mean()) if len(values) else float("nan")


def shot_noise_reference(
    ideal: FloatArray, noisy: FloatArray, noisy_exact: FloatArray
) -> FloatArray:
    """(N,) |noisy - noisy_exact| / |ideal - noisy| - 1: all bias gone, the shots' noise left.

    No lower bound: a mitigator may also denoise.
    """
    before = l1(ideal, noisy)
    with np.errstate(divide="ignore", invalid="ignore"):
        change: FloatArray = np.where(before > 0, l1(noisy, noisy_exact) / before - 1, np.nan)
    return change


@dataclass(frozen=True)
class Interval:
    """A figure and its 95 % bootstrap interval; a run logs the three as metrics of their own."""

    value: float
    lo: float
    hi: float

    def __neg__(self) -> Interval:
        return Interval(-self.value, -self.hi, -self.lo)

    @property
    def arms(self) -> tuple[float, float]:
        """Lengths of its error bar below and above; 0 where few draws leave the figure outside."""
        return max(self.value - self.lo, 0.0), max(self.hi - self.value, 0.0)

    @staticmethod
    def mean(intervals: Sequence[Interval]) -> Interval:
        """Average a figure over seeds, with the hull of its intervals."""
        return Interval(
            float(np.mean([each.value for each in intervals])),
            min(each.lo for each in intervals),
            max(each.hi for each in intervals),
        )

    def logged(self, key: str) -> dict[str, float]:
        """Return the metrics ``key``, ``key_lo`` and ``key_hi``."""
        return {key: self.value, f"{key}_lo": self.lo, f"{key}_hi": self.hi}

    @staticmethod
    def read(metrics: Mapping[str, float], key: str) -> Interval | None:
        """Read an interval back from metrics; None where one of the three is missing."""
        keys = (key, f"{key}_lo", f"{key}_hi")
        return Interval(*(metrics[k] for k in keys)) if all(k in metrics for k in keys) else None


def interval_text(interval: Interval, digits: int = 3) -> str:
    """Write a figure with its interval: ``-0.853 [-0.861, -0.846]``."""
    value, lo, hi = (f"{each:.{digits}f}" for each in (interval.value, interval.lo, interval.hi))
    return f"{value} [{lo}, {hi}]"


def interval_keys(metrics: Mapping[str, float]) -> list[str]:
    """List the metrics that have an interval, in alphabetical order."""
    return sorted(key for key in metrics if f"{key}_lo" in metrics and f"{key}_hi" in metrics)


@dataclass(frozen=True)
class Bootstrap:
    """Resamples test circuits: whole jobs where there are enough of them, else circuits.

    Attributes:
        groups: (N,) group of each circuit, 0..G-1.
        unit: ``jobs`` or ``circuits``, for the reader of a table.
    """

    groups: IntArray
    unit: str
    replicates: int = 1000
    seed: int = 0

    @staticmethod
    def over(job_id: AnyArray, replicates: int = 1000, seed: int = 0) -> Bootstrap:
        """Resample jobs if there are at least :data:`MIN_JOBS`, else circuits."""
        _, groups = np.unique(job_id, return_inverse=True)
        if groups.max(initial=-1) + 1 >= MIN_JOBS:
            return Bootstrap(groups.astype(np.int64), "jobs", replicates, seed)
        return Bootstrap(np.arange(len(job_id)), "circuits", replicates, seed)

    def samples(self) -> Iterator[IntArray]:
        """Draw the replicates' indices, the same at every call, as pairs need."""
        rng = np.random.default_rng(self.seed)
        order = np.argsort(self.groups, kind="stable")
        sizes = np.bincount(self.groups)
        first = np.cumsum(sizes) - sizes
        for _ in range(self.replicates):
            chosen = rng.integers(0, len(sizes), size=len(sizes))
            drawn = sizes[chosen]
            # Places of each drawn group's members in ``order``, one group after the other.
            start = np.repeat(first[chosen] - (np.cumsum(drawn) - drawn), drawn)
            yield order[start + np.arange(len(start))]

    def interval(self, statistic: Callable[[IntArray], float]) -> Interval:
        """Compute a statistic of all circuits, and the 2.5 and 97.5 percentiles of replicates.

        Args:
            statistic: takes indices of circuits.
        """
        drawn = np.array([statistic(index) for index in self.samples()])
        if np.isnan(drawn).all():
            return Interval(statistic(np.arange(len(self.groups))), float("nan"), float("nan"))
        lo, hi = np.nanpercentile(drawn, [2.5, 97.5])
        return Interval(statistic(np.arange(len(self.groups))), float(lo), float(hi))
