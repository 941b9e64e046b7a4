"""How long circuits take on a processor, estimated before they run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qmend.circuits.instructions import InstructionTable
from qmend.devices.calibration import Calibration
from qmend.types import IntArray

#: Of processors that do not report theirs: IBM's usual delay between two shots, in seconds.
DEFAULT_REP_DELAY = 250e-6


def quantum_seconds(
    table: InstructionTable,
    measured: IntArray,
    calibration: Calibration,
    layout: Sequence[int],
    shots: int,
    rep_delay: float,
) -> float:
    """Estimated time of circuits on the processor, without a job's own overhead.

        sum over circuits of shots * (as-soon-as-possible schedule + longest readout + rep_delay)

    with the calibration's gate and readout lengths; lengths that it lacks count as 0.
    """
    readout = {p: (calibration.qubit(p).readout_length_ns or 0.0) for p in layout}
    length = {(g.gate, g.qubits): g.length_ns or 0.0 for g in calibration.gates}
    total = 0.0
    for index in range(len(table)):
        free = dict.fromkeys(layout, 0.0)
        for gate, first, second, _ in table.circuit(index):
            qubits = tuple(layout[k] for k in (first, second) if k >= 0)
            end = max(free[q] for q in qubits) + length.get((gate, qubits), 0.0)
            free.update(dict.fromkeys(qubits, end))
        ends = [free[layout[k]] + readout[layout[k]] for k in measured[index].tolist()]
        total += shots * (max(ends) * 1e-9 + rep_delay)
    return total


def rep_delay(backend: Any) -> float:
    """The default delay between two shots in seconds."""
    delay = getattr(backend, "default_rep_delay", None)
    return float(delay) if delay else DEFAULT_REP_DELAY
