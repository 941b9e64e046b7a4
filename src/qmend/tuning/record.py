"""Read a search from the store, which has one run for each trial.

A trial's values are its run's params, its history is the run's validation metric, its end is the
tag ``outcome``. The tag is set last: a trial without it is resumed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from mlflow.entities import Run as MlflowRun
from pydantic import ValidationError

from qmend.tracking.finding import kind_of, parent_of
from qmend.tracking.store import Store
from qmend.tuning.space import Parameter, SearchSpace, Value
from qmend.types import QmendError

SEARCH_SPACE = "search_space.json"
#: Logged with each epoch: seconds of training up to its end.
SECONDS = "train/seconds"
#: MLflow stores infinity as the largest float.
_LARGEST = 1e300

Outcome = Literal["finished", "pruned", "failed"]
OUTCOMES: tuple[Outcome, ...] = ("finished", "pruned", "failed")


@dataclass
class Trial:
    """One trial.

    Attributes:
        source: ``default``, ``run <id>`` or ``tpe``.
        values: of the keys that are varied under its own conditions.
        history: validation value of each epoch; infinite where it was no number.
        outcome: None until it ends.
        seconds: of training, those before an interruption included.
    """

    number: int
    source: str
    run_id: str
    values: dict[str, Value]
    history: list[float] = field(default_factory=list)
    outcome: Outcome | None = None
    seconds: float = 0.0
    parameters: int = 0
    error: str = ""

    @property
    def best(self) -> float:
        """The lowest value of all epochs; infinite without one."""
        return min(self.history, default=math.inf)

    @property
    def epochs(self) -> int:
        return len(self.history)


@dataclass(frozen=True)
class SearchRecord:
    """A search with its trials in order.

    Attributes:
        run: the search's own.
        objective: metric that was minimised.
    """

    run: MlflowRun
    objective: str
    space: SearchSpace
    trials: list[Trial]

    @property
    def valued(self) -> list[Trial]:
        """Trials with a value that did not fail."""
        return [t for t in self.trials if math.isfinite(t.best) and t.outcome != "failed"]

    @property
    def best(self) -> Trial | None:
        """The best finished trial, else the best of all."""
        return best_trial(self.trials) or min(self.valued, key=lambda t: t.best, default=None)


def best_trial(trials: Sequence[Trial]) -> Trial | None:
    """Return the finished trial with the lowest value; of equals, the first."""
    finished = [trial for trial in trials if trial.outcome == "finished"]
    return min(finished, key=lambda trial: trial.best, default=None)


def is_search(run: MlflowRun) -> bool:
    """Tell whether a run is the parent of a search."""
    return kind_of(run) == "tune"


def read_search(store: Store, parent: MlflowRun, runs: Sequence[MlflowRun]) -> SearchRecord:
    """Read a search from its parent run and those that may belong to it.

    Raises:
        QmendError: if its search space can't be read.
    """
    path = store.artifact(parent, SEARCH_SPACE)
    try:
        stored = json.loads(path.read_text())
        space = SearchSpace({key: Parameter.model_validate(v) for key, v in stored.items()})
    except (OSError, ValueError, AttributeError, ValidationError):
        raise QmendError(
            f"{path} is missing or damaged: the space of the search {parent.info.run_id[:12]} is "
            "not known; report on its best runs with runs=[RUN,RUN]."
        ) from None
    objective = str(parent.data.tags.get("objective", "val/l1rc_median"))
    own = [r for r in runs if kind_of(r) == "trial" and parent_of(r) == parent.info.run_id]
    return SearchRecord(parent, objective, space, read_trials(store, own, space, objective))


def read_trials(
    store: Store, runs: Sequence[MlflowRun], space: SearchSpace, metric: str
) -> list[Trial]:
    """Read trials from their runs, by number."""
    trials = [_read_trial(store, run, space, metric) for run in runs]
    return sorted(trials, key=lambda trial: (trial.number, trial.run_id))


def _read_trial(store: Store, run: MlflowRun, space: SearchSpace, metric: str) -> Trial:
    tags, metrics = run.data.tags, run.data.metrics
    history = store.client.get_metric_history(run.info.run_id, metric)
    values = {entry.step: entry.value for entry in history}
    outcome = next((o for o in OUTCOMES if o == tags.get("outcome")), None)
    number = str(tags.get("trial", "-1"))
    return Trial(
        int(number) if number.isdigit() else -1,
        str(tags.get("trial_source", "tpe")),
        run.info.run_id,
        space.read(run.data.params),
        [v if v < _LARGEST else math.inf for _, v in sorted(values.items())],
        outcome,
        float(metrics.get("cost/seconds", metrics.get(SECONDS, 0.0))),
        int(metrics.get("cost/parameters", 0)),
        str(tags.get("error", "")) if outcome == "failed" else "",
    )
