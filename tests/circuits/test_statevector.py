"""Exact distributions against Qiskit's statevectors, and the two bit orders."""

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit.library import PauliEvolutionGate
from qiskit.circuit.random import random_circuit
from qiskit.quantum_info import Pauli, SparsePauliOp, Statevector
from scipy.linalg import expm

from qmend.circuits.instructions import InstructionTable
from qmend.circuits.statevector import (
    apply_pauli_gadget,
    compiled_probabilities,
    compiled_states,
    source_state,
    to_bit_order,
    to_chain_order,
)
from qmend.gates import GATES
from reference import measured_probabilities, move_bits, qiskit_circuit


def dressed(rng: np.random.Generator, n: int, length: int) -> list:
    """Random native gates between layers of SX and RZ, so that every gate matters."""
    gates = []
    for _ in range(length):
        for q in range(n):
            gates += [("sx", q, -1, 0.0), ("rz", q, -1, float(rng.uniform(-7, 7)))]
        gate = str(rng.choice(GATES))
        two = gate in ("cx", "ecr", "cz")
        first, second = (int(q) for q in rng.choice(n, 2, replace=False))
        gates.append((gate, first, second if two else -1, 0.0))
    return gates


@pytest.mark.parametrize("n", [2, 3, 5])
def test_compiled_states_equal_qiskits(n):
    """All native gates, circuits of different lengths in one batch, an empty one among them."""
    rng = np.random.default_rng(n)
    circuits = [dressed(rng, n, length) for length in (3, 0, 17, 30, 1)]
    states = compiled_states(InstructionTable.from_circuits(n, circuits))
    for circuit, state in zip(circuits, states, strict=True):
        np.testing.assert_allclose(state, Statevector(qiskit_circuit(circuit, n)).data, atol=1e-12)


@pytest.mark.parametrize("gate", ["cx", "ecr", "cz"])
@pytest.mark.parametrize("pair", [(0, 1), (1, 0), (2, 0), (0, 2)])
def test_two_qubit_gates_know_their_first_qubit(gate, pair):
    rng = np.random.default_rng(3)
    turns = [("sx", q, -1, 0.0) for q in range(3)]
    turns += [("rz", q, -1, float(rng.uniform(0, 6))) for q in range(3)]
    turns += [("sx", q, -1, 0.0) for q in range(3)]
    circuit = [*turns, (gate, *pair, 0.0)]
    state = compiled_states(InstructionTable.from_circuits(3, [circuit]))[0]
    np.testing.assert_allclose(state, Statevector(qiskit_circuit(circuit, 3)).data, atol=1e-12)


def test_probabilities_are_normalised_and_one_by_one():
    """A circuit's distribution does not depend on its neighbours in the batch."""
    rng = np.random.default_rng(9)
    circuits = [dressed(rng, 4, length) for length in (2, 9, 5)]
    together = compiled_probabilities(InstructionTable.from_circuits(4, circuits))
    np.testing.assert_allclose(together.sum(axis=1), 1, atol=1e-12)
    for circuit, row in zip(circuits, together, strict=True):
        alone = compiled_probabilities(InstructionTable.from_circuits(4, [circuit]))[0]
        np.testing.assert_array_equal(alone, row)


@pytest.mark.parametrize("seed", range(4))
def test_source_states_of_any_circuit_equal_qiskits(seed):
    circuit = random_circuit(4, 8, max_operands=3, seed=seed)
    np.testing.assert_allclose(source_state(circuit), Statevector(circuit).data, atol=1e-12)


def test_barriers_and_measurements_change_nothing():
    circuit = QuantumCircuit(3, 3)
    circuit.h(0)
    circuit.barrier()
    circuit.ccx(0, 1, 2)
    bare = source_state(circuit)
    circuit.measure(range(3), [2, 0, 1])
    np.testing.assert_array_equal(source_state(circuit), bare)


@pytest.mark.parametrize("label", ["ZXY", "IYI", "YYZ", "III", "XIZ", "ZZI"])
def test_a_pauli_gadget_is_the_exponential_of_its_pauli(label):
    rng = np.random.default_rng(5)
    state = rng.normal(size=8) + 1j * rng.normal(size=8)
    state /= np.linalg.norm(state)
    expected = expm(-0.7j * Pauli(label).to_matrix()) @ state
    np.testing.assert_allclose(apply_pauli_gadget(state, label[::-1], 0.7), expected, atol=1e-12)


def test_gadgets_on_any_qubits_with_coefficients():
    """A coefficient scales the angle, and qubits may come in any order."""
    circuit = QuantumCircuit(4)
    circuit.h(range(4))
    circuit.t(1)
    circuit.append(PauliEvolutionGate(SparsePauliOp("XYZ", -0.4), time=1.1), [3, 0, 2])
    circuit.append(PauliEvolutionGate(SparsePauliOp("ZY", 2.5), time=0.3), [1, 3])
    circuit.append(PauliEvolutionGate(SparsePauliOp(["ZZ", "XX"], [0.2, 0.5]), time=0.9), [2, 1])
    np.testing.assert_allclose(source_state(circuit), Statevector(circuit).data, atol=1e-12)


def test_bit_order_of_a_circuit_worked_by_hand():
    """X on chain position 2 alone; the source's bits 0, 1, 2 are read from positions 1, 2, 0.

    In chain order the outcome is 100 (4); bit 1 of the source is position 2: 010 (2).
    """
    chain = compiled_probabilities(InstructionTable.from_circuits(3, [[("x", 2, -1, 0.0)]]))
    assert chain[0].argmax() == 0b100
    source = to_bit_order(chain, np.array([[1, 2, 0]]))
    assert source[0].argmax() == 0b010
    assert source[0, 0b010] == pytest.approx(1, abs=1e-15)


def test_bit_orders_of_different_circuits_in_one_batch(random_distributions):
    """Each row by its own permutation, as Qiskit's measurement mapping gives it."""
    rng = np.random.default_rng(2)
    chain = random_distributions(6, 4)
    measured = np.array([rng.permutation(4) for _ in range(6)])
    source = to_bit_order(chain, measured)
    for row, order, out in zip(chain, measured, source, strict=True):
        amplitudes = Statevector(np.sqrt(row))
        np.testing.assert_allclose(out, amplitudes.probabilities(qargs=list(order)), atol=1e-12)
        np.testing.assert_array_equal(out, row[move_bits(4, order)])


def test_the_two_conversions_are_inverse(random_distributions):
    rng = np.random.default_rng(4)
    values = random_distributions(8, 5)
    measured = np.array([rng.permutation(5) for _ in range(8)])
    np.testing.assert_array_equal(to_chain_order(to_bit_order(values, measured), measured), values)
    np.testing.assert_array_equal(to_bit_order(to_chain_order(values, measured), measured), values)
    assert not np.array_equal(to_bit_order(values, measured), to_chain_order(values, measured))


def test_a_measured_circuit_is_one_with_a_mapping():
    """The helper that other tests rely on agrees with explicit classical bits."""
    rng = np.random.default_rng(8)
    circuit = qiskit_circuit(dressed(rng, 3, 6), 3)
    by_hand = np.zeros(8)
    for outcome, p in enumerate(Statevector(circuit).probabilities()):
        bits = [(outcome >> q) & 1 for q in (2, 0, 1)]
        by_hand[bits[0] + 2 * bits[1] + 4 * bits[2]] += p
    np.testing.assert_allclose(measured_probabilities(circuit, [2, 0, 1]), by_hand, atol=1e-12)
