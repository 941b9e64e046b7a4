"""Calibrations over time: the values of one device drift around a snapshot."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

import numpy as np
from pydantic import Field

from qmend.devices.calibration import Calibration, GateCalibration, QubitCalibration
from qmend.devices.drawn import DrawnCalibrations
from qmend.portable import exp, log, standard_normal
from qmend.types import FloatArray

# One stream of random numbers for each of these and each qubit or pair: what a stream is tied
# to stays the same, whichever other qubits a calibration holds.
_T1, _T2, _READOUT, _FREQUENCY, _ONE_QUBIT, _PAIR = range(6)
_STREAMS = 0xD81F7  # apart from all else that is drawn from the same seed


class DriftConfig(DrawnCalibrations):
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

    Exponentials and logarithms are those of :mod:`qmend.portable`: a seed draws the same bits
    on every processor.

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

    preset_at = ("generate dataset/calibrations=drift", "dataset.calibrations")
    name: Literal["drift"]
    snapshots: int = Field(ge=1, le=100000)
    interval_hours: float = Field(gt=0)
    correlation_hours: float = Field(gt=0)
    t1_std_us: float = Field(ge=0)
    t2_sigma: float = Field(ge=0, le=100)
    one_qubit_sigma: float = Field(ge=0, le=100)
    two_qubit_sigma: float = Field(ge=0, le=100)
    readout_sigma: float = Field(ge=0, le=100)
    frequency_std_khz: float = Field(ge=0)

    def draw(self, base: Calibration, seed: int) -> tuple[Calibration, ...]:
        """Draw the calibrations of one device over time, the base first."""
        walks = _Walks(self, seed)
        qubits = [_moved_qubit(self, q, walks) for q in base.qubits]
        gates = [_moved_gate(self, g, walks) for g in base.gates]
        step = timedelta(hours=self.interval_hours)
        return base, *(
            Calibration(
                device=base.device,
                time=base.time + k * step,
                qubits=tuple(moved[k] for moved in qubits),
                gates=tuple(moved[k] for moved in gates),
            )
            for k in range(1, self.snapshots)
        )


class _Walks:
    """Ornstein-Uhlenbeck processes of unit variance that start at 0."""

    def __init__(self, config: DriftConfig, seed: int) -> None:
        self.steps, self.seed = config.snapshots, seed
        self.keep = float(exp(-config.interval_hours / config.correlation_hours))

    def __call__(self, kind: int, *qubits: int) -> FloatArray:
        """(snapshots,) the process of one value."""
        stream = np.random.SeedSequence((self.seed, _STREAMS), spawn_key=(kind, *qubits))
        size = np.sqrt(1 - self.keep * self.keep)
        kicks = size * standard_normal(np.random.default_rng(stream), self.steps - 1)
        walk = np.zeros(self.steps)
        for k, kick in enumerate(kicks):
            walk[k + 1] = self.keep * walk[k] + kick
        return walk


def _moved_qubit(
    config: DriftConfig, base: QubitCalibration, walks: _Walks
) -> list[QubitCalibration]:
    """A qubit at all times."""
    q = base.qubit
    moved: dict[str, FloatArray] = {}
    if base.t1_us is not None:
        sigma = lognormal_sigma(config.t1_std_us / base.t1_us)
        moved["t1_us"] = base.t1_us * exp(sigma * walks(_T1, q))
    if base.t2_us is not None:
        moved["t2_us"] = base.t2_us * exp(config.t2_sigma * walks(_T2, q))
    if base.frequency_ghz is not None:
        shift = config.frequency_std_khz * 1e-6 * walks(_FREQUENCY, q)
        moved["frequency_ghz"] = base.frequency_ghz + shift
    shift = config.readout_sigma * walks(_READOUT, q)
    for field in ("readout_error", "prob_meas0_prep1", "prob_meas1_prep0"):
        error = getattr(base, field)
        if error is not None:
            moved[field] = _shift_log_odds(error, shift)
    if _is_mean(base):
        moved["readout_error"] = (moved["prob_meas0_prep1"] + moved["prob_meas1_prep0"]) / 2
    return [
        base.model_copy(update={field: float(values[k]) for field, values in moved.items()})
        for k in range(config.snapshots)
    ]


def _moved_gate(config: DriftConfig, base: GateCalibration, walks: _Walks) -> list[GateCalibration]:
    """A gate at all times; gates of one qubit, and those of one pair, move together."""
    if base.error is None:
        return [base] * config.snapshots
    pair = sorted(base.qubits)
    if base.gate.startswith("measure"):
        shift = config.readout_sigma * walks(_READOUT, base.qubits[0])
    elif len(pair) == 1:
        shift = config.one_qubit_sigma * walks(_ONE_QUBIT, *pair)
    else:
        shift = config.two_qubit_sigma * walks(_PAIR, *pair)
    errors = _shift_log_odds(base.error, shift)
    return [base.model_copy(update={"error": float(error)}) for error in errors]


def lognormal_sigma(relative_std: float) -> float:
    """Sigma of the logarithm of a log-normal variable whose standard deviation is
    ``relative_std`` times its median: solves std^2 = exp(s^2) (exp(s^2) - 1) for s."""
    root = np.sqrt(1 + 4 * relative_std * relative_std)
    return float(np.sqrt(log((1 + root) / 2)))


def _shift_log_odds(error: float, shift: FloatArray) -> FloatArray:
    """The errors whose log-odds are larger by ``shift``; certain ones stay."""
    if error in (0.0, 1.0):
        return np.full(len(shift), error)
    odds = error / (1 - error) * exp(shift)
    moved: FloatArray = odds / (1 + odds)
    return moved


def _is_mean(qubit: QubitCalibration) -> bool:
    """Whether the reported readout error is the mean of the two assignment errors."""
    error, zero, one = qubit.readout_error, qubit.prob_meas0_prep1, qubit.prob_meas1_prep0
    if error is None or zero is None or one is None:
        return False
    return abs((zero + one) / 2 - error) < 1e-9
