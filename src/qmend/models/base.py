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


@dataclass(frozen=True)
class Dimensions:
    """Sizes that the data decide."""

    n_qubits: int
    token: int
    context: int

    @staticmethod
    def of(batch: Batch) -> Dimensions:
        """Read the sizes off encoded circuits."""
        return Dimensions(batch.readout.shape[1], batch.tokens.shape[2], batch.context.shape[1])

    @property
    def outcomes(self) -> int:
        return 1 << self.n_qubits


@dataclass(frozen=True)
class Example:
    """A small network of an architecture, for the tests that all of them must pass.

    Attributes:
        fields: of its config, beside the name.
        reads: the fields of a batch that its output depends on.
    """

    fields: Mapping[str, Any]
    reads: frozenset[str]


#: What most networks read.
CIRCUIT_AND_COUNTS = frozenset({"tokens", "context", "noisy"})


class Architecture(nn.Module, ABC):
    """A network (circuit, calibration, noisy distribution) -> mitigated distribution."""

    config_type: ClassVar[type[ModelConfig]]
    #: ``correction`` scales the noisy distribution, ``prediction`` outputs one,
    #: ``residual`` adds to a known estimate: before training, noise-free input stays as it is.
    head: ClassVar[str]
    #: By name, at least one for each head; the first stands for the architecture.
    examples: ClassVar[Mapping[str, Example]]
    #: False for models that never look at the tokens: none are sliced for them.
    reads_circuit: ClassVar[bool] = True
    #: True if the weights fit circuits of any number of qubits.
    any_size: ClassVar[bool] = False

    def __init__(self, config: Any, dimensions: Dimensions) -> None:
        super().__init__()
        self.config = config
        self.dimensions = dimensions

    @abstractmethod
    def forward(self, batch: Batch) -> Tensor:
        """Return mitigated distributions (B, 2^n): non-negative, rows summing to one."""


ARCHITECTURES: Registry[type[Architecture]] = Registry("qmend.models", "architecture", "model.name")


def model_config(config: Mapping[str, Any]) -> ModelConfig:
    """Validate the config of a model.

    Raises:
        QmendError: if the architecture is unknown.
        pydantic.ValidationError: if a field is unknown or has a bad value.
    """
    return ARCHITECTURES.look_up(config).config_type.model_validate(dict(config))


def example_config(architecture: str, example: str | None = None) -> ModelConfig:
    """Return the config of an architecture's example; None: the first."""
    examples = ARCHITECTURES[architecture].examples
    fields = examples[next(iter(examples)) if example is None else example].fields
    return model_config({"name": architecture, **fields})


def build_model(config: ModelConfig, dimensions: Dimensions) -> Architecture:
    """Build a network; its initial weights depend on torch's global seed."""
    return ARCHITECTURES[config.name](config, dimensions)


def count_parameters(model: nn.Module) -> int:
    """Count trainable parameters."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def log_floored(probabilities: Tensor) -> Tensor:
    """Return log p of probabilities floored at :data:`FLOOR`."""
    return torch.log(probabilities.clamp_min(FLOOR))
