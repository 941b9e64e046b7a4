"""Write references of a circuit as files that can be run in its job."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from qiskit import qasm2, qasm3
from qiskit.circuit import QuantumCircuit

from qmend.circuits.instructions import InstructionTable
from qmend.circuits.measured import MeasuredCircuit, measured_circuit, native_instructions
from qmend.circuits.references import known_ideal, reference_circuits
from qmend.circuits.statevector import to_bit_order
from qmend.files import check_writable, write_text
from qmend.gates import GATES
from qmend.importing.openqasm import parse_openqasm, plain_names, read_openqasm
from qmend.types import FloatArray, QmendError
from qmend.walsh import walsh_hadamard
from qmend.workflows.configs import ReferencesCommandConfig

#: Records of all references, without the counts.
RECORDS = "references.jsonl"
#: A known parity is +1 or -1.
_KNOWN = 0.5


@dataclass(frozen=True)
class WrittenReferences:
    """References of one circuit in a directory.

    Attributes:
        known: of each reference, parities of its measured bits that are not 0.
        parities: of all measured bits.
    """

    folder: Path
    known: list[int]
    parities: int


def write_references(config: ReferencesCommandConfig) -> WrittenReferences:
    """Write references of a compiled circuit, and their ideals as records to be imported.

    ``reference_K.qasm`` is in the language of the circuit. The records are those of
    ``qmend data import`` but for device and counts, which are known after the run.

    Args:
        config: composed by ``compose("references", ...)``.

    Raises:
        QmendError: if the circuit can't be read, is not compiled, or has too few references.
    """
    path = config.circuit
    folder = config.output or path.with_name(f"{path.stem}_references")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text in UTF-8"
        raise QmendError(f"{path} can't be read ({reason}); give a file of OpenQASM.") from None
    try:
        source = read_openqasm(text)
        with plain_names():
            circuits = reference_circuits(
                parse_openqasm(text), config.references.count, config.references.seed
            )
    except QmendError as error:
        raise QmendError(f"{path}: {str(error).rstrip('.')}.") from None
    ideal = _ideals(circuits)
    check_writable(folder / RECORDS)
    records = []
    for number, (circuit, distribution) in enumerate(zip(circuits, ideal, strict=True)):
        program = _program(circuit, source)
        write_text(folder / f"reference_{number}.qasm", program)
        record = {
            "id": f"reference_{number}",
            "qasm": program,
            "circuit_stage": "executed",
            "family": "reference",
            "variant": path.stem,
            "ideal": _by_bitstring(source, distribution),
        }
        records.append(json.dumps(record) + "\n")
    write_text(folder / RECORDS, "".join(records))
    known = (np.abs(walsh_hadamard(ideal)) > _KNOWN).sum(axis=1) - 1
    return WrittenReferences(folder, known.tolist(), ideal.shape[1] - 1)


def _ideals(circuits: Sequence[QuantumCircuit]) -> FloatArray:
    """(N, 2^m) ideal distributions, bit k of an outcome: the k-th measured classical bit."""
    sources = [measured_circuit(circuit) for circuit in circuits]
    instructions = [native_instructions(source, GATES) for source in sources]
    table = InstructionTable.from_circuits(sources[0].n_qubits, instructions)
    measured = np.array([source.measured for source in sources])
    return to_bit_order(known_ideal(table, measured), measured)


def _program(circuit: QuantumCircuit, source: MeasuredCircuit) -> str:
    """Write OpenQASM 3 where qubits are the device's own, which 2 can't say."""
    return str(qasm3.dumps(circuit) if source.physical else qasm2.dumps(circuit))


def _by_bitstring(source: MeasuredCircuit, distribution: FloatArray) -> dict[str, float]:
    """Map outcomes of all classical bits to their probabilities, if not 0."""
    outcomes = np.flatnonzero(distribution).tolist()
    whole = [sum((o >> k & 1) << bit for k, bit in enumerate(source.clbits)) for o in outcomes]
    return {
        format(bits, f"0{source.n_clbits}b"): float(distribution[o])
        for bits, o in zip(whole, outcomes, strict=True)
    }
