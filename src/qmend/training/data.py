"""Both splits of a dataset encoded once, for any number of trainings."""

from __future__ import annotations

import time
from collections.abc import Sequence
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
        train, val: the encoded splits, by number of measured bits.
        seconds: that the encoding took.
        online: source of the circuits that one training simulates; None: it takes ``train``.
    """

    encoding: Encoding
    train: tuple[Batch, ...]
    val: tuple[Batch, ...]
    seconds: float = 0.0
    online: OnlineSource | None = None


def encode(
    config: TrainingConfig,
    dataset: Dataset,
    start: TrainedModel | None = None,
    online: OnlineSource | None = None,
) -> TrainingData:
    """Encode a dataset for the training that a config describes.

    Args:
        start: the network that the training starts from; its encoding is taken over.
        online: of simulated circuits; None: the config's, by the recipe of the dataset.

    Raises:
        QmendError: if the config asks for a GPU that is not there or for noise that can't be
            simulated, or ``start`` does not fit.
    """
    choose_accelerator(config.trainer)  # refused before any work
    torch.set_num_threads(config.trainer.threads)
    started = time.perf_counter()
    train, val = dataset.parts("train"), dataset.parts("val")
    encoding = None
    if start is not None:
        check_start(start, config.model, train[0].circuits.n_qubits)
        encoding = start.encoding
    if online is None and config.online is not None:
        online = OnlineSource.like(dataset, config.online, config.seed)
    data = encode_splits(config.model, train, val, encoding)
    return replace(data, seconds=time.perf_counter() - started, online=online)


def encode_splits(
    model: ModelConfig,
    train: Sequence[LabelledCircuits],
    val: Sequence[LabelledCircuits],
    encoding: Encoding | None = None,
) -> TrainingData:
    """Encode two splits for an architecture.

    Args:
        encoding: already fitted; None: that of the config, fitted to ``train``.

    Raises:
        QmendError: if the architecture does not take circuits of their sizes.
    """
    _check_sizes(model, [*train, *val])
    if encoding is None:
        encoding = ENCODINGS[model.encoding]().fit(*(part.circuits for part in train))
    with_tokens = ARCHITECTURES[model.name].reads_circuit
    return TrainingData(
        encoding,
        encode_parts(encoding, train, with_tokens),
        encode_parts(encoding, val, with_tokens),
    )


def encode_parts(
    encoding: Encoding, parts: Sequence[LabelledCircuits], with_tokens: bool
) -> tuple[Batch, ...]:
    """Encode circuits of several sizes, one batch for each number of measured bits, ascending."""
    return Batch.join_each([encoding.of_labelled(part, with_tokens) for part in parts])


def _check_sizes(model: ModelConfig, parts: Sequence[LabelledCircuits]) -> None:
    """Refuse circuits of several sizes, or with unmeasured qubits, for a network of one size.

    Raises:
        QmendError: naming an architecture that takes them.
    """
    sizes = {(part.circuits.n_qubits, part.circuits.n_measured) for part in parts}
    if not ARCHITECTURES[model.name].any_size and (len(sizes) > 1 or len(set(*sizes)) > 1):
        raise QmendError(
            f"{model.name} takes circuits of one size that measure all of their qubits; choose "
            "model=walsh_operator, or dataset.measured_qubits=null."
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
    if not start.network.any_size and start.dimensions.n_qubits != n_qubits:
        raise QmendError(
            f"The model was trained on {start.dimensions.n_qubits} qubits, the dataset has "
            f"{n_qubits}; choose a dataset and layout of the same size."
        )
