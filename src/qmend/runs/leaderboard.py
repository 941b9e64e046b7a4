"""All mitigators scored on one split, the best of them, and what it beats."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qmend.datasets.table import LabelledCircuits
from qmend.evaluation.scores import Comparison, compare, reference
from qmend.metrics import Bootstrap, Interval
from qmend.runs.scoring import Entry, ScoredSplit


@dataclass(frozen=True)
class Leaderboard:
    """A scored test split.

    Attributes:
        data: the circuits.
        entries: baselines and models in the order given.
        reference: the shot-noise reference, no mitigator; None for hardware data.
        split: which circuits they are.
    """

    data: LabelledCircuits
    entries: list[Entry]
    reference: Interval | None
    split: ScoredSplit = "test"

    @staticmethod
    def build(
        data: LabelledCircuits, entries: list[Entry], split: ScoredSplit = "test"
    ) -> Leaderboard:
        """Put entries together and compute the reference."""
        return Leaderboard(data, entries, reference(data, Bootstrap.over(data.job_id)), split)

    @property
    def baselines(self) -> list[Entry]:
        return [e for e in self.entries if e.kind == "baseline"]

    @property
    def models(self) -> list[Entry]:
        return [e for e in self.entries if e.kind != "baseline"]

    @property
    def ranked(self) -> list[Entry]:
        """Best median L1RC first."""
        return sorted(self.entries, key=lambda e: e.summary.figures["l1rc_median"].value)

    @property
    def winner(self) -> Entry | None:
        """The best row of all; one that simulates its circuits is none."""
        return next((e for e in self.ranked if not e.simulates), None)

    @property
    def best_model(self) -> Entry | None:
        """The model to be judged: best on the validation split, whatever the test split says.

        Never one that simulates its circuits; None where all models do. Models without a
        validation figure rank by the scored split.
        """

        def rank(entry: Entry) -> tuple[float, float]:
            validation = float(np.nanmin(entry.history.get("val/l1rc_median", [np.inf])))
            return validation, entry.summary.figures["l1rc_median"].value

        return min((e for e in self.models if not e.simulates), key=rank, default=None)

    def comparisons(self) -> list[tuple[Entry, Comparison]]:
        """The best model against every baseline that mitigates, on the same circuits."""
        bootstrap = Bootstrap.over(self.data.job_id)
        best = self.best_model
        if best is None:
            return []
        mitigating = [e for e in self.baselines if not e.simulates]
        return [(e, compare(best.scores, e.scores, bootstrap)) for e in mitigating]
