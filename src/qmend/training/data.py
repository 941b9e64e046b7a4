"""Both splits of a dataset encoded once, for any number of trainings."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import torch

from qmend.datasets.table import Dataset, LabelledCircuits
from qmend.encodings import ENCODINGS, Batch, Encoding
from qmend.models.base import ARCHITECTURES
from qmend.models.config import ModelConfig
from qmend.models.trained import TrainedModel
from qmend.training.config import TrainingConfig
from qmend.training.environment import choose_accelerator
from qmend.training.online import OnlineSource
from qmend.types import QmendError


@dataclass(frozen=True)
class TrainingData:
    """Labelled circuits as one architecture reads them; trainings only read them.

    Attributes:
        encoding: fitted to the training split.
        train, val: the encoded splits.
        seconds: that the encoding took.
        online: source of the circuits that one training simulates; None: it takes ``train``.
    """

    encoding: Encoding
    train: Batch
    val: Batch
    seconds: float = 0.0
    online: OnlineSource | None = None


def encode(
    config: TrainingConfig, dataset: Dataset, start: TrainedModel | None = None
) -> TrainingData:
    """Encode a dataset for the training that a config describes.

    Args:
        start: the network that the training starts from; its encoding is taken over.

    Raises:
        QmendError: if the config asks for a GPU that is not there or for noise that can't be
            simulated, or ``start`` does not fit.
    """
    choose_accelerator(config.trainer)  # refused before any work
    torch.set_num_threads(config.trainer.threads)
    started = time.perf_counter()
    train, val = dataset.part("train"), dataset.part("val")
    encoding = None
    if start is not None:
        check_start(start, config.model, train.circuits.n_qubits)
        encoding = start.encoding
    online = None
    if config.online is not None:
        online = OnlineSource.like(dataset, config.online, config.seed)
    data = encode_splits(config.model, train, val, encoding)
    return replace(data, seconds=time.perf_counter() - started, online=online)


def encode_splits(
    model: ModelConfig,
    train: LabelledCircuits,
    val: LabelledCircuits,
    encoding: Encoding | None = None,
) -> TrainingData:
    """Encode two splits for an architecture.

    Args:
        encoding: already fitted; None: that of the config, fitted to ``train``.
    """
    if encoding is None:
        encoding = ENCODINGS[model.encoding]().fit(train.circuits)
    with_tokens = ARCHITECTURES[model.name].reads_circuit
    return TrainingData(
        encoding,
        encoding(train.circuits, train.ideal, with_tokens),
        encoding(val.circuits, val.ideal, with_tokens),
    )


def check_start(start: TrainedModel, model: ModelConfig, n_qubits: int) -> None:
    """Refuse to start from another model, or one of another number of qubits.

    Raises:
        QmendError: naming what differs.
    """
    if start.config != model:
        raise QmendError(
            f"The checkpoint is a {start.config.name} of another config than model; leave model "
            "to the checkpoint."
        )
    if start.dimensions.n_qubits != n_qubits:
        raise QmendError(
            f"The model was trained on {start.dimensions.n_qubits} qubits, the dataset has "
            f"{n_qubits}; choose a dataset and layout of the same size."
        )
