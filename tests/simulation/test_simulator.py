"""The batched simulator equals Aer, on CX, CZ and ECR devices, in both of its forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from qiskit.circuit import QuantumCircuit
from qiskit.quantum_info import DensityMatrix, Pauli, SuperOp
from qiskit_aer import AerSimulator
from qiskit_aer.noise import ReadoutError
from qiskit_aer.noise.device import basic_device_gate_errors
from scipy import stats

from qmend.circuits.compilation import QiskitCompiler, build_compiler
from qmend.circuits.families import build_family
from qmend.circuits.instructions import InstructionTable
from qmend.circuits.statevector import to_bit_order
from qmend.devices.calibration import Calibration
from qmend.devices.device import DeviceConfig, device_from_calibration, load_device
from qmend.noise.aer import AerExecutor, aer_circuit, chain_target, device_noise_model
from qmend.noise.device_noise import DeviceNoise
from qmend.noise.readout import apply_readout, readout_matrices
from qmend.simulation import differentiable, kernel
from qmend.simulation.outputs import probabilities
from qmend.simulation.program import Program
from qmend.simulation.sampling import sample_counts
from qmend.types import QmendError
from reference import qiskit_circuit

DEVICES = {
    "algiers": DeviceConfig(name="a", backend="FakeAlgiers", layout=(0, 1, 2, 3, 5)),
    "hanoi": DeviceConfig(name="h", backend="FakeHanoiV2", layout=(0, 1, 2, 3, 5)),
    "torino": DeviceConfig(name="t", backend="FakeTorino", layout=(0, 1, 2, 3, 4)),
    "brisbane": DeviceConfig(name="b", backend="FakeBrisbane", layout=(4, 3, 2, 1, 0)),
}
TOLERANCE = 1e-9


def random_circuit(device, length: int, rng: np.random.Generator):
    """Native gates at random places: every gate, every directed edge, idle qubits."""
    two = [
        (gate.gate, device.layout.index(gate.qubits[0]), device.layout.index(gate.qubits[1]))
        for gate in device.calibration.gates
        if gate.gate in ("cx", "cz", "ecr")
    ]
    circuit = []
    for _ in range(length):
        if rng.random() < 0.4:
            gate, a, b = two[rng.integers(len(two))]
            circuit.append((gate, a, b, 0.0))
        else:
            gate = ("id", "x", "sx", "rz")[rng.integers(4)]
            angle = float(rng.uniform(-7, 7)) if gate == "rz" else 0.0
            circuit.append((gate, int(rng.integers(5)), -1, angle))
    return circuit


def circuits(device, pauli: int, random: int) -> InstructionTable:
    """Pauli circuits, random ones, and by hand: nothing, each gate alone, each edge alone."""
    rng = np.random.default_rng(5)
    compile_one = build_compiler("qiskit", 5, device.native_gates, device.edges, 1)
    family = build_family({"name": "pauli", "n_qubits": 5})
    made = [compile_one(family.draw(rng)).instructions for _ in range(pauli)]
    made += [random_circuit(device, int(rng.integers(1, 80)), rng) for _ in range(random)]
    made.append([])
    made += [
        [(g, q, -1, 0.7 if g == "rz" else 0.0)] for g in ("id", "x", "sx", "rz") for q in (0, 4)
    ]
    for gate in device.calibration.gates:
        if gate.gate in ("cx", "cz", "ecr"):
            a, b = (device.layout.index(q) for q in gate.qubits)
            prepare = [("sx", a, -1, 0.0), ("rz", a, -1, 1.1), ("sx", a, -1, 0.0)]
            made.append([*prepare, (gate.gate, a, b, 0.0), ("sx", b, -1, 0.0)])
    return InstructionTable.from_circuits(5, made)


@pytest.mark.parametrize(
    ("name", "pauli", "random"),
    [("algiers", 120, 60), ("hanoi", 40, 40), ("brisbane", 40, 40)],
)
def test_equals_aer(name, pauli, random):
    """Exact probabilities before and after readout, on more than 300 circuits in all."""
    device = load_device(DEVICES[name])
    table = circuits(device, pauli, random)
    ours = probabilities(DeviceNoise(device.calibration, device.layout).program(table))
    aer = AerExecutor(device.calibration, device.layout).probabilities(table)
    assert np.abs(ours - aer).max() < TOLERANCE
    readout = readout_matrices(device.calibration, device.layout)
    confusion = np.ones((1, 1))
    for matrix in readout:
        confusion = np.kron(matrix, confusion)
    assert np.abs(apply_readout(ours, readout) - aer @ confusion.T).max() < TOLERANCE


def test_equals_qiskit_where_aer_rounds():
    """CZ gates of FakeTorino: Aer itself is 1e-9 off its own channels, applied one by one."""
    device = load_device(DEVICES["torino"])
    table = circuits(device, 6, 10)
    ours = probabilities(DeviceNoise(device.calibration, device.layout).program(table))
    target = chain_target(device.calibration, device.layout)
    errors = {
        (name, tuple(qubits)): SuperOp(error)
        for name, qubits, error in basic_device_gate_errors(target=target)
    }
    for i in range(len(table)):
        rho = DensityMatrix.from_label("00000")
        for gate, a, b, angle in table.circuit(i):
            qubits = [a] if b < 0 else [a, b]
            rho = rho.evolve(qiskit_circuit([(gate, a, b, angle)], 5, range(5)))
            if (gate, tuple(qubits)) in errors:
                rho = rho.evolve(errors[gate, tuple(qubits)], qubits)
        np.testing.assert_allclose(ours[i], rho.probabilities(), atol=TOLERANCE)
    aer = AerExecutor(device.calibration, device.layout).probabilities(table)
    assert np.abs(ours - aer).max() < 10 * TOLERANCE


def test_aers_own_counts_fit(algiers):
    """Chi-square of 20,000-shot counts that Aer sampled with readout error."""
    table = circuits(algiers, 20, 0).select(np.arange(20))
    readout = readout_matrices(algiers.calibration, algiers.layout)
    model = device_noise_model(algiers.calibration, algiers.layout)
    for k, matrix in enumerate(readout):
        model.add_readout_error(ReadoutError(matrix.T.tolist()), [k])
    prepared = [aer_circuit(table, i) for i in range(len(table))]
    for circuit in prepared:
        circuit.measure_all()
    simulator = AerSimulator(method="density_matrix", noise_model=model)
    result = simulator.run(prepared, shots=20_000, seed_simulator=3).result()
    exact = probabilities(DeviceNoise(algiers.calibration, algiers.layout).program(table))
    exact = apply_readout(exact, readout)
    p_values = []
    for i in range(len(table)):
        counts = np.zeros(32)
        for bits, number in result.get_counts(i).items():
            counts[int(bits, 2)] = number
        expected = 20_000 * exact[i]
        rare = expected < 10
        seen = np.append(counts[~rare], counts[rare].sum())
        mean = np.append(expected[~rare], expected[rare].sum())
        used = mean > 0
        p_values.append(stats.chisquare(seen[used], mean[used] * seen.sum() / mean.sum()).pvalue)
    assert min(p_values) > 1e-4
    # The same test must notice readout error that is left out.
    wrong = probabilities(DeviceNoise(algiers.calibration, algiers.layout).program(table))
    deviation = (counts - 20_000 * wrong[-1]) ** 2 / np.maximum(20_000 * wrong[-1], 1)
    assert deviation.sum() > 200


def test_barriers_and_measurement_order(algiers):
    """Routed circuits with barriers: bits in the source's order, as Aer reads them."""
    compiler = QiskitCompiler(5, algiers.native_gates, algiers.edges, 1)
    family = build_family({"name": "pauli", "n_qubits": 5})
    compiled, expected = [], []
    model = device_noise_model(algiers.calibration, algiers.layout)
    simulator = AerSimulator(method="density_matrix", noise_model=model)
    for seed in range(12):
        source = QuantumCircuit(5)
        for part in (0, 1):
            drawn = family.draw(np.random.default_rng([seed, part]))
            source.compose(drawn.circuit, inplace=True)
            source.barrier()
        found = compiler(source)
        compiled.append(found)
        circuit = qiskit_circuit(found.instructions, 5)
        circuit.save_probabilities(qubits=found.measured)
        expected.append(simulator.run(circuit).result().data(0)["probabilities"])
    measured = np.array([c.measured for c in compiled])
    assert (measured != np.arange(5)).any(), "no circuit was permuted: the test shows nothing"
    table = InstructionTable.from_circuits(5, [c.instructions for c in compiled])
    ours = probabilities(DeviceNoise(algiers.calibration, algiers.layout).program(table))
    assert np.abs(to_bit_order(ours, measured) - np.array(expected)).max() < TOLERANCE


