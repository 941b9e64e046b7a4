"""Run a search's trials by Ray Tune, whose events go to the search."""

from __future__ import annotations

import logging
import math
import os
import shutil
import signal
import tempfile
import threading
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
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from qmend.processes import is_gone, process_identity
from qmend.ray_cluster import ray_cluster
from qmend.training.observer import Message
from qmend.tuning.config import ResourcesConfig
from qmend.tuning.record import Trial
from qmend.tuning.search import Search
from qmend.tuning.worker import STOP, Shared, train_trial
from qmend.types import QmendError

#: Keys of ASHA's own result.
_EPOCH, _BEST = "epoch", "best"
#: Value of a trial without a number so far: ASHA's quantiles can't hold infinity.
_WORST = 1e30
_OBJECT_STORE_BYTES = 100 * 2**20
_WAY_OUT = (
    "check ray.address (and set RAY_AUTH_MODE=token if the cluster asks for a token), or leave "
    "it local"
)
#: Seconds that interrupted trials get to end their batch and save their state.
_PATIENCE = 20.0
#: Fields of a trial's last result.
_END = ("outcome", "seconds", "parameters", "error")
#: Prefix of the directories of Ray's files, and the file in each that names the search's process.
_SCRATCH, _OWNER = "qmend-ray-", "owner"


class _RayPart:
    """A searcher or scheduler inside Ray.

    Ray pickles it into a state of its own, which stays empty as the store holds more. Ray wraps
    its errors, so the first one is kept.
    """

    search: Search
    error: Exception | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {}

    @contextmanager
    def keep_error(self) -> Iterator[None]:
        """Keep an error that leaves the block."""
        try:
            yield
        except Exception as error:
            self.error = error
            raise


@dataclass(frozen=True)
class _Numbered:
    """A trial for ASHA, by its number: Ray's id differs between processes."""

    trial_id: int


class SearchScheduler(_RayPart, FIFOScheduler):
    """Ray's ASHA on each trial's best value so far, over all trials of the search.

    Ray's scheduler alone forgets the trials of an earlier process. Its verdict depends on the
    values at each rung, so it gets the trials' histories again.
    """

    def __init__(self, search: Search) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.search, self.max_epochs = search, search.plan.max_epochs
        options = search.plan.options.asha
        self.asha = ASHAScheduler(
            time_attr=_EPOCH,
            metric=_BEST,
            mode="min",
            max_t=self.max_epochs,
            grace_period=min(options.grace_period, self.max_epochs),
            reduction_factor=options.reduction_factor,
            stop_last_trials=False,
        )
        # Unfinished trials last: one that was killed between its epoch and the verdict on it
        # gets the verdict now, against all others.
        for trial in sorted(search.trials, key=lambda trial: trial.outcome is None):
            verdicts = [self._stops(trial, epoch) for epoch in range(1, trial.epochs + 1)]
            if trial.outcome is None and any(verdicts[-1:]):
                search.end(trial, "pruned")

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Record an epoch or the end of a trial, and end it where ASHA stops it."""
        with self.keep_error():
            stop = self._take(self.search.trial(trial.config["number"]), result)
        return str(TrialScheduler.STOP if stop else TrialScheduler.CONTINUE)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Fail a trial whose process died; errors of a training come as results."""
        reason = "without a message"
        with suppress(OSError, TypeError):
            reason = Path(trial.error_file).read_text().strip().splitlines()[-1].strip()[:300]
        with self.keep_error():
            ended = self.search.trial(trial.config["number"])
            self.search.end(ended, "failed", error=f"the trial's process died: {reason}")

    def _take(self, trial: Trial, result: dict[str, Any]) -> bool:
        if "interrupted" in result:
            return True
        if "outcome" in result:
            self.search.end(trial, **{name: result[name] for name in _END if name in result})
        elif result[_EPOCH] > trial.epochs:  # else repeated since the last state
            value = float(result["value"])
            value = value if math.isfinite(value) else math.inf
            self.search.report(trial, value, float(result["seconds"]))
            if self._stops(trial, trial.epochs):
                self.search.end(trial, "pruned")
        return trial.outcome is not None

    def _stops(self, trial: Trial, epoch: int) -> bool:
        """Report an epoch to ASHA; return whether it stops the trial."""
        if not self.search.plan.options.asha.enabled:
            return False
        numbered: Any = _Numbered(trial.number)
        controller: Any = None  # ASHA asks it nothing
        if epoch == 1:
            self.asha.on_trial_add(controller, numbered)
        best = min(*trial.history[:epoch], _WORST)
        action = self.asha.on_trial_result(controller, numbered, {_EPOCH: epoch, _BEST: best})
        exempt = epoch >= self.max_epochs or trial.source == "default"
        return bool(action == TrialScheduler.STOP) and not exempt


