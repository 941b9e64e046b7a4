"""Score one mitigator on one set of circuits, and summarise with intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from qmend import metrics
from qmend.metrics import Bootstrap, Interval, interval_keys
from qmend.types import AnyArray, FloatArray, IntArray, QmendError

if TYPE_CHECKING:  # reading scores needs no circuits
    from qmend.datasets.table import LabelledCircuits

#: The figures of each circuit.
FIGURES = ("l1rc", "tv", "hellinger", "rmse", "kl")


@dataclass(frozen=True)
class Scores:
    """Figures of each circuit, arrays (N,), with its circuit and job.

    Attributes:
        circuit_id, job_id: strings.
    """

    circuit_id: AnyArray
    job_id: AnyArray
    l1rc: FloatArray
    tv: FloatArray
    hellinger: FloatArray
    rmse: FloatArray
    kl: FloatArray

    def __len__(self) -> int:
        return len(self.l1rc)

    @property
    def figures(self) -> dict[str, FloatArray]:
        """(N,) values by the names in :data:`FIGURES`."""
        return {name: getattr(self, name) for name in FIGURES}

    @property
    def median(self) -> float:
        """Median L1RC of all circuits."""
        return metrics.median_l1rc(self.l1rc)

    @property
    def harmed_pct(self) -> float:
        """Share of harmed circuits, per cent."""
        return metrics.harmed_pct(self.l1rc)

    def select(self, index: IntArray) -> Scores:
        """Select circuits by their numbers, in that order."""
        columns = {name: values[index] for name, values in self.figures.items()}
        return Scores(self.circuit_id[index], self.job_id[index], **columns)

    def in_order_of(self, other: Scores) -> Scores:
        """Bring the circuits into the order of ``other``, which has the same ones."""
        if np.array_equal(self.circuit_id, other.circuit_id):
            return self
        rank = np.argsort(np.lexsort((other.job_id, other.circuit_id)))
        return self.select(np.lexsort((self.job_id, self.circuit_id))[rank])

    def write(self, path: Path, data: LabelledCircuits) -> None:
        """Write Parquet with a row per circuit."""
        columns = {
            "circuit_id": self.circuit_id,
            "job_id": self.job_id,
            "n_two_qubit": data.n_two_qubit,
            "depth": data.depth,
            **self.figures,
        }
        pq.write_table(pa.table(columns), path)

    @staticmethod
    def read(path: Path) -> Scores:
        """Read what :meth:`write` wrote.

        Raises:
            QmendError: if the file is missing or damaged.
        """
        try:
            table = pq.read_table(path)
            ids = [np.array(table[name].to_pylist(), str) for name in ("circuit_id", "job_id")]
            return Scores(*ids, **{name: table[name].to_numpy() for name in FIGURES})
        except (OSError, KeyError, pa.ArrowException) as error:
            raise QmendError(
                f"The scores in {path} are missing or damaged ({str(error).splitlines()[0]}); "
                "score the network again with `qmend evaluate`."
            ) from None


@dataclass(frozen=True)
class Summary:
    """Figures over all circuits, with 95 % intervals.

    Attributes:
        figures: ``l1rc_median``, ``improved_pct``, ``harmed_pct``, ``tv``, ``hellinger``,
            ``rmse``, ``kl``; of a run also those of :mod:`qmend.evaluation.simulation`.
        unit: of the bootstrap, ``jobs`` or ``circuits``.
        excluded: circuits without noisy error, left out of L1RC.
    """

    figures: dict[str, Interval]
    unit: str
    excluded: int

    def metrics(self, prefix: str = "test/") -> dict[str, float]:
        """Map names of the run contract to a run's metrics."""
        logged: dict[str, float] = {}
        for name, interval in self.figures.items():
            logged |= interval.logged(f"{prefix}{name}")
        return {**logged, f"{prefix}excluded": float(self.excluded)}

    @staticmethod
    def read(logged: Mapping[str, float], unit: str, prefix: str = "test/") -> Summary:
        """Read a summary back from a run's metrics."""
        figures = {}
        for key in interval_keys(logged):
            interval = Interval.read(logged, key)
            if key.startswith(prefix) and interval is not None:
                figures[key.removeprefix(prefix)] = interval
        return Summary(figures, unit, int(logged.get(f"{prefix}excluded", 0)))


def score(data: LabelledCircuits, mitigated: FloatArray) -> Scores:
    """Score mitigated distributions (N, 2^n), chain order.

    Raises:
        QmendError: if a mitigated distribution is not finite.
    """
    ideal, noisy = data.ideal, data.circuits.noisy
    if not np.isfinite(mitigated).all():
        row = int(np.argwhere(~np.isfinite(mitigated))[0][0])
        raise QmendError(
            f"The mitigated distribution of circuit {row} is not finite: train the network "
            "again, with a smaller optimizer.lr."
        )
    return Scores(
        data.circuit_id,
        data.job_id,
        l1rc=metrics.l1rc(ideal, noisy, mitigated),
        tv=metrics.total_variation(ideal, mitigated),
        hellinger=metrics.hellinger(ideal, mitigated),
        rmse=metrics.rmse(ideal, mitigated),
        kl=metrics.kl_divergence(ideal, mitigated),
    )


def summarise(scores: Scores, bootstrap: Bootstrap) -> Summary:
    """Summarise as medians, shares and means with their intervals."""

    def of(values: FloatArray, statistic: Callable[[FloatArray], Any]) -> Interval:
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
        },
        unit=bootstrap.unit,
        excluded=int(np.isnan(scores.l1rc).sum()),
    )


def reference(data: LabelledCircuits) -> Interval | None:
    """Compute the median shot-noise reference; None if the exact noisy distribution is unknown."""
    if data.noisy_exact is None:
        return None
    values = metrics.shot_noise_reference(data.ideal, data.circuits.noisy, data.noisy_exact)
    return Bootstrap.over(data.job_id).interval(lambda index: metrics.median_l1rc(values[index]))
