"""The reference executor equals Aer's own device noise model on the physical qubits."""

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel
from qiskit_ibm_runtime.fake_provider import FakeAlgiers, FakeHanoiV2

from qmend.circuits.compilation import QiskitCompiler
from qmend.circuits.families.pauli import PauliFamily
from qmend.circuits.instructions import InstructionTable
from qmend.circuits.statevector import compiled_probabilities
from qmend.devices.calibration import Calibration
from qmend.devices.device import DeviceConfig, load_device
from qmend.noise.aer import AerExecutor
from qmend.noise.readout import apply_readout, readout_matrices
from reference import qiskit_circuit

CHAIN = (0, 1, 2, 3, 5)


def circuits(device, count: int = 4) -> InstructionTable:
    """Compiled Pauli circuits with ID gates strewn in, which have noise of their own."""
    compile_ = QiskitCompiler(device.n_qubits, device.native_gates, device.edges, 1)
    family = PauliFamily(name="pauli", n_qubits=device.n_qubits, gadgets_min=1, gadgets_max=5)
    lists = []
    for seed in range(count):
        gates = compile_(family.draw(np.random.default_rng(seed)).circuit).instructions
        gates[3:3] = [("id", q, -1, 0.0) for q in range(device.n_qubits)]
        lists.append(gates)
    return InstructionTable.from_circuits(device.n_qubits, lists)


def whole_device(model: NoiseModel, gates: list, layout: tuple[int, ...]) -> np.ndarray:
    """Exact noisy distribution on physical qubit numbers, read out in chain order."""
    circuit: QuantumCircuit = qiskit_circuit(gates, len(layout), layout)
    circuit.save_probabilities(list(layout))
    simulator = AerSimulator(method="density_matrix", noise_model=model)
    return simulator.run(circuit).result().data()["probabilities"]


@pytest.mark.parametrize("layout", [CHAIN, (5, 3, 2, 1, 0)])
@pytest.mark.parametrize("backend", [FakeAlgiers, FakeHanoiV2])
def test_gate_noise_equals_from_backend(backend, layout):
    device = load_device(DeviceConfig(name="x", backend=backend.__name__, layout=layout))
    table = circuits(device)
    ours = AerExecutor(device.calibration, layout).probabilities(table)
    model = NoiseModel.from_backend(backend())
    for k, row in enumerate(ours):
        np.testing.assert_allclose(
            row, whole_device(model, table.circuit(k), layout), atol=1e-12, rtol=0
        )
    assert np.abs(ours - compiled_probabilities(table)).max() > 0.01  # there is noise at all


@pytest.mark.parametrize("backend", [FakeAlgiers, FakeHanoiV2])
def test_readout_noise_equals_from_backend(backend):
    """Aer's own assignment matrices, applied to the same exact distribution."""
    device = load_device(DeviceConfig(name="x", backend=backend.__name__, layout=CHAIN))
    aer = dict(NoiseModel.from_backend(backend())._local_readout_errors)
    # Aer's rows are prepared states, ours are measured outcomes.
    expected = np.array([aer[q,].probabilities.T for q in CHAIN])
    ours = readout_matrices(device.calibration, CHAIN)
    np.testing.assert_allclose(ours, expected, atol=1e-15)
    p = AerExecutor(device.calibration, CHAIN).probabilities(circuits(device, 1))
    np.testing.assert_allclose(apply_readout(p, ours), apply_readout(p, expected), atol=1e-14)


def test_frequencies_of_aers_noisy_shots_fit_our_exact_distribution(algiers):
    """End to end, readout included, with Aer's sampling in place of ours."""
    table = circuits(algiers, 1)
    exact = AerExecutor(algiers.calibration, CHAIN).probabilities(table)
    exact = apply_readout(exact, readout_matrices(algiers.calibration, CHAIN))[0]
    circuit = qiskit_circuit(table.circuit(0), 5, CHAIN)
    measured = QuantumCircuit(6, 5)
    measured.compose(circuit, inplace=True)
    measured.measure(CHAIN, range(5))
    simulator = AerSimulator(
        method="density_matrix", noise_model=NoiseModel.from_backend(FakeAlgiers())
    )
    shots = 100_000
    counts = simulator.run(measured, shots=shots, seed_simulator=1).result().get_counts()
    frequency = np.array([counts.get(f"{k:05b}", 0) for k in range(32)]) / shots
    assert (np.abs(frequency - exact) < 5 * np.sqrt(exact / shots) + 1e-4).all()


def test_a_batch_equals_its_circuits_one_by_one(algiers):
    table = circuits(algiers)
    executor = AerExecutor(algiers.calibration, CHAIN)
    together = executor.probabilities(table)
    for k in range(len(table)):
        np.testing.assert_array_equal(
            executor.probabilities(table.select(np.array([k])))[0], together[k]
        )
    np.testing.assert_allclose(together.sum(axis=1), 1, atol=1e-12)


def changed(device, **fields: float) -> Calibration:
    """The device's snapshot with values of every gate and qubit replaced."""
    plain = device.calibration.model_dump(mode="json")
    for item in plain["qubits"] + plain["gates"]:
        item.update({k: v for k, v in fields.items() if k in item})
    return Calibration.parse(plain, "x")


def test_without_errors_and_times_there_is_no_noise(algiers):
    perfect = changed(algiers, error=0.0, length_ns=0.0)
    table = circuits(algiers)
    np.testing.assert_allclose(
        AerExecutor(perfect, CHAIN).probabilities(table), compiled_probabilities(table), atol=1e-12
    )


def test_relaxation_alone_follows_t1(algiers):
    """|1> under ID gates decays as exp(-t / T1); errors of 0 leave relaxation only."""
    calibration = changed(algiers, error=0.0, length_ns=5000.0, t1_us=100.0, t2_us=100.0)
    gates = [("x", 0, -1, 0.0), *[("id", 0, -1, 0.0)] * 9]
    table = InstructionTable.from_circuits(5, [gates])
    p = AerExecutor(calibration, CHAIN).probabilities(table)[0]
    assert p[1] == pytest.approx(np.exp(-10 * 5.0 / 100.0), abs=1e-9)
    assert p[0] == pytest.approx(1 - np.exp(-10 * 5.0 / 100.0), abs=1e-9)


def test_a_reported_gate_error_is_the_average_gate_error(algiers):
    """Without relaxation X then has a depolarizing channel: <Z> shrinks by 1 - 2 e."""
    calibration = changed(algiers, error=0.03, length_ns=0.0)
    p = AerExecutor(calibration, CHAIN).probabilities(
        InstructionTable.from_circuits(5, [[("x", 2, -1, 0.0)]])
    )[0]
    assert p[0b00100] - p[0] == pytest.approx(1 - 2 * 0.03, abs=1e-9)


def test_t2_above_twice_t1_is_truncated_not_refused(algiers):
    table = circuits(algiers, 1)
    beyond = changed(algiers, t1_us=50.0, t2_us=170.0)
    limit = changed(algiers, t1_us=50.0, t2_us=100.0)
    np.testing.assert_allclose(
        AerExecutor(beyond, CHAIN).probabilities(table),
        AerExecutor(limit, CHAIN).probabilities(table),
        atol=1e-12,
    )
