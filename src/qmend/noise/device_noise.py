"""Noise models: from a calibration to the channels of each instruction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from qmend.circuits.instructions import InstructionTable
from qmend.circuits.statevector import UNITARIES
from qmend.devices.calibration import Calibration, GateCalibration, QubitCalibration
from qmend.gates import GATE_CODE, GATES
from qmend.noise.base import Noise
from qmend.noise.readout import readout_matrices
from qmend.simulation import channels
from qmend.simulation.program import Program
from qmend.types import FloatArray, IntArray, QmendError


def ideal_channel(gate: str) -> Tensor:
    """(4^k, 4^k) of a native gate without noise; not of RZ, which has an angle.

    Native gates are Clifford gates: they take a Pauli string to plus or minus another.
    """
    return channels.unitary_channel(UNITARIES[gate]).round()


@dataclass(frozen=True)
class NoiseParameters:
    """The numbers of a calibration that make Aer's device model, on one chain.

    All are float64 tensors; any of them may carry gradients.

    Attributes:
        t1, t2: (n,) us.
        excited: (n,) population of \\|1> to which a qubit relaxes.
        gate, first, second: (G,) code and chain positions of each native gate, second -1 for one
            qubit; constants.
        error: (G,) average gate error.
        length: (G,) us.
        flip_up, flip_down: (n,) readout's P(1|0) and P(0|1).
    """

    t1: Tensor
    t2: Tensor
    excited: Tensor
    gate: IntArray
    first: IntArray
    second: IntArray
    error: Tensor
    length: Tensor
    flip_up: Tensor
    flip_down: Tensor

    @staticmethod
    def of(calibration: Calibration, layout: Sequence[int]) -> NoiseParameters:
        """Read a snapshot's values; readout error is symmetric, as in Aer's device model.

        Raises:
            QmendError: if a value is missing.
        """
        qubits = [calibration.qubit(q) for q in layout]
        position = {physical: k for k, physical in enumerate(layout)}
        gates = [
            g
            for g in calibration.gates
            if g.gate in UNITARIES and all(q in position for q in g.qubits)
        ]

        def values(items: Sequence[QubitCalibration | GateCalibration], field: str) -> Tensor:
            return torch.tensor(
                [calibration.value(item, field) for item in items], dtype=torch.float64
            )

        at = [[position[q] for q in g.qubits] for g in gates]
        flips = [q.readout_error for q in qubits]
        readout = torch.tensor([np.nan if e is None else e for e in flips], dtype=torch.float64)
        return NoiseParameters(
            t1=values(qubits, "t1_us"),
            t2=values(qubits, "t2_us"),
            excited=torch.zeros(len(qubits), dtype=torch.float64),
            gate=np.array([GATE_CODE[g.gate] for g in gates], dtype=np.int64),
            first=np.array([p[0] for p in at], dtype=np.int64),
            second=np.array([p[1] if len(p) == 2 else -1 for p in at], dtype=np.int64),
            error=values(gates, "error"),
            length=values(gates, "length_ns") * 1e-3,
            flip_up=readout,
            flip_down=readout,
        )

    @property
    def native_pairs(self) -> list[tuple[int, int]]:
        """Chain positions of two-qubit gates in the device's own direction, the shorter."""
        gates = zip(self.first.tolist(), self.second.tolist(), self.length.tolist(), strict=True)
        lengths = {(a, b): length for a, b, length in gates if b >= 0}
        return [p for p in lengths if lengths[p] <= lengths.get(p[::-1], np.inf)]


def gate_error_channels(parameters: NoiseParameters, gates: IntArray) -> Tensor:
    """(len(gates), 4^k, 4^k) errors that follow gates in Qiskit Aer's device model.

    Thermal relaxation of a gate's qubits for its length, preceded by a depolarizing channel so
    strong that the average gate error is the reported one (none if relaxation alone exceeds
    it).

    Args:
        gates: which of the parameters' gates, all on one qubit or all on two.
    """
    rows = torch.from_numpy(gates)
    length, error = parameters.length[rows], parameters.error[rows]
    parts = []
    two = len(gates) > 0 and parameters.second[gates[0]] >= 0
    for at in (parameters.first, parameters.second)[: 1 + two]:
        qubit = torch.from_numpy(at[gates])
        parts.append(
            channels.thermal_relaxation(
                parameters.t1[qubit], parameters.t2[qubit], length, parameters.excited[qubit]
            )
        )
    relaxed = channels.tensor(parts[0], parts[1]) if two else parts[0]
    n = len(parts)
    d = 2**n
    fidelity = channels.average_gate_fidelity(relaxed)
    capped = torch.clamp(error, max=d / (d + 1))
    p = d * (capped - (1 - fidelity)) / (d * fidelity - 1)
    p = torch.clamp(torch.where(error <= 1 - fidelity, 0.0, p), max=4**n / (4**n - 1))
    return relaxed @ channels.depolarizing(p, n)


