"""Measured parities of circuits on a device, as a function of four numbers of the device.

With the losses of parity s on sampled Pauli paths (:mod:`qmend.noise.paths`), the readout error
e_q of each measured qubit by the calibration, and theta = (a, u, r, v),

    survived_s = exp(-(e^a gates_s + e^u waits_s)) <Z_s>,    eta_q = (1 - 2 e_q)^(e^r),
    y_s = sum over t in s: (prod over q in t: eta_q) (prod over q in s - t: tanh(v) (1 - eta_q))
          survived_t.

The second line is readout by independent flips, <Z_q> -> eta_q <Z_q> + tanh(v) (1 - eta_q), where
e^(2 v) = P(0|1) / P(1|0). Relaxation, which pulls to 0 as well, becomes part of that bias. Of five
forms of a bias with one number, this one left the smallest residuals of jobs: 8 % less on
simulated devices than a decay of all losses towards a product state (which
``path_inversion_biased`` has), on measured ones between 4 % more and 46 % less.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

from qmend.noise.paths import FEATURES
from qmend.types import FloatArray, QmendError

#: Meaning of theta: logarithms of the factors on what the calibration says of gates, of waits and
#: of readout, and half the logarithm of P(0|1) / P(1|0) in readout.
NUMBERS = ("gates", "waits", "readout", "bias")
#: Readout error beyond which nothing is left to recover.
_LARGEST_ERROR = 0.4999


@dataclass(frozen=True)
class ParityLosses:
    """Losses of N circuits that measure m bits each, by a calibration.

    Attributes:
        gates, waits: (N, 2^m) of each parity, ``ended_rate`` and ``ended_idle_rate``.
        readout: (N, m) of each measured bit, -log(1 - 2 e).

    Raises:
        QmendError: if the shapes differ, or a loss is negative or not finite.
    """

    gates: FloatArray
    waits: FloatArray
    readout: FloatArray

    def __post_init__(self) -> None:
        size = (len(self.readout), 2 ** self.readout.shape[1])
        if not self.gates.shape == self.waits.shape == size:
            raise QmendError(
                f"The losses of gates and waits have shapes {self.gates.shape} and "
                f"{self.waits.shape}, but {size[0]} circuits that measure "
                f"{self.readout.shape[1]} bits need {size}; give all parities of these bits."
            )
        for name in ("gates", "waits", "readout"):
            values = getattr(self, name)
            if not ((values >= 0) & (values < np.inf)).all():
                raise QmendError(
                    f"A loss of {name} is negative or not finite; fill missing calibration values."
                )

    def __len__(self) -> int:
        return len(self.readout)

    @property
    def n_measured(self) -> int:
        """m, the bits that each circuit measures."""
        return int(self.readout.shape[1])

    @staticmethod
    def of(features: FloatArray, readout_errors: FloatArray) -> ParityLosses:
        """Take losses from path features (N, 2^m, F) and readout errors (N, m)."""
        gates, waits = (FEATURES.index(name) for name in ("ended_rate", "ended_idle_rate"))
        kept = 1 - 2 * np.minimum(readout_errors, _LARGEST_ERROR)
        # Waits refocus on no path: a negative sum is an error of sampling.
        return ParityLosses(
            features[..., gates], np.maximum(features[..., waits], 0.0), -np.log(kept)
        )


def noisy_parities(losses: ParityLosses, ideal: FloatArray, theta: FloatArray) -> FloatArray:
    """(N, 2^m) y_s, from the ideal parities (N, 2^m).

    Args:
        theta: (4,), or (N, 4) of each circuit's own job.
    """
    loss, eta, lost = _channel(losses, theta)
    noisy: FloatArray = np.exp(-loss) * ideal
    for qubit in range(losses.n_measured):
        zero, one = _split(noisy, qubit)
        one *= eta[..., qubit, None, None]
        one += lost[..., qubit, None, None] * zero
    return noisy


def ideal_parities(
    losses: ParityLosses, seen: FloatArray, theta: FloatArray, least: float
) -> FloatArray:
    """(..., N, 2^m) <Z_s>, from the measured parities (N, 2^m): the inverse, not projected.

    Args:
        theta: (4,), or (..., N, 4) of each circuit's own job.
        least: smallest survival of a bit in readout, and of a parity under gates and waits, that
            is divided by.
    """
    loss, eta, lost = _channel(losses, theta)
    inverse = np.broadcast_to(seen, np.broadcast_shapes(loss.shape, seen.shape)).copy()
    eta = np.maximum(eta, least)
    for qubit in range(losses.n_measured):
        zero, one = _split(inverse, qubit)
        one -= lost[..., qubit, None, None] * zero
        one /= eta[..., qubit, None, None]
    inverse /= np.maximum(np.exp(-loss), least)
    return inverse


@numba.njit(cache=True, nogil=True)
def expand(
    gates: FloatArray,
    waits: FloatArray,
    readout: FloatArray,
    ideal: FloatArray,
    seen: FloatArray,
    weight: FloatArray,
    theta: FloatArray,
    log_factor: FloatArray,
    gradient: FloatArray,
    hessian: FloatArray,
) -> float:
    """Sum weighed squares of residuals, with derivatives by five numbers of each circuit.

    The five are theta and a circuit's own logarithm of a factor on gates and waits. Half of the
    sum, with the model linearized, has the derivatives.

    Args:
        gates, waits, ideal, seen, weight: (K, 2^m); readout: (K, m).
        theta: (4,).
        log_factor: (K,) of each circuit.
        gradient, hessian: (K, 5) and (K, 5, 5), to be filled.

    Returns:
        Sum over circuits and parities of weight (y_s - seen_s)^2.
    """
    numbers, size = 5, gates.shape[1]
    bias = np.tanh(theta[3])
    y = np.empty((size, numbers))  # y_s and its derivatives by theta
    slope = np.empty(numbers)
    total = 0.0
    for k in range(len(gates)):
        own = np.exp(log_factor[k])
        of_gates, of_waits = np.exp(theta[0]) * own, np.exp(theta[1]) * own
        for s in range(size):
            y[s, 0] = np.exp(-of_gates * gates[k, s] - of_waits * waits[k, s]) * ideal[k, s]
            y[s, 1] = -of_gates * gates[k, s] * y[s, 0]
            y[s, 2] = -of_waits * waits[k, s] * y[s, 0]
            y[s, 3] = y[s, 4] = 0.0
        for qubit in range(readout.shape[1]):
            loss = np.exp(theta[2]) * readout[k, qubit]
            eta = np.exp(-loss)
            lost = 1 - eta
            for one in range(size):
                if one >> qubit & 1:
                    zero = one - (1 << qubit)
                    by_readout = loss * eta * (bias * y[zero, 0] - y[one, 0])
                    by_bias = (1 - bias**2) * lost * y[zero, 0]
                    for c in range(numbers):
                        y[one, c] = eta * y[one, c] + bias * lost * y[zero, c]
                    y[one, 3] += by_readout
                    y[one, 4] += by_bias
        gradient[k] = 0.0
        hessian[k] = 0.0
        for s in range(1, size):
            slope[:4] = y[s, 1:]
            slope[4] = y[s, 1] + y[s, 2]
            off = y[s, 0] - seen[k, s]
            total += weight[k, s] * off**2
            for i in range(numbers):
                weighed = weight[k, s] * slope[i]
                gradient[k, i] += weighed * off
                for j in range(i + 1):
                    hessian[k, i, j] += weighed * slope[j]
        for i in range(numbers):
            for j in range(i):
                hessian[k, j, i] = hessian[k, i, j]
    return total


def _channel(losses: ParityLosses, theta: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Loss of each parity by gates and waits; eta and tanh(v) (1 - eta) of each bit."""
    a, u, r = np.exp(np.moveaxis(theta[..., :3, None], -2, 0))
    eta = np.exp(-r * losses.readout)
    return a * losses.gates + u * losses.waits, eta, np.tanh(theta[..., 3:]) * (1 - eta)


def _split(parities: FloatArray, qubit: int) -> tuple[FloatArray, FloatArray]:
    """Views of the parities without a bit and of those with it, by their other bits."""
    *front, size = parities.shape
    split = parities.reshape(*front, size >> (qubit + 1), 2, 2**qubit)
    return split[..., 0, :], split[..., 1, :]
