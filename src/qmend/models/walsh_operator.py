"""The Walsh-Hadamard neural operator: a learned, circuit-aware filter of parities."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from qmend.datasets.schema import MAX_DENSE_QUBITS
from qmend.encodings.batch import Batch
from qmend.models.base import (
    ARCHITECTURES,
    CIRCUIT_AND_COUNTS,
    Architecture,
    Dimensions,
    Example,
    start_at_zero,
)
from qmend.models.config import ModelConfig
from qmend.models.physics_perceiver import LEAST_SURVIVAL, invert_readout
from qmend.noise.paths import FEATURES
from qmend.walsh import walsh_matrix

_GATES, _IDLE = FEATURES.index("ended_rate"), FEATURES.index("ended_idle_rate")
#: Columns that count gates; their weights are losses that the calibration does not show.
_COUNTS = [
    FEATURES.index(name) for name in ("two_qubit_gates", "zz", "zx", "spectators", "rx", "rz")
]
#: Numbers of the device that scale features, and are not read beside them.
_SCALING = 3
#: Columns that each number of the device scales, and of gates by their kind.
_OF_GATES = [
    FEATURES.index(name)
    for name in ("survival_rate", "ended_rate", "spread", "one_qubit_rate", "two_qubit_rate")
]
_OF_WAITS = [FEATURES.index(name) for name in ("ended_idle_rate", "idle_rate")]
_TWO_QUBIT, _WEIGHT = FEATURES.index("two_qubit_gates"), FEATURES.index("weight")
_KINDS = [FEATURES.index(name) for name in ("zz", "zx", "spectators", "rx", "rz")]
#: Contrast of a bit in readout, and undone parity, that uncertain numbers may lead to.
LEAST_CONTRAST, LARGEST_PARITY = 0.1, 3.0
#: Number of features of an outcome, and of a parity beside those of its paths.
_OUTCOME, _PARITY = 8, 9


#: Parts of the operator that can be taken out.
Part = Literal["readout", "loss", "paths", "network", "filter", "correction"]


class WalshOperatorConfig(ModelConfig):
    """``channels`` of each outcome, ``blocks`` of filter and pointwise network.

    Attributes:
        without: parts that are taken out, to see what each is worth. ``readout``: its error is not
            undone. ``loss``: nor is the loss of parities, f_s = 1. ``paths``: every parity reads
            the mean of all parities' features. ``network``: net reads nothing. ``filter``: the
            inverse is corrected in place of the filtered estimate. ``correction``: delta = 0.
    """

    name: Literal["walsh_operator"]
    encoding: Literal["paths", "device_paths"]
    channels: int = Field(ge=1)
    blocks: int = Field(ge=1)
    without: tuple[Part, ...]


@ARCHITECTURES.register("walsh_operator")
class WalshOperator(Architecture):
    """Undo the predicted loss of each parity, then filter the estimates.

    The noise is modelled as y_s = f_s <Z_s> + error_s for every parity s, after the readout error
    has been undone exactly. From the sampled Pauli paths of the parity (encoding ``paths``):

        -log f_s = (e^a gates_s + e^b idle_s + sum_k e^{c_k} count_ks) e^{2 tanh(net_s / 2)}.

    gates_s and idle_s are the calibration's own prediction, averaged over the paths that end on
    the initial state (``ended_rate``, ``ended_idle_rate``); averages over all paths are features of
    net. a starts at 0, b and c_k low, net at 0. The variance of error_s is that of the shots, which
    is known, plus one that the same network predicts (coherent errors, above all). Two estimates of
    <Z_s> follow: the inverse y_s / f_s, and its Wiener filter with a predicted prior variance.

    They enter a neural operator on the group Z_2^m of the m measured bits, where bit flips
    translate outcomes. Each block multiplies the Walsh-Hadamard transform of its channels
    (2^m, channels) by learned functions of the parity's features, transforms back, and applies one
    pointwise network to all outcomes. It commutes with flips and with any relabelling of qubits.
    Its weights fit any number of qubits, measured or not. It corrects the filtered estimate q:
    softmax(log q + delta), where delta starts at 0.

    With the encoding ``device_paths`` the means of theta of :mod:`qmend.noise.parity_model` scale
    gates_s, idle_s and the readout that is undone, whose lean to 0 ends the symmetry under flips.
    net and the filters read theta's deviations too, as numbers and as the doubt that they leave in
    log f_s of each parity. They read losses as theta scales them, and gates of a kind as shares of
    the two-qubit gates: a long circuit on a good device looks like a short one on a bad device,
    which training has.

    Source: Fourier neural operators, Li et al., arXiv 2010.08895.
    """

    config_type = WalshOperatorConfig
    head = "residual"
    any_size = True
    examples = {
        "small": Example({"channels": 6, "blocks": 2}, CIRCUIT_AND_COUNTS | {"readout", "shots"}),
    }

    largest_walsh: Tensor

    def __init__(self, config: WalshOperatorConfig, dimensions: Dimensions) -> None:
        super().__init__(config, dimensions)
        reads_device = dimensions.device > 0
        self.without = frozenset(config.without)
        c, features = config.channels, len(FEATURES) - int(reads_device)
        known = max(dimensions.device - _SCALING, 0)
        doubt = int(reads_device)
        self.log_gates = nn.Parameter(torch.tensor(0.0))
        self.log_idle = nn.Parameter(torch.tensor(-2.0))
        self.log_counts = nn.Parameter(torch.full((len(_COUNTS),), -9.0))
        # More loss, log of the extra variance, logit of the prior variance.
        self.channel = nn.Sequential(
            nn.Linear(features + dimensions.context + known + doubt, 32),
            nn.GELU(),
            nn.Linear(32, 3),
        )
        start_at_zero(self.channel[-1])
        with torch.no_grad():
            self.channel[-1].get_parameter("bias").copy_(torch.tensor([0.0, -10.0, -1.0]))
        self.inward = nn.Linear(_OUTCOME, c)
        self.filters = nn.ModuleList(
            nn.Sequential(
                nn.Linear(_PARITY + doubt + features + c, 32), nn.GELU(), nn.Linear(32, c)
            )
            for _ in range(config.blocks)
        )
        self.pointwise = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(3 * c), nn.Linear(3 * c, 2 * c), nn.GELU(), nn.Linear(2 * c, c)
            )
            for _ in range(config.blocks)
        )
        self.outward = nn.Sequential(nn.Linear(c, c), nn.GELU(), nn.Linear(c, 1))
        start_at_zero(self.outward[-1])
        walsh = torch.from_numpy(walsh_matrix(MAX_DENSE_QUBITS)).float()
        self.register_buffer("largest_walsh", walsh, persistent=False)

    def forward(self, batch: Batch) -> Tensor:
        size = batch.noisy.shape[-1]
        # A transform of few bits is the corner of one of many.
        walsh = self.largest_walsh[:size, :size].contiguous()
        # A batch of circuits without any gate has no tokens: zeros stand for them.
        paths = nn.functional.pad(batch.tokens, (0, 0, 0, size))[:, :size]  # (B, 2^m, F)
        if "paths" in self.without:
            paths = (paths.sum(1, keepdim=True) / (size - 1)).expand_as(paths)
        device = batch.context.new_zeros(len(batch), 8) if batch.device is None else batch.device
        numbers, doubts = device[:, :4], device[:, 4:8]
        scaled = torch.log1p(paths) if batch.device is None else _scale(paths, numbers)
        contrast = 1 - 2 * batch.readout  # (B, m)
        if "readout" in self.without:
            contrast = torch.ones_like(contrast)
        eta = contrast.abs().clamp_min(1e-3)
        if batch.device is not None:  # of uncertain numbers, no bit is taken for lost
            eta = (eta ** numbers[:, 2:3].exp()).clamp_min(LEAST_CONTRAST)
        bias = torch.tanh(numbers[:, 3:4]) * (1 - eta) / 2
        error = (1 - torch.where(contrast < 0, -eta, eta)) / 2
        contrast = _product(eta, walsh)  # (B, 2^m)
        rates = torch.stack([paths[..., _GATES], paths[..., _IDLE], -torch.log(contrast)], -1)
        factors = torch.cat([numbers[:, :2].exp(), torch.ones_like(numbers[:, :1])], -1)
        rates = rates * factors[:, None]  # (B, 2^m, 3) of gates, waits and readout
        doubt = (rates * doubts[:, None, :3]).square().sum(-1).sqrt()  # of the log of survival
        known = [scaled, batch.context[:, None].expand(-1, size, -1)]
        if batch.device is not None:
            known += [batch.device[:, None, _SCALING:].expand(-1, size, -1), doubt[..., None]]
        read = torch.cat(known, -1)
        if "network" in self.without:
            read = torch.zeros_like(read)
        loss, variance, prior = self.channel(read).unbind(-1)
        nothing = torch.arange(size, device=loss.device) == 0  # its parity is always 1
        survival = self._survival(rates, paths, loss, nothing)  # (B, 2^m)

        undone = invert_readout(batch.noisy, error, bias)  # (B, 2^m)
        parity = undone @ walsh
        if batch.device is not None:
            parity = parity.clamp(-LARGEST_PARITY, LARGEST_PARITY)
            undone = parity @ walsh / size
        shot = (1 - (parity * contrast).square()).clamp_min(0) / (batch.shots * contrast.square())
        error = shot + torch.exp(variance.clamp(-16, 0))
        gain = torch.sigmoid(prior)
        gain = survival * gain / (survival.square() * gain + error)
        if "filter" in self.without:
            gain = 1 / survival
        inverse = parity / survival
        filtered = torch.where(nothing, parity, parity * gain)

        floor = 0.5 / batch.shots
        estimates = [(z @ walsh) / size for z in (inverse, filtered)]
        distributions = [*estimates, undone, batch.noisy]
        outcome = [x * size for x in distributions]
        if batch.device is not None:  # of many bits, on devices of any noise, they are large
            outcome = [torch.asinh(x) for x in outcome]
        outcome += [torch.log(torch.maximum(x, floor) * size) for x in distributions]
        spread = torch.sqrt(error) / survival
        condition = [survival, torch.log(survival), torch.log(error), spread, gain * survival]
        condition += [torch.log(shot + 1e-9), nothing.expand_as(survival).to(survival.dtype)]
        condition += [parity.abs(), (filtered / spread.clamp_min(1e-4)).abs().log1p()]
        if batch.device is not None:
            condition += [doubt]
        features = torch.cat([torch.stack(condition, -1), scaled], -1)

        start = torch.log(torch.maximum(estimates[1], floor))
        if "correction" in self.without:
            return torch.softmax(start, dim=-1)
        delta = self._delta(torch.stack(outcome, -1), features, walsh)  # (B, 2^m)
        return torch.softmax(start + delta, dim=-1)

    def _survival(self, rates: Tensor, paths: Tensor, loss: Tensor, nothing: Tensor) -> Tensor:
        """Predict f_s (B, 2^m) from rates (B, 2^m, 3), paths (B, 2^m, F) and net_s (B, 2^m)."""
        rate = (
            self.log_gates.exp() * rates[..., 0]
            + self.log_idle.exp() * rates[..., 1]
            + paths[..., _COUNTS] @ self.log_counts.exp()
        )
        # Bounded: no step can lose all or nothing of a parity for good.
        rate = (rate * torch.exp(2 * torch.tanh(loss / 2))).masked_fill(nothing, 0.0)
        if "loss" in self.without:
            rate = torch.zeros_like(rate)
        return torch.exp(-rate).clamp_min(LEAST_SURVIVAL)

    def _delta(self, outcome: Tensor, parity: Tensor, walsh: Tensor) -> Tensor:
        """Apply the neural operator to features (B, 2^m, .) -> (B, 2^m)."""
        size = outcome.shape[1]
        hidden = self.inward(outcome)  # (B, 2^m, C)
        for filter_, pointwise in zip(self.filters, self.pointwise, strict=True):
            spectrum = torch.einsum("sx,bxc->bsc", walsh, hidden) / size**0.5
            gains = filter_(torch.cat([parity, spectrum.abs()], -1))
            moved = torch.einsum("sx,bsc->bxc", walsh, spectrum * gains) / size**0.5
            mean = hidden.mean(dim=1, keepdim=True).expand_as(hidden)
            hidden = hidden + pointwise(torch.cat([hidden, moved, mean], -1))
        delta: Tensor = self.outward(hidden).squeeze(-1)
        return delta


def _scale(paths: Tensor, numbers: Tensor) -> Tensor:
    """Scale features (B, 2^m, F) so that they do not tell a circuit's length, to (B, 2^m, F - 1).

    Args:
        numbers: (B, 4) theta.
    """
    gates, waits = numbers[:, None, :1].exp(), numbers[:, None, 1:2].exp()
    losses = [paths[..., _OF_GATES] * gates, paths[..., _OF_WAITS] * waits]
    kinds = paths[..., _KINDS] / (1 + paths[..., [_TWO_QUBIT]])
    return torch.cat([torch.log1p(torch.cat([*losses, paths[..., [_WEIGHT]]], -1)), kinds], -1)


def _product(eta: Tensor, walsh: Tensor) -> Tensor:
    """Multiply eta (B, m) over the bits of each parity, to (B, 2^m)."""
    m = eta.shape[1]
    inside = torch.stack([(walsh[:, 1 << q] < 0).to(eta.dtype) for q in range(m)], 0)  # (m, 2^m)
    return torch.exp(torch.log(eta) @ inside)
