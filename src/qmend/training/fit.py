"""Train one network on labelled circuits."""

from __future__ import annotations

import copy
import logging
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping
from pytorch_lightning.loggers import Logger

from qmend.datasets.circuits import CircuitBatch
from qmend.datasets.encodings import Encoding, build_encoding
from qmend.datasets.table import LabelledCircuits
from qmend.datasets.tensors import BatchLoader, as_tensors, labelled_tensors
from qmend.models.base import (
    Architecture,
    Dimensions,
    ModelConfig,
    architectures,
    build_model,
    count_parameters,
)
from qmend.training.config import LossConfig, OptimizerConfig, TrainerConfig
from qmend.training.losses import build_loss
from qmend.training.module import MitigationModule, model_inputs
from qmend.types import FloatArray, QmendError

#: Circuits mitigated at once.
_INFERENCE_BATCH = 512
_LIGHTNING_LOGGERS = ("", ".utilities.rank_zero", ".accelerators.cuda")

#: Called after each epoch with (epochs done, epochs at most, metrics).
EpochProgress = Callable[[int, int, dict[str, float]], None]


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

    def mitigate(self, circuits: CircuitBatch) -> FloatArray:
        """(N, 2^n) mitigated distributions, chain order, float64, rows summing to one."""
        self.network.eval()
        tensors = as_tensors(self.encoding(circuits), self.network.reads_circuit)
        with torch.inference_mode():
            parts = [
                self.network(model_inputs(batch)).double()
                for batch in BatchLoader(tensors, _INFERENCE_BATCH)
            ]
        mitigated = torch.cat(parts).numpy()
        normalised: FloatArray = mitigated / mitigated.sum(axis=1, keepdims=True)
        return normalised


class _KeepBest(Callback):
    """Remembers the weights of the best epoch, the history, and reports progress."""

    def __init__(self, monitor: str, epochs: int, progress: EpochProgress) -> None:
        self.monitor, self.epochs, self.progress = monitor, epochs, progress
        self.best = float("inf")
        self.weights: dict[str, torch.Tensor] | None = None
        self.history: dict[str, list[float]] = {}

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        values = {k: float(v) for k, v in trainer.callback_metrics.items()}
        for name, value in values.items():
            self.history.setdefault(name, []).append(value)
        if values[self.monitor] < self.best:
            self.best = values[self.monitor]
            assert isinstance(pl_module, MitigationModule)
            self.weights = copy.deepcopy(pl_module.model.state_dict())
        self.progress(trainer.current_epoch + 1, self.epochs, values)


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
) -> TrainedModel:
    """Train a network; the weights of the best validation epoch are kept.

    The same arguments give the same network on one type of processor.
    """
    started = time.perf_counter()
    torch.set_num_threads(trainer.threads)
    encoding = build_encoding(model.encoding).fit(train.circuits)
    with_tokens = architectures()[model.name].reads_circuit
    tensors = labelled_tensors(encoding, train, with_tokens)
    dimensions = Dimensions(
        n_qubits=train.circuits.n_qubits,
        token=tensors["tokens"].shape[2],
        context=tensors["context"].shape[1],
    )
    with _isolated_random_state(seed):
        network = build_model(model, dimensions)
        loader = BatchLoader(tensors, trainer.batch_size, seed)
        module = MitigationModule(
            network, build_loss(loss.name), optimizer, trainer.max_epochs * len(loader)
        )
        keep = _KeepBest(trainer.monitor, trainer.max_epochs, progress)
        callbacks: list[Callback] = [keep]
        if trainer.patience is not None:
            callbacks.append(EarlyStopping(trainer.monitor, patience=trainer.patience))
        held_out = BatchLoader(labelled_tensors(encoding, val, with_tokens), _INFERENCE_BATCH)
        with _quiet_lightning(), _interruptible():
            pl.Trainer(
                accelerator="cpu",
                max_epochs=trainer.max_epochs,
                gradient_clip_val=trainer.gradient_clip,
                callbacks=callbacks,
                logger=list(loggers),
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                log_every_n_steps=1,
                num_sanity_val_steps=0,
            ).fit(module, loader, held_out)
    if keep.weights is None:
        raise QmendError(
            f"The training of {model.name} diverged: {trainer.monitor} was no number in any epoch; "
            "lower optimizer.lr."
        )
    network.load_state_dict(keep.weights)
    network.eval()
    trained = TrainedModel(network, model, dimensions, encoding, keep.history, 0.0)
    return replace(trained, seconds=time.perf_counter() - started)


@contextmanager
def _isolated_random_state(seed: int) -> Iterator[None]:
    """Seed torch inside, restore its state afterwards."""
    state = torch.get_rng_state()
    torch.manual_seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(state)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Lightning answers an interrupt with ``sys.exit(1)`` and ignores the next: undo both."""
    main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit:
        raise KeyboardInterrupt from None
    finally:
        if main:
            signal.signal(signal.SIGINT, handler)


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """No banners, and no advice on data loaders: batches are sliced from memory."""
    loggers = [logging.getLogger(f"pytorch_lightning{part}") for part in _LIGHTNING_LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
