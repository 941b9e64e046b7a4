"""Random compilations: the same unitary, Qiskit's twirls, gates that a compiler would leave."""

from itertools import product

import numpy as np
import pytest
import qiskit.circuit
from qiskit.circuit import QuantumCircuit
from qiskit.quantum_info import Operator
from qiskit.transpiler import PassManager
from qiskit.transpiler.passes import Optimize1qGatesDecomposition

from qmend.circuits.instructions import InstructionTable
from qmend.circuits.twirling import TwirlableCircuit, randomize, split_shots
from qmend.gates import TWO_QUBIT
from reference import qiskit_circuit

PAULIS = list(product(range(4), repeat=2))


def drawn(gate: str, seed: int, n: int = 3) -> list[tuple[str, int, int, float]]:
    """A circuit with two-qubit gates in both directions, some side by side, and 1-qubit gates."""
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(10):
        a, b = rng.permutation(n)[:2].tolist()
        out += [(gate, a, b, 0.0)] * int(rng.integers(1, 3))
        for name in rng.choice(["rz", "sx", "x", "sx"], 3):
            out.append((str(name), a, -1, float(rng.uniform(-3, 3)) if name == "rz" else 0.0))
    return out


def twirl(gates: list[tuple[str, int, int, float]], *paulis: tuple[int, int]):
    """Instructions of a circuit on two qubits with given Paulis before each two-qubit gate."""
    return TwirlableCircuit(gates, 2).twirl(np.array([paulis])).circuit(0)


def seeds(count: int) -> list[np.random.SeedSequence]:
    return [np.random.SeedSequence([k, 1]) for k in range(count)]


@pytest.mark.parametrize("gate", TWO_QUBIT)
def test_every_randomization_is_the_circuits_unitary_with_its_two_qubit_gates(gate):
    table = InstructionTable.from_circuits(3, [drawn(gate, k) for k in range(4)])
    twirled = randomize(table, seeds(4), 6)
    assert len(twirled) == 24
    for k in range(24):
        own, other = table.circuit(k // 6), twirled.circuit(k)
        assert Operator(qiskit_circuit(other, 3)).equiv(qiskit_circuit(own, 3), atol=1e-9)
        assert [g for g in other if g[0] in TWO_QUBIT] == [g for g in own if g[0] in TWO_QUBIT]


@pytest.mark.parametrize("gate", TWO_QUBIT)
def test_the_twirls_of_a_gate_are_qiskits(gate):
    """All 16, with no Pauli gate merged, as Qiskit draws them."""
    circuit = QuantumCircuit(2)
    getattr(circuit, gate)(0, 1)
    theirs = set()
    for drawn_twirl in qiskit.circuit.pauli_twirl_2q_gates(circuit, gate, seed=5, num_twirls=300):
        names = {0: [], 1: []}  # of the Paulis on each qubit, before and behind
        for item in drawn_twirl.data:
            if len(item.qubits) == 1:
                names[drawn_twirl.find_bit(item.qubits[0]).index].append(item.operation.name)
        theirs.add(
            tuple("IXZY".index(n.upper().replace("ID", "I")) for q in (0, 1) for n in names[q])
        )
    ours = set()
    for before in PAULIS:
        instructions = twirl([(gate, 0, 1, 0.0)], before)
        at = next(k for k, g in enumerate(instructions) if g[0] == gate)
        found = []
        for qubit in (0, 1):
            for part in (instructions[:at], instructions[at:]):
                names = [name for name, q, *_ in part if q == qubit and name != gate]
                found.append(names.count("x") + 2 * names.count("rz"))
        ours.add(tuple(found))
    assert len(ours) == 16
    assert ours == theirs


def test_qiskits_optimisation_finds_no_gate_too_many():
    """Its own merging of one-qubit gates leaves as many pulses, and fewer RZ nowhere."""
    table = InstructionTable.from_circuits(3, [drawn("cx", k) for k in range(6)])
    twirled = randomize(table, seeds(6), 8)
    optimise = PassManager([Optimize1qGatesDecomposition(basis=["rz", "sx", "x"])])
    for k in range(len(twirled)):
        circuit = qiskit_circuit(twirled.circuit(k), 3)
        ours, theirs = (c.count_ops() for c in (circuit, optimise.run(circuit)))
        pulses = [c.get("sx", 0) + c.get("x", 0) for c in (ours, theirs)]
        assert pulses[0] <= pulses[1]


def test_an_x_costs_a_gate_only_where_the_qubit_has_none_and_a_z_nowhere():
    assert [len(twirl([("cz", 0, 1, 0.0)], pair)) for pair in PAULIS] == [
        1 + sum(2 if p == 3 else p > 0 for p in pair) + before_and_behind
        for pair in PAULIS
        for before_and_behind in [sum(map(len, _behind_cz(*pair)))]
    ]
    dressed = [("sx", 0, -1, 0.0), ("sx", 1, -1, 0.0), ("cz", 0, 1, 0.0)]
    dressed += [("sx", 0, -1, 0.0), ("sx", 1, -1, 0.0)]
    for pair in PAULIS:
        names = [name for name, *_ in twirl(dressed, pair)]
        assert (names.count("sx"), names.count("x")) == (4, 0)


def _behind_cz(a: int, b: int) -> list[list[str]]:
    """Gates of the Paulis behind CZ: X on one qubit brings Z on the other."""
    x, z = [a & 1, b & 1], [a >> 1 ^ b & 1, b >> 1 ^ a & 1]
    return [["x"] * x[q] + ["rz"] * z[q] for q in (0, 1)]


def test_paulis_are_uniform_and_follow_from_the_circuits_own_seed():
    gates = [("sx", 0, -1, 0.0), ("cx", 0, 1, 0.0), ("sx", 1, -1, 0.0), ("cx", 1, 2, 0.0)]
    table = InstructionTable.from_circuits(3, [gates] * 3)
    together = randomize(table, seeds(3), 40)
    alone = randomize(table.select(np.array([2])), seeds(3)[2:], 40)
    assert together.select(np.arange(80, 120)).circuit_ids() == alone.circuit_ids()
    fewer = randomize(table, seeds(3), 4)
    assert fewer.circuit_ids()[:4] == together.circuit_ids()[:4]
    assert len(set(together.circuit_ids()[:40])) > 30  # of 256
    single = randomize(InstructionTable.from_circuits(2, [[("cx", 0, 1, 0.0)]]), seeds(1), 3200)
    expected = [tuple(twirl([("cx", 0, 1, 0.0)], pair)) for pair in PAULIS]
    counts = np.bincount(
        [expected.index(tuple(single.circuit(k))) for k in range(3200)], minlength=16
    )
    assert ((counts - 200) ** 2 / 200).sum() < 40  # chi-square of 15 degrees of freedom, p = 5e-4


def test_without_randomizations_the_circuits_stay_as_compiled():
    table = InstructionTable.from_circuits(3, [drawn("cx", 0)])
    assert randomize(table, seeds(1), 0) is table


def test_shots_are_split_as_equally_as_integers_allow():
    np.testing.assert_array_equal(
        split_shots(np.array([10, 8, 3]), 4), [[3, 3, 2, 2], [2] * 4, [1, 1, 1, 0]]
    )
