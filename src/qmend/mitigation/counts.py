"""Mitigators for counts of Qiskit circuits, as a notebook uses them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias, overload

from qiskit.circuit import QuantumCircuit
from qiskit.primitives import BitArray

from qmend.circuits.instructions import InstructionTable
from qmend.circuits.references import known_ideal, reference_circuits
from qmend.datasets.circuits import CircuitBatch
from qmend.devices.calibration import Calibration
from qmend.devices.providers import backend_calibration, fake_calibration
from qmend.mitigation.base import KnownCircuits, Mitigator, MultiCircuitMitigator
from qmend.mitigation.measurement import Measurement, as_batch, place_circuit
from qmend.mitigation.mitigated_counts import MitigatedCounts
from qmend.mitigation.outcomes import Counts
from qmend.types import FloatArray, QmendError

#: A calibration, a file of one, the name of a class in ``qiskit_ibm_runtime.fake_provider``, or a
#: backend.
CalibrationSource: TypeAlias = Any
#: Counts and circuit.
Reference: TypeAlias = tuple[Counts, QuantumCircuit]


class CountsMitigator:
    """A mitigator for counts of Qiskit circuits.

    :meth:`mitigate` takes the counts of mitigators that need no further circuits. Any other is
    used as in mitiq: run the circuits of :meth:`construct_circuits`, then :meth:`combine_results`.

    Args:
        mitigator: fitted.
        provenance: details of its training, such as the id of its run.
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
        references: Sequence[Reference] = (),
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
        references: Sequence[Reference] = (),
    ) -> list[MitigatedCounts]: ...

    def mitigate(
        self,
        counts: Counts | Sequence[Counts],
        circuit: QuantumCircuit | Sequence[QuantumCircuit],
        calibration: CalibrationSource,
        *,
        layout: Sequence[int] | None = None,
        shots: int | None = None,
        references: Sequence[Reference] = (),
    ) -> MitigatedCounts | list[MitigatedCounts]:
        """Mitigate the counts of one circuit, or of a list.

        A circuit in native gates on the device's own qubits is taken as it ran. Any other is
        compiled here: its gates are an estimate of those that ran.

        Args:
            counts: of each circuit, see :data:`Counts`.
            circuit: with its measurements, at the end.
            calibration: of the device at the time, see :data:`CalibrationSource`.
            layout: physical qubits that circuits are compiled to; None: those of lowest error.
            shots: behind probabilities.
            references: counts and circuits of the same job whose ideal is known, as those of
                :func:`qmend.construct_references`. They tell a network with
                ``model.encoding=device_paths`` of the device.

        Returns:
            One result for one circuit, a list for a list, in the circuits' own bit order.

        Raises:
            QmendError: naming the circuit that can't be taken, and why; or if the mitigator needs
                further circuits, or takes no references.
        """
        single = isinstance(circuit, QuantumCircuit)
        circuits = [circuit] if isinstance(circuit, QuantumCircuit) else list(circuit)
        snapshot = find_calibration(calibration)
        measurements = _measurements(
            [counts] if single else counts, circuits, snapshot, layout, shots
        )
        known = _known(references, snapshot, shots)
        mitigated: dict[int, tuple[FloatArray, str]] = {}
        for members in _by_size(measurements):
            batch = as_batch([measurements[k] for k in members], snapshot)
            if known:
                batch = self.mitigator.with_references(batch, known)
            mitigated |= dict(zip(members, self._mitigate(batch), strict=True))
        results = [MitigatedCounts.of(m, *mitigated[k]) for k, m in enumerate(measurements)]
        return results[0] if single else results

    def construct_circuits(
        self,
        circuit: QuantumCircuit,
        calibration: CalibrationSource,
        *,
        layout: Sequence[int] | None = None,
    ) -> list[QuantumCircuit]:
        """Construct the circuits to run: the circuit first, then the further ones.

        All are in native gates on the device's own qubits, measured into the same classical bits.
        Run them as they are, with as many shots each: a transpiler would cancel folded gates. The
        first is the circuit itself if it is in native gates on the device's own qubits, else it is
        compiled.

        Args:
            circuit: with its measurements, at the end.
            calibration: of the device, see :data:`CalibrationSource`.
            layout: physical qubits that the circuit is compiled to; None: those of lowest error.

        Raises:
            QmendError: if the circuit can't be taken.
        """
        snapshot = find_calibration(calibration)
        n_qubits = 1 + max(qubit.qubit for qubit in snapshot.qubits)
        try:
            placed = place_circuit(circuit, snapshot, layout)
            if placed.compiled:
                circuit = placed.on_device(placed.instructions, n_qubits)
                placed = place_circuit(circuit, snapshot, None)
        except QmendError as error:
            raise _about(circuit, 0, error) from None
        further = self._further(as_batch([Measurement.uniform(placed)], snapshot))
        gates = [further.circuit(k) for k in range(len(further))]
        return [circuit, *(placed.on_device(instructions, n_qubits) for instructions in gates)]

    def combine_results(
        self,
        counts: Sequence[Counts],
        circuits: Sequence[QuantumCircuit],
        calibration: CalibrationSource,
        *,
        shots: int | None = None,
    ) -> MitigatedCounts:
        """Mitigate a circuit's counts with those of its further circuits.

        Args:
            counts: of each circuit, see :data:`Counts`.
            circuits: as :meth:`construct_circuits` returned them.
            calibration: of the device at the time, see :data:`CalibrationSource`.
            shots: behind probabilities.

        Returns:
            The result for the first circuit, in its own bit order.

        Raises:
            QmendError: if a circuit is missing or another one, or can't be taken.
        """
        snapshot = find_calibration(calibration)
        measurements = _measurements(counts, circuits, snapshot, None, shots)
        if not measurements:
            raise QmendError("There are no circuits; give those of construct_circuits.")
        batch = as_batch(measurements[:1], snapshot)
        further = self._further(batch)
        if len(measurements) != 1 + len(further):
            raise QmendError(
                f"{self.mitigator.name} combines the counts of {1 + len(further)} circuits, not of "
                f"{len(measurements)}; run all circuits of construct_circuits."
            )
        for number, measurement in enumerate(measurements[1:]):
            circuit = measurement.circuit
            same_chain = circuit.layout == measurements[0].circuit.layout
            if not same_chain or circuit.instructions != further.circuit(number):
                raise QmendError(
                    f"Circuit {1 + number} is not the one that construct_circuits makes of the "
                    "first; run its circuits as they are, without a transpiler."
                )
        if isinstance(self.mitigator, MultiCircuitMitigator):
            results = as_batch(measurements[1:], snapshot).noisy  # (k, 2^m)
            mitigated = self.mitigator.combine_results(batch, results[None])
            return MitigatedCounts.of(measurements[0], mitigated[0])
        return MitigatedCounts.of(measurements[0], *self._mitigate(batch)[0])

    def _mitigate(self, batch: CircuitBatch) -> list[tuple[FloatArray, str]]:
        """Mitigate circuits; with each distribution, why a guard abstained."""
        if not self.mitigator.abstains:
            return [(row, "") for row in self.mitigator.mitigate(batch)]
        from qmend.mitigation.learned import GuardedMitigator  # imports torch

        assert isinstance(self.mitigator, GuardedMitigator)
        judged, most = self.mitigator.judge(batch), self.mitigator.guard.threshold
        return [
            (mitigated, "")
            if applied
            else (
                noisy,
                f"The guard expects harm with probability {harm:.3f}, above {most:.3f}: the "
                "distribution is the measured one.",
            )
            for mitigated, noisy, applied, harm in zip(
                judged.mitigated, batch.noisy, judged.applied, judged.harm, strict=True
            )
        ]

    def _further(self, batch: CircuitBatch) -> InstructionTable:
        """Return the further circuits of a batch; none for most mitigators."""
        if isinstance(self.mitigator, MultiCircuitMitigator):
            return self.mitigator.construct_circuits(batch)
        return InstructionTable.from_circuits(batch.n_qubits, [])


