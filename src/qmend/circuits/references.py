"""References by design: Clifford variants of a compiled circuit, which tell of its noise.

Only the angles of RZ differ, which take no time: gates, qubits and schedule are the circuit's own.
RZ(a) becomes an odd number of quarter turns with probability sin^2 a, else an even one. So its
Pauli strings are sampled paths of the circuit (:mod:`qmend.noise.paths`), and meet its noise. A
parity is known, +1 or -1, if its string ends on the initial state without X or Y. Those of most
draws end with some, where a parity is 0 whatever the noise. So many variants are drawn, some of
them tilted towards Z, and those with the most known parities are references.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from qiskit.circuit import QuantumCircuit

from qmend.circuits.clifford import backwards, clifford_gates, clifford_probabilities
from qmend.circuits.instructions import Instruction, InstructionTable
from qmend.circuits.library import check_names
from qmend.circuits.measured import NO_TIME, measured_circuit, native_instructions
from qmend.gates import GATE_CODE, GATES
from qmend.types import FloatArray, IntArray, QmendError

#: Measured bits of a circuit with references, at most.
MAX_MEASURED = 10
#: Strings that a distribution may take: 2^measured bits, twice as many for each RZ of any angle.
_MAX_DOUBLINGS = 20
#: Variants drawn for each reference at each tilt: added to the logarithm of the odds of a turn,
#: for each bit whose string becomes Z by it instead of X.
_DRAWS, _TILTS = 8, (0.0, 1.0, 2.0, 4.0)
#: Least probability of an even and of an odd number of turns, without a tilt.
_LEAST = 0.05


def draw_references(
    table: InstructionTable, measured: IntArray, count: int, seed: int
) -> InstructionTable:
    """Draw different references of one circuit, most known parities first.

    Costs as many steps of arithmetic as the circuit has gates, on 32 ``count`` variants and 2^m
    parities at once: no statevector.

    Args:
        table: the circuit alone.
        measured: (m,) chain position behind each classical bit.

    Raises:
        QmendError: if it measures too many bits, or has too few variants that tell anything. The
            sentence begins with "it".
    """
    if len(measured) > MAX_MEASURED:
        raise QmendError(
            f"it measures {len(measured)} bits, and references tell of at most {MAX_MEASURED}; "
            "measure fewer of its qubits"
        )
    rng = np.random.default_rng(seed)
    rz = np.flatnonzero(table.gate == GATE_CODE["rz"])
    odd, known = _draw_turns(table, rz, measured, np.repeat(_TILTS, _DRAWS * count), rng)
    order = np.argsort(-known, kind="stable")
    order = order[known[order] > 1]  # the parity of no bit is always 1
    turns = odd[order] + 2 * rng.integers(2, size=(len(order), len(rz)))
    _, first = np.unique(turns, axis=0, return_index=True)
    chosen = turns[np.sort(first)[:count]]
    if len(chosen) < count:
        raise QmendError(
            f"it has {len(chosen)} references that tell anything, not {count}: the angles of its "
            f"{len(rz)} RZ are all that changes; ask for fewer"
        )
    angles = np.tile(table.angle, (count, 1))
    angles[:, rz] = np.where(chosen > 2, -1, chosen) * (np.pi / 2)
    copies = table.select(np.zeros(count, dtype=np.int64))
    return replace(copies, angle=angles.reshape(-1))


def reference_circuits(circuit: QuantumCircuit, count: int, seed: int) -> list[QuantumCircuit]:
    """Make different references of a circuit in native gates: it with other angles of its RZ.

    Raises:
        QmendError: as :func:`draw_references`, or if the circuit can't be taken.
    """
    source = measured_circuit(circuit)
    check_names(source.circuit)
    foreign = {item.operation.name for item in source.circuit.data} - {*GATES, *NO_TIME}
    if foreign:
        raise QmendError(
            f"it has the gate {min(foreign)!r}, and references are of a circuit in native gates "
            f"({', '.join(GATES)}); compile it for the device first"
        )
    instructions = native_instructions(source, GATES)
    table = InstructionTable.from_circuits(source.n_qubits, [instructions])
    references = draw_references(table, np.array(source.measured), count, seed)
    angles = (
        [angle for gate, *_, angle in references.circuit(k) if gate == "rz"] for k in range(count)
    )
    return [_with_angles(circuit, own) for own in angles]


def known_ideal(table: InstructionTable, measured: IntArray) -> FloatArray:
    """(N, 2^m) ideal distributions of near-Clifford circuits, in chain order.

    A circuit costs its gates times 2^(m + RZ of any angle), however many qubits it has.

    Args:
        measured: (N, m) chain position behind each classical bit.

    Raises:
        QmendError: if that is too much. The sentence begins with "it".
    """
    rows = []
    for index, places in enumerate(np.sort(measured, axis=1)):
        gates = clifford_gates(table.circuit(index))
        rotations = sum(name == "rz" for name, *_ in gates)
        if len(places) + rotations > _MAX_DOUBLINGS:
            raise QmendError(
                f"it has {rotations} RZ that are no quarter turns, too many for a reference that "
                f"measures {len(places)} bits; take references by design"
            )
        rows.append(clifford_probabilities(gates, table.n_qubits, places))
    return np.array(rows)


def _with_angles(circuit: QuantumCircuit, angles: Sequence[float]) -> QuantumCircuit:
    """Copy a circuit with other angles of its RZ, in their order."""
    copy, rest = circuit.copy_empty_like(), iter(angles)
    for item in circuit.data:
        if item.operation.name == "rz":
            item = item.replace(operation=item.operation.base_class(next(rest)))
        copy.append(item)
    return copy


def _draw_turns(
    table: InstructionTable,
    rz: IntArray,
    measured: IntArray,
    tilt: FloatArray,
    rng: np.random.Generator,
) -> tuple[IntArray, IntArray]:
    """Draw odd turns of RZ while the strings of measured bits go back through the gates.

    Args:
        rz: (R,) its RZ in the table.
        tilt: (C,) of each variant.

    Returns:
        (C, R) 1 where a number of quarter turns is odd, (C,) number of known parities.
    """
    likely = np.clip(np.sin(table.angle[rz]) ** 2, _LEAST, 1 - _LEAST)
    logit = np.log(likely / (1 - likely))
    chance = rng.logistic(size=(len(tilt), len(rz)))
    odd = np.zeros(chance.shape, dtype=np.int64)
    instructions = table.circuit(0)
    behind_sx = _behind_sx(instructions)
    z = np.tile(np.int64(1) << measured, (len(tilt), 1))  # (C, m)
    x, at = np.zeros_like(z), len(rz)
    for instruction in reversed(instructions):
        qubit = instruction[1]
        if instruction[0] == "rz":
            at -= 1
            turned, y = x >> qubit & 1, x & z
            # On the way back, SX turns Y to Z and keeps X, which an odd number of turns exchanges.
            gain = behind_sx[at] * (turned * (1 - 2 * (y >> qubit & 1))).sum(axis=1)
            odd[:, at] = logit[at] + tilt * gain > chance[:, at]
            z = z ^ ((turned & odd[:, at, None]) << qubit)
            continue
        for name, first, second, _ in reversed(clifford_gates([instruction])):
            x, z, _ = backwards(name, first, second, x, z, x >> first & 1, z >> first & 1)
    left = np.zeros((len(tilt), 1), dtype=np.int64)
    for bit in range(len(measured)):  # (C, 2^m) X and Y of each parity's string
        left = np.concatenate([left, left ^ x[:, bit, None]], axis=1)
    return odd, (left == 0).sum(axis=1)


def _behind_sx(instructions: Sequence[Instruction]) -> list[bool]:
    """Tell of each RZ whether the gate before it on its qubit is an SX."""
    last: dict[int, str] = {}
    behind = []
    for name, first, second, _ in instructions:
        if name == "rz":
            behind.append(last.get(first) == "sx")
        last[first] = last[second] = name  # -1, no qubit, is never read
    return behind
