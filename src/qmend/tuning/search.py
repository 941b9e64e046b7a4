"""A search in its own process: what is journalled, and the runs that follow from it."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlflow.entities import Run as MlflowRun
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID
from pydantic import ValidationError

from qmend.config.errors import validation_sentence
from qmend.datasets.manifest import Manifest
from qmend.runs.scoring import Context, dataset_tags
from qmend.runs.training import TrainingConfig, training_tags
from qmend.tracking.run import Run, begin_run, end_run
from qmend.tuning.config import TuneConfig
from qmend.tuning.journal import Journal, Outcome, Report, Trial
from qmend.tuning.proposals import propose
from qmend.tuning.space import SearchSpace, base_values, with_values
from qmend.tuning.trial import state_folder
from qmend.types import QmendError

#: Checks a whole config as `qmend train` does.
Check = Callable[[Mapping[str, Any]], TrainingConfig]
#: Called with a trial whenever something has become of it.
Watch = Callable[[Trial], None]

#: Status of a run for each outcome.
_STATUS = {"finished": "FINISHED", "pruned": "KILLED", "failed": "FAILED"}


@dataclass
class Search:
    """Proposes trials, takes what they give, and keeps journal and runs in step.

    Every event is journalled first; runs follow, and can be brought up to date from the journal
    alone. All runs belong to this process.

    Attributes:
        config: the config that sampled values are set in.
        earlier: the config of an earlier run to start from, with that run's id.
        parent: id of the search's own run.
    """

    context: Context
    folder: Path
    journal: Journal
    space: SearchSpace
    config: Mapping[str, Any]
    options: TuneConfig
    seed: int
    check: Check
    parent: str
    earlier: tuple[str, Mapping[str, Any]] | None = None
    watch: Watch = lambda trial: None
    runs: dict[int, str] = field(default_factory=dict)
    #: Trials that a killed search left, to be gone on with.
    waiting: list[Trial] = field(default_factory=list)
    #: What went wrong here while Ray was in control.
    error: Exception | None = None
    _before: dict[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        found = _runs_of(self.context, self.parent)
        self.runs = {number: run.info.run_id for number, run in found.items()}
        for trial in self.journal.trials:
            if trial.outcome is None and trial.stopped:
                self.journal.end(trial.number, "pruned", trial.reports[-1].seconds)
            if trial.outcome is None:
                self.waiting.append(trial)
                continue
            run = found.get(trial.number)
            if run is None or not _is_settled(run, trial):
                self._settle(trial)
        self.sweep()

    @property
    def wanted(self) -> int:
        """Trials that are to be run or gone on with."""
        return len(self.waiting) + max(0, self.options.trials - len(self.journal.trials))

    def next(self) -> Trial | None:
        """The next trial to run, with a run of its own; None when there are enough.

        A proposal that is no valid config ends at once as failed.
        """
        while True:
            if self.waiting:
                trial = self.waiting.pop(0)
            elif len(self.journal.trials) < self.options.trials:
                trial = self.journal.trial(*self._proposal())
            else:
                return None
            self._before[trial.number] = -1.0
            try:
                training = self.check(self.resolved(trial))
            except ValidationError as error:
                reason = validation_sentence(error, self.resolved(trial))
            except QmendError as error:
                reason = str(error)
            else:
                self._open_run(trial, training)
                self.watch(trial)
                return trial
            self.end(trial.number, "failed", error=reason)

    def resolved(self, trial: Trial) -> dict[str, Any]:
        """The whole config of a trial."""
        return with_values(self.config, trial.values)

    def protected(self, trial: Trial) -> bool:
        """Whether ASHA must let it run to its end."""
        return trial.source == "default"

    def report(self, number: int, epoch: int, value: float, seconds: float, stop: bool) -> None:
        """Journal an epoch with ASHA's verdict."""
        trial = self.journal.trials[number]
        value = value if math.isfinite(value) else math.inf
        self.journal.report(number, Report(epoch, value, self._total(trial, seconds), stop))
        self.watch(trial)

    def end(
        self,
        number: int,
        outcome: Outcome,
        seconds: float | None = None,
        parameters: int = 0,
        error: str = "",
    ) -> None:
        """Journal a trial's end and bring its run to the same."""
        trial = self.journal.trials[number]
        if trial.outcome is not None:
            return
        if seconds is None:
            seconds = trial.reports[-1].seconds if trial.reports else 0.0
        self.journal.end(number, outcome, seconds, parameters, error)
        self._settle(trial)
        self.watch(trial)

    def interrupt(self, reason: str) -> None:
        """End the runs of trials that have not ended; the same command goes on with them."""
        for trial in self.journal.trials:
            if trial.outcome is None and trial.number in self.runs:
                end_run(Run(self.context.store, self.runs[trial.number]), "KILLED", reason)

    def sweep(self) -> None:
        """Remove the states of trials that have ended; a stopped worker may have written one."""
        for trial in self.journal.trials:
            if trial.outcome is not None:
                shutil.rmtree(state_folder(self.folder, trial.number), ignore_errors=True)

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Keep an error that Ray would wrap into one of its own."""
        try:
            yield
        except Exception as error:
            self.error = error
            raise

    def run(self, trial: Trial) -> Run:
        """The run of a trial."""
        return Run(self.context.store, self.runs[trial.number])

    @property
    def best(self) -> Trial | None:
        """The finished trial with the lowest value; of equals, the first."""
        finished = [t for t in self.journal.trials if t.outcome == "finished"]
        return min(finished, key=lambda t: t.best, default=None)

    def _proposal(self) -> tuple[str, dict[str, Any]]:
        """Source and values of the next trial; decided by the journal alone."""
        trials = self.journal.trials
        warm = self.options.warm_start
        sources = [trial.source for trial in trials]
        if warm.default and "default" not in sources:
            return "default", {}
        if warm.best_run and self.earlier is not None:
            run_id, config = self.earlier
            values = self.space.project(config, clip=True)
            new = with_values(self.config, values) != self.config or "default" not in sources
            if new and not any(s != "default" for s in sources):
                return f"run {run_id}", values
        # The default config's values, as far as they lie in the space, tell something, too.
        known = [
            Trial(
                t.number,
                t.source,
                self.space.project(self.config, clip=False) if t.source == "default" else t.values,
                t.reports,
                t.outcome,
            )
            for t in trials
        ]
        return "tpe", propose(self.space, base_values(self.config), known, self.options.seed)

    def _open_run(self, trial: Trial, training: TrainingConfig) -> None:
        """A new run of the trial, or the one that it had before it was stopped."""
        manifest = self.context.dataset.manifest
        tags = {
            "kind": "trial",
            "trial": str(trial.number),
            "trial_source": trial.source,
            **dataset_tags(self.context.dataset),
            **training_tags(training, self.seed),
        }
        run = begin_run(
            self.context.store,
            trial_name(trial),
            tags,
            self.resolved(trial),
            self.parent,
            self.runs.get(trial.number),
        )
        self.runs[trial.number] = run.run_id
        log_data(run, manifest, self.context.dataset.folder)

    def _settle(self, trial: Trial) -> None:
        """Bring a trial's run to what the journal says of its end."""
        if trial.number not in self.runs:
            config = self.resolved(trial)
            tags = {"kind": "trial", "trial": str(trial.number), "trial_source": trial.source}
            tags |= dataset_tags(self.context.dataset)
            name = trial_name(trial)
            run = begin_run(self.context.store, name, tags, config, self.parent)
            self.runs[trial.number] = run.run_id
        run = self.run(trial)
        figures = {"cost/seconds": trial.seconds, "tune/epochs": float(trial.epochs)}
        if math.isfinite(trial.best):
            figures["tune/best"] = trial.best
        if trial.parameters:
            figures["cost/parameters"] = float(trial.parameters)
        # A kill may have left some of this done, and the error of an interruption.
        logged = self.context.store.client.get_run(run.run_id).data
        run.metrics({k: v for k, v in figures.items() if logged.metrics.get(k) != v})
        run.tags({"outcome": str(trial.outcome)})
        if "error" in logged.tags and trial.outcome != "failed":
            self.context.store.client.delete_tag(run.run_id, "error")
        end_run(run, _STATUS[str(trial.outcome)], trial.error)

    def _total(self, trial: Trial, seconds: float) -> float:
        """Seconds of all epochs, those before a kill too."""
        if self._before[trial.number] < 0:
            self._before[trial.number] = trial.reports[-1].seconds if trial.reports else 0.0
        return self._before[trial.number] + seconds


