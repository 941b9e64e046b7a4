"""The paper's recurrent network over the layers of a circuit (arXiv 2601.14226)."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from qmend.encodings.batch import Batch
from qmend.models.base import ARCHITECTURES, Architecture, Dimensions, Example
from qmend.models.config import ModelConfig
from qmend.models.heads import DistributionHead, Head
from qmend.models.sequences import JoinedLayers


class RNNConfig(ModelConfig):
    """``depth`` recurrent layers of ``width`` units.

    Attributes:
        dropout: between recurrent layers: without effect on a single one.
    """

    name: Literal["rnn"]
    encoding: str
    head: Head
    cell: Literal["gru", "lstm"]
    width: int = Field(ge=1)
    depth: int = Field(ge=1)
    dropout: float = Field(ge=0.0, lt=1.0)


_SMALL = {"width": 16, "depth": 2}


@ARCHITECTURES.register("rnn")
class RNN(Architecture):
    """Read the layers of a circuit in order; map the last state.

    h_l = GRU(x_l, h_(l-1)) or LSTM, with x_l (W,) of
    :class:`qmend.models.sequences.JoinedLayers`. prediction: softmax(f(h_L)), x_l with P_noisy.
    correction: softmax(2^n c(h_L) * P_noisy), x_l without. f and c are MLPs W - 2 W - 2^n.

    Source: arXiv 2601.14226; Cho et al., arXiv 1406.1078; Hochreiter, Schmidhuber, Neural
    Computation 9, 1735 (1997).
    """

    config_type = RNNConfig
    head = "prediction"
    examples = {
        "gru-prediction": Example(_SMALL),
        "gru-correction": Example({**_SMALL, "head": "correction"}),
        "lstm-prediction": Example({**_SMALL, "cell": "lstm"}),
        "lstm-correction": Example({**_SMALL, "cell": "lstm", "head": "correction"}),
        "token": Example({**_SMALL, "encoding": "token"}),
    }

    def __init__(self, config: RNNConfig, dimensions: Dimensions) -> None:
        super().__init__(config, dimensions)
        width = config.width
        self.layers = JoinedLayers(dimensions, width, config.head == "prediction")
        recurrent = {"gru": nn.GRU, "lstm": nn.LSTM}[config.cell]
        self.recurrent = recurrent(
            width,
            width,
            config.depth,
            batch_first=True,
            dropout=config.dropout if config.depth > 1 else 0.0,
        )
        self.readout = DistributionHead(width, dimensions.outcomes, config.head)

    def forward(self, batch: Batch) -> Tensor:
        x, mask = self.layers(batch)  # (B, 1 + L, W), (B, 1 + L)
        states, _ = self.recurrent(x)  # (B, 1 + L, W)
        # A state knows nothing of what comes later, so padding can't reach the last one.
        last = mask.sum(dim=1) - 1  # (B,)
        state = torch.take_along_dim(states, last[:, None, None], dim=1)[:, 0]  # (B, W)
        distribution: Tensor = self.readout(state, batch.noisy)
        return distribution
