"""Bit orders: those that are compared, their names, their application to outcomes.

A bit order p is a permutation: bit ``k`` of an outcome as written is the circuit's classical bit
``p[k]``. Bit 0 is the least significant, rightmost in a bitstring.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, combinations, permutations, product
from typing import Literal, get_args

from qmend.types import QmendError

#: All permutations are compared up to this many bits.
MAX_ALL_ORDERS = 5
#: So are all permutations of registers, with all reversals of bits within them, up to this many.
MAX_REGISTERS = 4

Order = tuple[int, ...]
NamedOrder = Literal["qiskit", "reversed", "bits-reversed", "registers-reversed"]
BitOrder = Order | NamedOrder


@dataclass(frozen=True)
class Bits:
    """Classical bits of a program.

    Attributes:
        registers: sizes of the classical registers, the rightmost in a bitstring first.
        measured: indices of the measured bits, ascending; only these are compared.
    """

    registers: tuple[int, ...]
    measured: tuple[int, ...]

    @staticmethod
    def of(*registers: int) -> Bits:
        """Make the bits of registers whose bits are all measured."""
        return Bits(registers, tuple(range(sum(registers))))

    @property
    def whole(self) -> bool:
        return len(self.measured) == sum(self.registers)

    def __str__(self) -> str:
        """``6+6``; or ``3 of 6+6``, if three are measured."""
        sizes = "+".join(map(str, reversed(self.registers)))
        return sizes if self.whole else f"{len(self.measured)} of {sizes}"

    def blocks(self) -> list[Order]:
        """List positions among the measured bits of each register that has any."""
        blocks = []
        for register in register_bits(self.registers):
            block = tuple(k for k, bit in enumerate(self.measured) if bit in register)
            blocks.append(block)
        return [block for block in blocks if block]

    def order_text(self, order: Order) -> str:
        """Format a bit order of the measured bits as ``--bit-order`` takes it."""
        whole = list(range(sum(self.registers)))
        for k, p in enumerate(order):
            whole[self.measured[k]] = self.measured[p]
        names = get_args(NamedOrder)
        same = (name for name in names if resolve_order(name, self.registers) == tuple(whole))
        return next(same, ",".join(map(str, whole)))


def register_bits(registers: Sequence[int]) -> list[range]:
    """List the indices of each register's bits."""
    starts = [sum(registers[:k]) for k in range(len(registers))]
    return [range(start, start + size) for start, size in zip(starts, registers, strict=True)]


@lru_cache(maxsize=256)
def orders(bits: Bits) -> list[Order]:
    """List the bit orders that are compared, the identity first, then the named ones.

    All permutations of few bits; of more the reversal, swaps, rotations, and permutations of
    registers with bits reversed within them.
    """
    identity = tuple(range(len(bits.measured)))
    blocks = bits.blocks()
    turned = [block[::-1] for block in blocks]
    named = [identity, identity[::-1], _joined(turned), _joined(blocks[::-1])]
    if len(identity) <= MAX_ALL_ORDERS:
        return _distinct(chain(named, permutations(identity)))
    return _distinct(chain(named, _of_registers(blocks, turned), _simple(identity)))


def _of_registers(blocks: list[Order], turned: list[Order]) -> Iterator[Order]:
    """Permute registers, and reverse the bits within them."""
    numbers = tuple(range(len(blocks)))
    few = len(blocks) <= MAX_REGISTERS
    all_or_none = [[False] * len(blocks), [True] * len(blocks)]
    one = [[k == j for k in numbers] for j in numbers]
    reversals = list(product((False, True), repeat=len(blocks))) if few else all_or_none
    for order in permutations(numbers) if few else _simple(numbers):
        for reversal in reversals:
            yield _joined([(turned if reversal[k] else blocks)[k] for k in order])
    for reversal in one:
        yield _joined([(turned if reversal[k] else blocks)[k] for k in numbers])


def _simple(items: Order) -> Iterator[Order]:
    """The identity, the reversal, swaps and rotations."""
    yield items
    yield items[::-1]
    for a, b in combinations(range(len(items)), 2):
        swapped = list(items)
        swapped[a], swapped[b] = items[b], items[a]
        yield tuple(swapped)
    yield from (items[k:] + items[:k] for k in range(1, len(items)))


def _joined(blocks: Iterable[Order]) -> Order:
    return tuple(chain.from_iterable(blocks))


def _distinct(given: Iterable[Order]) -> list[Order]:
    return list(dict.fromkeys(given))


def parse_order(text: str) -> BitOrder:
    """Parse a name, or the circuit's bit behind each character, from the right.

    Raises:
        QmendError: if it is neither.
    """
    for name in get_args(NamedOrder):
        if text == name:
            return name  # type: ignore[no-any-return]
    try:
        order = tuple(int(part) for part in text.split(","))
    except ValueError:
        order = ()
    if not order or sorted(order) != list(range(len(order))):
        raise QmendError(
            f"--bit-order {text}: give {', '.join(get_args(NamedOrder))}, or a permutation such as "
            "2,0,1: the circuit's bit behind each character, from the right."
        )
    return order


def resolve_order(order: BitOrder, registers: Sequence[int]) -> Order:
    """Convert a bit order to a permutation of the bits of a program's registers.

    Raises:
        QmendError: if it permutes another number of bits.
    """
    blocks = [tuple(bits) for bits in register_bits(registers)]
    if order == "qiskit":
        return _joined(blocks)
    if order == "reversed":
        return _joined(blocks)[::-1]
    if order == "bits-reversed":
        return _joined([block[::-1] for block in blocks])
    if order == "registers-reversed":
        return _joined(blocks[::-1])
    if len(order) != sum(registers):
        raise QmendError(
            f"--bit-order names {len(order)} bits, the circuit has {sum(registers)} classical bits"
        )
    return order


def reorder(outcome: int, order: Order) -> int:
    """Convert an outcome as written to the circuit's bit order."""
    return sum(((outcome >> k) & 1) << p for k, p in enumerate(order))
