"""Draw a compiled circuit as an ``<svg>`` element: wires in chain order, folded into lines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from qmend.circuits.instructions import Instruction
from qmend.gates import TWO_QUBIT

#: Wider registers are not drawn.
MAX_QUBITS = 12
#: Columns drawn at most; the rest of a longer circuit is left out.
MAX_COLUMNS = 216
_PER_LINE = 36
_CELL, _WIRE, _GAP, _LEFT, _RIGHT = 26, 27, 22, 40, 34
_FILL = {"rz": "#dcecf7", "sx": "#fbe3cf", "x": "#fbe3cf", "id": "#eeeeee", "ecr": "#d5efe5"}
_NAME = {"rz": "RZ", "sx": "√X", "x": "X", "id": "I", "ecr": "ECR"}
_TWO_QUBIT_COLOUR = "#0072B2"


def columns(instructions: Sequence[Instruction]) -> list[int]:
    """Choose the column of each gate: the first in which all wires of its symbol are free."""
    free: dict[int, int] = {}
    chosen = []
    for _, first, second, _ in instructions:
        low, high = (first, first) if second < 0 else sorted((first, second))
        wires = range(low, high + 1)
        at = max(free.get(q, 0) for q in wires)
        free.update(dict.fromkeys(wires, at + 1))
        chosen.append(at)
    return chosen


def circuit_svg(
    instructions: Sequence[Instruction],
    layout: Sequence[int],
    measured: Sequence[int],
    title: str,
) -> str:
    """Draw a circuit; RZ angles in units of pi, modulo 2.

    Args:
        layout: physical qubit of each chain position.
        measured: chain position behind each classical bit.
        title: read by a screen reader.
    """
    n = len(layout)
    placed = columns(instructions)
    whole = max(placed, default=-1) + 1
    shown = min(whole, MAX_COLUMNS)
    lines = max(1, -(-shown // _PER_LINE))
    line_height = n * _WIRE + _GAP
    width, height = _LEFT + _PER_LINE * _CELL + _RIGHT, lines * line_height
    parts = [
        f'<svg class="circuit" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(title)}" xmlns="http://www.w3.org/2000/svg">'
    ]
    bit_of = {position: bit for bit, position in enumerate(measured)}

    def y(line: int, qubit: int) -> float:
        return line * line_height + (n - 1 - qubit) * _WIRE + _WIRE / 2 + _GAP / 2

    for line in range(lines):
        filled = min(shown - line * _PER_LINE, _PER_LINE)
        end = _LEFT + max(filled, 1) * _CELL
        for q in range(n):
            at = y(line, q)
            parts.append(f'<path class="wire" d="M{_LEFT - 4} {at:g}H{end + 4}"/>')
            parts.append(_text(_LEFT - 9, at + 3.5, f"q{layout[q]}", "label"))
            if line == lines - 1 and shown == whole and q in bit_of:
                parts.append(_text(end + 8, at + 3.5, f"c{bit_of[q]}", "bit"))
    for (gate, first, second, angle), column in zip(instructions, placed, strict=True):
        if column >= shown:
            continue
        line, place = divmod(column, _PER_LINE)
        x = _LEFT + (place + 0.5) * _CELL
        if gate in TWO_QUBIT:
            parts += _two(gate, x, y(line, first), y(line, second))
        else:
            parts += _one(gate, x, y(line, first), angle)
    return "".join([*parts, "</svg>"])


def left_out(instructions: Sequence[Instruction]) -> int:
    """Count the columns of a circuit that its drawing leaves out."""
    return max(0, max(columns(instructions), default=-1) + 1 - MAX_COLUMNS)


def _one(gate: str, x: float, y: float, angle: float) -> list[str]:
    parts = [_box(x, y, gate)]
    if gate == "rz":
        turns = f"{(angle / math.pi) % 2.0:.2f}"
        parts.append(_text(x, y - 1, "RZ", "gate"))
        parts.append(_text(x, y + 8, "0.00" if turns == "2.00" else turns, "angle"))
    else:
        parts.append(_text(x, y + 3.5, _NAME[gate], "gate"))
    return parts


def _two(gate: str, x: float, first: float, second: float) -> list[str]:
    c = _TWO_QUBIT_COLOUR
    parts = [f'<path d="M{x:g} {first:g}V{second:g}" stroke="{c}" stroke-width="1.6"/>']
    if gate == "ecr":
        for at, name in ((first, "E0"), (second, "E1")):
            parts += [_box(x, at, gate), _text(x, at + 3.5, name, "gate")]
        return parts
    parts.append(f'<circle cx="{x:g}" cy="{first:g}" r="3.6" fill="{c}"/>')
    if gate == "cz":
        parts.append(f'<circle cx="{x:g}" cy="{second:g}" r="3.6" fill="{c}"/>')
        return parts
    parts.append(
        f'<circle cx="{x:g}" cy="{second:g}" r="7.5" fill="#fff" stroke="{c}" stroke-width="1.6"/>'
        f'<path d="M{x - 7.5:g} {second:g}h15M{x:g} {second - 7.5:g}v15" stroke="{c}" '
        'stroke-width="1.6"/>'
    )
    return parts


def _box(x: float, y: float, gate: str) -> str:
    return (
        f'<rect x="{x - 11.5:g}" y="{y - 10.5:g}" width="23" height="21" rx="3" '
        f'fill="{_FILL[gate]}"/>'
    )


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:g}" y="{y:g}">{escape(text)}</text>'