def trial_name(trial: Trial) -> str:
    """What a person reads: the number, and the sampled values."""
    if trial.source == "default":
        return f"trial {trial.number} default config"
    words = [f"{key.rpartition('.')[2]}={value_text(v)}" for key, v in trial.values.items()]
    return f"trial {trial.number} {' '.join(words)}"[:250]


def value_text(value: Any) -> str:
    """A sampled value with three digits."""
    if isinstance(value, float):
        return f"{value:.3g}"
    return "null" if value is None else str(value)


def log_data(run: Run, manifest: Manifest, folder: Path) -> None:
    """The splits that a search sees."""
    for use in ("train", "val"):
        run.dataset(manifest.name, manifest.dataset_sha, str(folder.resolve()), use)


def _runs_of(context: Context, parent: str) -> dict[int, MlflowRun]:
    """The search's runs by number of trial; the oldest where one has two."""
    query = f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{parent}' and tags.kind = 'trial'"
    found = context.store.runs(query, limit=50_000)
    return {int(run.data.tags["trial"]): run for run in found}


def _is_settled(run: MlflowRun, trial: Trial) -> bool:
    """Whether a run says what the journal says.

    A run that was ended for a killed process is not: a pruned trial's has the same status then.
    """
    tags = run.data.tags
    failed = trial.outcome == "failed"
    same = run.info.status == _STATUS[str(trial.outcome)] and tags.get("outcome") == trial.outcome
    return same and ("error" in tags) == failed
