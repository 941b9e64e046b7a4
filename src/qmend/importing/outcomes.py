"""Parse outcomes: bitstrings, with spaces between classical registers, or hexadecimal."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from qmend.importing.orders import Order, register_bits, reorder
from qmend.types import QmendError

_BITSTRING = re.compile(r"[01]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")


def outcome_counts(
    counts: Mapping[str, float], registers: Sequence[int], order: Order
) -> dict[int, float]:
    """Convert outcomes as written to integers in the circuit's bit order.

    Args:
        registers: sizes, the rightmost in a bitstring first.
        order: the circuit's bit behind each character, from the right.

    Raises:
        QmendError: if a key is neither a bitstring nor hexadecimal, has another number of bits or
            spaces elsewhere than between registers, or repeats an outcome.
    """
    keys: dict[int, str] = {}
    moves = order != tuple(range(len(order)))
    for key in counts:
        outcome = _number(key, registers, order)
        outcome = reorder(outcome, order) if moves else outcome
        if outcome in keys:
            raise QmendError(
                f"the outcomes {keys[outcome]!r} and {key!r} are the same one; give it once"
            )
        keys[outcome] = key
    return {outcome: counts[key] for outcome, key in keys.items()}


def _number(key: str, registers: Sequence[int], order: Order) -> int:
    n_bits = sum(registers)
    groups = key.split()
    text = "".join(groups)
    if _HEX.fullmatch(key.strip()):
        outcome = int(text, 16)
        fits = outcome < 1 << n_bits
    elif _BITSTRING.fullmatch(text):
        outcome, fits = int(text, 2), len(text) == n_bits
    else:
        raise QmendError(f"the outcome {key!r} is neither a bitstring nor hexadecimal")
    if not fits:
        raise QmendError(
            f"the outcome {key!r} does not fit the circuit's {n_bits} classical bits; give "
            "one character for each"
        )
    if len(groups) > 1 and not _are_registers([len(g) for g in groups[::-1]], registers, order):
        raise QmendError(
            f"the outcome {key!r} has spaces elsewhere than between the circuit's registers of "
            f"{' and '.join(map(str, reversed(registers)))} bits; leave them out, or name the "
            "order of the registers with --bit-order"
        )
    return outcome


def _are_registers(sizes: Sequence[int], registers: Sequence[int], order: Order) -> bool:
    """Check that each group of characters is one register under the bit order."""
    groups = [sorted(order[k] for k in positions) for positions in register_bits(sizes)]
    return sorted(groups) == [list(bits) for bits in register_bits(registers) if bits]