def test_single_precision_error_is_small(algiers):
    table = circuits(algiers, 50, 50)
    noise = DeviceNoise(algiers.calibration, algiers.layout)
    single = probabilities(noise.program(table), np.float32)
    assert single.dtype == np.float32
    assert np.abs(single - probabilities(noise.program(table))).max() < 1e-6


def test_torch_form_equals_compiled_form(algiers):
    table = circuits(algiers, 10, 20)
    program = DeviceNoise(algiers.calibration, algiers.layout).program(table)
    np.testing.assert_allclose(
        differentiable.evolve(program).numpy(), kernel.evolve(program, np.float64), atol=1e-12
    )


def test_batching_changes_nothing(algiers):
    """A circuit alone gives the bits that it gives in a batch."""
    table = circuits(algiers, 5, 10)
    noise = DeviceNoise(algiers.calibration, algiers.layout)
    whole = probabilities(noise.program(table))
    for i in range(len(table)):
        alone = probabilities(noise.program(table.select(np.array([i]))))
        np.testing.assert_array_equal(alone[0], whole[i])


def test_shots_depend_on_the_seed_alone(algiers):
    table = circuits(algiers, 4, 0).select(np.arange(4))
    exact = probabilities(DeviceNoise(algiers.calibration, algiers.layout).program(table))
    seeds = [np.random.SeedSequence([9, k]) for k in range(4)]
    whole = sample_counts(exact, 1000, seeds)
    np.testing.assert_array_equal(sample_counts(exact[2:3], 1000, seeds[2:3])[0], whole[2])


