"""Check the bit order of measured values.

A wrong one crashes nothing: the labels are wrong and every figure looks plausible. So the values
are compared with the ideal ones under other bit orders too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from qmend.importing.order_search import best_order
from qmend.importing.orders import MAX_ALL_ORDERS, Bits, Order, orders
from qmend.types import FloatArray, IntArray
from qmend.walsh import walsh_hadamard

#: Up to this many bits, distributions are compared by total variation; beyond, outcomes outnumber
#: shots, and by the overlap, which shot noise does not bias.
MAX_VARIATION_BITS = 10
#: Outcomes drawn to estimate how far a bit order changes the ideal distribution of more bits.
_DRAWN = 1000
#: Outcomes times bit orders that are held at once.
_AT_ONCE = 1 << 21
#: A record distinguishes two bit orders if its ideal values differ by more than this.
LEAST_DIFFERENCE = 0.1
#: Another bit order is clearly better over records if its mean distance to ideal is smaller by more
#: than this and by more than three standard errors.
LEAST_GAIN = 0.02
STANDARD_ERRORS = 3.0
#: ... and for one record, by more than this beside the shot noise: noise that is not uniform
#: resembles some permutation by chance. So does the best of all, which was searched for.
LEAST_RECORD_GAIN = 0.1


class Measured(Protocol):
    """One record's part in the check.

    Attributes:
        name: its id.
        circuit: equal for records of one circuit.
        error: standard error, at most, of a difference of two distances.
    """

    name: str
    circuit: str
    bits: Bits
    error: float

    def distances(self, compared: Sequence[Order]) -> FloatArray:
        """(orders,) of the measured values from the ideal ones under each bit order."""

    def differences(self, compared: Sequence[Order]) -> FloatArray:
        """(orders,) of the ideal values from the same under each bit order."""

    def marginals(self) -> FloatArray:
        """(n, n) measured <Z_i Z_j>, with <Z_i> on the diagonal."""

    def ideal_marginals(self) -> FloatArray:
        """(n, n) without noise."""


class MeasuredCounts:
    """Counts of a record by outcome as an integer, and (2^n,) ideal probabilities."""

    def __init__(
        self, name: str, circuit: str, bits: Bits, counts: Mapping[int, float], ideal: FloatArray
    ) -> None:
        self.name, self.circuit, self.bits, self.ideal = name, circuit, bits, ideal
        shots = sum(counts.values())
        self.many = len(bits.measured) > MAX_VARIATION_BITS
        self.error = (2 if self.many else 1) / float(np.sqrt(shots))
        self.outcomes = np.array(list(counts), dtype=np.int64)
        self.frequencies = np.array(list(counts.values())) / shots

    def distances(self, compared: Sequence[Order]) -> FloatArray:
        """Total variation, or of many bits 1 - overlap."""
        step = max(1, _AT_ONCE // len(self.outcomes))
        parts = [compared[k : k + step] for k in range(0, len(compared), step)]
        return np.concatenate([self._distances(part) for part in parts])

    def _distances(self, compared: Sequence[Order]) -> FloatArray:
        seen = self.ideal[_moved(self.outcomes, compared)]
        if not self.many:
            off = np.abs(self.frequencies[:, None] - seen).sum(axis=0)
            return np.asarray((off + 1 - seen.sum(axis=0)) / 2, np.float64)
        uniform = 1 / len(self.ideal)
        squared = max(float((self.ideal**2).sum()) - uniform, uniform**2)
        # (f - u) . (p - u) / |p - u|^2 is the share of p that is left; where p itself is close to
        # uniform, shot noise would be all of it.
        share = (self.frequencies @ seen - uniform) / squared
        return np.asarray((1 - share) * min(1.0, float(np.sqrt(squared / uniform))), np.float64)

    def differences(self, compared: Sequence[Order]) -> FloatArray:
        """Total variation; of many bits estimated from outcomes that are drawn, to 0.02."""
        outcomes = np.arange(len(self.ideal))
        weights = self.ideal / self.ideal.sum()
        if self.many:
            outcomes = np.random.default_rng(0).choice(outcomes, _DRAWN, p=weights)
            weights = np.full_like(weights, 1 / _DRAWN, shape=_DRAWN)
        own = self.ideal[outcomes][:, None]
        kept = np.minimum(self.ideal[_moved(outcomes, compared)] / np.where(own > 0, own, 1), 1)
        return np.asarray(1 - weights @ kept, np.float64)

    def marginals(self) -> FloatArray:
        signs = 1.0 - 2 * ((self.outcomes[:, None] & self._powers()) > 0)
        products = np.asarray(signs.T @ (self.frequencies[:, None] * signs), np.float64)
        np.fill_diagonal(products, self.frequencies @ signs)
        return products

    def ideal_marginals(self) -> FloatArray:
        powers = self._powers()
        products: FloatArray = walsh_hadamard(self.ideal)[powers[:, None] | powers]
        return products

    def _powers(self) -> IntArray:
        return 1 << np.arange(len(self.bits.measured))


class MeasuredValues:
    """Expectation values of a record, (n,) of single bits, and the ideal ones."""

    def __init__(
        self, name: str, circuit: str, bits: Bits, values: FloatArray, ideal: FloatArray, shots: int
    ) -> None:
        self.name, self.circuit, self.bits = name, circuit, bits
        self.values, self.ideal, self.error = values, ideal, 1 / float(np.sqrt(shots))

    def distances(self, compared: Sequence[Order]) -> FloatArray:
        distance: FloatArray = np.abs(self.values - self.ideal[np.array(compared)]).mean(axis=1)
        return distance

    def differences(self, compared: Sequence[Order]) -> FloatArray:
        difference: FloatArray = np.abs(self.ideal - self.ideal[np.array(compared)]).mean(axis=1)
        return difference

    def marginals(self) -> FloatArray:
        return np.diag(self.values)

    def ideal_marginals(self) -> FloatArray:
        return np.diag(self.ideal)


@dataclass(frozen=True)
class BitOrderCheck:
    """Result of :func:`check_bit_order`; bit orders are as ``--bit-order`` takes them.

    Attributes:
        records: compared.
        telling: of them, those whose ideal values depend on the bit order.
        doubtful: record -> the order that fits it clearly better.
        better: bits -> the order that is clearly better over all records of them, and by how
            much the mean distance to ideal falls.
    """

    records: int
    telling: int
    doubtful: dict[str, str]
    better: dict[Bits, tuple[str, float]]


def check_bit_order(records: Sequence[Measured]) -> BitOrderCheck:
    """Compare measured with ideal values as they are and under other bit orders.

    Circuits weigh equally, however often each was run.
    """
    groups: dict[Bits, list[Measured]] = defaultdict(list)
    for record in records:
        groups[record.bits].append(record)
    telling = 0
    doubtful: dict[str, str] = {}
    better: dict[Bits, tuple[str, float]] = {}
    for bits, group in groups.items():
        one_of_each = {record.circuit: record for record in group}
        compared = orders(bits)
        listed = len(compared)
        if len(bits.measured) > MAX_ALL_ORDERS:
            ideal = {name: record.ideal_marginals() for name, record in one_of_each.items()}
            searched = best_order((r.marginals(), ideal[r.circuit]) for r in group)
            compared = list(dict.fromkeys([*compared, searched]))
        apart = {
            name: record.differences(compared) > LEAST_DIFFERENCE
            for name, record in one_of_each.items()
        }
        # Of two orders that fit equally well, one that is listed is more likely.
        handicap = np.where(np.arange(len(compared)) < listed, 0.0, LEAST_RECORD_GAIN)
        distances = np.array([record.distances(compared) for record in group])
        gains = distances[:, :1] - distances - handicap
        gains[~np.array([apart[record.circuit] for record in group])] = -np.inf
        telling += int(np.isfinite(gains).any(axis=1).sum())
        for record, gain in zip(group, gains, strict=True):
            best = int(np.argmax(gain))
            if gain[best] > LEAST_RECORD_GAIN + STANDARD_ERRORS * record.error:
                doubtful[record.name] = bits.order_text(compared[best])
        best, gain = _best_over_records(group, gains)
        if gain > 0:
            better[bits] = bits.order_text(compared[best]), gain + float(handicap[best])
    return BitOrderCheck(len(records), telling, doubtful, better)


def _best_over_records(group: Sequence[Measured], gains: FloatArray) -> tuple[int, float]:
    """Find the bit order of the largest mean gain over circuits, and the gain; 0: none is clear."""
    shot_noise = float(np.sum([record.error**-2 for record in group])) ** -0.5
    best, most = 0, 0.0
    for k in range(gains.shape[1]):
        by_circuit: dict[str, list[float]] = defaultdict(list)
        for record, gain in zip(group, gains[:, k].tolist(), strict=True):
            if np.isfinite(gain):
                by_circuit[record.circuit].append(gain)
        if not by_circuit:
            continue
        means = [float(np.mean(values)) for values in by_circuit.values()]
        sample = means if len(means) > 1 else [v for values in by_circuit.values() for v in values]
        error = np.std(sample, ddof=1) / np.sqrt(len(sample)) if len(sample) > 1 else 0.0
        error = max(float(error), shot_noise)
        mean = float(np.mean(means))
        if mean > max(LEAST_GAIN, STANDARD_ERRORS * error, most):
            best, most = k, mean
    return best, most


def _moved(outcomes: IntArray, compared: Sequence[Order]) -> IntArray:
    """(outcomes, orders) each outcome in the circuit's bit order, under each of these orders."""
    n_bits = len(compared[0])
    bits = (outcomes[:, None] >> np.arange(n_bits)) & 1
    # Products of small integers as float64: exact, and BLAS does them.
    moved: IntArray = (bits.astype(float) @ (2.0 ** np.array(compared).T)).astype(np.int64)
    return moved
