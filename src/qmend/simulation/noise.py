"""Noise models: from a calibration to the channels of each instruction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from qmend.circuits.instructions import GATE_CODE, GATES, TWO_QUBIT, InstructionTable
from qmend.devices.calibration import Calibration, GateCalibration
from qmend.simulation import channels
from qmend.simulation.program import Program
from qmend.types import QmendError

_H = 1 / np.sqrt(2)
_UNITARY = {
    "id": np.eye(2),
    "x": np.array([[0, 1], [1, 0]]),
    "sx": np.array([[1 + 1j, 1 - 1j], [1 - 1j, 1 + 1j]]) / 2,
    "cx": np.array([[1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0], [0, 1, 0, 0]]),
    "cz": np.diag([1, 1, 1, -1]),
    "ecr": _H * np.array([[0, 1, 0, 1j], [1, 0, -1j, 0], [0, 1j, 0, 1], [-1j, 0, 1, 0]]),
}


def ideal_channel(gate: str) -> Tensor:
    """(4^k, 4^k) of a native gate without noise; not of RZ, which has an angle."""
    return channels.unitary_channel(np.asarray(_UNITARY[gate], dtype=complex))


def gate_error_channel(calibration: Calibration, gate: GateCalibration) -> Tensor:
    """The error that follows a gate in Qiskit Aer's device model.

    Thermal relaxation of its qubits for its length, preceded by a depolarizing channel so
    strong that the average gate error is the reported one (none if relaxation alone exceeds
    it).
    """
    length = calibration.value(gate, "length_ns") * 1e-3
    error = calibration.value(gate, "error")
    parts = []
    for qubit in (calibration.qubit(q) for q in gate.qubits):
        t1, t2 = calibration.value(qubit, "t1_us"), calibration.value(qubit, "t2_us")
        parts.append(channels.thermal_relaxation(t1, t2, length))
    relaxed = parts[0] if len(parts) == 1 else channels.tensor(parts[0], parts[1])
    n = len(parts)
    d = 2**n
    fidelity = float(channels.average_gate_fidelity(relaxed))
    if error <= 1 - fidelity:
        return relaxed
    error = min(error, d / (d + 1))
    p = d * (error - (1 - fidelity)) / (d * fidelity - 1)
    return relaxed @ channels.depolarizing(min(p, 4**n / (4**n - 1)), n)


class DeviceNoise:
    """The noise of one calibration on a chain, as tables of channels (gate followed by error).

    Attributes:
        one: (gates * n, 4, 4) row ``gate * n + qubit``; identity where the gate is absent.
        two: (R2, 16, 16) directed two-qubit gates.
        two_row: (gates, n, n) row of ``two``, -1 where the device has no such gate.
    """

    def __init__(self, calibration: Calibration, layout: Sequence[int]) -> None:
        self.device, self.layout = calibration.device, tuple(layout)
        n = len(self.layout)
        position = {physical: k for k, physical in enumerate(self.layout)}
        self.one = torch.eye(4, dtype=torch.float64).repeat(len(GATES) * n, 1, 1)
        self.has_one = np.zeros((len(GATES), n), dtype=bool)
        self.has_one[GATE_CODE["rz"]] = True
        self.two_row = np.full((len(GATES), n, n), -1, dtype=np.int64)
        two: list[Tensor] = []
        for gate in calibration.gates:
            if gate.gate not in _UNITARY or not all(q in position for q in gate.qubits):
                continue
            name = f"of {gate.gate} on {list(gate.qubits)}"
            channel = gate_error_channel(calibration, gate) @ ideal_channel(gate.gate)
            channels.check_channel(channel, name)
            at = [position[q] for q in gate.qubits]
            if gate.gate in TWO_QUBIT:
                self.two_row[GATE_CODE[gate.gate], at[0], at[1]] = len(two)
                two.append(channel)
            else:
                self.one[GATE_CODE[gate.gate] * n + at[0]] = channel
                self.has_one[GATE_CODE[gate.gate], at[0]] = True
        empty = torch.zeros(0, 16, 16, dtype=torch.float64)
        self.two = torch.stack(two) if two else empty

    def program(self, table: InstructionTable, angles: Tensor | None = None) -> Program:
        """Compiled circuits under this noise.

        Args:
            angles: (K,) in place of the table's, to differentiate by.

        Raises:
            QmendError: if a circuit has a gate that the device lacks.
        """
        n = table.n_qubits
        if n != len(self.layout):
            raise QmendError(
                f"The circuits have {n} qubits but the layout {list(self.layout)} "
                f"{len(self.layout)}; make the two equal."
            )
        is_two = table.second >= 0
        row = table.gate * n + table.first
        row[is_two] = self.two_row[table.gate, table.first, table.second][is_two]
        known = np.where(is_two, row >= 0, self.has_one[table.gate, table.first])
        if not known.all():
            bad = int(np.flatnonzero(~known)[0])
            where = [self.layout[table.first[bad]]]
            where += [self.layout[table.second[bad]]] if is_two[bad] else []
            raise QmendError(
                f"{self.device} has no gate {GATES[table.gate[bad]]!r} on qubits {where}; compile "
                "the circuit for this device and layout."
            )
        turned = table.gate == GATE_CODE["rz"]
        row[turned] = len(self.one) + np.arange(turned.sum())
        angle = torch.from_numpy(table.angle) if angles is None else angles
        rotations = _z_rotations(angle[torch.from_numpy(turned)])
        return Program(
            n,
            table.offsets,
            table.first,
            table.second,
            row,
            torch.cat([self.one, rotations]),
            self.two,
        )


def _z_rotations(angle: Tensor) -> Tensor:
    """(K, 4, 4) RZ of many angles: what ``channels.rotation("Z", angle)`` gives, faster."""
    cosine, sine = torch.cos(angle), torch.sin(angle)
    matrices = torch.zeros(len(angle), 4, 4, dtype=torch.float64)
    matrices[:, 0, 0] = matrices[:, 3, 3] = 1.0
    matrices[:, 1, 1] = matrices[:, 2, 2] = cosine
    matrices[:, 1, 2], matrices[:, 2, 1] = -sine, sine
    return matrices
