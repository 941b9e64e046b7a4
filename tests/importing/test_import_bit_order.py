"""A wrong bit order is noticed, a right one is not accused."""

import numpy as np
import pytest

from qmend.importing.bit_order import MeasuredCounts, MeasuredValues, check_bit_order
from qmend.importing.orders import Bits, orders, parse_order, reorder, resolve_order
from qmend.types import QmendError


def moved(counts: dict[int, float], n: int, order: tuple[int, ...]) -> dict[int, float]:
    """Counts as somebody would write them whose bit ``k`` is the circuit's ``order[k]``."""
    return {
        sum(((outcome >> order[k]) & 1) << k for k in range(n)): count
        for outcome, count in counts.items()
    }


def records(n: int, order: tuple[int, ...], survival: float, count: int = 30, shots: int = 2000):
    """Noisy counts of random distributions; noise flattens them and flips bit 0 to 0."""
    rng = np.random.default_rng(n)
    for k in range(count):
        ideal = rng.dirichlet(np.full(2**n, 0.2))
        decayed = np.where(np.arange(2**n) % 2, 0.7, 1.0) / 2**n
        noisy = survival * ideal + (1 - survival) * decayed / decayed.sum()
        drawn = rng.multinomial(shots, noisy / noisy.sum())
        counts = {o: float(c) for o, c in enumerate(drawn) if c}
        yield MeasuredCounts(f"r{k}", f"c{k}", Bits.of(n), moved(counts, n, order), ideal)


@pytest.mark.parametrize("survival", [0.9, 0.5, 0.3])
@pytest.mark.parametrize(
    ("n", "order"),
    [
        (2, (1, 0)),
        (3, (2, 1, 0)),
        (4, (1, 2, 0, 3)),
        (5, (0, 1, 2, 4, 3)),
        (7, (6, 5, 4, 3, 2, 1, 0)),
    ],
)
def test_another_order_is_noticed_and_named(n, order, survival):
    check = check_bit_order(list(records(n, order, survival)))
    assert check.better[Bits.of(n)][0] == Bits.of(n).order_text(order)
    assert check.telling >= 15  # orders of two bits differ in half of the circuits only
    if survival == 0.9:
        assert len(check.doubtful) > check.telling / 2


@pytest.mark.parametrize("survival", [1.0, 0.9, 0.5, 0.3, 0.05])
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 7])
def test_the_right_order_is_not_accused(n, survival):
    check = check_bit_order(list(records(n, tuple(range(n)), survival)))
    assert check.better == {}
    assert len(check.doubtful) <= 1


def test_symmetric_circuits_say_nothing():
    """A GHZ state looks the same in every order."""
    ideal = np.zeros(8)
    ideal[[0, 7]] = 0.5
    check = check_bit_order([MeasuredCounts("r", "c", Bits.of(3), {0: 40.0, 7: 60.0}, ideal)])
    assert (check.records, check.telling, check.doubtful, check.better) == (1, 0, {}, {})


def test_beyond_ten_bits_the_reversal_is_noticed():
    n, rng = 12, np.random.default_rng(0)
    given = []
    for k in range(4):
        ideal = np.zeros(2**n)
        chosen = rng.choice(2**n, 6, replace=False)
        ideal[chosen] = rng.dirichlet(np.ones(6))
        counts = {int(o): float(round(1000 * ideal[o])) + 1 for o in chosen}
        turned = moved(counts, n, orders(Bits.of(n))[1])
        given.append(MeasuredCounts(f"r{k}", f"c{k}", Bits.of(n), turned, ideal))
    assert check_bit_order(given).better[Bits.of(n)][0] == "reversed"


def test_one_bad_record_among_good_ones_is_named():
    good = list(records(4, (0, 1, 2, 3), 0.9))
    bad = list(records(4, (3, 2, 1, 0), 0.9, count=12))[-1]
    bad.name = bad.circuit = "odd"
    check = check_bit_order([*good, bad])
    assert "odd" in check.doubtful
    assert check.better == {}


def test_expectation_values_in_another_order_are_noticed():
    rng = np.random.default_rng(1)
    order = np.array([2, 0, 1])
    given = [
        MeasuredValues(
            f"r{k}", f"c{k}", Bits.of(3), 0.7 * z[order] + rng.normal(0, 0.02, 3), z, 1000
        )
        for k, z in enumerate(rng.uniform(-1, 1, (40, 3)))
    ]
    assert check_bit_order(given).better[Bits.of(3)][0] == "2,0,1"


@pytest.mark.parametrize("n", [2, 3, 4])
def test_applying_the_named_order_puts_it_right(n):
    counts = {o: float(o + 1) for o in range(2**n)}
    for order in orders(Bits.of(n)):
        named = resolve_order(parse_order(Bits.of(n).order_text(order)), [n])
        assert {reorder(o, named): c for o, c in moved(counts, n, order).items()} == counts
    assert reorder(1, resolve_order("reversed", [n])) == 1 << (n - 1)
    assert reorder(1, resolve_order("qiskit", [n])) == 1


@pytest.mark.parametrize("text", ["0,0", "1,2", "left", "", "0;1", "-1,0"])
def test_what_is_no_order_is_refused(text):
    with pytest.raises(QmendError, match="--bit-order"):
        parse_order(text)
