"""Train one network on encoded circuits."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping

from qmend.encodings import BatchLoader
from qmend.models.base import ARCHITECTURES, Architecture, Dimensions, build_model
from qmend.models.trained import INFERENCE_BATCH, TrainedModel
from qmend.training.batches import EpochLoader, ShuffledBatches, TrainingBatches, digest
from qmend.training.best import KeepBest
from qmend.training.check import CheckBetweenBatches
from qmend.training.config import TrainerConfig, TrainingConfig
from qmend.training.data import TrainingData, check_start
from qmend.training.environment import (
    choose_accelerator,
    deterministic,
    interruptible,
    isolated_random_state,
    quiet_lightning,
)
from qmend.training.losses import LOSSES
from qmend.training.module import MitigationModule
from qmend.training.observer import TrainingObserver
from qmend.training.online import OnlineBatches
from qmend.training.state import STATE, StateKeeper
from qmend.types import QmendError


@dataclass(frozen=True)
class Trained:
    """A trained network, with the history of its training.

    Attributes:
        history: metric -> one value an epoch.
        seconds: of encoding and training, those before an interruption too.
    """

    model: TrainedModel
    history: dict[str, list[float]]
    seconds: float


def train(
    config: TrainingConfig,
    data: TrainingData,
    *,
    start: TrainedModel | None = None,
    state: Path | None = None,
    observer: TrainingObserver | None = None,
) -> Trained:
    """Train a network and keep the weights of its best validation epoch.

    The same config and data give the same network on one type of processor, whether or not the
    training was stopped and resumed in between.

    Args:
        data: as :func:`qmend.training.data.encode` makes it for the config.
        start: a trained network whose weights the training starts from; its encoding is that of
            ``data``.
        state: an existing directory that no other training uses meanwhile. The training keeps its
            state there and resumes from one that a training of the same arguments left, to the
            same network. The caller removes it.

    Raises:
        QmendError: if the config asks for a GPU that is not there, ``start`` does not fit, online
            simulation does not fill a batch, or no epoch gave a number.
    """
    observer = TrainingObserver() if observer is None else observer
    started = time.perf_counter()
    trainer = config.trainer
    accelerator = choose_accelerator(trainer)
    torch.set_num_threads(trainer.threads)
    dimensions = Dimensions.of(data.train[0])
    if start is not None:
        check_start(start, config.model, dimensions.n_qubits)
    with (
        isolated_random_state(config.seed, accelerator),
        deterministic(trainer.deterministic),
        quiet_lightning(),
        interruptible(),
        _training_batches(config, data) as batches,
    ):
        network = build_model(config.model, dimensions)
        if start is not None:
            network.load_state_dict(start.network.state_dict())
        keep = KeepBest(trainer.monitor, trainer.max_epochs, observer.epoch)
        callbacks: list[Callback] = [keep]
        stopping = None
        if trainer.patience is not None:
            stopping = EarlyStopping(trainer.monitor, patience=trainer.patience)
            callbacks.append(stopping)
        seconds_before = data.seconds
        if state is not None:
            keeper = StateKeeper(
                state,
                _identity(config, accelerator, batches, data, network),
                keep,
                trainer.save_every_seconds,
                observer.message,
                stopping,
            )
            if keeper.epochs:
                observer.message(f"Resumes after epoch {keeper.epochs} of {trainer.max_epochs}.")
            seconds_before += keeper.seconds_before
            callbacks.append(keeper)
        if observer.check is not None:
            callbacks.append(CheckBetweenBatches(observer.check))  # after the keeper's copy
        module = MitigationModule(
            network,
            LOSSES[config.loss.name],
            config.optimizer,
            trainer.max_epochs * len(batches),
            trainer.ema,
        )
        _lightning_trainer(trainer, accelerator, callbacks, observer).fit(
            module, EpochLoader(batches), BatchLoader(*data.val, batch_size=INFERENCE_BATCH)
        )
    if keep.weights is None:
        if state is not None:
            (state / STATE).unlink(missing_ok=True)
        raise QmendError(
            f"The training of {config.model.name} diverged: {trainer.monitor} was no number in any "
            "epoch; lower optimizer.lr."
        )
    network.cpu().load_state_dict(keep.weights)
    network.eval()
    model = TrainedModel(network, config.model, dimensions, data.encoding)
    return Trained(model, keep.history, seconds_before + time.perf_counter() - started)


@contextmanager
def _training_batches(config: TrainingConfig, data: TrainingData) -> Iterator[TrainingBatches]:
    """Yield the source of batches: stored circuits, or simulated ones."""
    size, epochs = config.trainer.batch_size, config.trainer.max_epochs
    if data.online is None:
        yield ShuffledBatches(data.train, size, config.seed)
        return
    with_tokens = ARCHITECTURES[config.model.name].reads_circuit
    with OnlineBatches(
        data.online, data.encoding, with_tokens, data.train, size, epochs, config.seed
    ) as batches:
        yield batches


def _lightning_trainer(
    trainer: TrainerConfig,
    accelerator: str,
    callbacks: list[Callback],
    observer: TrainingObserver,
) -> pl.Trainer:
    return pl.Trainer(
        accelerator=accelerator,
        devices=1,
        precision=trainer.precision,
        max_epochs=trainer.max_epochs,
        gradient_clip_val=trainer.gradient_clip,
        callbacks=callbacks,
        logger=list(observer.loggers),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
        num_sanity_val_steps=0,
    )


def _identity(
    config: TrainingConfig,
    accelerator: str,
    batches: TrainingBatches,
    data: TrainingData,
    network: Architecture,
) -> str:
    """Hash all that decides a training: 32 hex digits of SHA-256."""
    parts = [
        config.model.model_dump(mode="json"),
        config.loss.model_dump(mode="json"),
        config.optimizer.model_dump(mode="json"),
        config.trainer.model_dump(mode="json", exclude={"save_every_seconds"}),
        config.seed,
        accelerator,
        batches.identity,
        "+".join(digest(part.tensors) for part in data.val),
        digest(network.state_dict()),
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]
