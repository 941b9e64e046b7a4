"""The paper's fully connected network in its two heads (arXiv 2601.14226)."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from qmend.encodings.batch import Batch
from qmend.models.base import ARCHITECTURES, Architecture, Dimensions, Example
from qmend.models.config import ModelConfig
from qmend.models.heads import Head, distribution
from qmend.types import QmendError


class MLPConfig(ModelConfig):
    """``depth`` hidden layers of ``width`` units.

    Attributes:
        max_length: tokens that it has inputs for; a longer circuit is refused.
    """

    name: Literal["mlp"]
    encoding: str
    head: Head
    max_length: int = Field(ge=1)
    width: int = Field(ge=1)
    depth: int = Field(ge=1)
    dropout: float = Field(ge=0.0, lt=1.0)


_SMALL = {"max_length": 100, "width": 24, "depth": 2}


@ARCHITECTURES.register("mlp")
class MLP(Architecture):
    """Map the padded circuit and its calibration to a distribution by one MLP.

    prediction: softmax(f(C, B, P_noisy)). correction: softmax(2^n c(C, B) * P_noisy). f and c are
    MLPs with GELU on the concatenation; C is padded with zeros to (max_length, F) and flattened.

    Source: arXiv 2601.14226, MLP-prediction and MLP-correction.
    """

    config_type = MLPConfig
    head = "prediction"
    examples = {
        "prediction": Example(_SMALL),
        "correction": Example({**_SMALL, "head": "correction"}),
        "token": Example({**_SMALL, "encoding": "token", "max_length": 160}),
    }

    def __init__(self, config: MLPConfig, dimensions: Dimensions) -> None:
        super().__init__(config, dimensions)
        inputs = config.max_length * dimensions.token + dimensions.context
        if config.head == "prediction":
            inputs += dimensions.outcomes
        layers: list[nn.Module] = []
        for before, after in pairwise([inputs, *[config.width] * config.depth]):
            layers += [nn.Linear(before, after), nn.GELU(), nn.Dropout(config.dropout)]
        self.network = nn.Sequential(*layers, nn.Linear(config.width, dimensions.outcomes))

    def forward(self, batch: Batch) -> Tensor:
        """Return mitigated distributions (B, 2^n).

        Raises:
            QmendError: if a circuit is longer than ``max_length``.
        """
        parts = [self._padded(batch).flatten(1), batch.context]
        if self.config.head == "prediction":
            # Frequencies are about 1 / 2^n: brought to order one.
            parts.append(batch.noisy * self.dimensions.outcomes)
        values = self.network(torch.cat(parts, dim=1))  # (B, 2^n)
        return distribution(values, batch.noisy, self.config.head)

    def _padded(self, batch: Batch) -> Tensor:
        """Pad or cut the tokens to (B, max_length, F)."""
        most, length = self.config.max_length, batch.tokens.shape[1]
        if length > most and batch.mask[:, most:].any():
            longest = int(batch.mask.sum(dim=1).max())
            raise QmendError(
                f"A circuit has {longest} tokens and this mlp takes {most}; train one with "
                f"model.max_length={longest} or more."
            )
        return functional.pad(batch.tokens[:, :most], (0, 0, 0, max(most - length, 0)))
