"""Circuits on physical qubits, and the local mode of the runtime: noise, bits, errors."""

from __future__ import annotations

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.transpiler import Target
from qiskit_aer.noise import NoiseModel
from qiskit_ibm_runtime.api.exceptions import RequestsApiError
from qiskit_ibm_runtime.exceptions import IBMNotAuthorizedError, IBMRuntimeError
from qiskit_ibm_runtime.executor_sampler import Sampler
from qiskit_ibm_runtime.fake_provider import FakeAlgiers

from qmend.circuits.compilation import QiskitCompiler
from qmend.circuits.instructions import InstructionTable
from qmend.devices.device import Device, DeviceConfig, load_device
from qmend.hardware.isa import isa_circuits, outcome_counts
from qmend.hardware.jobs import SessionEndedError, TransientError
from qmend.hardware.plan import quantum_seconds, rep_delay
from qmend.hardware.runtime import LocalService, layout_noise_model
from qmend.hardware.runtime_errors import one_line
from qmend.types import QmendError


@pytest.fixture(scope="module")
def target() -> Target:
    return FakeAlgiers().target


@pytest.fixture(scope="module")
def service(device_config: DeviceConfig) -> LocalService:
    return LocalService("FakeAlgiers", device_config.layout)


def routed(device: Device) -> tuple[InstructionTable, np.ndarray]:
    """Circuit k puts X on source qubit k, among CX gates that act on |0> and need routing."""
    compile_ = QiskitCompiler(device.n_qubits, device.native_gates, device.edges, 1)
    compiled = []
    for bit in range(device.n_qubits):
        source = QuantumCircuit(device.n_qubits)
        zero = [q for q in range(device.n_qubits) if q != bit]
        for control, partner in ((zero[0], zero[3]), (zero[0], zero[2]), (zero[1], zero[3])):
            source.ry(0.0001, control)  # keeps the CX from being removed
            source.cx(control, partner)
        source.x(bit)
        compiled.append(compile_(source))
    table = InstructionTable.from_circuits(device.n_qubits, [c.instructions for c in compiled])
    return table, np.array([c.measured for c in compiled])


@pytest.mark.parametrize("layout", [(0, 1, 2, 3, 5), (5, 3, 2, 1, 0)])
def test_x_on_a_qubit_is_read_as_its_bit_after_routing(service, target, layout):
    device = load_device(DeviceConfig(name="x", backend="FakeAlgiers", layout=layout))
    table, measured = routed(device)
    assert (measured != np.arange(5)).any(axis=1).sum() >= 3
    circuits = isa_circuits(table, measured, layout, target)
    job = service.submit(circuits, 200, "tag")
    counts = outcome_counts(job.result(), 5, 1, 5, 200)
    assert counts.sum(axis=1).tolist() == [200] * 5
    assert counts.argmax(axis=1).tolist() == [1, 2, 4, 8, 16]
    assert (counts.max(axis=1) > 100).all()
    assert (counts.max(axis=1) < 200).any()  # noise is on
    assert service.job(job.job_id).state() == "done"
    assert job in service.jobs("tag")
    assert service.job("another") is None


def test_circuits_lie_on_physical_qubits(target, algiers):
    table, measured = routed(algiers)
    for index, circuit in enumerate(isa_circuits(table, measured, (0, 1, 2, 3, 5), target)):
        assert circuit.num_qubits == 27
        read = {
            circuit.find_bit(i.clbits[0]).index: circuit.find_bit(i.qubits[0]).index
            for i in circuit.data
            if i.operation.name == "measure"
        }
        assert read == {k: (0, 1, 2, 3, 5)[p] for k, p in enumerate(measured[index])}
        used = {circuit.find_bit(q).index for i in circuit.data for q in i.qubits}
        assert used <= {0, 1, 2, 3, 5}


def test_what_the_device_lacks_is_refused(target):
    table = InstructionTable.from_circuits(2, [[("cx", 0, 1, 0.0)]])
    with pytest.raises(QmendError, match=r"no cx on qubits \[0, 5\].*device\.layout"):
        isa_circuits(table, np.array([[0, 1]]), (0, 5), target)
    table = InstructionTable.from_circuits(2, [[("ecr", 0, 1, 0.0)]])
    with pytest.raises(QmendError, match=r"no ecr on qubits \[0, 1\]"):
        isa_circuits(table, np.array([[0, 1]]), (0, 1), target)


