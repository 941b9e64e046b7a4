"""Ray Tune runs a search's trials: our searcher and ASHA between its events and the journal."""

from __future__ import annotations

import logging
import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Read by Ray when it is imported.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")
os.environ.setdefault("TUNE_DISABLE_STRICT_METRIC_CHECKING", "1")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import ray
from ray import tune
from ray.tune.schedulers import AsyncHyperBandScheduler, TrialScheduler
from ray.tune.search import Searcher

from qmend.ray_cluster import ray_cluster
from qmend.tracking.store import is_gone, process_identity
from qmend.tuning.config import ResourcesConfig
from qmend.tuning.journal import Trial
from qmend.tuning.search import Search
from qmend.tuning.trial import NUMBER, RUN_ID, Shared, TrialTrainable
from qmend.types import QmendError

#: What ASHA reads of a result.
_EPOCH, _BEST = "epoch", "best"
#: Stands for "no number so far" in the quantiles of ASHA, which no infinity may enter.
_WORST = 1e30
_OBJECT_STORE_BYTES = 100 * 2**20
_WAY_OUT = (
    "check tune.address (and set RAY_AUTH_MODE=token if the cluster asks for a token), or leave "
    "it local"
)
#: Prefix of the folders of Ray's files, and the file in each that names the search's process.
_SCRATCH, _OWNER = "qmend-ray-", "owner"
_QUIET = ("ray", "ray.tune", "ray.train", "ray.tune.execution", "ray.tune.search")


@dataclass(frozen=True)
class _Numbered:
    """A trial to ASHA: the number that it has in the journal, in whatever process."""

    trial_id: int


class JournalledAsha(AsyncHyperBandScheduler):
    """Ray's ASHA on each trial's best value so far; verdicts are journalled before they act.

    What a killed search had recorded is replayed, in the order in which it came.
    """

    def __init__(self, search: Search, max_epochs: int) -> None:
        options = search.options.asha
        super().__init__(
            time_attr=_EPOCH,
            metric=_BEST,
            mode="min",
            max_t=max_epochs,
            grace_period=min(options.grace_period, max_epochs),
            reduction_factor=options.reduction_factor,
            stop_last_trials=False,
        )
        self.search, self.max_epochs = search, max_epochs
        lowest: dict[int, float] = {}
        for number, report in search.journal.reports:
            lowest[number] = min(lowest.get(number, math.inf), report.value)
            self._verdict(number, report.epoch, lowest[number])

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Nothing: there is one bracket for all."""

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        with self.search.noted():
            return self._decision(trial.config[NUMBER], result)

    def _decision(self, number: int, result: dict[str, Any]) -> str:
        known = self.search.journal.trials[number]
        epoch, value = int(result[_EPOCH]), float(result["value"])
        if epoch <= known.epochs:  # repeated since the last state: judged before
            return str(TrialScheduler.CONTINUE)
        best = min(known.best, value if math.isfinite(value) else math.inf)
        stop = self._verdict(number, epoch, best) and not self._exempt(known, epoch)
        self.search.report(number, epoch, value, float(result["seconds"]), stop)
        return str(TrialScheduler.STOP if stop else TrialScheduler.CONTINUE)

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """Nothing: the last epoch was a result of its own."""

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        """Nothing is held for a single trial."""

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """The process of a trial died; errors of a training come as results."""
        said = "it ended without a word"
        with suppress(OSError, TypeError):
            lines = Path(trial.error_file).read_text().strip().splitlines()
            said = lines[-1].strip()[:300]
        with self.search.noted():
            self.search.end(
                trial.config[NUMBER], "failed", error=f"the trial's process died: {said}"
            )

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Ray writes down how a search is set up, and the journal holds more."""
        return {}

    def _exempt(self, trial: Trial, epoch: int) -> bool:
        return epoch >= self.max_epochs or self.search.protected(trial)

    def _verdict(self, number: int, epoch: int, best: float) -> bool:
        """Whether ASHA would stop the trial here."""
        if not self.search.options.asha.enabled:
            return False
        reward = -min(best, _WORST)
        known: Any = _Numbered(number)
        action = self._brackets[0].on_result(known, epoch, reward)
        return bool(action == TrialScheduler.STOP)


