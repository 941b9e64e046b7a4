"""The circuit-blind residual MLP: the floor that any circuit-aware model must pass."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from qmend.encodings.batch import Batch
from qmend.models.base import ARCHITECTURES, Architecture, Dimensions, Example, start_at_zero
from qmend.models.config import ModelConfig


class BlindMLPConfig(ModelConfig):
    """``width`` units in each of two hidden layers."""

    name: Literal["blind_mlp"]
    encoding: str
    width: int = Field(ge=1)


@ARCHITECTURES.register("blind_mlp")
class BlindMLP(Architecture):
    """Correct the noisy distribution without the circuit or the calibration.

    softmax(log P_noisy + delta(P_noisy)), with delta an MLP 2^n - W - W - 2^n with GELU. Its last
    layer starts at zero: training starts at the noisy distribution.
    """

    config_type = BlindMLPConfig
    head = "residual"
    reads_circuit = False
    examples = {
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
        start_at_zero(self.delta[-1])

    def forward(self, batch: Batch) -> Tensor:
        # Half a count is added to each: zero counts are no proof of probability 0.
        start = torch.log(batch.noisy + 0.5 / batch.shots)  # (B, 2^n)
        return torch.softmax(start + self.delta(batch.noisy), dim=-1)
