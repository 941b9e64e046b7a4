"""The Walsh-Hadamard transform, which takes distributions to parities and back."""

from __future__ import annotations

import numpy as np

from qmend.types import AnyArray, FloatArray


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


def walsh_matrix(n: int) -> FloatArray:
    """(2^n, 2^n) signs (-1)^(s.x), the transform as a matrix."""
    return walsh_hadamard(np.eye(2**n))
