"""Train one network on labelled circuits."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytorch_lightning as pl
import torch
from pydantic import BaseModel
from pytorch_lightning.callbacks import Callback, EarlyStopping
from pytorch_lightning.loggers import Logger

from qmend.datasets.circuits import CircuitBatch
from qmend.datasets.table import LabelledCircuits
from qmend.encodings import Encoding, build_encoding
from qmend.encodings.tensors import Batch, BatchLoader, as_tensors, labelled_tensors
from qmend.models.base import (
    ARCHITECTURES,
    Architecture,
    Dimensions,
    ModelConfig,
    build_model,
    count_parameters,
)
from qmend.training.batches import (
    EpochLoader,
    ShuffledBatches,
    TrainingBatches,
    tensors_digest,
)
from qmend.training.best import EpochProgress, KeepBest
from qmend.training.config import LossConfig, OptimizerConfig, TrainerConfig
from qmend.training.environment import (
    chosen_accelerator,
    deterministic,
    interruptible,
    isolated_random_state,
    quiet_lightning,
)
from qmend.training.losses import build_loss
from qmend.training.module import MitigationModule, model_inputs
from qmend.training.online import Fresh, FreshBatches
from qmend.training.state import STATE, Say, StateKeeper
from qmend.types import FloatArray, QmendError

#: Circuits mitigated at once.
INFERENCE_BATCH = 512


@dataclass(frozen=True)
class TrainedModel:
    """A network with all it needs to be used: its config, sizes and fitted encoding.

    Attributes:
        history: metric -> one value an epoch.
        seconds: of training.
    """

    network: Architecture
    config: ModelConfig
    dimensions: Dimensions
    encoding: Encoding
    history: dict[str, list[float]]
    seconds: float

    @property
    def parameters(self) -> int:
        return count_parameters(self.network)

    def mitigates(self, n_qubits: int) -> bool:
        """Whether it can take circuits of so many qubits."""
        return self.network.any_size or n_qubits == self.dimensions.n_qubits

    def mitigate(self, circuits: CircuitBatch) -> FloatArray:
        """(N, 2^n) mitigated distributions, chain order, float64, rows summing to one."""
        if circuits.n_qubits != self.dimensions.n_qubits and self.network.any_size:
            return self._resized(circuits.n_qubits).mitigate(circuits)
        self.network.eval()
        tensors = as_tensors(self.encoding(circuits), self.network.reads_circuit)
        with torch.inference_mode():
            parts = [
                self.network(model_inputs(batch)).double()
                for batch in BatchLoader(tensors, INFERENCE_BATCH)
            ]
        mitigated = torch.cat(parts).numpy()
        normalised: FloatArray = mitigated / mitigated.sum(axis=1, keepdims=True)
        return normalised

    def _resized(self, n_qubits: int) -> TrainedModel:
        """The same weights for circuits of another size."""
        dimensions = replace(self.dimensions, n_qubits=n_qubits)
        network = build_model(self.config, dimensions)
        network.load_state_dict(self.network.state_dict())
        return replace(self, network=network, dimensions=dimensions)


@dataclass(frozen=True)
class Prepared:
    """Labelled circuits as one architecture is given them, for any number of trainings.

    Attributes:
        train, val: tensors of the two splits; they are only read.
    """

    encoding: Encoding
    n_qubits: int
    train: Batch
    val: Batch


def prepare(
    model: ModelConfig,
    train: LabelledCircuits,
    val: LabelledCircuits,
    encoding: Encoding | None = None,
) -> Prepared:
    """Encode circuits for an architecture; ``encoding``: one that is fitted already."""
    if encoding is None:
        encoding = build_encoding(model.encoding).fit(train.circuits)
    with_tokens = ARCHITECTURES[model.name].reads_circuit
    return Prepared(
        encoding,
        train.circuits.n_qubits,
        labelled_tensors(encoding, train, with_tokens),
        labelled_tensors(encoding, val, with_tokens),
    )


def fit(
    model: ModelConfig,
    loss: LossConfig,
    optimizer: OptimizerConfig,
    trainer: TrainerConfig,
    train: LabelledCircuits,
    val: LabelledCircuits,
    seed: int,
    loggers: Sequence[Logger] = (),
    progress: EpochProgress = lambda done, total, values: None,
    start: TrainedModel | None = None,
    state: Path | None = None,
    say: Say = lambda sentence: None,
    fresh: Fresh | None = None,
) -> TrainedModel:
    """Train a network; the weights of the best validation epoch are kept.

    The same arguments give the same network on one type of processor, whether or not the
    training was stopped and resumed in between.

    Args:
        start: a trained network to go on from: its weights and its encoding are taken over. Its
            config must be ``model``.
        state: an existing folder that no other training uses meanwhile. The state is kept there,
            and one that a training of the same arguments left there is gone on from, to the same
            network. The caller removes it.
        say: told in one sentence what becomes of a state that was found.
        fresh: draws circuits to train on. The encoding is still fitted to ``train``.

    Raises:
        QmendError: if ``trainer`` asks for a GPU that is not there, ``start`` does not fit,
            ``fresh`` does not fill a batch, or no epoch gave a number.
    """
    started = time.perf_counter()
    chosen_accelerator(trainer)  # refused before any work
    torch.set_num_threads(trainer.threads)
    encoding = None if start is None else _encoding_of(start, model, train)
    prepared = prepare(model, train, val, encoding)
    before = time.perf_counter() - started
    trained = fit_prepared(
        model, loss, optimizer, trainer, prepared, seed, loggers, progress, start, state, say, fresh
    )
    return replace(trained, seconds=trained.seconds + before)


def fit_prepared(
    model: ModelConfig,
    loss: LossConfig,
    optimizer: OptimizerConfig,
    trainer: TrainerConfig,
    prepared: Prepared,
    seed: int,
    loggers: Sequence[Logger] = (),
    progress: EpochProgress = lambda done, total, values: None,
    start: TrainedModel | None = None,
    state: Path | None = None,
    say: Say = lambda sentence: None,
    fresh: Fresh | None = None,
) -> TrainedModel:
    """As :func:`fit`, on circuits that are encoded already; they are not counted in its seconds."""
    started = time.perf_counter()
    accelerator = chosen_accelerator(trainer)
    torch.set_num_threads(trainer.threads)
    encoding, tensors = prepared.encoding, prepared.train
    with_tokens = ARCHITECTURES[model.name].reads_circuit
    dimensions = Dimensions(
        n_qubits=prepared.n_qubits,
        token=tensors["tokens"].shape[2],
        context=tensors["context"].shape[1],
    )
    with (
        isolated_random_state(seed, accelerator),
        deterministic(trainer.deterministic),
        quiet_lightning(),
        interruptible(),
        _batches(fresh, encoding, with_tokens, tensors, trainer, seed) as batches,
    ):
        network = build_model(model, dimensions)
        if start is not None:
            network.load_state_dict(start.network.state_dict())
        held_out = BatchLoader(prepared.val, INFERENCE_BATCH)
        module = MitigationModule(
            network,
            build_loss(loss.name),
            optimizer,
            trainer.max_epochs * len(batches),
            trainer.ema,
        )
        keep = KeepBest(trainer.monitor, trainer.max_epochs, progress)
        stopping = (
            None
            if trainer.patience is None
            else EarlyStopping(trainer.monitor, patience=trainer.patience)
        )
        callbacks: list[Callback] = [keep, *([stopping] if stopping else [])]
        before = 0.0
        if state is not None:
            identity = _identity(
                [model, loss, optimizer, trainer],
                [seed, accelerator, batches.identity, tensors_digest(held_out.tensors)],
                network,
            )
            keeper = StateKeeper(state, identity, keep, trainer.save_every_seconds, say, stopping)
            if keeper.epochs:
                say(f"Goes on after epoch {keeper.epochs} of {trainer.max_epochs}.")
            before = keeper.before
            callbacks.append(keeper)
        pl.Trainer(
            accelerator=accelerator,
            devices=1,
            precision=trainer.precision,
            max_epochs=trainer.max_epochs,
            gradient_clip_val=trainer.gradient_clip,
            callbacks=callbacks,
            logger=list(loggers),
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            log_every_n_steps=1,
            num_sanity_val_steps=0,
        ).fit(module, EpochLoader(batches), held_out)
    if keep.weights is None:
        if state is not None:
            (state / STATE).unlink(missing_ok=True)
        raise QmendError(
            f"The training of {model.name} diverged: {trainer.monitor} was no number in any epoch; "
            "lower optimizer.lr."
        )
    network.cpu().load_state_dict(keep.weights)
    network.eval()
    seconds = before + time.perf_counter() - started
    return TrainedModel(network, model, dimensions, encoding, keep.history, seconds)


@contextmanager
def _batches(
    fresh: Fresh | None,
    encoding: Encoding,
    with_tokens: bool,
    tensors: Batch,
    trainer: TrainerConfig,
    seed: int,
) -> Iterator[TrainingBatches]:
    """The stored circuits in ever new order, or fresh ones."""
    if fresh is None:
        yield ShuffledBatches(tensors, trainer.batch_size, seed)
        return
    size, epochs = trainer.batch_size, trainer.max_epochs
    with FreshBatches(fresh, encoding, with_tokens, tensors, size, epochs, seed) as batches:
        yield batches


def _encoding_of(start: TrainedModel, model: ModelConfig, train: LabelledCircuits) -> Encoding:
    """The encoding of the network that a training goes on from.

    Raises:
        QmendError: if that network is another model, or of another number of qubits.
    """
    if start.config != model:
        raise QmendError(
            f"The checkpoint is a {start.config.name} of another config than model; leave model "
            "to the checkpoint."
        )
    if start.dimensions.n_qubits != train.circuits.n_qubits:
        raise QmendError(
            f"The model was trained on {start.dimensions.n_qubits} qubits, the dataset has "
            f"{train.circuits.n_qubits}; choose a dataset and layout of the same size."
        )
    return start.encoding


def _identity(configs: Sequence[BaseModel], more: Sequence[object], network: Architecture) -> str:
    """SHA-256 (first 32 hex digits) of all that decides a training."""
    plain = [c.model_dump(mode="json", exclude={"save_every_seconds"}) for c in configs]
    weights = tensors_digest(dict(network.state_dict()))
    text = json.dumps([*plain, *more, weights], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
