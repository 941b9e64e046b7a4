"""Calibrations over time: the values of one device drift around a snapshot."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Literal

import numpy as np
from pydantic import Field

from qmend.config.model import ConfigModel
from qmend.devices.calibration import Calibration, GateCalibration, QubitCalibration
from qmend.types import FloatArray

# One stream of random numbers for each of these and each qubit or pair: what a stream is tied
# to stays the same, whichever other qubits a calibration holds.
_T1, _T2, _READOUT, _FREQUENCY, _ONE_QUBIT, _PAIR = range(6)
_STREAMS = 0xD81F7  # apart from all else that is drawn from the same seed


class DriftConfig(ConfigModel):
    """``conf/dataset/calibrations/drift.yaml``: Ornstein-Uhlenbeck processes around a snapshot.

    The first calibration is the snapshot itself, at its own time; the k-th follows ``k *
    interval_hours`` later. Each value is its base times exp(x) (errors: log-odds plus x, which
    for small errors is the same), where x starts at 0 and, from one calibration to the next,

        x' = a x + sqrt(1 - a^2) sigma xi,   a = exp(-interval / correlation),   xi ~ N(0, 1),

    so that the snapshot is the median at all times and the standard deviation of x grows to
    sigma within the correlation time. Lengths are fixed; values of 0, 1 or None stay.

    The defaults give the standard deviations that ibm_algiers showed over months (arXiv
    2601.14226): T1 24-39 us, T2 7-68 us, CX error 0.0011-0.0048, one-qubit error up to 9e-4.
    T1 is given in microseconds because there the deviations of the qubits differ less than
    their T1s; the sigma of its logarithm follows from the log-normal distribution.

    Attributes:
        snapshots: number of calibrations, the base included.
        interval_hours: between one and the next.
        correlation_hours: time in which the correlation falls to 1/e.
        t1_std_us: standard deviation of T1, us.
        t2_sigma: of log T2.
        one_qubit_sigma: of the log-odds of a qubit's gate errors, which move together.
        two_qubit_sigma: the same for a pair of qubits, in both directions.
        readout_sigma: the same for a qubit's readout errors.
        frequency_std_khz: of the qubit frequency, kHz.
    """

    name: Literal["drift"]
    snapshots: int = Field(ge=1, le=100000)
    interval_hours: float = Field(gt=0, allow_inf_nan=False)
    correlation_hours: float = Field(gt=0, allow_inf_nan=False)
    t1_std_us: float = Field(ge=0, allow_inf_nan=False)
    t2_sigma: float = Field(ge=0, allow_inf_nan=False)
    one_qubit_sigma: float = Field(ge=0, allow_inf_nan=False)
    two_qubit_sigma: float = Field(ge=0, allow_inf_nan=False)
    readout_sigma: float = Field(ge=0, allow_inf_nan=False)
    frequency_std_khz: float = Field(ge=0, allow_inf_nan=False)

    @classmethod
    def preset(cls, values: Mapping[str, Any]) -> tuple[str, str]:
        return ("generate dataset/calibrations=drift", "dataset.calibrations")

    def draw(self, base: Calibration, seed: int) -> tuple[Calibration, ...]:
        """Draw the calibrations of one device over time, the base first."""
        walks = _Walks(self, seed)
        pairs = {_pair(g) for g in base.gates}
        own = {q.qubit: _qubit_walks(walks, q.qubit) for q in base.qubits}
        shared = {pair: walks(_ONE_QUBIT if len(pair) == 1 else _PAIR, *pair) for pair in pairs}
        step = timedelta(hours=self.interval_hours)
        return base, *(
            Calibration(
                device=base.device,
                time=base.time + k * step,
                qubits=tuple(
                    _moved_qubit(self, q, {kind: x[k] for kind, x in own[q.qubit].items()})
                    for q in base.qubits
                ),
                gates=tuple(
                    _moved_gate(self, g, shared[_pair(g)][k], own[g.qubits[0]][_READOUT][k])
                    for g in base.gates
                ),
            )
            for k in range(1, self.snapshots)
        )


class _Walks:
    """Ornstein-Uhlenbeck processes of unit variance that start at 0."""

    def __init__(self, config: DriftConfig, seed: int) -> None:
        self.steps, self.seed = config.snapshots, seed
        self.keep = np.exp(-config.interval_hours / config.correlation_hours)

    def __call__(self, kind: int, *qubits: int) -> FloatArray:
        """(snapshots,) the process of one value."""
        stream = np.random.SeedSequence((self.seed, _STREAMS), spawn_key=(kind, *qubits))
        kicks = np.sqrt(1 - self.keep**2) * np.random.default_rng(stream).standard_normal(
            self.steps - 1
        )
        walk = np.zeros(self.steps)
        for k, kick in enumerate(kicks):
            walk[k + 1] = self.keep * walk[k] + kick
        return walk


def _qubit_walks(walks: _Walks, qubit: int) -> dict[int, FloatArray]:
    return {kind: walks(kind, qubit) for kind in (_T1, _T2, _READOUT, _FREQUENCY)}


def _pair(gate: GateCalibration) -> tuple[int, ...]:
    """The qubits of a gate in ascending order."""
    return tuple(sorted(gate.qubits))


def _moved_qubit(
    config: DriftConfig, base: QubitCalibration, x: dict[int, float]
) -> QubitCalibration:
    t1, t2, frequency = base.t1_us, base.t2_us, base.frequency_ghz
    if t1 is not None:
        t1 *= float(np.exp(lognormal_sigma(config.t1_std_us / t1) * x[_T1]))
    if t2 is not None:
        t2 *= float(np.exp(config.t2_sigma * x[_T2]))
    if frequency is not None:
        frequency += config.frequency_std_khz * 1e-6 * float(x[_FREQUENCY])
    shift = config.readout_sigma * x[_READOUT]
    zero, one = (_shift_log_odds(p, shift) for p in (base.prob_meas0_prep1, base.prob_meas1_prep0))
    error = _shift_log_odds(base.readout_error, shift)
    if zero is not None and one is not None and _is_mean(base):
        error = (zero + one) / 2
    return base.model_copy(
        update={
            "t1_us": t1,
            "t2_us": t2,
            "frequency_ghz": frequency,
            "readout_error": error,
            "prob_meas0_prep1": zero,
            "prob_meas1_prep0": one,
        }
    )


def _moved_gate(
    config: DriftConfig, base: GateCalibration, x: float, readout: float
) -> GateCalibration:
    if base.gate.startswith("measure"):
        shift = config.readout_sigma * readout
    else:
        shift = x * (config.one_qubit_sigma if len(base.qubits) == 1 else config.two_qubit_sigma)
    return base.model_copy(update={"error": _shift_log_odds(base.error, shift)})


def lognormal_sigma(relative_std: float) -> float:
    """Sigma of the logarithm of a log-normal variable whose standard deviation is
    ``relative_std`` times its median: solves std^2 = exp(s^2) (exp(s^2) - 1) for s."""
    return float(np.sqrt(np.log((1 + np.sqrt(1 + 4 * relative_std**2)) / 2)))


def _shift_log_odds(error: float | None, shift: float) -> float | None:
    """The error whose log-odds are larger by ``shift``; certain ones stay."""
    if error is None or error in (0.0, 1.0):
        return error
    odds = error / (1 - error) * float(np.exp(shift))
    return odds / (1 + odds)


def _is_mean(qubit: QubitCalibration) -> bool:
    """Whether the reported readout error is the mean of the two assignment errors."""
    error, zero, one = qubit.readout_error, qubit.prob_meas0_prep1, qubit.prob_meas1_prep0
    if error is None or zero is None or one is None:
        return False
    return abs((zero + one) / 2 - error) < 1e-9
