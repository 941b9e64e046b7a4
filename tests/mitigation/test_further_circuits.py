"""Mitigators that need further circuits, on Qiskit circuits: construct, run, combine."""

from __future__ import annotations

import numpy as np
import pytest
from qiskit import QuantumCircuit, transpile
from qiskit.circuit import ClassicalRegister, Clbit, QuantumRegister
from qiskit.circuit.library import PauliEvolutionGate
from qiskit.quantum_info import SparsePauliOp, Statevector
from qiskit_aer import AerSimulator
from qiskit_aer.primitives import SamplerV2
from qiskit_ibm_runtime.fake_provider import FakeAlgiers

from qmend.circuits.measured import measured_circuit
from qmend.circuits.statevector import to_bit_order
from qmend.datasets.table import Dataset
from qmend.mitigation.base import ExecutedMitigator, MultiCircuitMitigator
from qmend.mitigation.baselines import ReadoutInversion
from qmend.mitigation.baselines.clifford_data_regression import CliffordDataRegression
from qmend.mitigation.baselines.zero_noise_extrapolation import (
    ExponentialExtrapolation,
    LinearExtrapolation,
)
from qmend.mitigation.counts import CountsMitigator
from qmend.mitigation.simulated_runner import SimulatedRunner
from qmend.types import QmendError

BACKEND = FakeAlgiers()
KINDS = (LinearExtrapolation, ExponentialExtrapolation, CliffordDataRegression)
every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


def pauli_circuit() -> QuantumCircuit:
    """Four Pauli rotations of three qubits."""
    circuit = QuantumCircuit(3, name="pauli")
    for pauli, angle in (("XZY", 0.4), ("ZXX", 0.9), ("YYZ", 0.3), ("XIX", 1.1)):
        circuit.append(PauliEvolutionGate(SparsePauliOp(pauli), angle), range(3))
    circuit.measure_all()
    return circuit


@pytest.fixture(scope="module")
def noisy_device() -> AerSimulator:
    return AerSimulator.from_backend(BACKEND, seed_simulator=1, max_parallel_threads=1)


@every_kind
def test_the_error_is_lower_than_without(
    kind: type[MultiCircuitMitigator], noisy_device: AerSimulator
) -> None:
    """A Pauli circuit as it was written, under ibm_algiers's noise as Aer has it."""
    circuit = pauli_circuit()
    ideal = Statevector(circuit.remove_final_measurements(inplace=False)).probabilities()
    mitigator = CountsMitigator(kind())
    circuits = mitigator.construct_circuits(circuit, BACKEND, layout=[1, 2, 3])
    counts = noisy_device.run(circuits, shots=20_000).result().get_counts()
    result = mitigator.combine_results(counts, circuits, BACKEND)
    before = np.array([counts[0].get(f"{k:03b}", 0) for k in range(8)]) / 20_000

    def distance(probabilities: np.ndarray) -> float:
        return float(np.abs(probabilities - ideal).sum())

    assert distance(before) > 0.1
    assert distance(result.probabilities) < 0.6 * distance(before)
    assert result.shots == 20_000


def test_what_a_sampler_returns_is_taken(noisy_device: AerSimulator) -> None:
    """Registers joined, as docs/python.md says."""
    circuit = QuantumCircuit(
        QuantumRegister(3), ClassicalRegister(1, "a"), ClassicalRegister(2, "b")
    )
    circuit.x([0, 2])
    circuit.cx(0, 1)
    circuit.measure([0, 1, 2], [2, 0, 1])
    mitigator = CountsMitigator(ExponentialExtrapolation())
    circuits = mitigator.construct_circuits(circuit, BACKEND)
    job = SamplerV2.from_backend(noisy_device).run(circuits, shots=2000)
    counts = [result.join_data() for result in job.result()]
    result = mitigator.combine_results(counts, circuits, BACKEND)
    assert result.to_dict()["11 1"] > 0.97
    assert result.shots == 2000


@every_kind
def test_a_stored_circuit_gives_the_same_as_in_its_dataset(
    kind: type[MultiCircuitMitigator], tiny: Dataset
) -> None:
    """With the frequencies of the dataset's own runner; classical bits are permuted."""
    row = np.array([3])
    stored, measured = tiny.rows.circuits.select(row), tiny.rows.circuits.measured[row]
    runner = SimulatedRunner(tiny)
    expected = ExecutedMitigator(kind(), runner).mitigate(stored)
    layout = stored.layouts[stored.calibration_index[0]]
    circuit = QuantumCircuit(27, 5)
    for gate, first, second, angle in stored.instructions.circuit(0):
        at = [layout[k] for k in (first, second) if k >= 0]
        getattr(circuit, gate)(*([angle] if gate == "rz" else []), *at)
    circuit.measure([layout[position] for position in measured[0]], range(5))
    mitigator = CountsMitigator(kind())
    circuits = mitigator.construct_circuits(circuit, BACKEND)
    assert circuits[0] is circuit
    further = runner(stored, kind().construct_circuits(stored))[0]
    outcomes = to_bit_order(np.vstack([stored.noisy, further]), measured.repeat(len(circuits), 0))
    shots = int(stored.shots[0])
    result = mitigator.combine_results(outcomes, circuits, BACKEND, shots=shots)
    np.testing.assert_allclose(
        result.probabilities, to_bit_order(expected, measured)[0], atol=1e-12
    )


