"""A circuit on the physical qubits where it ran, with its outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from qiskit.circuit import CircuitInstruction, QuantumCircuit, QuantumRegister

from qmend.circuits.compilation import QiskitCompiler
from qmend.circuits.instructions import Instruction, InstructionTable
from qmend.circuits.library import check_names
from qmend.circuits.measured import NO_TIME, MeasuredCircuit, measured_circuit, native_instructions
from qmend.circuits.statevector import MAX_STATE_QUBITS, to_chain_order
from qmend.datasets.circuits import CircuitBatch
from qmend.devices.calibration import Calibration
from qmend.devices.device import device_from_calibration
from qmend.devices.layout import lowest_error_layout
from qmend.gates import GATES
from qmend.mitigation.outcomes import Counts, read_counts
from qmend.types import FloatArray, QmendError

#: Circuits that are not compiled yet are compiled with Qiskit's preset passes of this level.
OPTIMIZATION_LEVEL = 1


@dataclass(frozen=True)
class PlacedCircuit:
    """A circuit in native gates on a chain of physical qubits.

    Attributes:
        written: the circuit as its author gave it, with its classical registers.
        source: its unitary part and its measurements.
        compiled: whether its gates were compiled here; else they are its own.
        layout: physical qubit at each chain position.
        instructions: native gates on chain positions.
        measured: chain position behind each of the measured classical bits.
    """

    written: QuantumCircuit
    source: MeasuredCircuit
    compiled: bool
    layout: tuple[int, ...]
    instructions: list[Instruction]
    measured: tuple[int, ...]

    def on_device(self, instructions: Sequence[Instruction], n_qubits: int) -> QuantumCircuit:
        """Write instructions on this chain as a circuit on the device's qubits.

        It is measured as this circuit is, into classical bits and registers of the same names.

        Args:
            instructions: native gates on chain positions.
            n_qubits: of the device.
        """
        circuit = QuantumCircuit(QuantumRegister(n_qubits, "physical"), name=self.written.name)
        circuit.add_bits(self.written.clbits)
        circuit.add_register(*self.written.cregs)
        for gate, first, second, angle in instructions:
            qubits = [self.layout[k] for k in (first, second) if k >= 0]
            getattr(circuit, gate)(*([angle] if gate == "rz" else []), *qubits)
        for position, clbit in zip(self.measured, self.source.clbits, strict=True):
            circuit.measure(self.layout[position], clbit)
        return circuit


@dataclass(frozen=True)
class Measurement:
    """Outcomes of a circuit.

    Attributes:
        circuit: as it ran.
        noisy: (2^m,) frequencies in the order of the measured classical bits.
        shots: behind them.
    """

    circuit: PlacedCircuit
    noisy: FloatArray
    shots: int

    @staticmethod
    def of(circuit: PlacedCircuit, counts: Counts, shots: int | None) -> Measurement:
        """Read a circuit's outcomes.

        Raises:
            QmendError: as :func:`read_counts`.
        """
        return Measurement(circuit, *read_counts(counts, circuit.source, shots))

    @staticmethod
    def uniform(circuit: PlacedCircuit) -> Measurement:
        """Stand in for outcomes of a circuit that has not run yet."""
        outcomes = 1 << len(circuit.measured)
        return Measurement(circuit, np.full(outcomes, 1.0 / outcomes), 1)


def place_circuit(
    circuit: QuantumCircuit, calibration: Calibration, layout: Sequence[int] | None
) -> PlacedCircuit:
    """Find a circuit's physical qubits, native instructions and measured chain positions.

    A circuit in native gates on the device's own qubits stays as it is, its qubits in ascending
    order; any other is compiled.

    Args:
        layout: physical qubits to compile to; None: those of lowest error.

    Raises:
        QmendError: if it does not fit the device, or a gate is not what its name says.
    """
    source = measured_circuit(circuit)
    if len(source.measured) > MAX_STATE_QUBITS:
        raise QmendError(
            f"it measures {len(source.measured)} bits; distributions have {MAX_STATE_QUBITS} at "
            "most: measure fewer of its qubits"
        )
    check_names(source.circuit)
    native = {(gate.gate, gate.qubits) for gate in calibration.gates if gate.gate in GATES}
    gates = [item for item in source.circuit.data if item.operation.name not in NO_TIME]
    if layout is None and all(_physical(item, source) in native for item in gates):
        own = native_instructions(source, GATES)
        return PlacedCircuit(circuit, source, False, source.qubits, own, source.measured)
    if layout is None and source.n_qubits > MAX_STATE_QUBITS:
        raise QmendError(
            f"it uses {source.n_qubits} qubits and is not in native gates on the device's own; "
            "compile it for the device first, or give layout"
        )
    chain = lowest_error_layout(calibration, source.n_qubits) if layout is None else tuple(layout)
    if len(chain) != source.n_qubits:
        raise QmendError(f"it uses {source.n_qubits} qubits, layout names {len(chain)}")
    device = device_from_calibration(calibration, chain)
    compile_circuit = QiskitCompiler(
        device.n_qubits, device.native_gates, device.edges, OPTIMIZATION_LEVEL
    )
    isa = compile_circuit(source.circuit)
    measured = tuple(isa.measured[q] for q in source.measured)
    return PlacedCircuit(circuit, source, True, chain, isa.instructions, measured)


def _physical(item: CircuitInstruction, source: MeasuredCircuit) -> tuple[str, tuple[int, ...]]:
    """Return a gate's name and its qubits by the circuit's own numbers."""
    qubits = (source.qubits[source.circuit.find_bit(qubit).index] for qubit in item.qubits)
    return item.operation.name, tuple(qubits)


def as_batch(measurements: Sequence[Measurement], calibration: Calibration) -> CircuitBatch:
    """Join measurements of as many qubits on chains of one length to a batch."""
    circuits = [measurement.circuit for measurement in measurements]
    layouts = list(dict.fromkeys(circuit.layout for circuit in circuits))
    noisy = np.array([measurement.noisy for measurement in measurements])
    measured = np.array([circuit.measured for circuit in circuits])
    return CircuitBatch(
        InstructionTable.from_circuits(len(layouts[0]), [c.instructions for c in circuits]),
        to_chain_order(noisy, measured),
        np.array([measurement.shots for measurement in measurements]),
        tuple(layouts),
        tuple(calibration.restrict(layout) for layout in layouts),
        np.array([layouts.index(circuit.layout) for circuit in circuits]),
        measured,
        executed=np.array([not circuit.compiled for circuit in circuits]),
    )
