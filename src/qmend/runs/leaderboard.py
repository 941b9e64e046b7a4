"""Leaderboards: configurations that were scored on the same circuits, compared in pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from mlflow.entities import Run as MlflowRun

from qmend.evaluation.comparison import Comparison, Resampled
from qmend.metrics import Bootstrap, Interval
from qmend.runs.configurations import Configuration, group_seeds
from qmend.runs.reading import ScoredRun


@dataclass(frozen=True)
class Leaderboard:
    """Configurations scored on the same circuits.

    Attributes:
        configurations: in the order given.
        reference: the shot-noise reference, no mitigator; None where it is not known.
    """

    configurations: tuple[Configuration, ...]
    reference: Interval | None = None

    @staticmethod
    def of(runs: Sequence[ScoredRun], reference: Interval | None = None) -> Leaderboard:
        """Make a leaderboard with one row per run, under its own name."""
        return Leaderboard(tuple(Configuration(run.name, (run,)) for run in runs), reference)

    @property
    def runs(self) -> list[ScoredRun]:
        return [run for c in self.configurations for run in c.runs]

    @property
    def dataset(self) -> str:
        return self.runs[0].tags.get("dataset", "?")

    @property
    def dataset_sha(self) -> str:
        return self.runs[0].tags.get("dataset_sha", "?")

    @property
    def split(self) -> str:
        return self.runs[0].split

    @property
    def baselines(self) -> list[Configuration]:
        return [c for c in self.configurations if c.kind == "baseline"]

    @property
    def models(self) -> list[Configuration]:
        return [c for c in self.configurations if c.kind != "baseline"]

    @property
    def ranked(self) -> list[Configuration]:
        """Lowest median L1RC first."""
        return sorted(self.configurations, key=lambda c: (np.isnan(c.median), c.median))

    @property
    def winner(self) -> Configuration | None:
        """The eligible configuration of lowest median L1RC; it only marks a row."""
        return next((c for c in self.ranked if c.eligible and not np.isnan(c.median)), None)

    @cached_property
    def best(self) -> Configuration | None:
        """The eligible model that is best on the validation split.

        The others are compared with it. The scored split decides between equals only. A network
        that an ensemble on the board averages is not chosen: the ensemble stands for it. A
        baseline where there is no model.
        """
        models = [c for c in self.models if c.eligible]
        ensembles = (ids for c in models for ids in c.networks if "+" in ids)
        averaged = {run_id for ids in ensembles for run_id in ids.split("+")}
        models = [c for c in models if not c.networks <= averaged]
        baselines = [c for c in self.baselines if c.eligible]
        return min(models or baselines, key=lambda c: (c.validation, c.median), default=None)

    @cached_property
    def bootstrap(self) -> Bootstrap:
        """The bootstrap over jobs or circuits, the same draws for every run."""
        return Bootstrap.over(self.runs[0].scores.job_id)

    @cached_property
    def _resampled(self) -> dict[str, Resampled]:
        return {
            c.name: Resampled.of([run.scores for run in c.runs], self.bootstrap)
            for c in self.configurations
        }

    def compare(self, ours: Configuration, theirs: Configuration) -> Comparison:
        """Compare two of the configurations, both resampled together."""
        return self._resampled[ours.name].minus(self._resampled[theirs.name])


def leaderboards(
    runs: Sequence[ScoredRun], sources: Mapping[str, MlflowRun] | None = None
) -> list[Leaderboard]:
    """Make a leaderboard for each set of circuits, most configurations first.

    Args:
        sources: id -> run, for the trainings that evaluations name.
    """
    by_circuits: dict[tuple[str, ...], list[ScoredRun]] = {}
    for run in runs:
        by_circuits.setdefault(run.circuits_key, []).append(run)
    boards = [
        Leaderboard(group_seeds(align_circuits(members), sources or {}))
        for members in by_circuits.values()
    ]
    return sorted(boards, key=lambda board: (-len(board.configurations), board.dataset))


def align_circuits(runs: Sequence[ScoredRun]) -> list[ScoredRun]:
    """Bring the circuits of all runs into the order of the first's."""
    return [replace(run, scores=run.scores.in_order_of(runs[0].scores)) for run in runs]
