"""The interface of all architectures, and their registry."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from qmend.encodings.batch import Batch
from qmend.models.config import ModelConfig
from qmend.registry import Registry

#: Predicted probabilities are floored here before a logarithm, in losses and metrics alike.
FLOOR = 1e-9
#: Fields of a batch that most networks read.
CIRCUIT_AND_COUNTS = frozenset({"tokens", "context", "noisy"})


@dataclass(frozen=True)
class Dimensions:
    """Sizes of a network that the data decide.

    Attributes:
        n_qubits: measured qubits of a circuit; for a network of any size, those of its smallest
            training circuits, which decide nothing.
        token: values of a token.
        context: values of a circuit's calibration.
        device: numbers of the device; 0 where the encoding has none.
    """

    n_qubits: int
    token: int
    context: int
    device: int = 0

    @staticmethod
    def of(batch: Batch) -> Dimensions:
        """Read the sizes off encoded circuits."""
        device = 0 if batch.device is None else batch.device.shape[1]
        return Dimensions(
            batch.readout.shape[1], batch.tokens.shape[2], batch.context.shape[1], device
        )

    @property
    def outcomes(self) -> int:
        return 1 << self.n_qubits


@dataclass(frozen=True)
class Example:
    """A small network for the tests that every architecture must pass.

    Attributes:
        fields: of its config, beside the name; others are those of ``conf/model``.
        reads: the fields of a batch that its output depends on.
    """

    fields: Mapping[str, Any]
    reads: frozenset[str] = CIRCUIT_AND_COUNTS


class Architecture(nn.Module, ABC):
    """A network from circuit, calibration and noisy distribution to a mitigated one.

    In equations C stands for a circuit's tokens (L, F), B for its calibration (the ``context``)
    and P_noisy for its noisy distribution (2^m,). In shapes B is the number of circuits in a
    batch and W the width of a network.
    """

    config_type: ClassVar[type[ModelConfig]]
    #: Head where the config has none. ``correction`` scales the noisy distribution, ``prediction``
    #: outputs one, ``residual`` adds to the logarithm of an estimate that needs no training.
    head: ClassVar[str]
    #: Examples by name, at least one for each head; the first stands for the architecture.
    examples: ClassVar[Mapping[str, Example]]
    #: False for networks that never read tokens: their batches have none.
    reads_circuit: ClassVar[bool] = True
    #: True if the weights fit circuits of any number of qubits.
    any_size: ClassVar[bool] = False

    def __init__(self, config: Any, dimensions: Dimensions) -> None:
        super().__init__()
        self.config = config
        self.dimensions = dimensions

    @abstractmethod
    def forward(self, batch: Batch) -> Tensor:
        """Return mitigated distributions (B, 2^m): non-negative, rows summing to one."""


ARCHITECTURES: Registry[type[Architecture]] = Registry("qmend.models", "architecture", "model.name")


def model_config(config: Mapping[str, Any]) -> ModelConfig:
    """Validate the config of a model.

    Raises:
        QmendError: if the architecture is unknown.
        pydantic.ValidationError: if a field is unknown or has a bad value.
    """
    return ARCHITECTURES.look_up(config).config_type.model_validate(dict(config))


def build_model(config: ModelConfig, dimensions: Dimensions) -> Architecture:
    """Build a network with initial weights from torch's global random state."""
    return ARCHITECTURES[config.name](config, dimensions)


def count_parameters(model: nn.Module) -> int:
    """Count trainable parameters."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def start_at_zero(layer: nn.Module) -> None:
    """Set the weights and bias of a linear layer to zero, in place."""
    assert isinstance(layer, nn.Linear)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)


def log_floored(probabilities: Tensor) -> Tensor:
    """Return log p of probabilities floored at :data:`FLOOR`."""
    return torch.log(probabilities.clamp_min(FLOOR))
