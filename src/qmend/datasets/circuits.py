"""A batch of executed circuits with their calibrations, the input of every mitigator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from qmend.circuits.instructions import InstructionTable
from qmend.devices.calibration import Calibration
from qmend.devices.imputation import MeanCalibration, lacking_values
from qmend.gates import GATE_CODE, GATES
from qmend.noise.readout import readout_matrices
from qmend.types import AnyArray, FloatArray, IntArray, QmendError

#: A distribution whose sum is further than this from 1 is refused.
NORMALISATION_TOLERANCE = 1e-6


@dataclass(frozen=True)
class CircuitBatch:
    """Executed circuits on n qubits, of which each measures m.

    Distributions are in chain order: bit ``k`` of an index is the k-th of the measured positions.

    Attributes:
        instructions: the compiled circuits.
        noisy: (N, 2^m) measured frequencies.
        shots: (N,) shots behind each row of ``noisy``.
        layouts: physical qubits of the chain that belongs to each of ``calibrations``.
        calibrations: the snapshots in use, one for each chain where several share one.
        calibration_index: (N,) which of ``calibrations`` each circuit ran under.
        measured: (N, m) chain position behind each classical bit.
        executed: (N,) whether a circuit has the gates that ran, not those that were submitted;
            None: all have.
        filled: (N, 3) whether means stand in for values of gates, waits and readout, see
            :func:`missing_sources`; None: none do.
        numbers: (N, 9) of the device, from references; None: there are none.
        gains: (N,) mean logarithm of the factor on the L1 error by which a network changed the
            references; None: there are none.
    """

    instructions: InstructionTable
    noisy: FloatArray
    shots: IntArray
    layouts: tuple[tuple[int, ...], ...]
    calibrations: tuple[Calibration, ...]
    calibration_index: IntArray
    measured: IntArray
    executed: AnyArray | None = None
    filled: AnyArray | None = None
    numbers: FloatArray | None = None
    gains: FloatArray | None = None

    def __post_init__(self) -> None:
        n = self.instructions.n_qubits
        m = self.measured.shape[1]
        if self.noisy.shape != (len(self.instructions), 2**m):
            raise QmendError(
                f"The noisy distributions have shape {self.noisy.shape}, but {len(self)} circuits "
                f"that measure {m} qubits need ({len(self)}, {2**m}); check the length of the "
                "bitstrings."
            )
        if len(self.layouts) != len(self.calibrations):
            raise QmendError(
                f"{len(self.calibrations)} calibrations need as many layouts, not "
                f"{len(self.layouts)}; give each its own."
            )
        for layout in self.layouts:
            if len(layout) != n:
                raise QmendError(
                    f"The layout {list(layout)} names {len(layout)} qubits, the circuits have "
                    f"{n}; give one physical qubit for each."
                )
        check_distributions(self.noisy, "noisy")

    def __len__(self) -> int:
        return len(self.instructions)

    @property
    def n_qubits(self) -> int:
        return self.instructions.n_qubits

    @property
    def n_measured(self) -> int:
        """m, the qubits that each circuit measures."""
        return int(self.measured.shape[1])

    @property
    def positions(self) -> IntArray:
        """(N, m) measured chain positions, ascending: those of the bits of an index."""
        return np.sort(self.measured, axis=1)

    @property
    def chains(self) -> list[tuple[Calibration, tuple[int, ...]]]:
        """Each calibration with its layout."""
        return list(zip(self.calibrations, self.layouts, strict=True))

    def select(self, index: IntArray) -> CircuitBatch:
        """Select circuits by ``index``, in that order."""
        return CircuitBatch(
            self.instructions.select(index),
            self.noisy[index],
            self.shots[index],
            self.layouts,
            self.calibrations,
            self.calibration_index[index],
            self.measured[index],
            None if self.executed is None else self.executed[index],
            None if self.filled is None else self.filled[index],
            None if self.numbers is None else self.numbers[index],
            None if self.gains is None else self.gains[index],
        )


@dataclass(frozen=True)
class Filled:
    """Circuits whose missing calibration values were set, and how many that were.

    Attributes:
        rows: circuits whose calibration lacked something.
        values: missing values that were set, each once a calibration.
    """

    circuits: CircuitBatch
    rows: int
    values: int


def fill_missing(batch: CircuitBatch, mean: MeanCalibration) -> Filled:
    """Put mean values where calibrations have none.

    For imported data only, and with the mean values of the model that is asked: everywhere
    else a missing value is an error.
    """
    filled = [mean.fill(calibration) for calibration in batch.calibrations]
    counts = np.array([count for _, count in filled], dtype=np.int64)
    used = np.unique(batch.calibration_index)
    missing = np.zeros((len(batch), 3), dtype=bool) if batch.filled is None else batch.filled.copy()
    for k in used.tolist():
        rows = np.flatnonzero(batch.calibration_index == k)
        table, measured = batch.instructions.select(rows), batch.measured[rows]
        missing[rows] |= missing_sources(table, batch.calibrations[k], batch.layouts[k], measured)
    return Filled(
        replace(
            batch, calibrations=tuple(calibration for calibration, _ in filled), filled=missing
        ),
        int((counts[batch.calibration_index] > 0).sum()),
        int(counts[used].sum()),
    )


def missing_sources(
    table: InstructionTable, calibration: Calibration, layout: Sequence[int], measured: IntArray
) -> AnyArray:
    """(N, 3) whether a calibration lacks values of each circuit's gates, waits and readout.

    Gates miss an error of a gate in use, waits a length of one or a T1 or T2 of the chain, readout
    that of a measured qubit.

    Args:
        layout: physical qubits of the chain.
        measured: (N, m) chain positions of each circuit's measured qubits.
    """
    qubits = [calibration.qubit(q) for q in layout]
    position = {physical: k for k, physical in enumerate(layout)}
    shape = (len(GATES), table.n_qubits, table.n_qubits + 1)
    # Position -1, no second qubit, is the last column.
    lacks = np.zeros((2, *shape), dtype=bool)
    for gate in calibration.gates:
        if gate.gate in GATE_CODE and all(q in position for q in gate.qubits):
            first, second = [*(position[q] for q in gate.qubits), -1][:2]
            place = (GATE_CODE[gate.gate], first, second)
            lacks[(slice(None), *place)] = gate.error is None, gate.length_ns is None
    used = lacks[:, table.gate, table.first, table.second]
    missing = np.zeros((len(table), 3), dtype=bool)
    for source in (0, 1):
        np.logical_or.at(missing[:, source], table.circuit_index, used[source])
    missing[:, 1] |= any(q.t1_us is None or q.t2_us is None for q in qubits)
    missing[:, 2] = np.array([q.readout_error is None for q in qubits])[measured].any(axis=1)
    return missing


def missing_values(batch: CircuitBatch) -> set[str]:
    """List values of the circuits' chains and gates that some calibration lacks.

    They are named as in :class:`qmend.devices.imputation.MeanCalibration`.
    """
    gates = {GATES[code] for code in np.unique(batch.instructions.gate)}
    names: set[str] = set()
    for k in np.unique(batch.calibration_index):
        part = batch.calibrations[k].restrict(batch.layouts[k])
        in_use = tuple(gate for gate in part.gates if gate.gate in gates)
        names.update(lacking_values(part.model_copy(update={"gates": in_use})))
    return names


def check_distributions(probabilities: FloatArray, name: str) -> None:
    """Refuse values that are no probability distribution.

    Raises:
        QmendError: naming the first row that is not finite, negative or not normalised.
    """
    for fails, what in (
        (~np.isfinite(probabilities), "is not finite"),
        (probabilities < 0, "is negative"),
    ):
        if fails.any():
            row, column = np.argwhere(fails)[0]
            raise QmendError(
                f"The {name} distribution of circuit {row} {what} at outcome {column} "
                f"({probabilities[row, column]}); give probabilities or counts."
            )
    total = probabilities.sum(axis=1)
    off = ~(np.abs(total - 1.0) <= NORMALISATION_TOLERANCE)
    if off.any():
        row = int(np.flatnonzero(off)[0])
        raise QmendError(
            f"The {name} distribution of circuit {row} sums to {total[row]:.6g}, not 1; divide "
            "counts by their shots."
        )


def measured_readout(batch: CircuitBatch) -> FloatArray:
    """(N, m, 2, 2) readout matrices of the measured qubits, by :func:`readout_matrices`.

    Raises:
        QmendError: if a qubit's readout error is missing.
    """
    matrices = per_calibration(batch, [readout_matrices(*chain) for chain in batch.chains])
    chosen: FloatArray = np.take_along_axis(matrices, batch.positions[:, :, None, None], axis=1)
    return chosen


def per_calibration(batch: CircuitBatch, values: Sequence[FloatArray]) -> FloatArray:
    """(N, ...) the value that belongs to each circuit's calibration."""
    return np.stack(list(values))[batch.calibration_index]
