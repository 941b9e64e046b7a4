"""Circuits in a device's own instructions on its physical qubits, and the counts that come back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from qiskit.circuit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.transpiler import Target

from qmend.circuits.instructions import InstructionTable
from qmend.types import IntArray, QmendError

#: The classical register that results are read from.
REGISTER = "c"


def isa_circuits(
    table: InstructionTable, measured: IntArray, layout: Sequence[int], target: Target
) -> list[QuantumCircuit]:
    """Compiled circuits on a device's physical qubits.

    Classical bit ``k`` is source qubit ``k``, read from physical qubit
    ``layout[measured[i, k]]``.

    Raises:
        QmendError: if the device lacks an instruction.
    """
    used: set[tuple[str, tuple[int, ...]]] = set()
    circuits = []
    for index in range(len(table)):
        qubits = QuantumRegister(target.num_qubits, "q")
        circuit = QuantumCircuit(qubits, ClassicalRegister(measured.shape[1], REGISTER))
        for gate, first, second, angle in table.circuit(index):
            at = tuple(layout[k] for k in (first, second) if k >= 0)
            used.add((gate, at))
            getattr(circuit, gate)(*([angle] if gate == "rz" else []), *at)
        for bit, position in enumerate(measured[index].tolist()):
            used.add(("measure", (layout[position],)))
            circuit.measure(layout[position], bit)
        circuits.append(circuit)
    for gate, qubits in sorted(used):
        if not target.instruction_supported(gate, qubits):
            raise QmendError(
                f"The device has no {gate} on qubits {list(qubits)} (any more); choose another "
                "device.layout, and another dataset.name for it."
            )
    return circuits


def outcome_counts(
    result: Any, circuits: int, compilations: int, n_bits: int, shots: int
) -> IntArray:
    """(circuits, 2^n_bits) counts of a sampler's result, bit ``k`` of an index: classical bit k.

    Args:
        compilations: of each circuit, one after the other, whose counts are added up.
        shots: of each compilation.

    Raises:
        QmendError: if the result is not of the shape that was asked for.
    """
    try:
        count = len(result)
    except TypeError:
        raise QmendError(f"the result is no list of circuits but {type(result).__name__}") from None
    if count != circuits * compilations:
        raise QmendError(f"the result holds {count} circuits, not {circuits * compilations}")
    counts = np.zeros((circuits, 2**n_bits), dtype=np.int64)
    for index in range(count):
        bits = getattr(result[index].data, REGISTER, None)
        if bits is None:
            raise QmendError(f"circuit {index} of the result has no register {REGISTER!r}")
        if bits.num_bits != n_bits or bits.shape != ():
            raise QmendError(
                f"circuit {index} of the result has {bits.num_bits} bits, not {n_bits}"
            )
        if bits.num_shots != shots:
            raise QmendError(
                f"circuit {index} of the result has {bits.num_shots} shots, not {shots}"
            )
        for outcome, frequency in bits.get_int_counts().items():
            counts[index // compilations, outcome] += frequency
    return counts
