"""Quantum channels as real Pauli transfer matrices, differentiable in their parameters.

A channel E on k qubits is the matrix R_ij = Tr(P_i E(P_j)) / 2^k over the Pauli strings in the
order I, X, Y, Z for one qubit; for two qubits string ``4 b + a`` has letter a on the gate's
first qubit and b on its second. Composition is the matrix product, later channels left.
Parameters may be tensors of any batch shape; results are (..., 4^k, 4^k), float64. Their bits are
the same on every processor: see :mod:`qmend.portable`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from qmend import portable
from qmend.types import AnyArray, QmendError

Real = float | Tensor

_PAULI = np.array(
    [[[1, 0], [0, 1]], [[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]], dtype=complex
)
#: Eigenvalues of a Choi matrix may be this far below zero from rounding.
_CPTP_TOLERANCE = 1e-9


@lru_cache(maxsize=4)
def pauli_matrices(n: int) -> AnyArray:
    """(4^n, 2^n, 2^n) Pauli strings, the first qubit least significant in both indices."""
    strings = np.ones((1, 1, 1), dtype=complex)
    for _ in range(n):
        strings = np.stack([np.kron(p, s) for p in _PAULI for s in strings])
    return strings


def unitary_channel(unitary: AnyArray) -> Tensor:
    """(4^n, 4^n) of rho -> U rho U^dagger."""
    n = int(np.log2(len(unitary)))
    paulis = pauli_matrices(n)
    moved = np.einsum("ab,jbc,dc->jad", unitary, paulis, unitary.conj())
    return torch.from_numpy(np.einsum("iab,jba->ij", paulis, moved).real / 2**n)


def as_real(value: Real) -> Tensor:
    """Convert a float or tensor to a float64 tensor."""
    return torch.as_tensor(value, dtype=torch.float64)


def _reals(*values: Real) -> list[Tensor]:
    """Floats and tensors as float64 tensors of one shape."""
    tensors = [as_real(value) for value in values]
    shape = np.broadcast_shapes(*(tuple(t.shape) for t in tensors))
    return [t.expand(shape) for t in tensors]


def _diagonal(*entries: Tensor) -> Tensor:
    return torch.diag_embed(torch.stack(_reals(*entries), dim=-1))


def depolarizing(probability: Real, n: int = 1) -> Tensor:
    """(1 - p) rho + p I / 2^n: every string but the identity shrinks by 1 - p.

    Raises:
        QmendError: if p is outside 0 .. 4^n / (4^n - 1).
    """
    p = as_real(probability)
    _within(p, 0.0, 4**n / (4**n - 1), "depolarizing probability")
    shrunk = (1 - p)[..., None].expand(*p.shape, 4**n - 1)
    return torch.diag_embed(torch.cat([torch.ones_like(shrunk[..., :1]), shrunk], dim=-1))


def pauli_channel(p_x: Real, p_y: Real, p_z: Real) -> Tensor:
    """X, Y and Z applied with these probabilities.

    Raises:
        QmendError: if they are no probabilities.
    """
    x, y, z = _reals(p_x, p_y, p_z)
    for p in (x, y, z, x + y + z):
        _within(p, 0.0, 1.0, "Pauli error probability")
    return _diagonal(torch.ones_like(x), 1 - 2 * (y + z), 1 - 2 * (x + z), 1 - 2 * (x + y))


def generalised_amplitude_damping(gamma: Real, excited: Real = 0.0) -> Tensor:
    """Decay with probability gamma to a state of excited population ``excited``.

    Raises:
        QmendError: if a parameter is outside 0 .. 1.
    """
    gamma, excited = _reals(gamma, excited)
    _within(gamma, 0.0, 1.0, "damping probability")
    _within(excited, 0.0, 1.0, "excited population")
    kept = torch.sqrt(1 - gamma)
    return _with_pumping(_diagonal(torch.ones_like(gamma), kept, kept, 1 - gamma), gamma, excited)


def amplitude_damping(gamma: Real) -> Tensor:
    """Decay of \\|1> to \\|0> with probability gamma."""
    return generalised_amplitude_damping(gamma, 0.0)


def phase_damping(probability: Real) -> Tensor:
    """X and Y shrink by sqrt(1 - probability).

    Raises:
        QmendError: if the probability is outside 0 .. 1.
    """
    p = as_real(probability)
    _within(p, 0.0, 1.0, "phase damping probability")
    one, kept = torch.ones_like(p), torch.sqrt(1 - p)
    return _diagonal(one, kept, kept, one)


def thermal_relaxation(t1: Real, t2: Real, time: Real, excited: Real = 0.0) -> Tensor:
    """Relaxation over ``time`` (all three in one unit): Z decays with T1, X and Y with T2.

    T2 above 2 T1 is truncated to 2 T1, as Aer does.

    Raises:
        QmendError: if a time is negative, or T1 or T2 is not positive.
    """
    t1, t2, time, excited = _reals(t1, t2, time, excited)
    _within(time, 0.0, torch.inf, "relaxation time")
    for value, name in ((t1, "T1"), (t2, "T2")):
        if not bool((value > 0).all()):
            raise QmendError(f"{name} must be positive, not {float(value.min()):g}.")
    coherence = _exp(-time / torch.minimum(t2, 2 * t1))
    population = _exp(-time / t1)
    decay = _diagonal(torch.ones_like(time), coherence, coherence, population)
    return _with_pumping(decay, 1 - population, excited)


def _with_pumping(channel: Tensor, gamma: Tensor, excited: Tensor) -> Tensor:
    """Add the part that turns the identity into Z."""
    pumping = torch.zeros(4, 4, dtype=torch.float64)
    pumping[3, 0] = 1.0
    return channel + (gamma * (1 - 2 * excited))[..., None, None] * pumping


def rotation(pauli: str, angle: Real) -> Tensor:
    """exp(-i angle P / 2) rho exp(+i angle P / 2): a coherent error, or RX, RZ, ZZ, ZX.

    Args:
        pauli: one letter a qubit, the gate's first qubit first: ``Z``, ``ZZ``, ``ZX``.
    """
    generator, square = _generator(pauli)
    angle = as_real(angle)[..., None, None]
    eye = torch.eye(len(generator), dtype=torch.float64)
    cosine, sine = cos_sin(angle)
    return eye + sine * generator + (1 - cosine) * square


@lru_cache(maxsize=32)
def _generator(pauli: str) -> tuple[Tensor, Tensor]:
    """G with d/dangle rho = G rho, and its square; exp(a G) = 1 + sin(a) G + (1 - cos(a)) G^2."""
    n = len(pauli)
    paulis = pauli_matrices(n)
    string = paulis[sum("IXYZ".index(letter) * 4**k for k, letter in enumerate(pauli))]
    moved = -0.5j * (string @ paulis - paulis @ string)
    generator = torch.from_numpy(np.einsum("iab,jba->ij", paulis, moved).real / 2**n)
    return generator, generator @ generator


class _Exp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Any:
        value = torch.from_numpy(np.asarray(portable.exp(x.detach().numpy())))
        ctx.save_for_backward(value)
        return value

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (value,) = ctx.saved_tensors
        return gradients[0] * value


class _CosSin(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Any:
        cosine, sine = (
            torch.from_numpy(np.asarray(v)) for v in portable.cos_sin(x.detach().numpy())
        )
        ctx.save_for_backward(cosine, sine)
        return cosine, sine

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        cosine, sine = ctx.saved_tensors
        return gradients[1] * cosine - gradients[0] * sine


def _exp(x: Tensor) -> Tensor:
    value: Tensor = _Exp.apply(x)  # type: ignore[no-untyped-call]
    return value


def cos_sin(angle: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine and sine, differentiable."""
    values: tuple[Tensor, Tensor] = _CosSin.apply(angle)  # type: ignore[no-untyped-call]
    return values


