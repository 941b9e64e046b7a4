"""A chain-aware compiler for products of Pauli gadgets exp(-i a P): no routing, no permutation.

Each gadget becomes a CX ladder along the chain towards a root, RZ(2a) there, and the ladder
back. Basis changes stay in place until a qubit needs another letter, and a CX that meets its
own inverse disappears.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from qmend.circuits.angles import from_steps, to_steps
from qmend.circuits.instructions import Instruction
from qmend.types import QmendError

#: (Pauli letters, qubit 0 first; angle a): exp(-i a P).
Gadget = tuple[str, float]

_X, _Y, _Z = 0, 1, 2
_LETTER = {"X": _X, "Y": _Y, "Z": _Z}


class _Frame:
    """Where the logical axes of a qubit point after its basis changes: (axis, sign) each."""

    __slots__ = ("axes",)

    def __init__(self) -> None:
        self.axes = [(_X, 1), (_Y, 1), (_Z, 1)]

    def quarter_z(self, turns: int) -> None:
        """RZ(turns * pi / 2): X -> Y -> -X."""
        for _ in range(turns % 4):
            step = {_X: (_Y, 1), _Y: (_X, -1), _Z: (_Z, 1)}
            self.axes = [(step[a][0], s * step[a][1]) for a, s in self.axes]

    def sx(self) -> None:
        """RX(pi / 2): Y -> Z -> -Y."""
        step = {_X: (_X, 1), _Y: (_Z, 1), _Z: (_Y, -1)}
        self.axes = [(step[a][0], s * step[a][1]) for a, s in self.axes]

    def flip(self) -> None:
        """X gate: Y -> -Y, Z -> -Z."""
        self.axes = [(a, s if a == _X else -s) for a, s in self.axes]


class GadgetCompiler:
    """Compiles gadgets to {rz, sx, x, cx} on a chain.

    Args:
        n_qubits: length of the chain.
        native_gates: names of the device's gates.
        edges: directed pairs of neighbouring chain positions with a CX.

    Raises:
        QmendError: if the device has no CX both ways between all neighbours of the chain.
    """

    def __init__(
        self, n_qubits: int, native_gates: Sequence[str], edges: Sequence[tuple[int, int]]
    ) -> None:
        needed = {(k, k + 1) for k in range(n_qubits - 1)}
        needed |= {(b, a) for a, b in needed}
        if not {"rz", "sx", "x"} <= set(native_gates) or (
            n_qubits > 1 and "cx" not in native_gates
        ):
            raise QmendError(
                f"dataset.compiler.name=direct needs the gates rz, sx, x and cx, the device has "
                f"{', '.join(native_gates)}; use dataset.compiler.name=qiskit."
            )
        if not needed <= set(edges):
            raise QmendError(
                "dataset.compiler.name=direct needs neighbours in device.layout to be coupled both "
                "ways; use dataset.compiler.name=qiskit, or a layout along a line."
            )
        self.n_qubits = n_qubits

    def __call__(self, gadgets: Sequence[Gadget]) -> list[Instruction]:
        """Native instructions; classical bit ``k`` is read from chain position ``k``."""
        writer = _Writer(self.n_qubits)
        for letters, angle in gadgets:
            writer.gadget(letters, angle)
        return writer.finish()


class _Writer:
    """A list of instructions in which neighbours on a qubit merge."""

    def __init__(self, n_qubits: int) -> None:
        self.n_qubits = n_qubits
        self.operations: list[Instruction | None] = []
        self.history: list[list[int]] = [[] for _ in range(n_qubits)]
        self.frames = [_Frame() for _ in range(n_qubits)]

    def gadget(self, letters: str, angle: float) -> None:
        support = [q for q, letter in enumerate(letters) if letter != "I"]
        if not support:
            return  # a global phase
        sign = 1
        for q in support:
            sign *= self._bring_to_z(q, _LETTER[letters[q]])
        ladder, root = self._best_ladder(support)
        for control, target in ladder:
            self._cx(control, target)
        self._rz(root, 2.0 * sign * angle)
        for control, target in reversed(ladder):
            self._cx(control, target)

    def _best_ladder(self, support: list[int]) -> tuple[list[tuple[int, int]], int]:
        """Of the ladders to each root, the one whose first CXs meet most of their inverses; the
        root nearest to the middle on a tie, for depth."""
        middle = (support[0] + support[-1]) / 2
        best: tuple[float, list[tuple[int, int]], int] | None = None
        for root in support:
            ladder = _ladder(support, root)
            value = -2.0 * self._count_cancelling(ladder) + abs(root - middle) / 100
            if best is None or value < best[0]:
                best = (value, ladder, root)
        assert best is not None
        return best[1], best[2]

    def _count_cancelling(self, ladder: list[tuple[int, int]]) -> int:
        """How many of a ladder's CXs would meet their inverse."""
        depth = [len(h) for h in self.history]
        blocked = [False] * self.n_qubits
        count = 0
        for control, target in ladder:
            if not (blocked[control] or blocked[target]) and depth[control] and depth[target]:
                last = self.history[control][depth[control] - 1]
                same = last == self.history[target][depth[target] - 1]
                if same and self.operations[last] == ("cx", control, target, 0.0):
                    depth[control] -= 1
                    depth[target] -= 1
                    count += 1
                    continue
            blocked[control] = blocked[target] = True
        return count

    def _bring_to_z(self, q: int, letter: int) -> int:
        """Basis change after which ``letter`` is read along Z; its sign there."""
        frame = self.frames[q]
        axis = frame.axes[letter][0]
        if axis == _X:
            self._turn(q, 1)
        if axis != _Z:
            self._sx(q)
        return frame.axes[letter][1]

    def finish(self) -> list[Instruction]:
        """Undo all basis changes and return the instructions."""
        for q, frame in enumerate(self.frames):
            axis, sign = frame.axes[_Z]
            if axis == _Z:
                if sign < 0:
                    self._append(("x", q, -1, 0.0))
                    frame.flip()
            else:
                # SX takes Y to Z: bring +Z there.
                self._turn(q, (1 if axis == _X else 0) + (2 if sign < 0 else 0))
                self._sx(q)
            while frame.axes[_X] != (_X, 1):
                self._turn(q, 1)
        out = []
        for operation in self.operations:
            if operation is None:
                continue
            if operation[0] == "rz":
                angle = from_steps(to_steps(operation[3]))
                if angle == 0.0:
                    continue
                operation = ("rz", operation[1], -1, angle)
            out.append(operation)
        return out

    def _turn(self, q: int, quarters: int) -> None:
        if quarters % 4:
            self._rz(q, quarters * math.pi / 2)
            self.frames[q].quarter_z(quarters)

    def _sx(self, q: int) -> None:
        self._append(("sx", q, -1, 0.0))
        self.frames[q].sx()

    def _append(self, operation: Instruction) -> None:
        index = len(self.operations)
        self.operations.append(operation)
        self.history[operation[1]].append(index)
        if operation[2] >= 0:
            self.history[operation[2]].append(index)

    def _rz(self, q: int, angle: float) -> None:
        history = self.history[q]
        if history:
            last = self.operations[history[-1]]
            if last is not None and last[0] == "rz":
                self.operations[history[-1]] = ("rz", q, -1, last[3] + angle)
                return
        self._append(("rz", q, -1, angle))

    def _cx(self, control: int, target: int) -> None:
        mine, theirs = self.history[control], self.history[target]
        if (
            mine
            and theirs
            and mine[-1] == theirs[-1]
            and self.operations[mine[-1]] == ("cx", control, target, 0.0)
        ):
            self.operations[mine[-1]] = None
            mine.pop()
            theirs.pop()
            return
        self._append(("cx", control, target, 0.0))


def _ladder(support: list[int], root: int) -> list[tuple[int, int]]:
    """CXs after which ``root`` holds the parity of the support.

    Along each side of the root every neighbour passes its parity on. A position in a gap
    passes its own value on first, so that it drops out: a b c with b in the gap is
    CX(b, c) CX(a, b) CX(b, c).
    """
    inside = set(support)
    ladder: list[tuple[int, int]] = []
    for end, step in ((support[0], 1), (support[-1], -1)):
        path = list(range(end, root, step))
        ladder += [(q, q + step) for q in reversed(path) if q not in inside]
        ladder += [(q, q + step) for q in path]
    return ladder
