"""Check the bit order of measured values.

Nothing crashes where they don't: the labels are then wrong and every figure looks plausible.
So the values are compared with the ideal ones under other orders too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, permutations
from typing import Literal

import numpy as np

from qmend.types import FloatArray, IntArray, QmendError

#: All permutations are tried up to this many bits; beyond, the reversal, swaps and rotations.
MAX_ALL_ORDERS = 5
#: Beyond this many, the reversal alone.
MAX_SWAPPED = 10
#: A record tells two orders apart if its ideal values differ by more than this between them.
LEAST_DIFFERENCE = 0.1
#: Another order is clearly better over records if its mean distance to ideal is smaller by more
#: than this and by more than three standard errors.
LEAST_GAIN = 0.02
STANDARD_ERRORS = 3.0
#: ... and for one record, by more than this beside the shot noise: noise that is not uniform
#: resembles some permutation by chance.
LEAST_RECORD_GAIN = 0.1

Order = tuple[int, ...]
BitOrder = Order | Literal["qiskit", "reversed"]


@dataclass(frozen=True)
class Measured:
    """One record's part in the check.

    Attributes:
        name: its id.
        circuit: equal for records of one circuit.
        n_bits: measured bits (or qubits).
        distance: (orders,) of the measured values from the ideal ones under each order.
        difference: (orders,) of the ideal values from themselves under each order.
        shots: of the record.
    """

    name: str
    circuit: str
    n_bits: int
    distance: FloatArray
    difference: FloatArray
    shots: int

    @staticmethod
    def distribution(
        name: str, circuit: str, n_bits: int, counts: dict[int, float], ideal: FloatArray
    ) -> Measured:
        """Total variation of counts by outcome number from (2^n,) ideal probabilities."""
        outcomes = np.array(list(counts), dtype=np.int64)
        shots = sum(counts.values())
        frequencies = np.array(list(counts.values())) / shots
        distance, difference = [], []
        for order in orders(n_bits):
            moved = ideal[_permutation(n_bits, order)]
            seen = moved[outcomes]
            distance.append((np.abs(frequencies - seen).sum() + 1.0 - seen.sum()) / 2)
            difference.append(np.abs(ideal - moved).sum() / 2)
        return Measured(name, circuit, n_bits, np.array(distance), np.array(difference), int(shots))

    @staticmethod
    def expectations(
        name: str, circuit: str, values: FloatArray, ideal: FloatArray, shots: int
    ) -> Measured:
        """Mean absolute difference of (n,) values, one a qubit, from the ideal ones."""
        moved = ideal[np.array(orders(len(ideal)))]
        distance = np.abs(values - moved).mean(axis=1)
        difference = np.abs(ideal - moved).mean(axis=1)
        return Measured(name, circuit, len(ideal), distance, difference, shots)


@dataclass(frozen=True)
class BitOrderCheck:
    """Result of :func:`check_bit_order`.

    Attributes:
        records: compared.
        telling: of them, those whose ideal values change with the order.
        doubtful: record -> the order that fits it clearly better.
        better: number of bits -> the order that is clearly better over all records of it, and
            by how much the mean distance to ideal falls.
    """

    records: int
    telling: int
    doubtful: dict[str, Order]
    better: dict[int, tuple[Order, float]]

    @property
    def right_pct(self) -> float:
        """Share of the telling records that no other order fits clearly better, in per cent."""
        return 100.0 * (1 - len(self.doubtful) / self.telling) if self.telling else 100.0


def check_bit_order(records: Sequence[Measured]) -> BitOrderCheck:
    """Compare measured with ideal values as they are and under other orders.

    The distance is total variation for distributions and the mean absolute difference for
    expectation values. Circuits weigh equally, however often each was run.
    """
    doubtful: dict[str, Order] = {}
    telling = 0
    # (bits, order) -> circuit -> gains, one a record.
    gains: dict[tuple[int, int], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    shots: dict[int, int] = defaultdict(int)
    for record in records:
        apart = record.difference > LEAST_DIFFERENCE
        gain = np.where(apart, record.distance[0] - record.distance, -np.inf)
        shots[record.n_bits] += record.shots
        telling += int(apart.any())
        for k in np.flatnonzero(apart).tolist():
            gains[record.n_bits, k][record.circuit].append(float(gain[k]))
        best = int(np.argmax(gain))
        if gain[best] > LEAST_RECORD_GAIN + STANDARD_ERRORS / np.sqrt(record.shots):
            doubtful[record.name] = orders(record.n_bits)[best]
    better: dict[int, tuple[Order, float]] = {}
    for (n_bits, k), by_circuit in sorted(gains.items()):
        means = [float(np.mean(values)) for values in by_circuit.values()]
        sample = means if len(means) > 1 else [v for values in by_circuit.values() for v in values]
        error = np.std(sample, ddof=1) / np.sqrt(len(sample)) if len(sample) > 1 else 0.0
        error = max(float(error), 1 / np.sqrt(shots[n_bits]))
        mean = float(np.mean(means))
        least = better.get(n_bits, ((), 0.0))[1]
        if mean > max(LEAST_GAIN, STANDARD_ERRORS * error, least):
            better[n_bits] = (orders(n_bits)[k], mean)
    return BitOrderCheck(len(records), telling, doubtful, better)


@lru_cache(maxsize=32)
def orders(n_bits: int) -> list[Order]:
    """List the orders that are compared, the identity first.

    Under an order p, bit ``k`` of what was measured is bit ``p[k]`` of the circuit.
    """
    identity = tuple(range(n_bits))
    if n_bits <= MAX_ALL_ORDERS:
        return list(permutations(identity))
    compared = [identity, identity[::-1]]
    if n_bits > MAX_SWAPPED:
        return compared
    for a, b in combinations(identity, 2):
        swapped = list(identity)
        swapped[a], swapped[b] = b, a
        compared.append(tuple(swapped))
    compared += [identity[k:] + identity[:k] for k in range(1, n_bits)]
    return list(dict.fromkeys(compared))


@lru_cache(maxsize=1024)
def _permutation(n_bits: int, order: Order) -> IntArray:
    """(2^n,) the circuit's outcome that each measured outcome stands for under an order."""
    outcomes = np.arange(1 << n_bits)
    moved: IntArray = sum(
        (((outcomes >> k) & 1) << p for k, p in enumerate(order)), np.zeros_like(outcomes)
    )
    return moved