def compose(later: Tensor, earlier: Tensor) -> Tensor:
    """later @ earlier, each sum in the order of the Pauli strings."""
    product = later[..., :, 0, None] * earlier[..., 0, None, :]
    for k in range(1, earlier.shape[-2]):
        product = product + later[..., :, k, None] * earlier[..., k, None, :]
    return product


def tensor(first: Tensor, second: Tensor) -> Tensor:
    """Two one-qubit channels side by side: (..., 4, 4) each -> (..., 16, 16)."""
    product = second[..., :, None, :, None] * first[..., None, :, None, :]
    return product.reshape(*product.shape[:-4], 16, 16)


def swap_qubits(channel: Tensor) -> Tensor:
    """Exchange first and second qubit of a two-qubit channel."""
    split = channel.reshape(*channel.shape[:-2], 4, 4, 4, 4)
    return split.transpose(-4, -3).transpose(-2, -1).reshape(channel.shape)


def pauli_twirled(error: Tensor) -> Tensor:
    """Mean of P error P over all Pauli strings P: a Pauli channel, its diagonal."""
    return torch.diag_embed(torch.diagonal(error, dim1=-2, dim2=-1))


def average_gate_fidelity(error: Tensor) -> Tensor:
    """Average fidelity of a channel with the identity: (d F_pro + 1) / (d + 1)."""
    strings = error.shape[-1]
    d = round(float(np.sqrt(strings)))
    diagonal = torch.diagonal(error, dim1=-2, dim2=-1).unbind(-1)
    process = sum(diagonal[1:], diagonal[0]) / strings  # in a fixed order
    return (d * process + 1) / (d + 1)


def check_channel(channel: Tensor, name: str) -> Tensor:
    """Return the channel if it is completely positive and trace preserving.

    Raises:
        QmendError: naming it, if the identity row is not (1, 0, ...) or its Choi matrix has a
            negative eigenvalue.
    """
    flat = channel.detach().reshape(-1, *channel.shape[-2:])
    strings = flat.shape[-1]
    n = round(float(np.log2(strings))) // 2
    target = torch.zeros(strings, dtype=flat.dtype)
    target[0] = 1.0
    if not torch.allclose(flat[:, 0], target.expand(len(flat), -1), atol=_CPTP_TOLERANCE):
        raise QmendError(f"The channel {name} does not preserve the trace; check its parameters.")
    paulis = torch.from_numpy(pauli_matrices(n))
    choi = torch.einsum("nij,jba,icd->nacbd", flat.to(torch.complex128), paulis, paulis)
    choi = choi.reshape(len(flat), 4**n, 4**n) / 4**n
    lowest = float(torch.linalg.eigvalsh(choi).min())
    if not lowest >= -_CPTP_TOLERANCE:
        raise QmendError(
            f"The channel {name} is not completely positive (a Choi eigenvalue is {lowest:.3g}); "
            "check its parameters."
        )
    return channel


def _within(value: Tensor, low: float, high: float, name: str) -> None:
    inside = (value >= low - 1e-12) & (value <= high + 1e-12)
    if not bool(inside.all()):
        bad = float(value[~inside].reshape(-1)[0])
        raise QmendError(f"The {name} must lie between {low:g} and {high:g}, not {bad:g}.")
