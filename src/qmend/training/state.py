"""The state of an unfinished training: one file, written atomically, never unpickled."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping

from qmend.files import lock
from qmend.training.best import KeepBest
from qmend.training.observer import Message

STATE = "training.state"
#: Rises with every change of what is stored or how a training runs.
_STATE_VERSION = 1
_PACKAGES = ("qmend", "torch", "pytorch-lightning", "numpy")
_DIGEST_BYTES = 32
#: A copy in memory is followed by so many times the CPU time it took: a cost of 2 % at most.
_COPY_PAUSE = 50


@contextmanager
def claim(folder: Path) -> Iterator[Path | None]:
    """Lock a directory for this process, or yield None if another has it.

    The directory is made if it is missing. The lock ends with the process, however that ends.
    """
    with lock(folder, wait=False, directory=True) as own:
        yield folder if own else None


def discard(folder: Path) -> None:
    """Remove the state of a training that is over."""
    shutil.rmtree(folder, ignore_errors=True)


def write_state(folder: Path, state: Mapping[str, Any]) -> None:
    """Write tensors and plain values whole or not at all, behind their SHA-256."""
    content = io.BytesIO()
    torch.save({"state_version": _STATE_VERSION, "packages": _packages(), **state}, content)
    part = folder / f".{STATE}.part"
    with part.open("wb") as file:
        file.write(hashlib.sha256(content.getbuffer()).digest())
        file.write(content.getbuffer())
    os.replace(part, folder / STATE)


@dataclass(frozen=True)
class StoredState:
    """A state, or the reason why it can't be used; neither: there is none."""

    state: dict[str, Any] | None = None
    reason: str = ""


def read_state(folder: Path) -> StoredState:
    """Read a state that this version of the packages wrote."""
    try:
        content = (folder / STATE).read_bytes()
    except FileNotFoundError:
        return StoredState()
    except OSError as error:
        return StoredState(reason=f"it can't be read ({error.strerror})")
    digest, content = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
    if hashlib.sha256(content).digest() != digest:
        return StoredState(reason="it is damaged")
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        made_by = (state["state_version"], state["packages"])
    except (UnpicklingError, RuntimeError, ValueError, KeyError, TypeError):
        return StoredState(reason="it is damaged")
    if made_by != (_STATE_VERSION, _packages()):
        return StoredState(reason="other versions of the packages wrote it")
    return StoredState(state)


def _packages() -> dict[str, str]:
    return {name: version(name) for name in _PACKAGES}


