"""Execute compiled circuits in simulation: all compilations of each share its shots."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

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
    parts = []
    for few, exact in _compilations(
        table, measured, seeds, executor, job, randomizations, reference
    ):
        own, split = [seeds[k] for k in few], split_shots(shots[few], len(exact) // len(few))
        each = [
            seed if r == 0 else np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, r))
            for seed in own
            for r in range(split.shape[1])
        ]
        counts = sample_counts(exact, split.reshape(-1), each)
        counts = counts.reshape(*split.shape, -1).sum(axis=1)
        parts.append((counts, _mean(exact, split, shots[few])))
    sampled, noisy_exact = zip(*parts, strict=True)
    return np.concatenate(sampled), np.concatenate(noisy_exact)


def expected_distributions(
    table: InstructionTable,
    measured: IntArray,
    seeds: Sequence[np.random.SeedSequence],
    shots: IntArray,
    executor: Executor,
    job: int,
    randomizations: int,
) -> FloatArray:
    """(N, 2^m) distributions that :func:`execute` samples from, whatever the number of shots."""
    parts = []
    for few, exact in _compilations(table, measured, seeds, executor, job, randomizations, None):
        split = split_shots(shots[few], len(exact) // len(few))
        parts.append(_mean(exact, split, shots[few]))
    return np.concatenate(parts)


def _compilations(
    table: InstructionTable,
    measured: IntArray,
    seeds: Sequence[np.random.SeedSequence],
    executor: Executor,
    job: int,
    randomizations: int,
    reference: Executor | None,
) -> Iterator[tuple[IntArray, FloatArray]]:
    """Yield numbers of some circuits, and (N * compilations, 2^m) distributions on the grid."""
    each = max(1, randomizations)
    for few in np.array_split(np.arange(len(table)), -(-len(table) * each // _TOGETHER)):
        compilations = randomize(table.select(few), [seeds[k] for k in few], randomizations)
        exact = [
            read_out(
                apply_readout(e.probabilities(compilations, job), e.readout),
                np.repeat(measured[few], each, axis=0),
            )
            for e in (executor, reference)
            if e is not None
        ]
        yield few, round_distributions(*exact)


def _mean(exact: FloatArray, split: IntArray, shots: IntArray) -> FloatArray:
    """(N, 2^m) mean distributions of circuits over their compilations, weighted by shots.

    Args:
        exact: (N * compilations, 2^m) on the grid.
        split: (N, compilations) shots of each.
    """
    # Whole numbers below 2^53, so that the sum has no rounding error.
    steps = (exact * STEPS).reshape(*split.shape, -1) * split[..., None]
    return round_distributions(steps.sum(axis=1) / (shots[:, None] * float(STEPS)))
