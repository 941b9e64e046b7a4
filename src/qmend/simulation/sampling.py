"""Sampling of shots from exact distributions, with a seed for each circuit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qmend.types import FloatArray, IntArray


def sample_counts(
    probabilities: FloatArray, shots: int, seeds: Sequence[np.random.SeedSequence]
) -> IntArray:
    """(N, 2^n) multinomial counts; row i depends on ``probabilities[i]`` and ``seeds[i]`` alone."""
    safe = np.clip(probabilities, 0.0, None)
    safe = safe / safe.sum(axis=1, keepdims=True)
    rows = [
        np.random.Generator(np.random.PCG64(seed)).multinomial(shots, p)
        for seed, p in zip(seeds, safe, strict=True)
    ]
    return np.array(rows, dtype=np.int64).reshape(len(rows), probabilities.shape[1])