class StateKeeper(Callback):
    """Write the state between epochs and at an interrupt, and restore one before the first epoch.

    A state is everything that the rest of a training depends on: weights, their average,
    optimizer, schedule, loss scale, best weights and history, patience, random numbers, and how
    many epochs and steps are done. Lightning's own checkpoints are not used: written at the end
    of an epoch they miss the step of a plateau schedule, which comes after.

    Between two writings a copy in memory is kept up to date. An interrupt or an error in the middle
    of an epoch writes it, and that epoch is all that is lost; of epochs that take milliseconds, a
    few.

    Args:
        folder: of the state.
        identity: of the training; a state of another is never used.
        keep: the callback that holds best weights and history.
        seconds: between two writings, at least.
        message: called when a state can't be used or written; the training continues.
        stopping: the early stopping, if there is one.

    Attributes:
        epochs: done by the training that is resumed; 0 if there is none.
        seconds_before: that it took.
    """

    def __init__(
        self,
        folder: Path,
        identity: str,
        keep: KeepBest,
        seconds: float,
        message: Message,
        stopping: EarlyStopping | None,
    ) -> None:
        self.folder, self.identity, self.keep = folder, identity, keep
        self.seconds, self.message, self.stopping = seconds, message, stopping
        self.started = self.written = time.monotonic()
        self.broken = False
        self.copy: dict[str, Any] | None = None
        self.copy_due = 0.0
        self.resumed = self._read()
        self.seconds_before = float(self.resumed["seconds"]) if self.resumed else 0.0
        self.epochs = int(self.resumed["epochs"]) if self.resumed else 0

    def _read(self) -> dict[str, Any] | None:
        """Read the state, or None if it belongs to another training."""
        stored = read_state(self.folder)
        state, reason = stored.state, stored.reason
        if state is not None and state.get("identity") != self.identity:
            state, reason = None, "it belongs to another training"
        if reason:
            self.message(f"The state in {self.folder} is not used, as {reason}: starts again.")
        return state

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.resumed is None:
            return
        state = self.resumed
        pl_module.load_state_dict(state["module"])
        trainer.optimizers[0].load_state_dict(state["optimizer"])
        for config, values in zip(trainer.lr_scheduler_configs, state["schedules"], strict=True):
            config.scheduler.load_state_dict(values)
        trainer.precision_plugin.load_state_dict(state["precision"])
        self.keep.load_state_dict(state["keep"])
        if self.stopping is not None:
            self.stopping.load_state_dict(state["stopping"])
        _set_progress(trainer, state["epochs"], state["steps"])
        trainer.should_stop = state["stopped"]

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.resumed is not None:
            _set_random(self.resumed["random"])
            self.resumed = None
        elif trainer.current_epoch:
            now = time.monotonic()
            if now - self.written >= self.seconds:
                self._write(self._state(trainer, pl_module))
                if self.copy is not None:
                    self.copy = _copied(self.copy)  # the next steps change its tensors
            elif now >= self.copy_due:
                cpu = time.thread_time()  # not slowed down by other processes
                self.copy = _copied(self._state(trainer, pl_module))
                self.copy_due = now + _COPY_PAUSE * (time.thread_time() - cpu)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.resumed is None:
            self._write(self._state(trainer, pl_module))

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        if self.copy is None:
            return
        epochs = self.copy["epochs"]
        self._write(self.copy)
        if not self.broken and isinstance(exception, KeyboardInterrupt):
            self.message(f"Saved after epoch {epochs} of {trainer.max_epochs}.")

    def _state(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        return {
            "identity": self.identity,
            "epochs": trainer.current_epoch,
            "steps": trainer.global_step,
            "stopped": trainer.should_stop,
            "seconds": self.seconds_before + time.monotonic() - self.started,
            "module": pl_module.state_dict(),
            "optimizer": trainer.optimizers[0].state_dict(),
            "schedules": [c.scheduler.state_dict() for c in trainer.lr_scheduler_configs],
            "precision": trainer.precision_plugin.state_dict(),
            "keep": self.keep.state_dict(),
            "stopping": self.stopping.state_dict() if self.stopping else {},
            "random": _random(trainer),
        }

    def _write(self, state: dict[str, Any]) -> None:
        """Write a state, which is the copy until it is written whole."""
        self.copy = state
        try:
            write_state(self.folder, state)
            self.copy, self.broken = None, False
        except (OSError, RuntimeError) as error:
            if not self.broken:
                self.message(
                    f"The state could not be written to {self.folder} ({error}): if this training "
                    "is stopped, it resumes from an earlier epoch."
                )
            self.broken = True
            with suppress(OSError):
                (self.folder / f".{STATE}.part").unlink(missing_ok=True)
        self.written = time.monotonic()


def _copied(value: Any) -> Any:
    """Copy a state that later steps must not change."""
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, Mapping):
        return {key: _copied(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_copied, value))
    return value


def _set_progress(trainer: pl.Trainer, epochs: int, steps: int) -> None:
    """Set the counters of Lightning's loops to epochs and steps done."""
    batches = trainer.fit_loop.epoch_loop
    batches._batches_that_stepped = steps  # the step that metrics are logged at
    optimizer = batches.automatic_optimization.optim_progress.optimizer.step
    optimizer.total.load_state_dict({"ready": steps, "completed": steps})
    stages = ("ready", "started", "processed", "completed")
    batches.batch_progress.total.load_state_dict(dict.fromkeys(stages, steps))
    for progress in (
        trainer.fit_loop.epoch_progress.current,
        trainer.fit_loop.epoch_progress.total,
    ):
        progress.load_state_dict(dict.fromkeys(stages, epochs))


def _random(trainer: pl.Trainer) -> dict[str, torch.Tensor]:
    states = {"cpu": torch.get_rng_state()}
    if trainer.strategy.root_device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(trainer.strategy.root_device)
    return states


def _set_random(states: Mapping[str, torch.Tensor]) -> None:
    torch.set_rng_state(states["cpu"])
    if "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"])
