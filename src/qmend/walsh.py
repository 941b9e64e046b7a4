"""The Walsh-Hadamard transform, which takes distributions to parities and back."""

from __future__ import annotations

import numpy as np

from qmend.types import AnyArray, FloatArray

#: A parity of a distribution below this is rounding.
_ROUNDING = 1e-12


def walsh_hadamard(values: AnyArray) -> AnyArray:
    """Transform the last axis: (..., 2^n) y_s = sum_x (-1)^(s.x) v_x, in the type of the values.

    Of a distribution, y_s is the parity <Z_s>. Applied twice, it is 2^n times the identity.
    """
    size = values.shape[-1]
    out = values
    for qubit in range(size.bit_length() - 1):
        split = out.reshape(-1, 2, 2**qubit)
        zero, one = split[:, 0], split[:, 1]
        out = np.stack([zero + one, zero - one], axis=1)
    return out.reshape(values.shape)


def uniform_bits(distributions: FloatArray) -> AnyArray:
    """(N, n) whether a bit of (N, 2^n) distributions is uniform and independent of the others.

    Hardly a measurement of many shots gives such a bit: it is that of a qubit not measured.
    """
    parities = np.abs(walsh_hadamard(distributions))
    s = np.arange(distributions.shape[1])
    bits = range(len(s).bit_length() - 1)
    largest = [parities[:, (s >> bit) & 1 == 1].max(axis=1) for bit in bits]
    return np.stack(largest, axis=1) < _ROUNDING


def walsh_matrix(n: int) -> FloatArray:
    """(2^n, 2^n) signs (-1)^(s.x), the transform as a matrix."""
    return walsh_hadamard(np.eye(2**n))
