"""Qiskit Aer's device model by Aer's own simulator: the reference for ours."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from qiskit.circuit import Delay, Measure, Parameter, QuantumCircuit, Reset
from qiskit.circuit.library import CXGate, CZGate, ECRGate, IGate, RZGate, SXGate, XGate
from qiskit.transpiler import InstructionProperties, QubitProperties, Target
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel
from qiskit_aer.noise.device import basic_device_gate_errors

from qmend.circuits.instructions import InstructionTable
from qmend.devices.calibration import Calibration
from qmend.noise.readout import readout_matrices
from qmend.types import FloatArray, QmendError

_OPERATIONS = {
    "id": IGate(),
    "x": XGate(),
    "sx": SXGate(),
    "rz": RZGate(Parameter("angle")),
    "cx": CXGate(),
    "ecr": ECRGate(),
    "cz": CZGate(),
    "reset": Reset(),
    "measure": Measure(),
    "delay": Delay(Parameter("duration")),
}


def chain_target(calibration: Calibration, layout: Sequence[int]) -> Target:
    """Build a Qiskit ``Target`` of the layout alone, qubits by chain position."""
    position = {physical: k for k, physical in enumerate(layout)}
    target = Target(
        num_qubits=len(layout),
        qubit_properties=[
            QubitProperties(
                t1=None if q.t1_us is None else q.t1_us * 1e-6,
                t2=None if q.t2_us is None else q.t2_us * 1e-6,
                frequency=None if q.frequency_ghz is None else q.frequency_ghz * 1e9,
            )
            for q in (calibration.qubit(p) for p in layout)
        ],
    )
    by_gate: dict[str, dict[tuple[int, ...], InstructionProperties]] = {}
    for gate in calibration.gates:
        if gate.gate in _OPERATIONS and all(q in position for q in gate.qubits):
            qubits = tuple(position[q] for q in gate.qubits)
            by_gate.setdefault(gate.gate, {})[qubits] = InstructionProperties(
                duration=None if gate.length_ns is None else gate.length_ns * 1e-9,
                error=gate.error,
            )
    for name, properties in by_gate.items():
        target.add_instruction(_OPERATIONS[name], properties)
    return target


def device_noise_model(calibration: Calibration, layout: Sequence[int]) -> NoiseModel:
    """Build the gate noise of ``NoiseModel.from_backend`` on chain positions.

    Thermal relaxation for each gate's length, and a depolarizing channel so that the average
    gate error is the reported one; T2 is truncated to 2 T1. Readout error is left out: it is
    applied exactly to the final probabilities.
    """
    model = NoiseModel(basis_gates=[g for g in _OPERATIONS if g not in ("measure", "delay")])
    target = chain_target(calibration, layout)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning, module="qiskit_aer.noise")
        errors = basic_device_gate_errors(target=target)
    for name, qubits, error in errors:
        model.add_quantum_error(error, name, qubits, warnings=False)
    return model


class AerExecutor:
    """Exact noisy distributions from Aer's density-matrix method.

    Args:
        calibration: the snapshot whose noise is simulated.
        layout: physical qubits of the chain.
    """

    def __init__(self, calibration: Calibration, layout: Sequence[int]) -> None:
        self.readout = readout_matrices(calibration, layout)
        self._simulator = AerSimulator(
            method="density_matrix",
            noise_model=device_noise_model(calibration, layout),
            max_parallel_threads=1,
            max_parallel_experiments=1,
            fusion_enable=False,
        )

    def probabilities(self, table: InstructionTable, job: int = 0) -> FloatArray:
        """(N, 2^n) exact distributions before readout, chain order, the same for every job.

        Raises:
            QmendError: if Aer reports a failure.
        """
        circuits = [aer_circuit(table, i) for i in range(len(table))]
        for circuit in circuits:
            circuit.save_probabilities()
        result = self._simulator.run(circuits, shots=1).result()
        if not result.success:
            raise QmendError(f"Aer could not simulate the circuits: {result.status}.")
        data = [result.data(i)["probabilities"] for i in range(len(circuits))]
        return np.array(data, dtype=np.float64).reshape(len(circuits), 2**table.n_qubits)


def aer_circuit(table: InstructionTable, index: int) -> QuantumCircuit:
    """Write a circuit as a ``QuantumCircuit`` on chain positions, not measured."""
    circuit = QuantumCircuit(table.n_qubits)
    for gate, first, second, angle in table.circuit(index):
        if gate == "rz":
            circuit.rz(angle, first)
        elif second >= 0:
            circuit.append(_OPERATIONS[gate], [first, second])
        else:
            circuit.append(_OPERATIONS[gate], [first])
    return circuit
