"""Train one trial in a worker process, waiting after each epoch for ASHA's decision."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray import tune

from qmend.datasets.manifest import Manifest
from qmend.processes import end_with
from qmend.runs.training import log_model
from qmend.tracking.run import Run
from qmend.tracking.store import Store
from qmend.training.config import TrainingConfig
from qmend.training.data import TrainingData
from qmend.training.logger import OwnedRunLogger
from qmend.training.observer import TrainingObserver
from qmend.training.state import claim
from qmend.training.train import train
from qmend.tuning.record import SECONDS
from qmend.tuning.space import SECTIONS

#: File in a search's directory; where it is, trials end at their next batch, to be resumed.
STOP = "stop"
#: Result of such a trial.
INTERRUPTED = {"interrupted": True}
#: Seconds between two attempts to lock a trial's state.
_RETRY_SECONDS = 0.5


@dataclass(frozen=True)
class Shared:
    """The data of a search that all its trials share; workers read them in shared memory.

    Attributes:
        data: encoded circuits, read only.
        folder: of the search; an unfinished trial's training state is in a directory of it.
        owner: identity of the search's process; a worker ends with it.
    """

    store: Store
    manifest: Manifest
    data: TrainingData
    folder: Path
    owner: str


def train_trial(config: dict[str, Any], shared: Shared) -> None:
    """Train one trial as a Ray function; report each epoch and the end.

    ``tune.report`` returns when the search has taken the epoch, and raises SystemExit where ASHA
    stops the trial. The run belongs to the search's process, which ends it; the worker logs epochs
    and the network.

    Args:
        config: ``number``; ``run_id``; ``seconds`` of training before it was interrupted;
            ``resolved``: its whole config.
    """
    end_with(shared.owner)
    try:
        tune.report(_train(config, shared))
    except _InterruptedError:
        tune.report(INTERRUPTED)
    except Exception as error:  # the search continues without this trial
        tune.report({"outcome": "failed", "error": f"{type(error).__name__}: {error}"})


class _InterruptedError(Exception):
    """Ends a training, which saves its state."""


def _train(config: Mapping[str, Any], shared: Shared) -> dict[str, Any]:
    keys = (*SECTIONS, "seed")
    training = TrainingConfig.model_validate({key: config["resolved"][key] for key in keys})
    metric: str = training.trainer.monitor
    run = Run(shared.store, config["run_id"])
    logger = _EpochLogger(run)
    started = time.perf_counter() - config["seconds"]

    def progress(done: int, total: int, values: dict[str, float]) -> None:
        seconds = time.perf_counter() - started
        logger.log_metrics({**values, SECONDS: seconds}, logger.step)
        tune.report({"epoch": done, "value": values[metric], "seconds": seconds})

    def check() -> None:
        if (shared.folder / STOP).exists():
            raise _InterruptedError

    with _state(shared.folder / run.run_id) as folder:
        observer = TrainingObserver(progress, loggers=(logger,), check=check)
        trained = train(training, shared.data, state=folder, observer=observer)
        best = {metric: min(trained.history[metric])}
        log_model(run, shared.manifest, trained.model, training, best)
    return {
        "outcome": "finished",
        "seconds": trained.seconds,
        "parameters": trained.model.parameters,
    }


class _EpochLogger(OwnedRunLogger):
    """A logger by which all metrics of an epoch are logged before it is reported.

    Lightning logs the training's own after the callbacks: too late where the worker is killed
    once ASHA has stopped the trial. A metric that is logged already is not logged again.
    """

    step: int | None = None

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self.step = step
        super().log_metrics(metrics, step)


@contextmanager
def _state(folder: Path) -> Iterator[Path]:
    """Lock the state's directory; wait for a killed worker to release it."""
    while True:
        with claim(folder) as own:
            if own is not None:
                yield own
                return
        time.sleep(_RETRY_SECONDS)
