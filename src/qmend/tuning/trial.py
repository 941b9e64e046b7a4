"""One trial in its worker process: a training that stops after each epoch until it may go on."""

from __future__ import annotations

import os
import queue
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from ray import tune

from qmend.datasets.manifest import Manifest
from qmend.encodings import Encoding
from qmend.encodings.tensors import Batch
from qmend.runs.training import TrainingConfig, log_model
from qmend.tracking.run import Run
from qmend.tracking.store import Store, is_gone
from qmend.training.fit import Prepared, fit_prepared
from qmend.training.logger import OwnedRunLogger
from qmend.training.state import claimed
from qmend.tuning.space import SECTIONS, with_values
from qmend.types import AnyArray

#: Seconds between two looks whether the search that a worker belongs to is still there.
_WATCH_SECONDS = 0.5
#: Keys of a trial's Ray config beside the sampled ones, which are flat and dotted.
NUMBER, RUN_ID = "trial", "run_id"


@dataclass(frozen=True)
class Shared:
    """What all trials of a search have in common; in a worker, its arrays lie in shared memory.

    Attributes:
        config: the config that sampled values are set in.
        seed: of every training.
        train, val: encoded circuits, read only.
        folder: of the search; the state of an unfinished trial lies in a folder of it.
        owner: identity of the search's process; a worker ends with it.
    """

    store: Store
    manifest: Manifest
    config: Mapping[str, Any]
    metric: str
    seed: int
    encoding: Encoding
    n_qubits: int
    train: Mapping[str, AnyArray]
    val: Mapping[str, AnyArray]
    folder: Path
    owner: str

    @staticmethod
    def arrays(batch: Batch) -> dict[str, AnyArray]:
        """Tensors as the arrays that they share memory with."""
        return {name: tensor.numpy() for name, tensor in batch.items()}

    def prepared(self) -> Prepared:
        """The circuits as tensors that share the arrays' memory."""
        with warnings.catch_warnings():
            # The arrays can't be written, and a training only reads them.
            warnings.filterwarnings("ignore", message=".*not writable.*")
            train, val = (
                {name: torch.from_numpy(array) for name, array in part.items()}
                for part in (self.train, self.val)
            )
        return Prepared(self.encoding, self.n_qubits, train, val)


def state_folder(search: Path, number: int) -> Path:
    """Where the state of an unfinished trial lies."""
    return search / f"trial-{number:04}"


class TrialTrainable(tune.Trainable):
    """A training, one step an epoch; what it gives is journalled by the search's own process.

    The training runs in a thread that hands over each epoch's value and waits: whether it goes on
    is decided before the next epoch starts. Its run belongs to the search's process, which ends
    it; the worker logs epochs and, at the end, the network.
    """

    shared: Shared
    prepared: Prepared
    given: queue.Queue[dict[str, Any]]
    may_go_on: threading.Semaphore
    thread: threading.Thread
    stops: bool
    waits: bool

    def setup(self, config: dict[str, Any], shared: Shared) -> None:  # type: ignore[override]
        _exit_with(shared.owner)
        self.shared = shared
        self.prepared = shared.prepared()
        self._start(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.cleanup()
        self._start(new_config)
        return True

    def step(self) -> dict[str, Any]:
        if self.waits:
            self.may_go_on.release()
        given: dict[str, Any] = self.given.get()
        self.waits = "done" not in given
        return given

    def cleanup(self) -> None:
        """Let the training end after its present epoch, and wait for that."""
        self.stops = True
        self.may_go_on.release()
        self.thread.join()

    def _start(self, config: Mapping[str, Any]) -> None:
        self.given = queue.Queue()
        self.may_go_on = threading.Semaphore(0)
        self.stops = self.waits = False
        self.thread = threading.Thread(target=self._run, args=(dict(config),), daemon=True)
        self.thread.start()

    def _run(self, config: dict[str, Any]) -> None:
        try:
            self.given.put({"done": True, **self._train(config)})
        except BaseException as error:  # the search goes on without this trial
            reason = f"{type(error).__name__}: {error}"
            self.given.put({"done": True, "outcome": "failed", "error": reason})

    def _train(self, config: dict[str, Any]) -> dict[str, Any]:
        shared = self.shared
        number, run_id = config.pop(NUMBER), config.pop(RUN_ID)
        resolved = with_values(shared.config, config)
        training = TrainingConfig.model_validate({name: resolved[name] for name in SECTIONS})
        run = Run(shared.store, run_id)
        logger = _EpochLogger(run)
        started = time.perf_counter()

        def progress(done: int, total: int, values: dict[str, float]) -> bool:
            seconds = time.perf_counter() - started
            logger.log_metrics(values, logger.step)
            self.given.put({"epoch": done, "value": values[shared.metric], "seconds": seconds})
            self.may_go_on.acquire()
            return self.stops

        with _state(state_folder(shared.folder, number)) as folder:
            trained = fit_prepared(
                training.model,
                training.loss,
                training.optimizer,
                training.trainer,
                self.prepared,
                shared.seed,
                loggers=[logger],
                progress=progress,
                state=folder,
            )
            if not self.stops:
                best = {shared.metric: min(trained.history[shared.metric])}
                log_model(run, shared.manifest, trained, training, shared.seed, best)
        return {
            "outcome": "finished",
            "seconds": trained.seconds,
            "parameters": trained.parameters,
        }


class _EpochLogger(OwnedRunLogger):
    """Knows the step of an epoch, whose figures are all logged before it is handed over.

    Lightning logs the training's own after the callbacks: too late where the worker is killed
    once ASHA has stopped the trial. What is logged already, it does not log again.
    """

    step: int | None = None

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self.step = step
        super().log_metrics(metrics, step)


@contextmanager
def _state(folder: Path) -> Iterator[Path]:
    """The state's folder, as soon as a worker that was killed has let go of it."""
    while True:
        with claimed(folder) as own:
            if own is not None:
                yield own
                return
        time.sleep(_WATCH_SECONDS)


def _exit_with(owner: str) -> None:
    """End this process when the search's is gone, even by SIGKILL."""

    def watch() -> None:
        while not is_gone(owner):
            time.sleep(_WATCH_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