def test_gradients_by_a_noise_parameter(algiers):
    """The derivative by a depolarizing probability put after every CX."""
    table = circuits(algiers, 3, 0).select(np.arange(3))
    plain = DeviceNoise(algiers.calibration, algiers.layout).program(table)

    def value(p: torch.Tensor) -> torch.Tensor:
        from qmend.simulation.channels import depolarizing

        noisier = Program(
            plain.n_qubits,
            plain.offsets,
            plain.first,
            plain.second,
            plain.row,
            plain.one,
            depolarizing(p, 2) @ plain.two,
        )
        return (differentiable.evolve(noisier) ** 2).sum()

    p = torch.tensor(0.02, dtype=torch.float64, requires_grad=True)
    value(p).backward()
    with torch.no_grad():
        slope = float(value(p + 1e-6) - value(p - 1e-6)) / 2e-6
    assert slope < 0
    assert float(p.grad) == pytest.approx(slope, rel=1e-6)


def test_coefficients_equal_those_of_aers_density_matrix(algiers):
    table = circuits(algiers, 2, 3).select(np.arange(5))
    program = DeviceNoise(algiers.calibration, algiers.layout).program(table)
    strings = ["ZIIII", "XXYIZ", "IIIIZ", "YZXYX"]
    index = [sum("IXYZ".index(p) * 4**q for q, p in enumerate(string)) for string in strings]
    found = differentiable.evolve(program, every=True).numpy()[:, index]
    model = device_noise_model(algiers.calibration, algiers.layout)
    simulator = AerSimulator(method="density_matrix", noise_model=model)
    for i in range(len(table)):
        circuit = aer_circuit(table, i)
        circuit.save_density_matrix()
        rho = DensityMatrix(simulator.run(circuit).result().data(0)["density_matrix"])
        for k, string in enumerate(strings):
            expected = rho.expectation_value(Pauli(string[::-1])).real
            assert found[i, k] == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("n", [1, 2, 3, 6])
def test_other_register_sizes(n):
    chain = (0, 1, 2, 3, 5, 8)[:n]
    device = load_device(DeviceConfig(name="a", backend="FakeAlgiers", layout=chain))
    compile_one = build_compiler("qiskit", n, device.native_gates, device.edges, 1)
    family = build_family({"name": "pauli", "n_qubits": n})
    drawn = [family.draw(np.random.default_rng(k)) for k in range(5)]
    table = InstructionTable.from_circuits(n, [compile_one(c).instructions for c in drawn])
    ours = probabilities(DeviceNoise(device.calibration, device.layout).program(table))
    aer = AerExecutor(device.calibration, device.layout).probabilities(table)
    assert np.abs(ours - aer).max() < TOLERANCE


def test_bad_input_is_one_sentence(algiers):
    noise = DeviceNoise(algiers.calibration, algiers.layout)
    absent = InstructionTable.from_circuits(5, [[("cz", 0, 1, 0.0)]])
    with pytest.raises(QmendError, match=r"ibm_algiers has no gate 'cz' on qubits \[0, 1\]"):
        noise.program(absent)
    apart = InstructionTable.from_circuits(5, [[("cx", 0, 4, 0.0)]])
    with pytest.raises(QmendError, match=r"has no gate 'cx' on qubits \[0, 5\]"):
        noise.program(apart)
    small = InstructionTable.from_circuits(4, [[("sx", 0, -1, 0.0)]])
    with pytest.raises(QmendError, match="The circuits have 4 qubits but the layout"):
        noise.program(small)
    nothing = torch.zeros(0, 4, 4, dtype=torch.float64)
    empty = np.zeros(0, dtype=np.int64)
    large = Program(9, np.zeros(1, dtype=np.int64), empty, empty, empty, nothing, nothing)
    for evolve in (kernel.evolve, differentiable.evolve):
        with pytest.raises(QmendError, match="9 qubits are too many, 8 the limit"):
            evolve(large)


def test_error_below_relaxation_adds_no_depolarizing(algiers):
    """A reported gate error that relaxation alone exceeds leaves just relaxation, as in Aer."""
    data = algiers.calibration.model_dump(mode="json")
    for gate in data["gates"]:
        if gate["gate"] == "cx":
            gate["error"] = 1e-6
    calibration = Calibration.parse(data, "test")
    device = device_from_calibration(calibration, algiers.layout)
    table = circuits(device, 5, 5)
    ours = probabilities(DeviceNoise(calibration, device.layout).program(table))
    aer = AerExecutor(calibration, device.layout).probabilities(table)
    assert np.abs(ours - aer).max() < TOLERANCE
