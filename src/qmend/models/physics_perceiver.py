"""The physics-informed Perceiver: predict the channel, invert it exactly, correct the rest."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from qmend.encodings.batch import Batch
from qmend.encodings.token import ERROR_COLUMN, GATE_COLUMNS
from qmend.gates import GATES, TWO_QUBIT
from qmend.models.base import (
    ARCHITECTURES,
    CIRCUIT_AND_COUNTS,
    Architecture,
    Dimensions,
    Example,
    start_at_zero,
)
from qmend.models.perceiver import SMALL, PerceiverEncoder, PerceiverSizes
from qmend.walsh import walsh_matrix

#: Survival below which the inverse would amplify shot noise without bound.
LEAST_SURVIVAL = 0.02
#: Readout contrast 1 - 2 e below which an outcome says nothing.
_LEAST_CONTRAST = 1e-3
#: Average gate error e -> depolarizing probability d e / (d - 1), for d = 2 and d = 4.
_DEPOLARIZING_PER_ERROR = {1: 2.0, 2: 4.0 / 3.0}


#: Parts of the network that can be taken out.
Part = Literal["readout", "loss", "mixing", "encoder", "correction"]


class PhysicsPerceiverConfig(PerceiverSizes):
    """Sizes of the encoder, and where the channel is inverted.

    Attributes:
        basis: ``probability``: one survival for the whole distribution; ``parity``: one for
            each parity <Z_s> (Walsh-Hadamard basis).
        without: parts that are taken out, to see what each is worth. ``readout``: its error is not
            undone. ``loss``: nor is the loss of signal, lambda = 1, which leaves no share for m.
            ``mixing``: m is uniform. ``encoder``: latents are 0, so that of a circuit only the sum
            of its gates' errors counts. ``correction``: delta = 0.
    """

    name: Literal["physics_perceiver"]
    encoding: Literal["token"]
    basis: Literal["probability", "parity"]
    without: tuple[Part, ...]


_READS = CIRCUIT_AND_COUNTS | {"readout", "shots"}


@ARCHITECTURES.register("physics_perceiver")
class PhysicsPerceiver(Architecture):
    """Predict survival and mixing distribution, invert both exactly, correct the rest.

    The noise is modelled as P_noisy = R [lambda ideal + (1 - lambda) m], with the readout matrices
    R of the calibration, the share lambda of the signal that survives, and the distribution m
    (2^n,) of the rest. In the parity basis each parity s has its own lambda_s. The network
    predicts

        lambda_s = exp(-e^{g_s} sum_gates w_gate error_gate),   m = softmax(h),

    with g, h linear in the mean latent (W,) of a :class:`PerceiverEncoder`. At first g and h are
    0 and w_gate is the depolarizing probability per average gate error: the prediction of the
    calibration alone. The inverse of the model is clipped to a distribution q and corrected:
    softmax(log q + delta), where delta starts at 0.
    """

    config_type = PhysicsPerceiverConfig
    head = "residual"
    examples = {
        "parity": Example(SMALL, _READS),
        "probability": Example({**SMALL, "basis": "probability"}, _READS),
    }

    walsh: Tensor

    def __init__(self, config: PhysicsPerceiverConfig, dimensions: Dimensions) -> None:
        super().__init__(config, dimensions)
        width, outcomes = config.width, dimensions.outcomes
        self.without = frozenset(config.without)
        self.encoder = PerceiverEncoder(dimensions.token, config)
        self.embed_context = nn.Linear(dimensions.context, width)
        self.embed_noisy = nn.Linear(outcomes, width)
        weights = [_DEPOLARIZING_PER_ERROR[2 if gate in TWO_QUBIT else 1] for gate in GATES]
        self.log_weight = nn.Parameter(torch.log(torch.tensor(weights)))
        factors = outcomes if config.basis == "parity" else 1
        self.survival = nn.Linear(width, factors)
        self.mixing = nn.Linear(width, outcomes)
        self.delta = nn.Sequential(
            nn.Linear(width + 2 * outcomes, 2 * width), nn.GELU(), nn.Linear(2 * width, outcomes)
        )
        for layer in (self.survival, self.mixing, self.delta[-1]):
            start_at_zero(layer)
        walsh = torch.from_numpy(walsh_matrix(dimensions.n_qubits)).float()
        self.register_buffer("walsh", walsh, persistent=False)

    def forward(self, batch: Batch) -> Tensor:
        outcomes = self.dimensions.outcomes
        extra = torch.stack(
            [self.embed_context(batch.context), self.embed_noisy(batch.noisy * outcomes)], dim=1
        )
        latents = self.encoder(batch.tokens, batch.mask, extra).mean(dim=1)  # (B, W)
        if "encoder" in self.without:
            latents = torch.zeros_like(latents)
        survival = self._survival(batch, latents)  # (B, 2^n) or (B, 1)
        mixing = torch.softmax(self.mixing(latents), dim=-1)  # (B, 2^n)
        if "mixing" in self.without:
            mixing = torch.full_like(mixing, 1 / outcomes)
        error = torch.zeros_like(batch.readout) if "readout" in self.without else batch.readout
        estimate = invert_readout(batch.noisy, error)  # (B, 2^n)
        if self.config.basis == "parity":
            signal, mixed = estimate @ self.walsh, mixing @ self.walsh
            estimate = ((signal - (1 - survival) * mixed) / survival) @ self.walsh / outcomes
        else:
            estimate = (estimate - (1 - survival) * mixing) / survival
        # Outcomes that the inverse makes negative count as half a shot.
        clipped = torch.maximum(estimate, 0.5 / batch.shots)
        clipped = clipped / clipped.sum(dim=-1, keepdim=True)
        if "correction" in self.without:
            return clipped
        features = torch.cat([latents, batch.noisy * outcomes, estimate * outcomes], dim=-1)
        return torch.softmax(torch.log(clipped) + self.delta(features), dim=-1)

    def _survival(self, batch: Batch, latents: Tensor) -> Tensor:
        gates = batch.tokens[..., GATE_COLUMNS]  # (B, L, G)
        error = batch.tokens[..., ERROR_COLUMN] / 100.0  # (B, L)
        loss = torch.einsum("blg,bl,g->b", gates, error, self.log_weight.exp())
        rate = torch.exp(self.survival(latents)) * loss[:, None]
        if self.config.basis == "parity":  # the parity of nothing is always 1
            rate = torch.cat([torch.zeros_like(rate[:, :1]), rate[:, 1:]], dim=1)
        if "loss" in self.without:
            rate = torch.zeros_like(rate)
        return torch.exp(-rate).clamp_min(LEAST_SURVIVAL)


def invert_readout(noisy: Tensor, error: Tensor, bias: Tensor | None = None) -> Tensor:
    """Undo readout error exactly; the result may be slightly negative.

    Args:
        noisy: (B, 2^n).
        error: (B, n) mean of each qubit's P(1|0) and P(0|1).
        bias: (B, n) half of their difference, P(0|1) - P(1|0); None: 0.
    """
    batch, n = error.shape
    out = noisy.reshape(batch, *(2,) * n)
    for qubit in range(n):
        axis = n - qubit
        e = error[:, qubit].reshape(batch, *(1,) * n)
        contrast = 1 - 2 * e
        says_nothing = contrast.abs() < _LEAST_CONTRAST
        safe = torch.where(says_nothing, torch.ones_like(contrast), contrast)
        inverted = (1 - e) * out - e * out.flip(axis)
        if bias is not None:  # from the outcome 0 to the outcome 1
            moved = bias[:, qubit].reshape(batch, *(1,) * n) * (out + out.flip(axis))
            inverted = inverted + moved * out.new_tensor([-1.0, 1.0]).reshape(2, *(1,) * qubit)
        inverted = inverted / safe
        # There the matrix has only a pseudo-inverse: both outcomes alike.
        out = torch.where(says_nothing, (out + out.flip(axis)) / 2, inverted)
    return out.reshape(batch, -1)
