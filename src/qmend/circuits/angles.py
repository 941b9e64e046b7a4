"""The grids that angles are rounded to, before anything is computed from them.

Angles of source circuits are multiples of 2 pi / 2^32 (1.5e-9 rad), those of compiled circuits of
2 pi / 2^40 (5.7e-12 rad). Compilation halves, adds and shifts angles by quarter turns: what it
makes of the coarse grid lies on the fine one but for rounding errors, which the second rounding
removes, whatever they were on a processor. Multiples of pi / 2 lie on both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from qmend.types import FloatArray, QmendError

if TYPE_CHECKING:  # Qiskit takes seconds to import
    from qiskit.circuit import Operation, QuantumCircuit

#: Steps in a full turn: of angles in source circuits, and in compiled ones.
SOURCE_TURN = 2**32
TURN = 2**40


def to_steps(angle: float) -> int:
    """Round an angle in radians to a number of steps of the compiled circuits' grid.

    Raises:
        QmendError: if it is not finite.
    """
    if not abs(angle) < np.inf:
        raise QmendError(f"An angle is {angle}; give a finite one.")
    return round(angle / (2 * np.pi / TURN))


def from_steps(steps: int) -> float:
    """Angle in radians of a number of steps, in -pi < angle <= pi."""
    steps %= TURN
    return (steps - TURN if steps > TURN // 2 else steps) * (2 * np.pi / TURN)


def round_compiled(angles: Any) -> FloatArray:
    """Round angles of compiled circuits to their grid, without a shift by full turns."""
    return _round(angles, TURN)


def round_source(angles: Any) -> FloatArray:
    """Round angles of source circuits to their grid, without a shift by full turns."""
    return _round(angles, SOURCE_TURN)


def _round(angles: Any, turn: int) -> FloatArray:
    step = 2 * np.pi / turn
    rounded: FloatArray = np.rint(np.asarray(angles, dtype=np.float64) / step) * step
    return rounded


def round_circuit(circuit: QuantumCircuit) -> QuantumCircuit:
    """Copy a source circuit with the angles of its gates rounded.

    A gate that is not Qiskit's is rounded in its definition. Delays keep their duration.
    """
    rounded = circuit.copy_empty_like()
    for item in circuit.data:
        rounded.append(_round_operation(item.operation), item.qubits, item.clbits, copy=False)
    return rounded


def _round_operation(operation: Operation) -> Operation:
    from qiskit.circuit import Gate

    numbers = [float(p) for p in operation.params if isinstance(p, (int, float))]
    if not numbers or len(numbers) < len(operation.params) or operation.name == "delay":
        numbers = []
    if isinstance(operation, Gate) and not operation.base_class.__module__.startswith(
        "qiskit.circuit.library"
    ):
        if operation.definition is None:
            return operation
        own = Gate(operation.name, operation.num_qubits, numbers)
        own.definition = round_circuit(operation.definition)
        return own
    if numbers:
        operation = operation.to_mutable()
        operation.params = round_source(numbers).tolist()
    return operation