class SearchSearcher(_RayPart, Searcher):
    """Ray's searcher, which gives out the trials of a search until it is stopping."""

    stopping = False

    def __init__(self, search: Search) -> None:
        super().__init__(metric=_BEST, mode="min")
        self.search = search

    def suggest(self, trial_id: str) -> Any:
        with self.keep_error():
            trial = None if self.stopping else self.search.next()
            if trial is None:
                return Searcher.FINISHED
            return {
                "number": trial.number,
                "run_id": trial.run_id,
                "seconds": trial.seconds,
                "resolved": self.search.resolved(trial),
            }

    def on_trial_complete(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the scheduler has taken the result."""

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: the store holds all."""


def run_trials(search: Search, shared: Shared, say: Message) -> None:
    """Run the trials that are still wanted, several at a time.

    At an interrupt the running ones save their states.

    Raises:
        QmendError: if no cluster answers, or none of its machines has what one trial needs.
    """
    scheduler, searcher = SearchScheduler(search), SearchSearcher(search)
    if not search.wanted:
        return
    options = search.plan.options
    with scratch_folder() as scratch, _silent():
        size = sum(part.nbytes for part in (*shared.data.train, *shared.data.val))
        cluster = ray_cluster(
            search.plan.ray_address,
            _WAY_OUT,
            num_cpus=max(math.ceil(options.parallel * options.resources.cpu), 1),
            object_store_memory=_OBJECT_STORE_BYTES + 2 * size,
            _temp_dir=str(scratch),
        )
        with cluster:
            _check_resources(options.resources)
            resources = {"cpu": options.resources.cpu, "gpu": options.resources.gpu}
            trainable = tune.with_parameters(train_trial, shared=shared)
            tuner = tune.Tuner(
                tune.with_resources(trainable, resources),
                tune_config=tune.TuneConfig(
                    search_alg=searcher,
                    scheduler=scheduler,
                    num_samples=search.wanted,
                    max_concurrent_trials=options.parallel,
                    reuse_actors=True,
                ),
                run_config=tune.RunConfig(
                    name="search",
                    storage_path=str(scratch / "results"),
                    # A training stores its own state.
                    checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                    verbose=0,
                ),
            )
            try:
                with _stopping_at_signals(searcher, shared.folder / STOP, say):
                    tuner.fit()
            except ray.tune.TuneError as error:
                if searcher.stopping:  # such as a SIGTERM to Ray's processes, too
                    raise KeyboardInterrupt from None
                own = scheduler.error or searcher.error
                if own is not None:
                    raise own from None
                reason = str(error).strip().splitlines()[-1]
                raise QmendError(f"Ray stopped the search ({reason}); start it again.") from None


@contextmanager
def _stopping_at_signals(searcher: SearchSearcher, stop: Path, say: Message) -> Iterator[None]:
    """Let an interrupt end the running trials, and be raised when they have saved their states.

    A second interrupt is raised at once, and so is the first when its time is over.
    """
    stop.unlink(missing_ok=True)
    signals = (signal.SIGINT, signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread():
        yield  # such as a notebook's
        return
    handlers = [signal.getsignal(number) for number in signals]
    patience = threading.Timer(_PATIENCE, os.kill, (os.getpid(), signal.SIGINT))
    patience.daemon = True

    def restore() -> None:
        for number, handler in zip(signals, handlers, strict=True):
            signal.signal(number, handler)

    def interrupt(*_: Any) -> None:
        restore()
        searcher.stopping = True
        stop.touch()
        patience.start()
        say("Interrupted: the running trials save their states.")

    for number in signals:
        signal.signal(number, interrupt)
    try:
        yield
        if searcher.stopping:
            raise KeyboardInterrupt
    finally:
        patience.cancel()
        restore()
        stop.unlink(missing_ok=True)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Make a directory for Ray's own files, and remove those of killed searches.

    It is in the system's directory of temporary files, as the paths of Ray's sockets must be
    short.
    """
    for left in Path(tempfile.gettempdir()).glob(f"{_SCRATCH}*"):
        with suppress(OSError):
            if is_gone((left / _OWNER).read_text()):
                shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=_SCRATCH) as folder:
        (Path(folder) / _OWNER).write_text(process_identity())
        yield Path(folder)


def _check_resources(wanted: ResourcesConfig) -> None:
    """Refuse resources that no machine has, for which Ray would wait forever."""
    available: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    for name, key, amount in (("cpu", "CPU", wanted.cpu), ("gpu", "GPU", wanted.gpu)):
        if amount > available.get(key, 0.0):
            raise QmendError(
                f"tune.resources.{name}={amount:g}, but Ray has {available.get(key, 0.0):g} here; "
                "ask for less, or give ray.address of a cluster that has it."
            )


@contextmanager
def _silent() -> Iterator[None]:
    """Silence all logs, as the terminal shows our own progress."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
