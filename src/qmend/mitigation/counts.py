"""Counts of Qiskit circuits in, better distributions out: a mitigator as a notebook uses it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, overload

import numpy as np
from qiskit.circuit import CircuitInstruction, QuantumCircuit
from qiskit.primitives import BitArray

from qmend.circuits.compilation import QiskitCompiler
from qmend.circuits.instructions import Instruction, InstructionTable
from qmend.circuits.measured import NO_TIME, MeasuredCircuit, measured_circuit, native_instructions
from qmend.circuits.statevector import to_bit_order, to_chain_order
from qmend.datasets.circuits import NORMALISATION_TOLERANCE, CircuitBatch
from qmend.devices.calibration import Calibration
from qmend.devices.device import device_from_calibration
from qmend.devices.layout import lowest_error_layout
from qmend.devices.providers import backend_calibration, fake_calibration
from qmend.gates import GATES
from qmend.mitigation.base import Mitigator
from qmend.types import AnyArray, FloatArray, QmendError

#: Outcomes of one circuit: counts by bitstring, number or hexadecimal; a ``BitArray``; an array
#: with a value for each outcome, whole numbers being counts and others probabilities.
Counts: TypeAlias = Mapping[Any, int] | BitArray | AnyArray
#: A calibration, a file of one, the name of a class in ``qiskit_ibm_runtime.fake_provider``, or a
#: backend.
CalibrationSource = Any
#: Circuits that are not compiled yet are compiled with Qiskit's preset passes of this level.
OPTIMIZATION_LEVEL = 1


@dataclass(frozen=True)
class MitigatedCounts:
    """What a mitigator makes of one circuit's counts, in the circuit's own bit order.

    Attributes:
        probabilities: (2^m,) of the m measured classical bits; bit ``k`` of an index is the
            ``k``-th of ``clbits``.
        clbits: measured classical bits, ascending.
        register_sizes: of the circuit's classical registers, for its bitstrings.
        shots: behind the counts.
    """

    probabilities: FloatArray
    clbits: tuple[int, ...]
    register_sizes: tuple[int, ...]
    shots: int

    def to_dict(self, smallest: float = 0.0) -> dict[str, float]:
        """Map bitstrings, written as Qiskit writes counts, to probabilities above ``smallest``."""
        distribution = {}
        for index in np.flatnonzero(self.probabilities > smallest).tolist():
            bits = ["0"] * sum(self.register_sizes)
            for k, clbit in enumerate(self.clbits):
                bits[clbit] = str(index >> k & 1)
            registers, start = [], 0
            for size in self.register_sizes:
                registers.append("".join(reversed(bits[start : start + size])))
                start += size
            distribution[" ".join(reversed(registers))] = float(self.probabilities[index])
        return distribution


class CountsMitigator:
    """A mitigator for counts of Qiskit circuits.

    Args:
        mitigator: fitted; it needs no further circuits to be run.
        provenance: what is known of its training.
    """

    def __init__(self, mitigator: Mitigator, provenance: Mapping[str, Any] | None = None) -> None:
        self.mitigator = mitigator
        self.provenance = dict(provenance or {})

    def __repr__(self) -> str:
        run = self.provenance.get("run_id")
        return f"<{type(self).__name__} {self.mitigator.name}{f', run {run}' if run else ''}>"

    @overload
    def mitigate(
        self,
        counts: Counts,
        circuit: QuantumCircuit,
        calibration: CalibrationSource,
        *,
        layout: Sequence[int] | None = None,
        shots: int | None = None,
    ) -> MitigatedCounts: ...

    @overload
    def mitigate(
        self,
        counts: Sequence[Counts],
        circuit: Sequence[QuantumCircuit],
        calibration: CalibrationSource,
        *,
        layout: Sequence[int] | None = None,
        shots: int | None = None,
    ) -> list[MitigatedCounts]: ...

    def mitigate(
        self,
        counts: Counts | Sequence[Counts],
        circuit: QuantumCircuit | Sequence[QuantumCircuit],
        calibration: CalibrationSource,
        *,
        layout: Sequence[int] | None = None,
        shots: int | None = None,
    ) -> MitigatedCounts | list[MitigatedCounts]:
        """Mitigate the counts of one circuit, or of a list.

        A circuit in native gates on the device's own qubits is taken as it ran. Any other is
        compiled here, so that its gates are an estimate of those that ran.

        Args:
            counts: of each circuit, see :data:`Counts`.
            circuit: with its measurements, at the end, of all qubits that it uses.
            calibration: of the device at the time, see :data:`CalibrationSource`.
            layout: physical qubits that circuits are compiled to; None: those of lowest error.
            shots: behind probabilities.

        Returns:
            One result for one circuit, a list for a list, in the circuits' own bit order.

        Raises:
            QmendError: naming the circuit that can't be taken, and why.
        """
        if isinstance(circuit, QuantumCircuit):
            return self._mitigate_all([counts], [circuit], calibration, layout, shots)[0]
        if isinstance(counts, Mapping | BitArray) or len(counts) != len(circuit):
            number = 1 if isinstance(counts, Mapping | BitArray) else len(counts)
            raise QmendError(
                f"{len(circuit)} circuits need as many counts, not {number}; give a list of counts "
                "in the order of the circuits."
            )
        return self._mitigate_all(list(counts), circuit, calibration, layout, shots)

    def _mitigate_all(
        self,
        counts: Sequence[Any],
        circuits: Sequence[QuantumCircuit],
        calibration: CalibrationSource,
        layout: Sequence[int] | None,
        shots: int | None,
    ) -> list[MitigatedCounts]:
        snapshot = find_calibration(calibration)
        measurements: list[Measurement] = []
        for number, (outcomes, circuit) in enumerate(zip(counts, circuits, strict=True)):
            try:
                measurements.append(Measurement.of(outcomes, circuit, snapshot, layout, shots))
            except QmendError as error:
                name = f"Circuit {number} ({circuit.name})"
                raise QmendError(f"{name}: {str(error).rstrip('.')}.") from None
        mitigated: dict[int, FloatArray] = {}
        for size in sorted({len(m.layout) for m in measurements}):
            members = [k for k, m in enumerate(measurements) if len(m.layout) == size]
            batch = as_batch([measurements[k] for k in members], snapshot)
            mitigated |= dict(zip(members, self.mitigator.mitigate(batch), strict=True))
        return [m.result(mitigated[k]) for k, m in enumerate(measurements)]


@dataclass(frozen=True)
class Measurement:
    """One circuit as it ran on a chain of physical qubits, with its outcomes.

    Attributes:
        circuit: with the classical bits and registers that outcomes are read into.
        layout: physical qubit at each chain position.
        measured: chain position behind each of the measured classical bits.
        noisy: (2^n,) frequencies in the order of the measured classical bits.
    """

    circuit: MeasuredCircuit
    register_sizes: tuple[int, ...]
    layout: tuple[int, ...]
    instructions: list[Instruction]
    measured: tuple[int, ...]
    noisy: FloatArray
    shots: int

    @staticmethod
    def of(
        counts: Counts,
        circuit: QuantumCircuit,
        calibration: Calibration,
        layout: Sequence[int] | None,
        shots: int | None,
    ) -> Measurement:
        """Place a circuit on the device and read its outcomes.

        Raises:
            QmendError: in a sentence that begins with "it".
        """
        source = measured_circuit(circuit)
        if len(source.measured) < source.n_qubits:
            raise QmendError(
                f"it measures {len(source.measured)} of the {source.n_qubits} qubits that it uses; "
                "measure all of them"
            )
        noisy, total = read_counts(counts, source, shots)
        chain, instructions, measured = place(source, calibration, layout)
        registers = tuple(register.size for register in circuit.cregs)
        loose = circuit.num_clbits - sum(registers)
        sizes = (*registers, loose) if loose > 0 else registers
        return Measurement(source, sizes, chain, instructions, measured, noisy, total)

    def result(self, chain: FloatArray) -> MitigatedCounts:
        """Bring a distribution (2^n,) from chain order to the circuit's own."""
        own = to_bit_order(chain[None], np.array([self.measured]))[0]
        return MitigatedCounts(own, self.circuit.clbits, self.register_sizes, self.shots)


