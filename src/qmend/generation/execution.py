"""Execute compiled circuits in simulation: all compilations of each share its shots."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Execution:
    """Circuits of one job, as they are to be measured.

    Attributes:
        table: the compiled circuits.
        measured: (N, m) chain position behind each classical bit.
        seeds: of each circuit: of its shots, or those of its first compilation. Child 0 is that of
            the Paulis, child r of the shots of compilation r.
        shots: (N,) of each circuit.
        executor: simulates the noise.
        job: its number.
        randomizations: of each circuit, see :func:`qmend.circuits.twirling.randomize`.
        reference: the same noise in arithmetic that is the same on every processor, if the
            executor's is not; see :func:`round_distributions`.
    """

    table: InstructionTable
    measured: IntArray
    seeds: Sequence[np.random.SeedSequence]
    shots: IntArray
    executor: Executor
    job: int
    randomizations: int
    reference: Executor | None = None

    def sample(self) -> tuple[IntArray, FloatArray]:
        """Draw the shots.

        Returns:
            (N, 2^m) counts, and the mean of the distributions they were sampled from, weighted by
            shots, in the source's bit order.
        """
        parts = []
        for few, exact, split in self._compilations():
            each = [
                seed
                if r == 0
                else np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, r))
                for seed in (self.seeds[k] for k in few)
                for r in range(split.shape[1])
            ]
            counts = sample_counts(exact, split.reshape(-1), each)
            parts.append((counts.reshape(*split.shape, -1).sum(axis=1), _mean(exact, split)))
        sampled, noisy_exact = zip(*parts, strict=True)
        return np.concatenate(sampled), np.concatenate(noisy_exact)

    def expect(self) -> FloatArray:
        """(N, 2^m) distributions that :meth:`sample` draws from, whatever the number of shots."""
        return np.concatenate([_mean(exact, split) for _, exact, split in self._compilations()])

    def _compilations(self) -> Iterator[tuple[IntArray, FloatArray, IntArray]]:
        """Yield numbers of some circuits, their distributions and shots.

        (N * compilations, 2^m) distributions on the grid, (N, compilations) shots.
        """
        each = max(1, self.randomizations)
        count = len(self.table)
        for few in np.array_split(np.arange(count), -(-count * each // _TOGETHER)):
            own = [self.seeds[k] for k in few]
            compilations = randomize(self.table.select(few), own, self.randomizations)
            exact = [
                read_out(
                    apply_readout(e.probabilities(compilations, self.job), e.readout),
                    np.repeat(self.measured[few], each, axis=0),
                )
                for e in (self.executor, self.reference)
                if e is not None
            ]
            yield few, round_distributions(*exact), split_shots(self.shots[few], each)


def _mean(exact: FloatArray, split: IntArray) -> FloatArray:
    """(N, 2^m) mean distributions of circuits over their compilations, weighted by shots.

    Args:
        exact: (N * compilations, 2^m) on the grid.
        split: (N, compilations) shots of each.
    """
    # Whole numbers below 2^53, so that the sum has no rounding error.
    steps = (exact * STEPS).reshape(*split.shape, -1) * split[..., None]
    shots = split.sum(axis=1, keepdims=True)
    return round_distributions(steps.sum(axis=1) / (shots * float(STEPS)))