@every_kind
def test_circuits_are_native_and_measured_alike(kind: type[MultiCircuitMitigator]) -> None:
    """Registers and loose bits stay; constructed again of the first, they are the same."""
    qubits, low, high = QuantumRegister(2, "q"), ClassicalRegister(1, "low"), [Clbit(), Clbit()]
    circuit = QuantumCircuit(qubits, low, high, name="own")
    circuit.h(0)
    circuit.rx(0.3, 1)
    circuit.cx(0, 1)
    circuit.measure([0, 1], [2, 0])
    mitigator = CountsMitigator(kind())
    circuits = mitigator.construct_circuits(circuit, "FakeAlgiers")
    assert len(circuits) == kind.shots_factor
    for other in circuits:
        assert other.num_qubits == BACKEND.num_qubits
        assert other.cregs == circuit.cregs
        assert other.clbits == circuit.clbits
        for item in other.data:
            at = tuple(other.find_bit(qubit).index for qubit in item.qubits)
            assert BACKEND.target.instruction_supported(item.operation.name, at)
    ideal = measured_circuit(circuit).probabilities()
    np.testing.assert_allclose(measured_circuit(circuits[0]).probabilities(), ideal, atol=1e-9)
    if kind is not CliffordDataRegression:
        last = measured_circuit(circuits[-1]).probabilities()
        np.testing.assert_allclose(last, ideal, atol=1e-9)
    assert mitigator.construct_circuits(circuits[0], "FakeAlgiers") == circuits


def bell() -> QuantumCircuit:
    circuit = QuantumCircuit(2, name="bell")
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.measure_all()
    return circuit


def test_without_its_further_circuits_it_says_how_to_get_them() -> None:
    mitigator = CountsMitigator(LinearExtrapolation())
    with pytest.raises(QmendError, match="zne_linear needs further circuits: run those of constr"):
        mitigator.mitigate({"00": 5}, bell(), BACKEND)
    with pytest.raises(QmendError, match="combines the counts of 3 circuits, not of 1; run all"):
        mitigator.combine_results([{"00": 5}], [bell()], BACKEND)
    with pytest.raises(QmendError, match="3 circuits and the counts of 1; give the counts of each"):
        mitigator.combine_results({"00": 5}, [bell()] * 3, BACKEND)
    with pytest.raises(QmendError, match="There are no circuits"):
        mitigator.combine_results([], [], BACKEND)


def test_circuits_that_went_through_a_transpiler_are_refused() -> None:
    """It cancels the folded gates, and with them the noise."""
    mitigator = CountsMitigator(LinearExtrapolation())
    circuits = mitigator.construct_circuits(bell(), BACKEND)
    cancelled = transpile(circuits, BACKEND, optimization_level=1, seed_transpiler=0)
    with pytest.raises(QmendError, match="Circuit 1 is not the one that construct_circuits makes"):
        mitigator.combine_results([{"00": 5}] * 3, cancelled, BACKEND)
    swapped = [circuits[0], circuits[2], circuits[1]]
    with pytest.raises(QmendError, match="Circuit 1 is not the one"):
        mitigator.combine_results([{"00": 5}] * 3, swapped, BACKEND)


def test_a_mitigator_without_further_circuits_has_the_circuit_alone() -> None:
    mitigator = CountsMitigator(ReadoutInversion())
    circuits = mitigator.construct_circuits(bell(), BACKEND)
    assert len(circuits) == 1
    counts = {"00": 480, "01": 20, "10": 30, "11": 470}
    combined = mitigator.combine_results(counts, circuits, BACKEND)
    alone = mitigator.mitigate(counts, circuits[0], BACKEND)
    np.testing.assert_array_equal(combined.probabilities, alone.probabilities)


def test_a_circuit_that_can_t_be_taken_is_named() -> None:
    unmeasured = QuantumCircuit(2, name="unmeasured")
    with pytest.raises(QmendError, match=r"Circuit 0 \(unmeasured\): it measures nothing"):
        CountsMitigator(LinearExtrapolation()).construct_circuits(unmeasured, BACKEND)
