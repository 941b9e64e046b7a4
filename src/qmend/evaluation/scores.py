"""Score one mitigator on one set of circuits, and summarise with intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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

    def write(self, path: Path, data: Sequence[LabelledCircuits]) -> None:
        """Write Parquet with a row per circuit.

        Args:
            data: the scored circuits by size.
        """
        columns = {
            "circuit_id": self.circuit_id,
            "job_id": self.job_id,
            "n_two_qubit": np.concatenate([part.n_two_qubit for part in data]),
            "depth": np.concatenate([part.depth for part in data]),
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
            ``rmse``, ``kl``; of a run also those of :mod:`qmend.evaluation.simulation`, of a
            guarded network ``applied_pct``.
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


def score(data: Sequence[LabelledCircuits], mitigated: Sequence[FloatArray]) -> Scores:
    """Score mitigated distributions (N, 2^m), chain order, of circuits by size.

    Raises:
        QmendError: if a mitigated distribution is not finite.
    """
    parts = [_score(part, each) for part, each in zip(data, mitigated, strict=True)]
    names = ("circuit_id", "job_id", *FIGURES)
    return Scores(
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    )


def _score(data: LabelledCircuits, mitigated: FloatArray) -> Scores:
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


def reference(data: Sequence[LabelledCircuits]) -> Interval | None:
    """Compute the median shot-noise reference of circuits by size.

    None if the exact noisy distribution of one is unknown.
    """
    values = [
        metrics.shot_noise_reference(part.ideal, part.circuits.noisy, part.noisy_exact)
        for part in data
        if part.noisy_exact is not None
    ]
    if len(values) < len(data):
        return None
    all_values = np.concatenate(values)
    bootstrap = Bootstrap.over(np.concatenate([part.job_id for part in data]))
    return bootstrap.interval(lambda index: metrics.median_l1rc(all_values[index]))
