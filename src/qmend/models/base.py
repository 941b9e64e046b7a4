"""What every architecture shares: its inputs, its config, its registry."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from pydantic import field_validator
from torch import Tensor, nn

from qmend.config.model import ConfigModel
from qmend.encodings import ENCODINGS
from qmend.registry import Registry

#: Predicted probabilities are floored here before a logarithm, in losses and metrics alike.
FLOOR = 1e-9


@dataclass(frozen=True)
class Inputs:
    """One batch, float32, chain order. B circuits, L tokens of F values, n qubits.

    Attributes:
        tokens: (B, L, F), zero where ``mask`` is False.
        mask: (B, L) bool.
        context: (B, C) standardised calibration values.
        noisy: (B, 2^n) measured frequencies.
        readout: (B, n) readout error of each qubit.
        shots: (B, 1).
    """

    tokens: Tensor
    mask: Tensor
    context: Tensor
    noisy: Tensor
    readout: Tensor
    shots: Tensor


@dataclass(frozen=True)
class Dimensions:
    """Sizes that the data decide."""

    n_qubits: int
    token: int
    context: int

    @property
    def outcomes(self) -> int:
        return 1 << self.n_qubits


class ModelConfig(ConfigModel):
    """Fields of a ``conf/model/*.yaml``; each architecture adds its own."""

    name: str
    encoding: str

    @field_validator("encoding")
    @classmethod
    def _known(cls, value: str) -> str:
        ENCODINGS[value]
        return value


class Architecture(nn.Module, ABC):
    """A network (circuit, calibration, noisy distribution) -> mitigated distribution."""

    config_type: ClassVar[type[ModelConfig]]
    #: ``correction`` scales the noisy distribution, ``prediction`` outputs one,
    #: ``residual`` adds to a known estimate.
    head: ClassVar[str]
    #: False for models that never look at the tokens: none are sliced for them.
    reads_circuit: ClassVar[bool] = True
    #: True if the weights fit circuits of any number of qubits.
    any_size: ClassVar[bool] = False

    def __init__(self, config: Any, dimensions: Dimensions) -> None:
        super().__init__()
        self.config = config
        self.dimensions = dimensions

    @abstractmethod
    def forward(self, inputs: Inputs) -> Tensor:
        """(B, 2^n) non-negative, rows summing to one."""


ARCHITECTURES: Registry[type[Architecture]] = Registry("qmend.models", "architecture", "model.name")


def model_config(config: Mapping[str, Any]) -> ModelConfig:
    """Validate the config of a model.

    Raises:
        QmendError: if the architecture is unknown.
        pydantic.ValidationError: if a field is unknown or has a bad value.
    """
    return ARCHITECTURES.named(config).config_type.model_validate(dict(config))


def build_model(config: ModelConfig, dimensions: Dimensions) -> Architecture:
    """A freshly initialised network; the weights depend on torch's global seed."""
    return ARCHITECTURES[config.name](config, dimensions)


def count_parameters(model: nn.Module) -> int:
    """Trainable parameters."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def log_floored(probabilities: Tensor) -> Tensor:
    """Logarithm of probabilities floored at :data:`FLOOR`."""
    return torch.log(probabilities.clamp_min(FLOOR))
