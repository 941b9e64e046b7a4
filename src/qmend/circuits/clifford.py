"""Draw Clifford circuits; compute their distributions by propagating Pauli strings.

A few RZ of any angle may stand between the Clifford gates.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from qmend.circuits.angles import round_source
from qmend.circuits.families import SourceCircuit
from qmend.circuits.instructions import Instruction
from qmend.portable import cos_sin
from qmend.types import FloatArray, IntArray
from qmend.walsh import walsh_hadamard

#: (h, s, sdg, x, y, z, cx or rz; qubit, the control of a CX; its target, else -1; angle of RZ).
Gate = tuple[str, int, int, float]

#: An RZ this close (rad) to a multiple of pi/2 is a Clifford gate.
CLIFFORD_TOLERANCE = 1e-9
#: What takes the X, Y and Z axes to each of their six orders, up to signs, which Paulis set.
_AXES: tuple[tuple[str, ...], ...] = ((), ("h",), ("s",), ("h", "s"), ("s", "h"), ("h", "s", "h"))
_SIGNS: tuple[tuple[str, ...], ...] = ((), ("x",), ("y",), ("z",))
#: RZ by 0, 1, 2 and 3 quarter turns, up to a phase.
_TURNS: tuple[tuple[str, ...], ...] = ((), ("s",), ("z",), ("sdg",))
#: Native gates up to a phase, on qubits 0 and 1.
_NATIVE: dict[str, tuple[tuple[str, int, int], ...]] = {
    "id": (),
    "x": (("x", 0, -1),),
    "sx": (("h", 0, -1), ("s", 0, -1), ("h", 0, -1)),
    "cx": (("cx", 0, 1),),
    "cz": (("h", 1, -1), ("cx", 0, 1), ("h", 1, -1)),
    "ecr": (
        *(("cx", 0, 1), ("s", 0, -1), ("x", 0, -1)),
        *(("h", 1, -1), ("s", 1, -1), ("h", 1, -1)),
    ),
}


class CliffordCircuit(SourceCircuit):
    """A circuit of Clifford gates and a few RZ, whose distribution needs no statevector."""

    def __init__(self, params: dict[str, object], gates: Sequence[Gate], n_qubits: int) -> None:
        from qiskit.circuit import QuantumCircuit

        circuit = QuantumCircuit(n_qubits)
        for name, first, second, angle in gates:
            if name == "rz":
                circuit.rz(angle, first)
            elif second >= 0:
                circuit.cx(first, second)
            else:
                getattr(circuit, name)(first)
        super().__init__(params, circuit=circuit)
        self.gates = [(*gate[:3], float(round_source(gate[3]))) for gate in gates]

    def probabilities(self) -> FloatArray:
        """(2^n,) by :func:`clifford_probabilities`."""
        return clifford_probabilities(self.gates, self.circuit.num_qubits)


def clifford_gates(instructions: Iterable[Instruction]) -> list[Gate]:
    """Write native gates as Clifford gates and RZ that are none, up to a phase."""
    gates: list[Gate] = []
    for name, first, second, angle in instructions:
        turns = round(angle / (np.pi / 2))
        if name != "rz":
            on = (first, second, -1)  # -1, no qubit, is the last
            gates += [(part, on[a], on[b], 0.0) for part, a, b in _NATIVE[name]]
        elif abs(angle - turns * (np.pi / 2)) <= CLIFFORD_TOLERANCE:
            gates += [(part, first, -1, 0.0) for part in _TURNS[turns % 4]]
        else:
            gates.append(("rz", first, -1, angle))
    return gates


def clifford_probabilities(
    gates: Sequence[Gate], n_qubits: int, measured: IntArray | None = None
) -> FloatArray:
    """(2^m,) exact distribution of the outcomes from \\|0...0>.

    In the Heisenberg picture: the expectation of every product Z_s of measured Zs is needed, and
    p(x) = 2^-m sum_s (-1)^(s.x) <Z_s>. All 2^m strings are carried backwards through the
    circuit at once, as bit masks x and z of i^|x & z| X^x Z^z with a real weight. A Clifford gate
    maps strings to strings; RZ(a) turns one with X or Y on its qubit into two,
    P -> cos(a) P + i sin(a) P Z. At the start only strings without X are left,
    and <0|Z^z|0> = 1. Up to 2^(m + rotations) strings, for each gate: no statevector of n qubits.
    Measurement of Pauli strings as in Aaronson and Gottesman, quant-ph/0406196.

    Args:
        n_qubits: at most 62.
        measured: (m,) qubits; bit k of an outcome is the k-th of them. None: all in order.
    """
    places = np.arange(n_qubits) if measured is None else measured
    outcome = np.arange(2 ** len(places))
    z = ((outcome[:, None] >> np.arange(len(places)) & 1) << places).sum(axis=1)
    x, weight = np.zeros_like(z), np.ones(len(z))
    for name, first, second, angle in reversed(gates):
        a, b = (x >> first) & 1, (z >> first) & 1
        if name == "rz":
            hit = np.flatnonzero(a)
            cosine, sine = cos_sin(angle)
            turned = weight[hit] * np.where(b[hit], -1.0, 1.0) * -sine
            weight = weight.copy()
            weight[hit] *= cosine
            x = np.concatenate([x, x[hit]])
            z = np.concatenate([z, z[hit] ^ (1 << first)])
            weight = np.concatenate([weight, turned])
            outcome = np.concatenate([outcome, outcome[hit]])
        else:
            x, z, flips = backwards(name, first, second, x, z, a, b)
            weight = np.where(flips, -weight, weight)
    left = x == 0
    parity = np.bincount(outcome[left], weight[left], minlength=2 ** len(places))
    distribution: FloatArray = np.maximum(walsh_hadamard(parity) / len(parity), 0.0)
    return distribution


def backwards(
    name: str, first: int, second: int, x: IntArray, z: IntArray, a: IntArray, b: IntArray
) -> tuple[IntArray, IntArray, IntArray]:
    """U+ P U of Hermitian strings: masks, and 1 where the sign flips.

    ``a`` and ``b`` are the bits of x and z on the first qubit.
    """
    if name == "h":  # X <-> Z, Y -> -Y
        swap = (a ^ b) << first
        return x ^ swap, z ^ swap, a & b
    if name == "s":  # X -> -Y, Y -> X
        return x, z ^ (a << first), a & (b ^ 1)
    if name == "sdg":  # X -> Y, Y -> -X
        return x, z ^ (a << first), a & b
    if name == "x":
        return x, z, b
    if name == "y":
        return x, z, a ^ b
    if name == "z":
        return x, z, a
    c, d = (x >> second) & 1, (z >> second) & 1  # cx: XI -> XX, IZ -> ZZ
    return x ^ (a << second), z ^ (d << first), a & d & (c ^ b ^ 1)


def random_clifford_layers(n_qubits: int, layers: int, rng: np.random.Generator) -> list[Gate]:
    """Layers of a uniform one-qubit Clifford on every qubit and CXs in a brickwork.

    Layer ``k`` couples the qubits k mod 2 and the next one, and so on along the chain, each CX in
    a random direction; one-qubit Cliffords close the circuit.
    """
    gates: list[Gate] = []
    for layer in range(layers + 1):
        for q in range(n_qubits):
            turns = _AXES[int(rng.integers(6))] + _SIGNS[int(rng.integers(4))]
            gates += [(name, q, -1, 0.0) for name in turns]
        if layer < layers:
            for q in range(layer % 2, n_qubits - 1, 2):
                pair = (q, q + 1) if rng.random() < 0.5 else (q + 1, q)
                gates.append(("cx", *pair, 0.0))
    return gates


def random_clifford(n_qubits: int, rng: np.random.Generator) -> list[Gate]:
    """Draw a circuit uniform over the Clifford group (up to its phase).

    The images P of Z and Q of X on the first qubit are a random Pauli string and a random one
    that anticommutes with it. Gates that bring the pair to Z and X on that qubit alone are found
    by sweeping, and the other qubits follow (van den Berg, arXiv 2008.06011). Those gates, one
    qubit after the other, are the inverse of the Clifford, which is just as uniform.
    """
    gates: list[Gate] = []
    for first in range(n_qubits):
        width = n_qubits - first
        while True:  # half of all pairs anticommute
            pair = rng.integers(0, 2, size=(2, 2, width))  # [string, x or z, qubit]
            if (pair[0, 0] @ pair[1, 1] + pair[0, 1] @ pair[1, 0]) % 2:
                break
        rows = [[(int(v) << first) for v in _masks(string)] for string in pair]
        sweep = _sweep(rows, first, n_qubits)
        sweep += [(name, first, -1, 0.0) for name in _SIGNS[int(rng.integers(4))]]
        gates += sweep
    return gates


def _masks(string: IntArray) -> IntArray:
    """(2,) bit masks of one string given as (2, width) bits."""
    masks: IntArray = string @ (1 << np.arange(string.shape[1]))
    return masks


def _sweep(rows: list[list[int]], first: int, n_qubits: int) -> list[Gate]:
    """Gates that bring two anticommuting strings to X and Z on ``first`` alone, up to signs.

    Args:
        rows: masks [x, z] of each string, on qubits from ``first`` on; changed in place.
    """
    gates: list[Gate] = []

    def apply(name: str, a: int, b: int = -1) -> None:
        gates.append((name, a, b, 0.0))
        for row in rows:
            x, z = row
            if name == "h":
                swap = ((x ^ z) >> a & 1) << a
                row[:] = [x ^ swap, z ^ swap]
            elif name == "s":
                row[1] = z ^ (x & (1 << a))
            else:
                row[:] = [x ^ ((x >> a & 1) << b), z ^ ((z >> b & 1) << a)]

    def to_x(row: list[int]) -> None:
        """Bring one string to X on ``first`` alone."""
        for q in range(first, n_qubits):
            if row[1] >> q & 1:
                apply("s" if row[0] >> q & 1 else "h", q)
        held = [q for q in range(first, n_qubits) if row[0] >> q & 1]
        while len(held) > 1:  # halve the support in each round, so that the CXs are parallel
            for a, b in zip(held[::2], held[1::2], strict=False):
                apply("cx", a, b)
            held = held[::2]
        if held[0] != first:
            for a, b in ((held[0], first), (first, held[0])):
                apply("cx", a, b)

    to_x(rows[0])
    if rows[1] != [0, 1 << first]:
        apply("h", first)  # the first string is Z now, the second one has X or Y here
        to_x(rows[1])
        apply("h", first)
    return gates
