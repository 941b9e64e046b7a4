"""The instruction table: validation, layers, identity."""

import hashlib
import struct

import numpy as np
import pytest

from qmend.circuits.instructions import InstructionTable
from qmend.gates import GATES
from qmend.types import QmendError
from reference import qiskit_circuit

CODES = {"id": 0, "x": 1, "sx": 2, "rz": 3, "cx": 4, "ecr": 5, "cz": 6}


def random_gates(rng: np.random.Generator, n: int, length: int) -> list:
    gates = []
    for _ in range(length):
        gate = str(rng.choice(GATES))
        first, second = (int(q) for q in rng.choice(n, size=2, replace=False))
        two = gate in ("cx", "ecr", "cz")
        angle = float(rng.uniform(-7, 7)) if gate == "rz" else 0.0
        gates.append((gate, first, second if two else -1, angle))
    return gates


@pytest.fixture(scope="module")
def circuits() -> list:
    """Random circuits of very different lengths, an empty one among them."""
    rng = np.random.default_rng(0)
    return [random_gates(rng, 4, length) for length in (12, 0, 40, 1, 0, 25)]


@pytest.fixture(scope="module")
def table(circuits) -> InstructionTable:
    return InstructionTable.from_circuits(4, circuits)


def test_codes_are_those_of_stored_data():
    """The identity of every stored circuit depends on them."""
    assert {gate: code for code, gate in enumerate(GATES)} == CODES


def test_circuits_come_back_as_given(circuits, table):
    assert [table.circuit(i) for i in range(len(table))] == circuits
    assert table.lengths.tolist() == [len(c) for c in circuits]
    assert table.circuit_index.tolist() == [i for i, c in enumerate(circuits) for _ in c]


def test_counts_by_gate(circuits, table):
    for gates in (("cx",), ("sx", "x"), ("cx", "ecr", "cz"), ("id",)):
        expected = [sum(g in gates for g, *_ in c) for c in circuits]
        assert table.count(*gates).tolist() == expected


def test_selection_keeps_order_and_repeats(circuits, table):
    index = np.array([5, 1, 0, 5])
    assert [table.select(index).circuit(k) for k in range(4)] == [circuits[i] for i in index]
    assert len(table.select(np.array([], dtype=int))) == 0


def test_layers_of_a_circuit_drawn_by_hand():
    """
    position 0: x ---- cx ---------- rz
    position 1: ------ cx ---- cx ------
    position 2: sx - rz - rz - cx - id -
    """
    circuit = [
        ("sx", 2, -1, 0.0),
        ("x", 0, -1, 0.0),
        ("cx", 0, 1, 0.0),
        ("rz", 2, -1, 0.3),
        ("rz", 2, -1, 0.0),
        ("cx", 2, 1, 0.0),
        ("rz", 0, -1, 1.0),
        ("id", 2, -1, 0.0),
    ]
    table = InstructionTable.from_circuits(3, [circuit])
    assert table.layers().tolist() == [0, 0, 1, 1, 2, 3, 2, 4]
    assert table.depth().tolist() == [5]


def test_depth_equals_qiskits(circuits, table):
    assert table.depth().tolist() == [qiskit_circuit(c, 4).depth() for c in circuits]


def test_layers_are_as_soon_as_possible(circuits, table):
    """No two gates of a layer share a qubit, and no gate could lie one layer earlier."""
    layers = np.split(table.layers(), table.offsets[1:-1])
    for circuit, layer in zip(circuits, layers, strict=True):
        busy: dict[int, int] = {}
        for (_, first, second, _), at in zip(circuit, layer, strict=True):
            qubits = {first, second} - {-1}
            assert at == max(busy.get(q, -1) for q in qubits) + 1
            busy.update(dict.fromkeys(qubits, int(at)))


@pytest.mark.parametrize("virtual", [(), ("rz",), ("rz", "id", "cx")])
def test_virtual_gates_fill_no_layer(circuits, table, virtual):
    """Each gate lies behind the lasting gates alone that came before it on its qubits."""
    layers = np.split(table.layers(virtual), table.offsets[1:-1])
    for circuit, layer in zip(circuits, layers, strict=True):
        free: dict[int, int] = {}
        for (gate, first, second, _), at in zip(circuit, layer, strict=True):
            qubits = {first, second} - {-1}
            assert at == max(free.get(q, 0) for q in qubits)
            free.update(dict.fromkeys(qubits, int(at) + (gate not in virtual)))


def test_identity_is_the_documented_hash(circuits, table):
    """Rebuilt from plain Python values: 16-bit sizes, then (gate, first, second, angle) each."""
    rng = np.random.default_rng(1)
    measured = np.array([rng.permutation(4) for _ in circuits])
    expected = []
    for circuit, order in zip(circuits, measured, strict=True):
        data = struct.pack("<5h", 4, *order)
        data += b"".join(struct.pack("<hhhd", CODES[g], a, b, t) for g, a, b, t in circuit)
        expected.append(hashlib.sha256(data).hexdigest()[:32])
    assert table.circuit_ids(measured) == expected


@pytest.mark.parametrize(
    "other",
    [
        [("rz", 0, -1, 0.5000000001), ("cx", 0, 1, 0.0)],
        [("rz", 1, -1, 0.5), ("cx", 0, 1, 0.0)],
        [("rz", 0, -1, 0.5), ("cx", 1, 0, 0.0)],
        [("rz", 0, -1, 0.5), ("cz", 0, 1, 0.0)],
        [("cx", 0, 1, 0.0), ("rz", 0, -1, 0.5)],
        [("rz", 0, -1, 0.5)],
    ],
)
def test_identity_tells_circuits_apart(other):
    circuit = [("rz", 0, -1, 0.5), ("cx", 0, 1, 0.0)]
    table = InstructionTable.from_circuits(2, [circuit, other, circuit])
    a, b, c = table.circuit_ids(np.array([[0, 1]] * 3))
    assert a == c != b
    assert table.circuit_ids(np.array([[1, 0]] * 3))[0] != a


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        (("h", 0, -1, 0.0), r"Gate 'h' is outside the native set; compile the circuit"),
        (("ry", 0, -1, 0.1), r"Gate 'ry' is outside the native set.* Did you mean 'rz'\?"),
        (("x", 3, -1, 0.0), r"chain positions \(3, -1\), but the register has only 3 qubits"),
        (("cx", 0, 3, 0.0), r"chain positions \(0, 3\), but the register has only 3 qubits"),
        (("x", -1, -1, 0.0), r"chain positions \(-1, -1\)"),
        (("cx", 0, -1, 0.0), "two-qubit gate needs two different"),
        (("x", 0, 1, 0.0), "one-qubit gate just one"),
        (("cx", 1, 1, 0.0), "two different chain positions"),
        (("rz", 0, -1, float("inf")), r"Instruction 1 \(rz\) has the angle inf"),
        (("rz", 0, -1, float("nan")), r"Instruction 1 \(rz\) has the angle nan"),
    ],
)
def test_an_impossible_instruction_is_refused(gate, message):
    with pytest.raises(QmendError, match=message):
        InstructionTable.from_circuits(3, [[("x", 0, -1, 0.0), gate]])


@pytest.mark.parametrize("code", [-1, 7])
def test_an_unknown_gate_code_is_refused(code):
    one = np.array([0])
    with pytest.raises(QmendError, match=r"gate code outside 0\.\.6"):
        InstructionTable(1, np.array([0, 1]), np.array([code]), one, one - 1, one * 0.0)
