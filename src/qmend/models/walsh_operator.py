"""The Walsh-Hadamard neural operator: a learned, circuit-aware filter of parities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from qmend.encodings.batch import Batch
from qmend.models.base import ARCHITECTURES, CIRCUIT_AND_COUNTS, Architecture, Dimensions, Example
from qmend.models.config import ModelConfig
from qmend.models.physics_perceiver import invert_readout
from qmend.noise.paths import FEATURES
from qmend.walsh import walsh_matrix

#: Survival below which a parity counts as lost.
_LEAST_SURVIVAL = 0.02
_GATES, _IDLE = FEATURES.index("survival_rate"), FEATURES.index("idle_rate")
#: Columns that count gates: their weights are losses the calibration does not show.
_COUNTS = [k for k, name in enumerate(FEATURES) if name in ("two_qubit_gates", "zz", "zx")]
_COUNTS += [k for k, name in enumerate(FEATURES) if name in ("spectators", "rx", "rz")]
#: Features of an outcome and of a parity, see :meth:`WalshOperator.forward`.
_OUTCOME, _PARITY = 8, 9


class WalshOperatorConfig(ModelConfig):
    """``channels`` of each outcome, ``blocks`` of filter and pointwise network."""

    name: Literal["walsh_operator"]
    encoding: Literal["paths"]
    channels: int = Field(ge=1)
    blocks: int = Field(ge=1)


@ARCHITECTURES.register("walsh_operator")
class WalshOperator(Architecture):
    """Parities shrink by predicted factors; undo them, then filter what is left.

    The noise is modelled as y_s = f_s <Z_s> + error for every parity s, after the readout error
    has been undone exactly. From the sampled Pauli paths of the parity (encoding ``paths``):

        -log f_s = e^a gates_s + e^b idle_s + sum_k e^{c_k} count_ks + net(features_s),

    where gates_s is the calibration's own prediction: a starts at 0, b and c_k low, net at 0. The
    error of y_s has the variance of the shots, which is known, plus one predicted from the same
    features (coherent errors, first of all). Two estimates follow: the inverse y_s / f_s and its
    Wiener filter with a predicted prior variance. They enter a neural operator on the group
    Z_2^n, where bit flips translate outcomes: each block multiplies the Walsh-Hadamard transform
    of its channels by learned functions of the parity's features, transforms back, and applies
    one pointwise network to all outcomes. So it commutes with flips and with any relabelling of
    qubits, has the same weights for any number of them, and corrects the filtered estimate q:
    softmax(log q + delta), delta starting at 0. (Fourier neural operators: arXiv 2010.08895.)
    """

    config_type: ClassVar[type[ModelConfig]] = WalshOperatorConfig
    head: ClassVar[str] = "residual"
    any_size: ClassVar[bool] = True
    examples: ClassVar[Mapping[str, Example]] = {
        "small": Example({"channels": 6, "blocks": 2}, CIRCUIT_AND_COUNTS | {"readout", "shots"}),
    }

    walsh: Tensor

    def __init__(self, config: WalshOperatorConfig, dimensions: Dimensions) -> None:
        super().__init__(config, dimensions)
        c, features = config.channels, len(FEATURES)
        self.log_gates = nn.Parameter(torch.tensor(0.0))
        self.log_idle = nn.Parameter(torch.tensor(-2.0))
        self.log_counts = nn.Parameter(torch.full((len(_COUNTS),), -9.0))
        # More loss, log of the extra variance, logit of the prior variance.
        self.channel = nn.Sequential(
            nn.Linear(features + dimensions.context, 32), nn.GELU(), nn.Linear(32, 3)
        )
        last = self.channel[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        with torch.no_grad():
            last.bias.copy_(torch.tensor([0.0, -10.0, -1.0]))
        self.inward = nn.Linear(_OUTCOME, c)
        self.filters = nn.ModuleList(
            nn.Sequential(nn.Linear(_PARITY + features + c, 32), nn.GELU(), nn.Linear(32, c))
            for _ in range(config.blocks)
        )
        self.pointwise = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(3 * c), nn.Linear(3 * c, 2 * c), nn.GELU(), nn.Linear(2 * c, c)
            )
            for _ in range(config.blocks)
        )
        self.outward = nn.Sequential(nn.Linear(c, c), nn.GELU(), nn.Linear(c, 1))
        outward = self.outward[-1]
        assert isinstance(outward, nn.Linear)
        nn.init.zeros_(outward.weight)
        nn.init.zeros_(outward.bias)
        walsh = torch.from_numpy(walsh_matrix(dimensions.n_qubits)).float()
        self.register_buffer("walsh", walsh, persistent=False)

    def forward(self, batch: Batch) -> Tensor:
        size = batch.noisy.shape[-1]
        # No tokens are no gates, as zeros are.
        paths = nn.functional.pad(batch.tokens, (0, 0, 0, size))[:, :size]  # (B, 2^n, F)
        scaled = torch.log1p(paths)
        context = batch.context[:, None].expand(-1, size, -1)
        loss, variance, prior = self.channel(torch.cat([scaled, context], -1)).unbind(-1)
        rate = (
            self.log_gates.exp() * paths[..., _GATES]
            + self.log_idle.exp() * paths[..., _IDLE]
            + paths[..., _COUNTS] @ self.log_counts.exp()
        )
        nothing = torch.arange(size, device=rate.device) == 0  # its parity is always 1
        # Bounded, so that no step can lose all or nothing of a parity for good.
        rate = (rate * torch.exp(2 * torch.tanh(loss / 2))).masked_fill(nothing, 0.0)
        survival = torch.exp(-rate).clamp_min(_LEAST_SURVIVAL)  # (B, 2^n)

        undone = invert_readout(batch.noisy, batch.readout)  # (B, 2^n)
        parity = undone @ self.walsh
        contrast = _contrast(batch.readout, self.walsh)
        shot = (1 - (parity * contrast).square()).clamp_min(0) / (batch.shots * contrast.square())
        error = shot + torch.exp(variance.clamp(-16, 0))
        gain = torch.sigmoid(prior)
        gain = survival * gain / (survival.square() * gain + error)
        inverse = parity / survival
        filtered = torch.where(nothing, parity, parity * gain)

        floor = 0.5 / batch.shots
        estimates = [(z @ self.walsh) / size for z in (inverse, filtered)]
        known = [*estimates, undone, batch.noisy]
        outcome = [x * size for x in known]
        outcome += [torch.log(torch.maximum(x, floor) * size) for x in known]
        spread = torch.sqrt(error) / survival
        condition = [survival, torch.log(survival), torch.log(error), spread, gain * survival]
        condition += [torch.log(shot + 1e-9), nothing.expand_as(survival).to(survival.dtype)]
        condition += [parity.abs(), (filtered / spread.clamp_min(1e-4)).abs().log1p()]
        features = torch.cat([torch.stack(condition, -1), scaled], -1)

        hidden = self.inward(torch.stack(outcome, -1))  # (B, 2^n, C)
        for filter_, pointwise in zip(self.filters, self.pointwise, strict=True):
            spectrum = torch.einsum("sx,bxc->bsc", self.walsh, hidden) / size**0.5
            gains = filter_(torch.cat([features, spectrum.abs()], -1))
            moved = torch.einsum("sx,bsc->bxc", self.walsh, spectrum * gains) / size**0.5
            mean = hidden.mean(dim=1, keepdim=True).expand_as(hidden)
            hidden = hidden + pointwise(torch.cat([hidden, moved, mean], -1))
        start = torch.log(torch.maximum(estimates[1], floor))
        return torch.softmax(start + self.outward(hidden).squeeze(-1), dim=-1)


def _contrast(error: Tensor, walsh: Tensor) -> Tensor:
    """(B, 2^n) factor by which readout error shrinks each parity: prod over its qubits 1 - 2 e."""
    n = error.shape[1]
    inside = torch.stack([(walsh[:, 1 << q] < 0).to(error.dtype) for q in range(n)], 0)  # (n, 2^n)
    return torch.exp(torch.log((1 - 2 * error).abs().clamp_min(1e-3)) @ inside)