class JournalledSearcher(Searcher):
    """Hands the search's trials to Ray, and their ends to the search."""

    def __init__(self, search: Search) -> None:
        super().__init__(metric=_BEST, mode="min")
        self.search = search
        self.numbers: dict[str, int] = {}

    def suggest(self, trial_id: str) -> Any:
        with self.search.noted():
            trial = self.search.next()
        if trial is None:
            return Searcher.FINISHED
        self.numbers[trial_id] = trial.number
        return {
            NUMBER: trial.number,
            RUN_ID: self.search.runs[trial.number],
            **trial.values,
        }

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        number = self.numbers[trial_id]
        result = result or {}
        outcome = result.get("outcome")
        with self.search.noted():
            if outcome == "finished":
                self.search.end(number, "finished", result["seconds"], int(result["parameters"]))
            elif outcome == "failed":
                self.search.end(number, "failed", error=str(result["error"]))
            elif self.search.journal.trials[number].stopped:
                self.search.end(number, "pruned")
            elif error:
                self.search.end(number, "failed", error="the trial's process died")

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Ray writes down how a search is set up, and the journal holds more."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the journal holds all."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the journal holds all."""


def run_trials(search: Search, shared: Shared, max_epochs: int) -> None:
    """Run the trials that are still wanted, so many at a time as the options say.

    Raises:
        QmendError: if no cluster answers, or none of its machines has what one trial needs.
    """
    if not search.wanted:
        return
    options = search.options
    with scratch_folder() as scratch, _silent():
        size = sum(a.nbytes for part in (shared.train, shared.val) for a in part.values())
        cluster = ray_cluster(
            options.address,
            _WAY_OUT,
            num_cpus=max(math.ceil(options.parallel * options.resources.cpu), 1),
            object_store_memory=_OBJECT_STORE_BYTES + 2 * size,
            _temp_dir=str(scratch),
        )
        with cluster:
            _check_resources(options.resources)
            resources = {"cpu": options.resources.cpu, "gpu": options.resources.gpu}
            trainable = tune.with_parameters(TrialTrainable, shared=shared)
            tuner = tune.Tuner(
                tune.with_resources(trainable, resources),
                tune_config=tune.TuneConfig(
                    search_alg=JournalledSearcher(search),
                    scheduler=JournalledAsha(search, max_epochs),
                    num_samples=search.wanted,
                    max_concurrent_trials=options.parallel,
                    reuse_actors=True,
                ),
                run_config=tune.RunConfig(
                    name="search",
                    storage_path=str(scratch / "results"),
                    # The state of a training is its own; Ray keeps none.
                    checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                    verbose=0,
                ),
            )
            try:
                tuner.fit()
            except ray.tune.TuneError as error:
                if search.error is not None:
                    raise search.error from None
                reason = str(error).strip().splitlines()[-1]
                raise QmendError(f"Ray stopped the search ({reason}); start it again.") from None


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder for Ray's own files; those of searches that were killed are removed first.

    It lies where temporary files do, because the names of Ray's sockets must be short.
    """
    for left in Path(tempfile.gettempdir()).glob(f"{_SCRATCH}*"):
        with suppress(OSError):
            if is_gone((left / _OWNER).read_text()):
                shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=_SCRATCH) as folder:
        (Path(folder) / _OWNER).write_text(process_identity())
        yield Path(folder)


def _check_resources(wanted: ResourcesConfig) -> None:
    """Ray would wait for ever for what no machine has."""
    found: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    for name, key, amount in (("cpu", "CPU", wanted.cpu), ("gpu", "GPU", wanted.gpu)):
        if amount > found.get(key, 0.0):
            raise QmendError(
                f"tune.resources.{name}={amount:g}, but Ray finds {found.get(key, 0.0):g} here; "
                "ask for less, or give tune.address of a cluster that has it."
            )


@contextmanager
def _silent() -> Iterator[None]:
    """The terminal belongs to our own progress."""
    loggers = [logging.getLogger(name) for name in _QUIET]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