def construct_references(
    circuit: QuantumCircuit, count: int, seed: int = 0
) -> list[QuantumCircuit]:
    """Construct different references of a compiled circuit, to be run in its job.

    They are the circuit but for the angles of its RZ, see :mod:`qmend.circuits.references`. Run
    them as they are, without a transpiler, which would merge gates.

    Args:
        circuit: in native gates, with its measurements at the end.
        count: of the references, those that tell most first.

    Raises:
        QmendError: if the circuit can't be taken, or has fewer references.
    """
    try:
        return reference_circuits(circuit, count, seed)
    except QmendError as error:
        raise _about(circuit, 0, error) from None


def _by_size(measurements: Sequence[Measurement]) -> list[list[int]]:
    """Group numbers of measurements with as many qubits and measured bits."""
    sizes = [(len(m.circuit.layout), len(m.circuit.measured)) for m in measurements]
    return [[k for k, own in enumerate(sizes) if own == size] for size in sorted(set(sizes))]


def _known(
    references: Sequence[Reference], calibration: Calibration, shots: int | None
) -> list[KnownCircuits]:
    """Compute the ideals of references.

    Raises:
        QmendError: naming the reference that can't be taken, and why.
    """
    counts, circuits = [counts for counts, _ in references], [circuit for _, circuit in references]
    try:
        measurements = _measurements(counts, circuits, calibration, None, shots)
    except QmendError as error:
        raise QmendError(f"Of the references: {error}") from None
    known = []
    for members in _by_size(measurements):
        for k in members:
            if measurements[k].circuit.compiled:
                raise QmendError(
                    f"Reference {k} is not in native gates on the device's own qubits; give it as "
                    "it ran."
                )
        batch = as_batch([measurements[k] for k in members], calibration)
        try:
            ideal = known_ideal(batch.instructions, batch.measured)
        except QmendError as error:
            raise QmendError(f"Of the references, {error}.") from None
        known.append(KnownCircuits(batch, ideal))
    return known


def _measurements(
    counts: Any,
    circuits: Sequence[QuantumCircuit],
    calibration: Calibration,
    layout: Sequence[int] | None,
    shots: int | None,
) -> list[Measurement]:
    """Place circuits on the device and read their outcomes.

    Raises:
        QmendError: naming the circuit that can't be taken, and why.
    """
    if isinstance(counts, Mapping | BitArray):  # Qiskit gives a job's counts so if it is of one
        counts = [counts]
    if len(counts) != len(circuits):
        raise QmendError(
            f"There are {len(circuits)} circuits and the counts of {len(counts)}; give the counts "
            "of each, in the order of the circuits."
        )
    measurements: list[Measurement] = []
    for number, (outcomes, circuit) in enumerate(zip(counts, circuits, strict=True)):
        try:
            placed = place_circuit(circuit, calibration, layout)
            measurements.append(Measurement.of(placed, outcomes, shots))
        except QmendError as error:
            raise _about(circuit, number, error) from None
    return measurements


def _about(circuit: QuantumCircuit, number: int, error: QmendError) -> QmendError:
    return QmendError(f"Circuit {number} ({circuit.name}): {str(error).rstrip('.')}.")


def find_calibration(source: CalibrationSource) -> Calibration:
    """Read a calibration from a file, a shipped snapshot's name or a backend.

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