def parse_order(text: str) -> BitOrder:
    """``qiskit``, ``reversed``, or the bit of the circuit that each bit, from the right, is.

    Raises:
        QmendError: if it is none of these.
    """
    if text == "qiskit":
        return "qiskit"
    if text == "reversed":
        return "reversed"
    try:
        order = tuple(int(part) for part in text.split(","))
    except ValueError:
        order = ()
    if not order or sorted(order) != list(range(len(order))):
        raise QmendError(
            f"--bit-order {text}: give qiskit, reversed, or a permutation such as 2,0,1: the "
            "circuit's bit behind each character, from the right."
        )
    return order


def reorder(counts: dict[int, float], order: BitOrder, n_bits: int) -> dict[int, float]:
    """Outcome numbers as read -> in the circuit's bit order.

    Raises:
        QmendError: if the order is of another number of bits.
    """
    if order == "qiskit":
        return counts
    positions = tuple(range(n_bits))[::-1] if order == "reversed" else order
    if len(positions) != n_bits:
        raise QmendError(
            f"--bit-order orders {len(positions)} bits, the circuit has {n_bits} classical bits"
        )
    return {
        sum(((outcome >> k) & 1) << int(p) for k, p in enumerate(positions)): value
        for outcome, value in counts.items()
    }


def order_text(order: Order) -> str:
    """Format an order as ``--bit-order`` takes it."""
    if len(order) > 1 and order == tuple(range(len(order)))[::-1]:
        return "reversed"
    return ",".join(map(str, order))
