"""A search: propose trials, and write each one's values and end to its run."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlflow.entities import Run as MlflowRun
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID
from pydantic import ValidationError

from qmend.config.errors import validation_sentence
from qmend.config.nested import flatten
from qmend.runs.scoring import Context, dataset_tags, log_dataset
from qmend.runs.training import training_tags
from qmend.tracking.display import axis_metrics
from qmend.tracking.finding import name_of
from qmend.tracking.run import Run, begin_run, end_run
from qmend.training.config import TrainingConfig
from qmend.tuning.config import TuneConfig
from qmend.tuning.proposals import propose
from qmend.tuning.record import Outcome, Trial, best_trial, read_trials
from qmend.tuning.space import SECTIONS, SearchSpace, Value, base_values, with_values
from qmend.tuning.warm_start import best_earlier
from qmend.types import QmendError

#: Validates a whole config as `qmend train` does.
Check = Callable[[Mapping[str, Any]], TrainingConfig]
#: Called with a trial at each of its events.
Watch = Callable[[Trial], None]

#: Fields of ``tune`` that change how trials are run, not their values.
_INCIDENTAL = {"trials", "parallel", "resources", "output"}
_STATUS: dict[Outcome, str] = {"finished": "FINISHED", "pruned": "KILLED", "failed": "FAILED"}
_MOST_TRIALS = 50_000


@dataclass(frozen=True)
class SearchPlan:
    """A search, checked before any work.

    Attributes:
        config: the config that sampled values are set in, as ``qmend train`` takes it.
        training: the same, validated.
        ray_address: of the cluster that trials run on; ``local``: one started here.
    """

    options: TuneConfig
    space: SearchSpace
    config: Mapping[str, Any]
    training: TrainingConfig
    check: Check
    ray_address: str = "local"

    @staticmethod
    def of(
        config: Mapping[str, Any], options: TuneConfig, check: Check, ray_address: str = "local"
    ) -> SearchPlan:
        """SearchPlan a search around a whole config of `qmend train`.

        Raises:
            QmendError: if the space does not fit the config.
            ValidationError: if the config does not fit the search.
        """
        threads = options.resources.threads
        decided = {"trainer.monitor": options.metric, "trainer.threads": threads}
        base = with_values(config, decided)
        space = SearchSpace.parse(options.space, base)
        return SearchPlan(options, space, base, check(base), check, ray_address)

    @property
    def identity(self) -> dict[str, Any]:
        """The part of the config that decides the trials.

        An unfinished search with the same part on the same data is resumed.
        """
        kept = {name: self.config[name] for name in ("device", "dataset", *SECTIONS)}
        tune = self.options.model_dump(mode="json", exclude=_INCIDENTAL)
        return {**kept, "seed": self.training.seed, "tune": tune}

    @property
    def max_epochs(self) -> int:
        return self.training.trainer.max_epochs


@dataclass
class Search:
    """Proposes trials, and writes each one's values, epochs and end to its run.

    All runs belong to this process. A trial without an outcome is resumed, in its own run.

    Attributes:
        folder: of unfinished trials' training states.
        parent: id of the search's own run.
        name: of that run.
    """

    context: Context
    plan: SearchPlan
    folder: Path
    parent: str
    watch: Watch = lambda trial: None
    name: str = field(init=False)
    trials: list[Trial] = field(init=False)
    _waiting: list[Trial] = field(init=False)

    def __post_init__(self) -> None:
        self.name = name_of(self.context.store.client.get_run(self.parent))
        query = f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{self.parent}' and tags.kind = 'trial'"
        runs = self.context.store.runs(query, limit=_MOST_TRIALS)
        for run in runs:
            if not run.data.params:  # killed while it was made: proposed again
                self.context.store.client.delete_run(run.info.run_id)
        runs = [run for run in runs if run.data.params]
        plan = self.plan
        self.trials = read_trials(self.context.store, runs, plan.space, plan.options.metric)
        self._waiting = [trial for trial in self.trials if trial.outcome is None]
        by_id = {run.info.run_id: run for run in runs}
        for trial in self.trials:
            if trial.outcome is not None:
                self._mend_status(trial, by_id[trial.run_id])
        self.remove_states()

    @property
    def wanted(self) -> int:
        """Number of trials still to run or to resume."""
        return len(self._waiting) + max(0, self.plan.options.trials - len(self.trials))

    @property
    def best(self) -> Trial | None:
        return best_trial(self.trials)

    def trial(self, number: int) -> Trial:
        return next(trial for trial in reversed(self.trials) if trial.number == number)

    def next(self) -> Trial | None:
        """Start the next trial; None when there are enough.

        A proposal that is no valid config ends at once as failed.
        """
        while self.wanted:
            trial = self._waiting.pop(0) if self._waiting else self._proposal()
            config, tags, reason = self.resolved(trial), {}, ""
            try:
                tags = training_tags(self.plan.check(config))
            except ValidationError as error:
                reason = validation_sentence(error, config)
            except QmendError as error:
                reason = str(error)
            self._open_run(trial, config, tags)
            if not reason:
                self.watch(trial)
                return trial
            self.end(trial, "failed", error=reason)
        return None

    def resolved(self, trial: Trial) -> dict[str, Any]:
        """Set a trial's values in the whole config."""
        return with_values(self.plan.config, {} if trial.source == "default" else trial.values)

    def report(self, trial: Trial, value: float, seconds: float) -> None:
        """Take a trial's next epoch, which its worker has logged."""
        trial.history.append(value)
        trial.seconds = seconds
        self.watch(trial)

    def end(
        self,
        trial: Trial,
        outcome: Outcome,
        seconds: float | None = None,
        parameters: int = 0,
        error: str = "",
    ) -> None:
        """End a trial and its run, once."""
        if trial.outcome is not None:
            return
        if trial in self._waiting:
            self._waiting.remove(trial)
        trial.outcome, trial.parameters, trial.error = outcome, parameters, error
        trial.seconds = trial.seconds if seconds is None else seconds
        figures = {"cost/seconds": trial.seconds, "tune/epochs": float(trial.epochs)}
        tags = {"outcome": str(outcome)} | ({"error": error[:1000]} if error else {})
        logged = self.context.store.client.get_run(trial.run_id).data
        if math.isfinite(trial.best):
            figures["tune/best"] = trial.best
            figures |= axis_metrics(logged.params, "tune/best", trial.best)
            tags["reached"] = f"{trial.best:.4f}"  # MLflow's tables show a metric's every digit
        if parameters:
            figures["cost/parameters"] = float(parameters)
        run = self.run(trial)
        # A kill may have left some of them.
        run.metrics({k: v for k, v in figures.items() if logged.metrics.get(k) != v})
        run.tags(tags)
        end_run(run, _STATUS[outcome])
        self.watch(trial)

    def interrupt(self, reason: str) -> None:
        """End the runs of unfinished trials; the same command resumes them."""
        for trial in self.trials:
            if trial.outcome is None:
                end_run(self.run(trial), "KILLED", reason)

    def remove_states(self) -> None:
        """Remove the training states of all but unfinished trials."""
        unfinished = {trial.run_id for trial in self.trials if trial.outcome is None}
        for folder in self.folder.iterdir():
            if folder.name not in unfinished:
                shutil.rmtree(folder, ignore_errors=True)

    def run(self, trial: Trial) -> Run:
        """Return the run of a trial."""
        return Run(self.context.store, trial.run_id)

    def _proposal(self) -> Trial:
        """Make the next trial, without a run."""
        source, values = self._source_and_values()
        params = {k: str(v) for k, v in flatten(with_values(self.plan.config, values)).items()}
        number = self.trials[-1].number + 1 if self.trials else 0
        # Values as they will be read back: a resumed search proposes the same.
        return Trial(number, source, "", self.plan.space.read(params))

    def _source_and_values(self) -> tuple[str, dict[str, Value]]:
        plan, warm = self.plan, self.plan.options.warm_start
        sources = [trial.source for trial in self.trials]
        if warm.default and "default" not in sources:
            return "default", {}
        if warm.best_run and set(sources) <= {"default"}:
            earlier = best_earlier(self.context, plan.training, plan.options.metric, self.parent)
            if earlier is not None:
                run_id, config = earlier
                values = plan.space.project(config)
                if with_values(plan.config, values) != plan.config or not sources:
                    return f"run {run_id}", values
        base = base_values(plan.config)
        return "tpe", propose(plan.space, base, self.trials, plan.options.seed)

    def _open_run(self, trial: Trial, config: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        """Make a new trial's run, or open again the run of one that was stopped."""
        store, dataset = self.context.store, self.context.dataset
        own = {"kind": "trial", "trial": str(trial.number), "trial_source": trial.source}
        tags = {**own, **dataset_tags(dataset), **tags}
        new, name = not trial.run_id, self.trial_name(trial)
        run = begin_run(store, name, tags, config, self.parent, trial.run_id or None)
        if new:
            trial.run_id = run.run_id
            self.trials.append(trial)
        elif not trial.epochs:  # perhaps killed before its config was stored as a file
            run.config(config)
        log_dataset(run, dataset, "train", "val")

    def trial_name(self, trial: Trial) -> str:
        """Name a trial: architecture, what tells the search from others, number, values."""
        different = self.name.removeprefix(stem_of(self.plan, self.context)).strip()
        words = [self.plan.training.model.name, different, f"trial {trial.number}"]
        if trial.source == "default":
            words.append("default config")
        return " ".join(word for word in (*words, values_text(trial.values)) if word)[:250]

    def _mend_status(self, trial: Trial, run: MlflowRun) -> None:
        """Bring the status of a run into line with its outcome, where a kill came in between."""
        assert trial.outcome is not None
        status, stray = _STATUS[trial.outcome], "error" in run.data.tags and not trial.error
        if stray:
            self.context.store.client.delete_tag(trial.run_id, "error")
        if stray or run.info.status != status:
            end_run(self.run(trial), status)


def stem_of(plan: SearchPlan, context: Context) -> str:
    """Begin the names of all searches of an architecture on a dataset."""
    return f"tune {plan.training.model.name} {context.dataset.folder.name}"


def values_text(values: Mapping[str, Value]) -> str:
    """Write a trial's values with short keys."""
    texts = {
        key.rpartition(".")[2]: f"{value:.3g}" if isinstance(value, float) else value
        for key, value in values.items()
    }
    return " ".join(f"{key}={'null' if text is None else text}" for key, text in texts.items())
