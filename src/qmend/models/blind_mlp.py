"""The circuit-blind residual MLP: the floor that any circuit-aware model must pass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from qmend.encodings.batch import Batch
from qmend.models.base import ARCHITECTURES, Architecture, Dimensions, Example
from qmend.models.config import ModelConfig


class BlindMLPConfig(ModelConfig):
    """``width`` units in each of two hidden layers."""

    name: Literal["blind_mlp"]
    encoding: str
    width: int = Field(ge=1)


@ARCHITECTURES.register("blind_mlp")
class BlindMLP(Architecture):
    """softmax(log P_noisy + delta(P_noisy)), delta an MLP 2^n - width - width - 2^n with GELU.

    The last layer starts at zero, so that training starts at the noisy distribution itself.
    It sees neither the circuit nor the calibration. (Facts of the floor: PAPER.md, sect. A.)
    """

    config_type: ClassVar[type[ModelConfig]] = BlindMLPConfig
    head: ClassVar[str] = "residual"
    reads_circuit: ClassVar[bool] = False
    examples: ClassVar[Mapping[str, Example]] = {
        "small": Example({"width": 24}, frozenset({"noisy", "shots"})),
    }

    def __init__(self, config: BlindMLPConfig, dimensions: Dimensions) -> None:
        super().__init__(config, dimensions)
        outcomes, width = dimensions.outcomes, config.width
        self.delta = nn.Sequential(
            nn.Linear(outcomes, width),
            nn.GELU(),
            nn.Linear(width, width),
            nn.GELU(),
            nn.Linear(width, outcomes),
        )
        last = self.delta[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, batch: Batch) -> Tensor:
        # An outcome never seen in S shots is no proof of probability 0: half a count each.
        start = torch.log(batch.noisy + 0.5 / batch.shots)
        return torch.softmax(start + self.delta(batch.noisy), dim=-1)