class DeviceNoise(Noise):
    """The noise of one calibration on a chain, as tables of channels (gate followed by error).

    Args:
        calibration: the snapshot.
        layout: physical qubits of the chain.
        parameters: in place of the snapshot's own values, to change or differentiate them.

    Attributes:
        one: (gates * n, 4, 4) row ``gate * n + qubit``; identity where the gate is absent.
        two: (R2, 16, 16) directed two-qubit gates, in the order of the calibration.
        two_row: (gates, n, n) row of ``two``, -1 where the device has no such gate.
    """

    def __init__(
        self,
        calibration: Calibration,
        layout: Sequence[int],
        parameters: NoiseParameters | None = None,
    ) -> None:
        self.calibration, self.layout = calibration, tuple(layout)
        self.parameters = parameters or NoiseParameters.of(calibration, layout)
        gate, first, second = (getattr(self.parameters, k) for k in ("gate", "first", "second"))
        n = len(self.layout)
        self.has_one = np.zeros((len(GATES), n), dtype=bool)
        self.has_one[GATE_CODE["rz"]] = True
        self.two_row = np.full((len(GATES), n, n), -1, dtype=np.int64)
        is_two = second >= 0
        single, pair = np.flatnonzero(~is_two), np.flatnonzero(is_two)
        self.has_one[gate[single], first[single]] = True
        self.two_row[gate[pair], first[pair], second[pair]] = np.arange(len(pair))

    @cached_property
    def one(self) -> Tensor:
        single, n = np.flatnonzero(self.parameters.second < 0), len(self.layout)
        identities = torch.eye(4, dtype=torch.float64).repeat(len(GATES) * n, 1, 1)
        if not len(single):
            return identities
        rows = self.parameters.gate[single] * n + self.parameters.first[single]
        return identities.index_copy(0, torch.from_numpy(rows), self._noisy(single))

    @cached_property
    def two(self) -> Tensor:
        pair = np.flatnonzero(self.parameters.second >= 0)
        return self._noisy(pair) if len(pair) else torch.zeros(0, 16, 16, dtype=torch.float64)

    def _noisy(self, gates: IntArray) -> Tensor:
        """(len(gates), 4^k, 4^k) some of the parameters' gates, each followed by its error."""
        codes = self.parameters.gate[gates]
        ideal = torch.stack([ideal_channel(GATES[code]) for code in codes])
        noisy = gate_error_channels(self.parameters, gates) @ ideal
        for kind in np.unique(codes):
            channels.check_channel(noisy[torch.from_numpy(codes == kind)], f"of {GATES[kind]}")
        return noisy

    @property
    def gates(self) -> DeviceNoise:
        return self

    @cached_property
    def readout(self) -> FloatArray:
        """(n, 2, 2) matrices of the calibration, see :func:`readout_matrices`.

        Raises:
            QmendError: if a qubit's readout error is missing.
        """
        return readout_matrices(self.calibration, self.layout)

    def program(self, table: InstructionTable, job: int = 0) -> Program:
        """Give circuits the channels of this noise, the same in every job.

        Raises:
            QmendError: if a circuit has a gate that the device lacks.
        """
        row = self.rows(table)
        turned = table.gate == GATE_CODE["rz"]
        row[turned] = len(self.one) + np.arange(turned.sum())
        rotations = z_rotations(torch.from_numpy(table.angle[turned]))
        return Program(
            table.n_qubits,
            table.offsets,
            table.first,
            table.second,
            row,
            torch.cat([self.one, rotations]),
            self.two,
        )

    def rows(self, table: InstructionTable) -> IntArray:
        """(K,) row of ``one`` or ``two`` of each instruction; that of an RZ has no meaning.

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
        available = np.where(is_two, row >= 0, self.has_one[table.gate, table.first])
        if not available.all():
            bad = int(np.flatnonzero(~available)[0])
            where = [self.layout[table.first[bad]]]
            where += [self.layout[table.second[bad]]] if is_two[bad] else []
            raise QmendError(
                f"{self.calibration.device} has no gate {GATES[table.gate[bad]]!r} on qubits "
                f"{where}; compile the circuit for this device and layout."
            )
        return row


def z_rotations(angle: Tensor) -> Tensor:
    """(K, 4, 4) RZ of many angles: what ``channels.rotation("Z", angle)`` gives, faster."""
    cosine, sine = channels.cos_sin(angle)
    matrices = torch.zeros(len(angle), 4, 4, dtype=torch.float64)
    matrices[:, 0, 0] = matrices[:, 3, 3] = 1.0
    matrices[:, 1, 1] = matrices[:, 2, 2] = cosine
    matrices[:, 1, 2], matrices[:, 2, 1] = -sine, sine
    return matrices
