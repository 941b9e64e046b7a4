"""Scored runs, and reading them back from the store."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import yaml
from mlflow.entities import Run as MlflowRun

from qmend.config.spellings import current_form
from qmend.evaluation.scores import Scores, Summary
from qmend.metrics import Interval
from qmend.tracking.finding import name_of, scored_split
from qmend.tracking.store import Store, explain_errors
from qmend.types import FloatArray, QmendError

HISTORY = ("train/loss", "val/loss", "val/l1rc_median")


@dataclass(frozen=True)
class ScoredRun:
    """A mitigator scored on a set of circuits by one tracked run.

    Attributes:
        name: of its row in a table.
        tags, params, metrics: of the run, by the run contract.
        started: milliseconds since the epoch.
        split: which circuits were scored.
        scores: of each circuit.
        history: metric -> one value an epoch; empty where there was none.
        mitigated: (N, 2^m) its distributions; None for a run that was read back, or of several
            sizes.
    """

    name: str
    run_id: str
    tags: Mapping[str, str]
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    started: int
    split: str
    scores: Scores
    history: Mapping[str, Sequence[float]] = field(default_factory=dict)
    mitigated: FloatArray | None = None

    @staticmethod
    def of(
        run: MlflowRun, split: str, scores: Scores, history: Mapping[str, Sequence[float]]
    ) -> ScoredRun:
        """Make a scored run of an MLflow run and its scores."""
        info, data = run.info, run.data
        return ScoredRun(
            name_of(run),
            info.run_id,
            data.tags,
            data.params,
            data.metrics,
            info.start_time,
            split,
            scores,
            history,
        )

    @property
    def kind(self) -> str:
        """``baseline``, ``train``, ``evaluation``, ``trial`` or ``reference``."""
        return self.tags.get("kind", "-")

    @property
    def seed(self) -> str:
        return self.tags.get("seed", "none")

    @property
    def simulates(self) -> bool:
        """It simulates its circuits instead of mitigating them; it can't win."""
        return self.tags.get("simulates") == "true"

    @cached_property
    def summary(self) -> Summary:
        """Figures over all circuits as they were logged."""
        return Summary.read(self.metrics, self.tags.get("bootstrap_unit", "?"), f"{self.split}/")

    @property
    def figures(self) -> dict[str, Interval]:
        return self.summary.figures

    @property
    def parameters(self) -> int:
        return int(self.metrics.get("cost/parameters", 0))

    @property
    def seconds(self) -> float:
        """Seconds of training or fitting."""
        return self.metrics.get("cost/seconds", 0.0)

    @property
    def shots_factor(self) -> float:
        """Shots of a circuit in all, over those that every mitigator gets."""
        return self.metrics.get("cost/shots_factor", 1.0)

    @property
    def median(self) -> float:
        """Median L1RC of all circuits."""
        return self.scores.median

    @property
    def validation(self) -> float:
        """Lowest median L1RC on the validation split over epochs; inf: none."""
        values = np.array(self.history.get("val/l1rc_median", []), dtype=float)
        values = values[~np.isnan(values)]
        return float(values.min()) if len(values) else float("inf")

    @cached_property
    def circuits_key(self) -> tuple[str, str, str, str]:
        """Dataset, its hash, split, and a hash of the circuits: equal for comparable runs."""
        ids = zip(self.scores.circuit_id.tolist(), self.scores.job_id.tolist(), strict=True)
        text = "\n".join(sorted(f"{circuit} {job}" for circuit, job in ids))
        digest = hashlib.sha256(text.encode()).hexdigest()
        return self.tags.get("dataset", "?"), self.tags.get("dataset_sha", "?"), self.split, digest


def history(store: Store, run: MlflowRun, names: Sequence[str] = HISTORY) -> dict[str, list[float]]:
    """Read a run's metrics, one value a step: the last that was logged."""
    curves: dict[str, list[float]] = {}
    with explain_errors(store.root):
        for name in names:
            if name not in run.data.metrics:
                continue
            logged = store.client.get_metric_history(run.info.run_id, name)
            by_step = {m.step: m.value for m in sorted(logged, key=lambda m: m.timestamp)}
            curves[name] = [by_step[step] for step in sorted(by_step)]
    return curves


def read_scored(store: Store, run: MlflowRun) -> ScoredRun | None:
    """Read a scored run back, or None if it has no readable scores."""
    split = scored_split(run)
    if split is None:
        return None
    try:
        scores = Scores.read(store.artifact(run, f"scores/{split}.parquet"))
    except QmendError:
        return None
    return ScoredRun.of(run, split, scores, history(store, run))


def read_config(store: Store, run: MlflowRun) -> dict[str, Any]:
    """Read the resolved config that a run logged.

    Raises:
        QmendError: if it is missing or damaged.
    """
    path = store.artifact(run, "config.yaml")
    try:
        config = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError):
        config = None
    if not isinstance(config, dict):
        raise QmendError(f"{path} is missing or damaged: the run's config is not known.")
    return current_form(config)
