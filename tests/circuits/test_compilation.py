"""Compilation to native gates on a chain: the same unitary up to routing, which is recorded."""

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit.random import random_circuit
from qiskit.quantum_info import Operator, Statevector

from qmend.circuits.compilation import QiskitCompiler
from qmend.circuits.families.pauli import PauliFamily
from qmend.devices.device import DeviceConfig, load_device
from qmend.types import QmendError
from reference import measured_probabilities, move_bits, qiskit_circuit


def compiler(device, level: int, seed: int = 0) -> QiskitCompiler:
    return QiskitCompiler(device.n_qubits, device.native_gates, device.edges, level, seed)


def pauli_circuits(count: int, n: int = 5) -> list[QuantumCircuit]:
    family = PauliFamily(name="pauli", n_qubits=n, gadgets_min=1, gadgets_max=5)
    return [family.draw(np.random.default_rng(seed)).circuit for seed in range(count)]


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """|Tr(A^dagger B)| / d: 1 exactly where the unitaries agree up to a phase."""
    return float(abs(np.trace(a.conj().T @ b)) / len(a))


@pytest.mark.parametrize("level", [0, 1])
def test_the_unitary_is_the_sources_after_undoing_the_final_layout(algiers, level):
    """``measured`` is the permutation: source qubit k ends at chain position measured[k]."""
    compile_ = compiler(algiers, level)
    moved = 0
    for source in pauli_circuits(5):
        done = compile_(source)
        ours = Operator(qiskit_circuit(done.instructions, 5)).data
        permutation = np.zeros((32, 32))
        permutation[move_bits(5, done.measured), np.arange(32)] = 1
        assert overlap(permutation @ Operator(source).data, ours) == pytest.approx(1, abs=1e-9)
        if done.measured != list(range(5)):
            moved += 1
            assert overlap(Operator(source).data, ours) < 0.999
    assert moved  # a test without routing would prove nothing


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_the_measured_distribution_is_the_sources(algiers, level):
    """Higher levels may drop or move gates before a measurement, the distribution stays."""
    compile_ = compiler(algiers, level)
    sources = pauli_circuits(3) + [random_circuit(5, 4, seed=level) for _ in range(2)]
    for source in sources:
        done = compile_(source)
        ours = measured_probabilities(qiskit_circuit(done.instructions, 5), done.measured)
        np.testing.assert_allclose(ours, Statevector(source).probabilities(), atol=1e-10)
        assert sorted(done.measured) == list(range(5))


@pytest.mark.parametrize("backend", ["FakeAlgiers", "FakeSherbrooke"])
def test_only_native_gates_on_coupled_pairs(backend):
    device = load_device(DeviceConfig(name="x", backend=backend, layout=(0, 1, 2, 3)))
    compile_ = compiler(device, 1)
    for source in pauli_circuits(4, n=4):
        done = compile_(source)
        for gate, first, second, _ in done.instructions:
            assert gate in device.native_gates
            assert second < 0 or (first, second) in device.edges
        ours = measured_probabilities(qiskit_circuit(done.instructions, 4), done.measured)
        np.testing.assert_allclose(ours, Statevector(source).probabilities(), atol=1e-10)


def test_a_circuit_that_needs_no_routing_stays_in_place(algiers):
    source = QuantumCircuit(5)
    source.h(0)
    source.cx(0, 1)
    done = compiler(algiers, 1)(source)
    assert done.measured == [0, 1, 2, 3, 4]
    assert {q for _, a, b, _ in done.instructions for q in (a, b)} <= {-1, 0, 1}


def test_a_smaller_circuit_is_measured_on_its_own_qubits(algiers):
    source = QuantumCircuit(3)
    source.x(0)
    source.h(2)
    source.cx(2, 0)
    done = compiler(algiers, 1)(source)
    assert len(done.measured) == 3
    ours = measured_probabilities(qiskit_circuit(done.instructions, 5), done.measured)
    np.testing.assert_allclose(ours, Statevector(source).probabilities(), atol=1e-12)


def test_the_same_seed_gives_the_same_instructions(algiers):
    sources = pauli_circuits(3)
    first, again = compiler(algiers, 1), compiler(algiers, 1)
    ahead = [first(s) for s in sources]
    assert [again(s) for s in reversed(sources)] == ahead[::-1]


def test_too_many_qubits_are_refused(algiers):
    with pytest.raises(QmendError, match="has 6 qubits but the layout only 5"):
        compiler(algiers, 1)(QuantumCircuit(6))
