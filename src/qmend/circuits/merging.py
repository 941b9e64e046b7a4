"""Merge the one-qubit gates of compiled circuits and cancel two-qubit gates, on the grid of angles.

Qiskit's own passes do the same in floating point, whose last bits depend on the processor. Here
nearly all is integer arithmetic; what is not has the same bits everywhere (:mod:`qmend.portable`).
"""

from __future__ import annotations

from collections.abc import Iterable
from math import sqrt

import numpy as np

from qmend import portable
from qmend.circuits.angles import TURN, from_steps, to_steps
from qmend.circuits.instructions import Instruction
from qmend.gates import TWO_QUBIT

_HALF, _QUARTER = TURN // 2, TURN // 4


class Run:
    """One-qubit gates in sequence: RZ(z_0) SX RZ(z_1) SX ... SX RZ(z_k), then X if ``flipped``.

    Angles are steps of the grid; a global phase is left out.
    """

    __slots__ = ("flipped", "turns")

    def __init__(self) -> None:
        self.turns, self.flipped = [0], False

    def append(self, gate: str, angle: float) -> None:
        """Append an RZ, SX or X; an identity gate is left out."""
        if gate == "rz":
            steps = to_steps(angle)
            self.turns[-1] += -steps if self.flipped else steps  # X RZ(z) = RZ(-z) X
        elif gate == "sx":
            self.turns.append(0)  # X commutes with SX
        elif gate == "x":
            self.flipped = not self.flipped

    def simplify(self) -> None:
        """Bring the run to its shortest form, of two SX at most."""
        self._collapse()
        if len(self.turns) > 3:
            self.turns, self.flipped = _euler_angles(self.turns, self.flipped), False
            self._collapse()
        if self.flipped and len(self.turns) > 1:  # SX, X = RZ(pi), SX, RZ(pi)
            self.turns[-2] += _HALF
            self.turns[-1] = _HALF - self.turns[-1]
            self.flipped = False
        if len(self.turns) == 3:  # of its two forms that with fewer RZ; of equals, the first
            first, middle, last = self.turns
            other = [first + _HALF, -middle, last + _HALF]
            if _rotations(other) < _rotations(self.turns):
                self.turns = other

    def _collapse(self) -> None:
        """Replace SX RZ(z) SX for z a multiple of a quarter turn."""
        k = 1
        while k < len(self.turns) - 1:
            before, turn, after = self.turns[k - 1 : k + 2]
            later = self.turns[k + 2 :]
            quarters, rest = divmod(turn % TURN, _QUARTER)
            if rest:
                k += 1
                continue
            if quarters == 0:  # X, carried to the end
                self.turns[k - 1 :] = [before - after, *(-t for t in later)]
                self.flipped = not self.flipped
            elif quarters == 2:  # RZ(pi)
                self.turns[k - 1 :] = [before + _HALF + after, *later]
            else:  # RZ(z) SX RZ(z)
                self.turns[k - 1 :] = [before + turn, turn + after, *later]
            k = max(k - 2, 1)

    @property
    def is_identity(self) -> bool:
        return len(self.turns) == 1 and self.turns[0] % TURN == 0 and not self.flipped

    def instructions(self, qubit: int) -> list[Instruction]:
        """Write the run on a qubit."""
        out: list[Instruction] = []
        for k, turn in enumerate(self.turns):
            if k:
                out.append(("sx", qubit, -1, 0.0))
            if turn % TURN:
                out.append(("rz", qubit, -1, from_steps(turn)))
        return [*out, ("x", qubit, -1, 0.0)] if self.flipped else out


def _rotations(turns: list[int]) -> int:
    return sum(turn % TURN != 0 for turn in turns)


def _euler_angles(turns: list[int], flipped: bool) -> list[int]:
    """Three turns z with RZ(z_0) SX RZ(z_1) SX RZ(z_2) the same gate as a longer run.

    The run is [[p, -q*], [q, p*]] = RZ(phi) RY(theta) RZ(lambda), with
    p = cos(theta/2) exp(-i (phi + lambda) / 2) and q = sin(theta/2) exp(i (phi - lambda) / 2).
    """
    if flipped:  # X = SX RZ(0) SX
        turns = [*turns, 0, 0]
    cosines, sines = portable.cos_sin(np.array([from_steps(turn) / 2 for turn in turns]))
    p, q = (1.0, 0.0), (0.0, 0.0)  # real and imaginary part
    root = sqrt(0.5)
    for k, (c, s) in enumerate(zip(cosines.tolist(), sines.tolist(), strict=True)):
        if k:
            p, q = (
                ((p[0] + q[1]) * root, (p[1] - q[0]) * root),
                ((q[0] + p[1]) * root, (q[1] - p[0]) * root),
            )
        p = (p[0] * c + p[1] * s, p[1] * c - p[0] * s)
        q = (q[0] * c - q[1] * s, q[1] * c + q[0] * s)
    sizes = [sqrt(v[0] * v[0] + v[1] * v[1]) for v in (q, p)]
    half, minus_sum, difference = portable.arctan2(
        [sizes[0], p[1], q[1]], [sizes[1], p[0], q[0]]
    ).tolist()
    phi, lamda = difference - minus_sum, -minus_sum - difference
    return [to_steps(lamda), to_steps(2 * half) + _HALF, to_steps(phi) + _HALF]


class _Gate:
    """A two-qubit gate and the runs before it."""

    __slots__ = ("instruction", "runs")

    def __init__(self, instruction: Instruction, runs: tuple[Run, Run]) -> None:
        self.instruction, self.runs = instruction, runs


def merge_gates(instructions: Iterable[Instruction], n_qubits: int) -> list[Instruction]:
    """Write a circuit of rz, sx, x and two-qubit gates with as few one-qubit gates as they need.

    A two-qubit gate that meets itself disappears: all native ones are their own inverses.
    """
    runs = [Run() for _ in range(n_qubits)]
    gates: dict[int, _Gate] = {}  # in their order; a removed one is gone
    behind: list[list[int]] = [[] for _ in range(n_qubits)]  # gates on each qubit
    for number, instruction in enumerate(instructions):
        name, a, b, angle = instruction
        if name not in TWO_QUBIT:
            runs[a].append(name, angle)
            continue
        for q in (a, b):
            runs[q].simplify()
        last = behind[a][-1] if behind[a] else -1
        meets = behind[b] and behind[b][-1] == last and gates[last].instruction == instruction
        if meets and runs[a].is_identity and runs[b].is_identity:
            runs[a], runs[b] = gates.pop(last).runs
            behind[a].pop()
            behind[b].pop()
            continue
        gates[number] = _Gate(instruction, (runs[a], runs[b]))
        for q in (a, b):
            behind[q].append(number)
            runs[q] = Run()
    merged: list[Instruction] = []
    for gate in gates.values():
        _, a, b, _ = gate.instruction
        merged += [*gate.runs[0].instructions(a), *gate.runs[1].instructions(b), gate.instruction]
    for q, run in enumerate(runs):
        run.simplify()
        merged += run.instructions(q)
    return merged