def place(
    source: MeasuredCircuit, calibration: Calibration, layout: Sequence[int] | None
) -> tuple[tuple[int, ...], list[Instruction], tuple[int, ...]]:
    """Find a circuit's physical qubits, native instructions and measured chain positions.

    Raises:
        QmendError: if it does not fit the device.
    """
    native = {(gate.gate, gate.qubits) for gate in calibration.gates if gate.gate in GATES}
    gates = [item for item in source.circuit.data if item.operation.name not in NO_TIME]
    if layout is None and all(_physical(item, source) in native for item in gates):
        return source.qubits, native_instructions(source, GATES), source.measured
    chain = lowest_error_layout(calibration, source.n_qubits) if layout is None else tuple(layout)
    if len(chain) != source.n_qubits:
        raise QmendError(f"it uses {source.n_qubits} qubits, layout names {len(chain)}")
    device = device_from_calibration(calibration, chain)
    compile_circuit = QiskitCompiler(
        device.n_qubits, device.native_gates, device.edges, OPTIMIZATION_LEVEL
    )
    compiled = compile_circuit(source.circuit)
    return chain, compiled.instructions, tuple(compiled.measured[q] for q in source.measured)


def _physical(item: CircuitInstruction, source: MeasuredCircuit) -> tuple[str, tuple[int, ...]]:
    """Return a gate's name and its qubits by the circuit's own numbers."""
    qubits = (source.qubits[source.circuit.find_bit(qubit).index] for qubit in item.qubits)
    return item.operation.name, tuple(qubits)


