"""Execute compiled circuits in simulation: all compilations of each share its shots."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qmend.circuits.instructions import InstructionTable
from qmend.circuits.statevector import read_out
from qmend.circuits.twirling import randomize, split_shots
from qmend.noise.base import Executor
from qmend.noise.readout import apply_readout
from qmend.simulation.sampling import STEPS, round_distributions, sample_counts
from qmend.types import FloatArray, IntArray

#: Compilations that are simulated together: what is in memory at a time.
_TOGETHER = 4096


def execution_seed(circuit_seed: int) -> np.random.SeedSequence:
    """Derive the seed of a circuit's shots and randomizations from its own."""
    return np.random.SeedSequence([circuit_seed, 1])


def execute(
    table: InstructionTable,
    measured: IntArray,
    seeds: Sequence[np.random.SeedSequence],
    shots: IntArray,
    executor: Executor,
    job: int,
    randomizations: int,
    reference: Executor | None = None,
) -> tuple[IntArray, FloatArray]:
    """Measure circuits of one job.

    Args:
        measured: (N, m) chain position behind each classical bit.
        seeds: of each circuit: of its shots, or those of its first compilation. Child 0 is that of
            the Paulis, child r of the shots of compilation r.
        shots: (N,) of each circuit.
        randomizations: of each circuit, see :func:`qmend.circuits.twirling.randomize`.
        reference: the same noise in arithmetic that is the same on every processor, if the
            executor's is not; see :func:`round_distributions`.

    Returns:
        (N, 2^m) counts, and the mean of the distributions they were sampled from, weighted by
        shots, in the source's bit order.
    """
    each = max(1, randomizations)
    parts = []
    for few in np.array_split(np.arange(len(table)), -(-len(table) * each // _TOGETHER)):
        own = [seeds[k] for k in few]
        compilations = randomize(table.select(few), own, randomizations)
        exact = [
            read_out(
                apply_readout(e.probabilities(compilations, job), e.readout),
                np.repeat(measured[few], each, axis=0),
            )
            for e in (executor, reference)
            if e is not None
        ]
        parts.append(_measure(round_distributions(*exact), own, shots[few]))
    counts, noisy_exact = zip(*parts, strict=True)
    return np.concatenate(counts), np.concatenate(noisy_exact)


def _measure(
    exact: FloatArray, seeds: Sequence[np.random.SeedSequence], shots: IntArray
) -> tuple[IntArray, FloatArray]:
    """(N, 2^m) counts and mean distributions of circuits with some compilations each.

    Args:
        exact: (N * compilations, 2^m) on the grid.
    """
    each = len(exact) // len(seeds)
    split = split_shots(shots, each)
    own = [
        seed if r == 0 else np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, r))
        for seed in seeds
        for r in range(each)
    ]
    counts = sample_counts(exact, split.reshape(-1), own)
    # Whole numbers below 2^53, so that the sum has no rounding error.
    steps = (exact * STEPS).reshape(len(seeds), each, -1) * split[..., None]
    mean = steps.sum(axis=1) / (shots[:, None] * float(STEPS))
    return counts.reshape(len(seeds), each, -1).sum(axis=1), round_distributions(mean)
