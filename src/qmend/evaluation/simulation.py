"""Tell whether a mitigator simulates: what it makes of measurements of other circuits.

A mitigator that only undoes noise knows nothing of the outcomes of a circuit but what was measured
of it. Given another circuit's measurement, its output is about the other circuit. One that
simulates, wholly or in part, puts out its own circuit's ideal distribution instead.

Circuits i and k are paired, and both are put beside one measurement, of a third circuit j. With
the outputs o_i, o_k and the ideals x_i, x_k, as parities <Z_s>,

    slope = sum (|o_i,s| - |o_k,s|) (|x_i,s| - |x_k,s|) / sum (|x_i,s| - |x_k,s|)^2,

    gain = sum (|o_i - x_i| + |o_k - x_k|) / sum (|o_k - x_i| + |o_i - x_k|) - 1,

summed over pairs, and the slope over s != 0. The slope asks whether the size of the output follows
the circuit's own ideal: 0 for a mitigator that knows nothing of it, 1 for a simulation. The gain
asks in L1, over all outcomes, whether a circuit's own features bring the output nearer its own
ideal than the other's do.

What else could move the two, and why it does not:

- *What circuits have in common*, such as parities of a family that are large for all: the two of a
  pair are compared at the same s and with the same measurement, so that it cancels.
- *The strength of the noise.* A mitigator that undoes more noise puts out larger parities. Where
  deep circuits have flatter ideals that looks like a negative slope, where they have sharper ones
  like a positive one, without any simulation. Pairs are neighbours by their number of two-qubit
  gates, then by depth; one that has a fifth more gates is no neighbour.
- *Chance.* An interval below 0 is easily got from differences that are next to nothing, such as
  those of two days' calibrations: beyond it both figures need a size.
- *Equal circuits.* No two of i, j and k have the same ideal, or the same instructions, as two
  measured bits of one circuit have. j is of another job than i and k.

Three ways of exchange show what a single one may hide: the measurement as it is; with randomly
flipped outcomes, which change the signs of parities and no size, so that nothing that ideals have
in common is left; and at few shots, where a mitigator relies on what it believes beforehand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from qmend.metrics import Bootstrap, Interval, l1
from qmend.mitigation.base import Mitigator
from qmend.types import AnyArray, FloatArray, IntArray
from qmend.walsh import walsh_hadamard

if TYPE_CHECKING:
    from qmend.datasets.table import LabelledCircuits

#: Names of the two figures in a summary.
SLOPE, GAIN = "own_slope", "own_gain_pct"
#: A mitigator simulates if the lower end of its slope's interval is above this ...
LEAST_SLOPE = 0.1
#: ... or the upper end of its gain's below this, per cent.
LEAST_GAIN = -1.0
#: Circuits that are looked at, each mitigated once a way of exchange: a third of the scored ones,
#: so that it costs no more than the scoring, within these bounds.
_FEWEST, _MOST = 200, 1000
#: With fewer pairs an interval means nothing, and there are no figures.
_LEAST_PAIRS = 8
#: Shots of the exchange at few shots.
_FEW_SHOTS = 100
#: Two-qubit gates that one circuit of a pair may have more, as a share of its own; one is no more.
_FURTHER_GATES = 0.2
#: Ideals no further apart in L1 are the same.
_SAME = 1e-3
_SEED = 0


@dataclass(frozen=True)
class Exchange:
    """Rows of P pairs of circuits with the row of a measurement for each, (P,) arrays."""

    first: IntArray
    second: IntArray
    measured: IntArray

    def __len__(self) -> int:
        return len(self.first)


def draw_exchange(data: LabelledCircuits) -> Exchange:
    """Pair circuits that have about the same noise, and draw a measurement for each pair."""
    rng = np.random.default_rng(_SEED)
    _, rows = np.unique(data.circuit_id, return_index=True)  # a repeat is no further circuit
    rows = rng.permutation(rows)[: min(max(len(data) // 3, _FEWEST), _MOST)]
    order = rows[np.lexsort((data.depth[rows], data.n_two_qubit[rows]))]
    names = np.array(data.circuits.instructions.circuit_ids())
    pairs = _neighbours(order, data, names)
    free = np.ones(len(rows), dtype=bool)
    drawn = []
    for first, second in pairs:
        others = free.copy()
        for row in (first, second):
            others &= _differ(data, names, rows, row) & (data.job_id[rows] != data.job_id[row])
        if others.any():
            chosen = int(others.argmax())  # the rows are in random order
            free[chosen] = False
            drawn.append((first, second, int(rows[chosen])))
    columns = np.array(drawn, dtype=np.int64).reshape(-1, 3).T
    return Exchange(*columns)


def _differ(data: LabelledCircuits, names: AnyArray, rows: IntArray, row: int) -> AnyArray:
    """(R,) whether both the ideals and the instructions of rows differ from those of one row.

    Args:
        names: (N,) ids of the instructions.
    """
    apart = np.abs(data.ideal[rows] - data.ideal[row]).sum(axis=1) > _SAME
    return np.asarray(apart & (names[rows] != names[row]))


def _neighbours(order: IntArray, data: LabelledCircuits, names: AnyArray) -> list[tuple[int, int]]:
    """Pair each row with the next one of another circuit, unless it has far more gates.

    Each is in one pair at most.
    """
    pairs, left = [], order
    while len(left) > 1:
        first, left = int(left[0]), left[1:]
        gates = data.n_two_qubit[left]
        close = gates - data.n_two_qubit[first] <= np.maximum(_FURTHER_GATES * gates, 1)
        other = close & _differ(data, names, left, first)
        if other.any():
            nearest = int(other.argmax())
            pairs.append((first, int(left[nearest])))
            left = np.delete(left, nearest)
    return pairs


@dataclass(frozen=True)
class Meter:
    """Sums of the pairs of each way of exchange, and which of them are drawn together.

    Attributes:
        slope, gain: (ways, P, 2) numerators and denominators.
        groups: (P,) job of the measurement.
    """

    slope: FloatArray
    gain: FloatArray
    groups: AnyArray

    @staticmethod
    def of(mitigator: Mitigator, data: LabelledCircuits) -> Meter:
        """Exchange measurements between circuits, and mitigate them.

        Args:
            data: of one size.
        """
        exchange = draw_exchange(data)
        pairs, outcomes = len(exchange), data.ideal.shape[1]
        groups = data.job_id[exchange.measured]
        if not pairs:
            return Meter(np.zeros((3, 0, 2)), np.zeros((3, 0, 2)), groups)
        rng = np.random.default_rng(_SEED)
        both = [data.circuits.select(rows) for rows in (exchange.first, exchange.second)]
        measured = data.circuits.select(exchange.measured)
        shots = np.minimum(measured.shots, _FEW_SHOTS)
        frequencies = measured.noisy / measured.noisy.sum(axis=1, keepdims=True)
        few = rng.multinomial(shots, frequencies) / shots[:, None]
        rarely = replace(measured, noisy=few, shots=shots)
        flips = rng.integers(1, outcomes, pairs)
        none = np.zeros_like(flips)
        slopes, gains = [], []
        for others, mask in ((measured, none), (measured, flips), (rarely, none)):
            own, other = mitigator.mitigate_others(both, others, mask)
            x, y = data.ideal[exchange.first], data.ideal[exchange.second]
            moved, true = _sizes(own) - _sizes(other), _sizes(x) - _sizes(y)
            slopes.append(np.stack([(moved * true).sum(axis=1), (true**2).sum(axis=1)], axis=1))
            near, far = l1(own, x) + l1(other, y), l1(other, x) + l1(own, y)
            gains.append(np.stack([100 * (near - far), far], axis=1))
        return Meter(np.array(slopes), np.array(gains), groups)

    @staticmethod
    def join(parts: Sequence[Meter]) -> Meter:
        """Join the pairs of circuits of several sizes."""
        return Meter(
            np.concatenate([part.slope for part in parts], axis=1),
            np.concatenate([part.gain for part in parts], axis=1),
            np.concatenate([part.groups for part in parts]),
        )

    @property
    def figures(self) -> dict[str, Interval]:
        """The slope, and the gain in per cent, of the way that shows each most.

        Empty if there are too few pairs.
        """
        if len(self.groups) < _LEAST_PAIRS:
            return {}
        slopes = _ratios(self.slope, self.groups)
        gains = _ratios(self.gain, self.groups)
        return {
            SLOPE: max(slopes, key=lambda slope: np.fmax(slope.lo, -np.inf)),  # NaN comes last
            GAIN: min(gains, key=lambda gain: np.fmin(gain.hi, np.inf)),
        }


def _ratios(sums: FloatArray, groups: AnyArray) -> list[Interval]:
    """Divide sums over pairs (ways, P, 2), with 95 % intervals."""
    bootstrap = Bootstrap.over(groups)

    def interval(way: FloatArray) -> Interval:
        return bootstrap.interval(lambda index: float(np.divide(*way[index].sum(axis=0))))

    with np.errstate(divide="ignore", invalid="ignore"):
        return [interval(way) for way in sums]


def _sizes(distributions: FloatArray) -> FloatArray:
    """(P, 2^m - 1) sizes of parities."""
    sizes: FloatArray = np.abs(walsh_hadamard(distributions)[:, 1:])
    return sizes


def simulates(figures: Mapping[str, Interval]) -> bool:
    """Tell whether one of a meter's figures shows a simulation; no figures show none."""
    if SLOPE not in figures:
        return False
    return figures[SLOPE].lo > LEAST_SLOPE or figures[GAIN].hi < LEAST_GAIN
