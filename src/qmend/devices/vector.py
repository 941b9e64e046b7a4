"""The 101 calibration values that the paper's models read (arXiv 2601.14226)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qmend.devices.calibration import Calibration
from qmend.types import FloatArray, QmendError

VECTOR_SIZE = 101
CHAIN_LENGTH = 5
#: Directed edges in the paper's order, as chain positions: physical (3,5)(5,3)(2,1)(1,2)
#: (3,2)(2,3)(0,1)(1,0) on the chain 0-1-2-3-5.
EDGE_ORDER: tuple[tuple[int, int], ...] = (
    (3, 4), (4, 3), (2, 1), (1, 2), (3, 2), (2, 3), (0, 1), (1, 0),
)  # fmt: skip
#: Where each block starts and ends.
SLOTS: dict[str, slice] = {
    "one_qubit_error": slice(0, 25),
    "readout": slice(25, 45),
    "two_qubit_error": slice(45, 53),
    "t1_us": slice(53, 58),
    "t2_us": slice(58, 63),
    "frequency_ghz": slice(63, 68),
    "one_qubit_length_ns": slice(68, 88),
    "two_qubit_length_ns": slice(88, 96),
    "reset_length_ns": slice(96, 101),
}


def calibration_vector(
    calibration: Calibration, layout: Sequence[int], two_qubit_gate: str = "cx"
) -> FloatArray:
    """(101,) values in the paper's order, qubits in chain order, raw units.

    0-24 one-qubit errors, qubit-major (id, sx, rz = 0, x, reset = 0); 25-44 readout matrix
    (1-e, e, e, 1-e) of each qubit; 45-52 two-qubit errors in :data:`EDGE_ORDER`; 53-57 T1
    (us); 58-62 T2 (us); 63-67 frequency (GHz); 68-87 one-qubit gate lengths (ns), gate-major
    (id, rz = 0, sx, x); 88-95 two-qubit lengths (ns); 96-100 reset lengths (ns).

    Args:
        calibration: the snapshot.
        layout: five physical qubits.
        two_qubit_gate: the native one.

    Raises:
        QmendError: if the layout has not five qubits, or a value is missing.
    """
    if len(layout) != CHAIN_LENGTH:
        raise QmendError(
            f"The 101-value calibration vector is defined on {CHAIN_LENGTH} qubits, not "
            f"{len(layout)}; choose a layout of five."
        )

    def gate(name: str, field: str, *qubits: int) -> float:
        return calibration.value(calibration.gate(name, qubits), field)

    def qubit(field: str, physical: int) -> float:
        return calibration.value(calibration.qubit(physical), field)

    edges = [(layout[a], layout[b]) for a, b in EDGE_ORDER]
    values: list[float] = []
    for q in layout:
        values += [gate("id", "error", q), gate("sx", "error", q), 0.0]
        values += [gate("x", "error", q), 0.0]
    for q in layout:
        e = qubit("readout_error", q)
        values += [1.0 - e, e, e, 1.0 - e]
    values += [gate(two_qubit_gate, "error", *edge) for edge in edges]
    for field in ("t1_us", "t2_us", "frequency_ghz"):
        values += [qubit(field, q) for q in layout]
    for name in ("id", "rz", "sx", "x"):
        values += [0.0 if name == "rz" else gate(name, "length_ns", q) for q in layout]
    values += [gate(two_qubit_gate, "length_ns", *edge) for edge in edges]
    values += [gate("reset", "length_ns", q) for q in layout]
    return np.array(values)
