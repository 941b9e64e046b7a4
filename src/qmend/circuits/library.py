"""Qiskit's own gates, told from others of the same name."""

from __future__ import annotations

from functools import cache

import numpy as np
from qiskit.circuit import Operation, QuantumCircuit
from qiskit.circuit.library import get_standard_gate_name_mapping
from qiskit.exceptions import QiskitError
from qiskit.quantum_info import Operator

from qmend.types import QmendError

#: Two gates are one if no entry of their matrices differs by more, up to a phase.
_SAME = 1e-10


def library_gate(operation: Operation, name: str) -> Operation | None:
    """Return Qiskit's gate of a name if an operation does the same up to a phase, else None."""
    standard = _library().get(name)
    if standard is None or (standard.num_qubits, len(standard.params)) != (
        operation.num_qubits,
        len(operation.params),
    ):
        return None
    gate = standard.base_class(*operation.params)
    try:
        matrix, expected = Operator(operation).data, Operator(gate).data
    except QiskitError:  # opaque
        return None
    phase = np.vdot(expected, matrix) / len(matrix)
    return gate if np.abs(matrix - phase * expected).max() <= _SAME else None


def check_names(circuit: QuantumCircuit) -> None:
    """Refuse a gate that is defined otherwise than Qiskit's gate of its name.

    Compilers take gates by their names.

    Raises:
        QmendError: naming the gate. The sentence begins with "its".
    """
    pending = [item.operation for item in circuit.data]
    while pending:
        operation = pending.pop()
        if operation.base_class.__module__.startswith("qiskit.circuit.library"):
            continue
        definition = getattr(operation, "definition", None)
        if definition is None:
            continue
        if operation.name in _library() and library_gate(operation, operation.name) is None:
            raise QmendError(
                f"its gate {operation.name!r} is defined otherwise than Qiskit's gate of that "
                "name; give it another name"
            )
        pending += [item.operation for item in definition.data]


@cache
def _library() -> dict[str, Operation]:
    names: dict[str, Operation] = get_standard_gate_name_mapping()
    return names
