"""Scores of one mitigator on one set of circuits, and paired comparison of two."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from qmend import metrics
from qmend.datasets.table import LabelledCircuits
from qmend.metrics import Bootstrap, Interval
from qmend.types import FloatArray

#: A mitigator that recovers so much more of the ideal from no measurement than the best constant
#: does (difference of the medians ``uniform_l1rc``) simulates its circuits.
SIMULATION_MARGIN = 0.05


@dataclass(frozen=True)
class Scores:
    """Figures of each circuit, (N,) each; ``uniform_l1rc`` is what the mitigator recovers of the
    ideal from the uniform distribution, :func:`qmend.metrics.uniform_l1rc`."""

    l1rc: FloatArray
    tv: FloatArray
    hellinger: FloatArray
    rmse: FloatArray
    kl: FloatArray
    uniform_l1rc: FloatArray

    def write(self, path: Path, data: LabelledCircuits) -> None:
        """Parquet, one row a circuit."""
        columns = {
            "circuit_id": data.circuit_id,
            "job_id": data.job_id,
            "n_two_qubit": data.n_two_qubit,
            "depth": data.depth,
            **{name: getattr(self, name) for name in self.__dataclass_fields__},
        }
        pq.write_table(pa.table(columns), path)


@dataclass(frozen=True)
class Summary:
    """Figures over all circuits, with 95 % intervals.

    Attributes:
        figures: ``l1rc_median``, ``improved_pct``, ``harmed_pct``, ``tv``, ``hellinger``,
            ``rmse``, ``kl``, ``uniform_l1rc``.
        unit: what the bootstrap resampled.
        excluded: circuits without noisy error, left out of L1RC.
    """

    figures: dict[str, Interval]
    unit: str
    excluded: int

    def metrics(self, prefix: str = "test/") -> dict[str, float]:
        """Flat, as the run contract names them."""
        out: dict[str, float] = {}
        for name, interval in self.figures.items():
            out[f"{prefix}{name}"] = interval.value
            out[f"{prefix}{name}_lo"] = interval.lo
            out[f"{prefix}{name}_hi"] = interval.hi
        return {**out, f"{prefix}excluded": float(self.excluded)}


def score(data: LabelledCircuits, mitigated: FloatArray, of_uniform: FloatArray) -> Scores:
    """Score mitigated distributions (N, 2^n), chain order.

    Args:
        of_uniform: (N, 2^n) what the mitigator makes of the uniform distribution in place of
            the measured ones.
    """
    ideal, noisy = data.ideal, data.circuits.noisy
    return Scores(
        l1rc=metrics.l1rc(ideal, noisy, mitigated),
        tv=metrics.total_variation(ideal, mitigated),
        hellinger=metrics.hellinger(ideal, mitigated),
        rmse=metrics.rmse(ideal, mitigated),
        kl=metrics.kl_divergence(ideal, mitigated),
        uniform_l1rc=metrics.uniform_l1rc(ideal, of_uniform),
    )


def summarise(scores: Scores, bootstrap: Bootstrap) -> Summary:
    """Medians, shares and means with their intervals."""

    def of(values: FloatArray, statistic: object) -> Interval:
        assert callable(statistic)
        return bootstrap.interval(lambda index: float(statistic(values[index])))

    return Summary(
        figures={
            "l1rc_median": of(scores.l1rc, metrics.median_l1rc),
            "improved_pct": of(scores.l1rc, metrics.improved_pct),
            "harmed_pct": of(scores.l1rc, metrics.harmed_pct),
            "tv": of(scores.tv, np.mean),
            "hellinger": of(scores.hellinger, np.mean),
            "rmse": of(scores.rmse, np.mean),
            "kl": of(scores.kl, np.mean),
            "uniform_l1rc": of(scores.uniform_l1rc, metrics.median_l1rc),
        },
        unit=bootstrap.unit,
        excluded=int(np.isnan(scores.l1rc).sum()),
    )


@dataclass(frozen=True)
class Comparison:
    """One mitigator against another on the same circuits.

    Attributes:
        difference: of the median L1RC, ours minus theirs; below 0 is better.
        harm: of the share of harmed circuits, per cent points.
    """

    difference: Interval
    harm: float

    @property
    def beats(self) -> bool:
        """Lower median L1RC with the paired interval below 0, and no more harm."""
        return self.difference.value < 0 and self.difference.hi < 0 and self.harm <= 0


def compare(ours: Scores, theirs: Scores, bootstrap: Bootstrap) -> Comparison:
    """Paired comparison: both are resampled together."""
    difference = bootstrap.interval(
        lambda index: (
            metrics.median_l1rc(ours.l1rc[index]) - metrics.median_l1rc(theirs.l1rc[index])
        )
    )
    harm = metrics.harmed_pct(ours.l1rc) - metrics.harmed_pct(theirs.l1rc)
    return Comparison(difference, harm)


def simulates(summary: Summary, constant: float) -> bool:
    """Whether a mitigator recovers more from the uniform distribution than circuits have in common.

    A sufficient sign, not a necessary one: a simulated factor on each measured parity has nothing
    to act on here, so that such a mitigator has to say itself that it simulates.

    Args:
        constant: median ``uniform_l1rc`` of the best constant distribution on the same circuits;
            one that fits them worse than the uniform distribution counts as that, 0.
    """
    return summary.figures["uniform_l1rc"].value < min(constant, 0.0) - SIMULATION_MARGIN


def reference(data: LabelledCircuits, bootstrap: Bootstrap) -> Interval | None:
    """Median shot-noise reference; None where the exact noisy distribution is not known."""
    if data.noisy_exact is None:
        return None
    values = metrics.shot_noise_reference(data.ideal, data.circuits.noisy, data.noisy_exact)
    return bootstrap.interval(lambda index: metrics.median_l1rc(values[index]))