def test_the_noise_is_the_whole_devices_on_these_qubits(target):
    """Error by error, readout included, that of ``NoiseModel.from_backend``."""
    layout = (0, 1, 2, 3, 5)
    whole = NoiseModel.from_backend(FakeAlgiers()).to_dict()["errors"]
    part = layout_noise_model(target, layout).to_dict()["errors"]

    def by_place(errors: list[dict]) -> dict:
        return {
            (e["type"], *e["operations"], *e["gate_qubits"][0]): (
                e.get("instructions"),
                e["probabilities"],
            )
            for e in errors
            if set(e["gate_qubits"][0]) <= set(layout)
        }

    ours, theirs = by_place(part), by_place(whole)
    gates = {"id", "sx", "x", "cx", "measure", "reset"}
    theirs = {k: v for k, v in theirs.items() if k[1] in gates}
    assert {k for k in ours if k[1] in gates} == set(theirs)
    assert len([k for k in theirs if k[1] == "cx"]) == 8
    assert len([k for k in theirs if k[1] == "measure"]) == 5
    for place, (instructions, probabilities) in theirs.items():
        np.testing.assert_allclose(ours[place][1], probabilities, atol=1e-12)
        assert str(ours[place][0]) == str(instructions)


def test_time_on_the_processor_by_hand(algiers):
    """Two SX one after the other on the one qubit, CX with a third; the longest path counts."""
    layout = (0, 1, 2, 3, 5)
    calibration = algiers.calibration
    gates = [("sx", 0, -1, 0.0), ("sx", 0, -1, 0.0), ("rz", 0, -1, 1.0), ("x", 1, -1, 0.0),
             ("cx", 0, 1, 0.0), ("x", 4, -1, 0.0)]  # fmt: skip
    table = InstructionTable.from_circuits(5, [gates, [("x", 3, -1, 0.0)]])
    measured = np.tile(np.arange(5), (2, 1))
    sx, x = calibration.gate("sx", [0]).length_ns, calibration.gate("x", [3]).length_ns
    cx = calibration.gate("cx", [0, 1]).length_ns
    readout = calibration.qubit(0).readout_length_ns
    assert all(calibration.qubit(q).readout_length_ns == readout for q in layout)
    expected = 100 * ((2 * sx + cx + readout) + (x + readout)) * 1e-9 + 2 * 100 * 3e-4
    found = quantum_seconds(table, measured, calibration, layout, 100, 3e-4)
    assert found == pytest.approx(expected, rel=1e-12)


def test_the_delay_between_shots_is_the_devices_own():
    assert rep_delay(FakeAlgiers()) == pytest.approx(FakeAlgiers().default_rep_delay)
    assert rep_delay(object()) == 250e-6


def raising(error: Exception, behind: Exception | None = None):
    """The real sampler, whose submission ends in an error as the runtime words it."""

    class Raising(Sampler):
        def run(self, pubs, **more):
            if behind is None:
                raise error
            try:
                raise behind
            except Exception:
                raise error from None

    return Raising


@pytest.mark.parametrize(
    ("error", "behind", "kind", "text"),
    [
        (IBMRuntimeError("Failed"), RequestsApiError("down", 503), TransientError, "Failed"),
        (IBMRuntimeError("Failed"), RequestsApiError("gone", -1), TransientError, "Failed"),
        (IBMRuntimeError("Failed"), RequestsApiError("busy", 429), TransientError, "Failed"),
        (ConnectionResetError("reset"), None, TransientError, "reset"),
        (TimeoutError("read timed out"), None, TransientError, "read timed out"),
        (IBMRuntimeError("The session is closed."), None, SessionEndedError, "is closed"),
        (IBMRuntimeError("Failed"), RequestsApiError("bad", 400), QmendError, "refused .*Failed"),
        (IBMNotAuthorizedError("401, no"), None, QmendError, "refused .*401"),
        (ValueError("no such option"), None, QmendError, "refused .*no such option"),
    ],
)
def test_errors_are_told_apart(service, error, behind, kind, text):
    ours = LocalService.__new__(LocalService)
    ours.__dict__.update(service.__dict__, _sampler=raising(error, behind))
    with pytest.raises(kind, match=text) as caught:
        ours.submit([QuantumCircuit(1, 1)], 10, "tag")
    assert type(caught.value) is kind


def test_no_token_is_told(monkeypatch):
    monkeypatch.setenv("QISKIT_IBM_TOKEN", "secret-token")
    assert (
        one_line("Traceback\n  x\nError: bearer secret-token is bad.") == "Error: bearer *** is bad"
    )
    assert one_line("'quoted by Qiskit'") == "quoted by Qiskit"
    assert one_line("") == ""


def test_results_that_are_none(service):
    with pytest.raises(QmendError, match="no list of circuits but NoneType"):
        outcome_counts(None, 1, 1, 1, 1)
    circuit = QuantumCircuit(1)
    circuit.measure_all()
    result = service.submit([circuit], 10, "other").result()
    with pytest.raises(QmendError, match="no register 'c'"):
        outcome_counts(result, 1, 1, 1, 10)