def read_counts(
    counts: Counts, source: MeasuredCircuit, shots: int | None
) -> tuple[FloatArray, int]:
    """Return frequencies (2^m,) of the m measured classical bits, and the shots behind them.

    Raises:
        QmendError: if an outcome or a value can't be, or probabilities come without shots.
    """
    values = _outcome_values(counts, source)
    numbers = list(values.values())
    if not numbers or not all(np.isfinite(value) and value >= 0 for value in numbers):
        raise QmendError("its counts are empty, negative or not finite")
    total = float(sum(numbers))
    whole = all(float(value).is_integer() for value in numbers) and not abs(total - 1) <= 1e-6
    if not whole:
        if not abs(total - 1) <= NORMALISATION_TOLERANCE:
            raise QmendError(f"its probabilities sum to {total:.6g}, not 1")
        if shots is None or shots < 1:
            raise QmendError("probabilities need the number of shots behind them: give shots=")
    elif shots not in (None, int(total)):
        raise QmendError(f"its counts add up to {int(total)}, not to shots={shots}")
    noisy = np.zeros(1 << len(source.measured))
    unmeasured = ((1 << source.n_clbits) - 1) & ~sum(1 << bit for bit in source.clbits)
    for outcome, value in values.items():
        if outcome & unmeasured and value:
            raise QmendError("its counts have a 1 in a classical bit that nothing is measured into")
        noisy[sum((outcome >> bit & 1) << k for k, bit in enumerate(source.clbits))] += value
    return noisy / total, int(total) if whole else int(shots or 0)


def _outcome_values(counts: Counts, source: MeasuredCircuit) -> dict[int, float]:
    """Map outcome numbers over all classical bits to counts or probabilities."""
    bits = source.n_clbits
    if isinstance(counts, BitArray):
        if counts.num_bits != bits or counts.shape != ():
            raise QmendError(
                f"its BitArray has {counts.num_bits} bits and shape {counts.shape}, the circuit "
                f"{bits} classical bits; give one of a single parameter set, registers joined"
            )
        return dict(counts.get_int_counts())
    if isinstance(counts, Mapping):
        found: Counter[int] = Counter()
        for key, value in counts.items():
            found[_outcome(key, bits)] += value
        return dict(found)
    array = np.asarray(counts)
    if array.shape != (1 << bits,):
        raise QmendError(
            f"its outcomes have shape {array.shape}; {bits} classical bits need ({1 << bits},)"
        )
    return dict(enumerate(array.tolist()))


def _outcome(key: Any, bits: int) -> int:
    text = str(key).replace(" ", "")  # Qiskit puts one between registers
    try:
        if isinstance(key, int | np.integer):
            outcome, fits = int(key), True
        elif text.startswith("0x"):
            outcome, fits = int(text, 16), True
        else:
            outcome, fits = int(text, 2), len(text) == bits
    except ValueError:
        raise QmendError(f"the outcome {key!r} is neither bits nor a number") from None
    if not fits or not 0 <= outcome < 1 << bits:
        raise QmendError(f"the outcome {key!r} does not fit the circuit's {bits} classical bits")
    return outcome


def as_batch(measurements: Sequence[Measurement], calibration: Calibration) -> CircuitBatch:
    """Join measurements on chains of one length to the batch that mitigators take."""
    layouts = list(dict.fromkeys(m.layout for m in measurements))
    table = InstructionTable.from_circuits(
        len(layouts[0]), [measurement.instructions for measurement in measurements]
    )
    noisy = np.array([measurement.noisy for measurement in measurements])
    measured = np.array([measurement.measured for measurement in measurements])
    return CircuitBatch(
        table,
        to_chain_order(noisy, measured),
        np.array([measurement.shots for measurement in measurements]),
        tuple(layouts),
        tuple(calibration.restrict(layout) for layout in layouts),
        np.array([layouts.index(measurement.layout) for measurement in measurements]),
    )


def find_calibration(source: CalibrationSource) -> Calibration:
    """Read a calibration from itself, a file, a shipped snapshot's name, or a backend.

    Raises:
        QmendError: if there is none.
    """
    if isinstance(source, Calibration):
        return source
    if isinstance(source, Path) or (isinstance(source, str) and source.endswith(".json")):
        return Calibration.read(Path(source))
    if isinstance(source, str):
        return fake_calibration(source)
    if not hasattr(source, "properties"):
        raise QmendError(
            f"A {type(source).__name__} has no calibration; give a backend of a processor, a "
            "calibration file, or the name of a shipped snapshot such as FakeAlgiers."
        )
    return backend_calibration(source)
