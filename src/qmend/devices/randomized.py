"""Calibrations of other devices: the base's coupling and native gates, all values drawn anew."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import AfterValidator, Field, model_validator

from qmend.config.model import ConfigModel
from qmend.devices.calibration import Calibration, GateCalibration, QubitCalibration
from qmend.devices.drawn import DrawnCalibrations
from qmend.portable import exp, log, standard_normal

# A stream of random numbers for each device and each of these, tied to physical qubits.
_DEVICE, _QUBIT, _PAIR, _REPORT = range(4)
_STREAMS = 0xDE71CE  # apart from all else that is drawn from the same seed


_TIMES = ("t1_us", "t2_us")
#: Whose mean is the readout error.
_ASSIGNMENT = ("prob_meas0_prep1", "prob_meas1_prep0")


def _ascending(value: tuple[float, float]) -> tuple[float, float]:
    if not 0 < value[0] <= value[1] < np.inf:
        raise ValueError(f"a range needs 0 < low <= high, not {list(value)}")
    return value


Range = Annotated[tuple[float, float], AfterValidator(_ascending)]


class ReportedConfig(ConfigModel):
    """Shares of the devices by what their calibrations show of their values.

    Attributes:
        exact: they show them.
        perturbed, stale: each T1, T2, gate error and readout error times e^(sigma N(0, 1)), and
            with the last both of its probabilities.
        missing: nothing.
        perturbed_sigma, stale_sigma: of the two.
    """

    preset_at = ("generate dataset/calibrations=randomized", "dataset.calibrations.reported")
    exact: float = Field(ge=0, le=1)
    perturbed: float = Field(ge=0, le=1)
    stale: float = Field(ge=0, le=1)
    missing: float = Field(ge=0, le=1)
    perturbed_sigma: float = Field(ge=0)
    stale_sigma: float = Field(ge=0)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        total = self.exact + self.perturbed + self.stale + self.missing
        if not abs(total - 1.0) <= 1e-9:
            raise ValueError(f"exact + perturbed + stale + missing must be 1, not {total:g}")
        return self

    def report(self, calibration: Calibration, seed: int, number: int) -> Calibration | None:
        """Draw the calibration that a device shows; None if it shows nothing.

        Args:
            number: of the device.
        """
        rng = _stream(seed, _REPORT, number)
        kind = float(rng.random())
        if kind < self.exact:
            return calibration
        if kind >= 1 - self.missing:
            return None
        rough = kind < self.exact + self.perturbed
        sigma = self.perturbed_sigma if rough else self.stale_sigma

        def show(item: Any, fields: Sequence[str]) -> Any:
            factors = exp(sigma * standard_normal(rng, len(fields))).tolist()
            shown = {}
            for name, factor in zip(fields, factors, strict=True):
                value = getattr(item, name)
                if value:
                    shown[name] = value * factor if name in _TIMES else min(value * factor, 0.5)
            if "readout_error" in shown:
                moved = shown["readout_error"] / item.readout_error
                for name in _ASSIGNMENT:
                    value = getattr(item, name)
                    shown[name] = None if value is None else value * moved
            return item.model_copy(update=shown)

        shown = (*_TIMES, "readout_error")
        return Calibration(
            device=calibration.device,
            time=calibration.time,
            qubits=tuple(show(qubit, shown) for qubit in calibration.qubits),
            gates=tuple(show(gate, ("error",)) for gate in calibration.gates),
        )


class RandomizedConfig(DrawnCalibrations):
    """``conf/dataset/calibrations/randomized.yaml``: plausible devices that have never existed.

    Each device has its own level of every property, log-uniform in a range; a qubit's or
    pair's value is the level times exp(spread * N(0, 1)). Levels and spreads are those of the
    69 snapshots that qiskit-ibm-runtime 0.51 ships (2020-2026): a range runs from the smallest to
    the largest median of a device (but for ibmq_toronto's lengths, which are 16 times too
    long), a spread is the median over devices of the standard deviation of the logarithm
    within one device. Both hold for every technology at once, not only for the base's.

    T2 is at most 2 T1, readout errors are at most 1/2, and no gate error is smaller than
    relaxation during the gate makes it. Values of 0 (virtual gates) and None stay; the
    lengths of the two directions of a gate keep their ratio. Exponentials and logarithms are
    those of :mod:`qmend.portable`: a seed draws the same bits on every processor.

    Attributes:
        devices: number of calibrations.
        t1_us: range of the devices' T1, us.
        t2_ratio: of T2 / T1.
        one_qubit_error, two_qubit_error: of gate errors.
        readout_error: of the mean of the two assignment errors.
        readout_ratio: of P(0|1) / P(1|0).
        frequency_ghz: of the qubit frequency, GHz.
        one_qubit_length_ns, two_qubit_length_ns, readout_length_ns: of durations, ns.
        reported: how far the calibrations of a dataset show these values.
    """

    preset_at = ("generate dataset/calibrations=randomized", "dataset.calibrations")
    name: Literal["randomized"]
    devices: int = Field(ge=1, le=100000)
    t1_us: Range
    t2_ratio: Range
    one_qubit_error: Range
    two_qubit_error: Range
    readout_error: Range
    readout_ratio: Range
    frequency_ghz: Range
    one_qubit_length_ns: Range
    two_qubit_length_ns: Range
    readout_length_ns: Range
    reported: ReportedConfig

    def draw(self, base: Calibration, seed: int) -> tuple[Calibration, ...]:
        """Draw the calibrations of other devices, named after the base and an hour apart."""
        return tuple(self.device(base, seed, k) for k in range(self.devices))

    def device(self, base: Calibration, seed: int, number: int) -> Calibration:
        """Draw the calibration of one device."""
        return _device(self, base, seed, number)

    def report(self, calibration: Calibration, seed: int, number: int) -> Calibration | None:
        return self.reported.report(calibration, seed, number)


#: Standard deviation of the logarithm among a device's qubits, and among its pairs.
_QUBIT_SPREAD = {
    "t1_us": 0.34,
    "t2_ratio": 0.58,
    "one_qubit_error": 0.55,
    "readout_error": 0.65,
    "readout_ratio": 0.54,
    "frequency_ghz": 0.02,
}
_PAIR_SPREAD = {"two_qubit_error": 0.47, "two_qubit_length_ns": 0.23}
_DEVICE_WIDE = ("one_qubit_length_ns", "readout_length_ns")


def _device(config: RandomizedConfig, base: Calibration, seed: int, k: int) -> Calibration:
    names = (*_QUBIT_SPREAD, *_PAIR_SPREAD, *_DEVICE_WIDE)
    level = {
        name: low * float(exp(share * log(high / low)))
        for name, share in zip(names, _stream(seed, _DEVICE, k).random(len(names)), strict=True)
        for low, high in [getattr(config, name)]
    }
    drawn: dict[tuple[int, ...], dict[str, float]] = {}
    for q in base.qubits:
        values = _spread(level, _QUBIT_SPREAD, _stream(seed, _QUBIT, k, q.qubit))
        values["readout_error"] = min(values["readout_error"], 0.5)
        drawn[(q.qubit,)] = values
    for pair in {tuple(sorted(g.qubits)) for g in base.gates if len(g.qubits) == 2}:
        drawn[pair] = _spread(level, _PAIR_SPREAD, _stream(seed, _PAIR, k, *pair))
    qubits = tuple(_new_qubit(q, drawn[(q.qubit,)], level) for q in base.qubits)
    by_number = {q.qubit: q for q in qubits}
    lengths: dict[tuple[str, tuple[int, ...]], list[float]] = {}
    for g in base.gates:
        if g.length_ns:
            lengths.setdefault((g.gate, tuple(sorted(g.qubits))), []).append(g.length_ns)
    gates = []
    relaxed: dict[tuple[tuple[int, ...], float], float] = {}
    for g in base.gates:
        pair = tuple(sorted(g.qubits))
        if g.gate.startswith(("measure", "reset")):
            error, length = drawn[pair]["readout_error"], level["readout_length_ns"]
        elif len(pair) == 1:
            error, length = drawn[pair]["one_qubit_error"], level["one_qubit_length_ns"]
        else:
            error, length = drawn[pair]["two_qubit_error"], drawn[pair]["two_qubit_length_ns"]
        both = lengths.get((g.gate, pair), [1.0])
        slower = length * max(both) / min(both)
        if (pair, slower) not in relaxed:
            relaxed[pair, slower] = relaxation_error([by_number[q] for q in pair], slower)
        error = max(error, relaxed[pair, slower])
        length *= (g.length_ns or 0.0) / min(both)
        gates.append(
            GateCalibration(
                gate=g.gate,
                qubits=g.qubits,
                error=error if g.error else g.error,
                length_ns=length if g.length_ns else g.length_ns,
            )
        )
    return Calibration(
        device=f"{base.device}_{k}",
        time=base.time + timedelta(hours=k),
        qubits=qubits,
        gates=tuple(gates),
    )


def _stream(seed: int, *key: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence((seed, _STREAMS), spawn_key=key))


def _spread(
    level: dict[str, float], sigma: dict[str, float], random: np.random.Generator
) -> dict[str, float]:
    """One qubit's or pair's values around the device's."""
    factors = exp(np.array(list(sigma.values())) * standard_normal(random, len(sigma)))
    return {
        name: level[name] * factor for name, factor in zip(sigma, factors.tolist(), strict=True)
    }


def _new_qubit(
    base: QubitCalibration, drawn: dict[str, float], level: dict[str, float]
) -> QubitCalibration:
    t1 = drawn["t1_us"]
    error, ratio = drawn["readout_error"], drawn["readout_ratio"]
    # The mean is `error` and the ratio `ratio`, unless one of the two would exceed 1.
    zero = min(2 * error * ratio / (1 + ratio), 1.0)
    new = {
        "t1_us": t1,
        "t2_us": t1 * min(drawn["t2_ratio"], 2.0),
        "frequency_ghz": drawn["frequency_ghz"],
        "readout_error": error,
        "prob_meas0_prep1": zero,
        "prob_meas1_prep0": 2 * error - zero,
        "readout_length_ns": level["readout_length_ns"],
    }
    return base.model_copy(update={f: v for f, v in new.items() if getattr(base, f) is not None})


def relaxation_error(qubits: Sequence[QubitCalibration], length_ns: float) -> float:
    """Average gate error of relaxation alone during a gate, 1 - (d prod_q F_q + 1) / (d + 1).

    F_q = (1 + 2 exp(-t/T2) + exp(-t/T1)) / 4 is the entanglement fidelity of one qubit's
    relaxation and d = 2^n; 0 where T1 or T2 is unknown.
    """
    fidelity, d = 1.0, float(2 ** len(qubits))
    for q in qubits:
        if q.t1_us is None or q.t2_us is None:
            return 0.0
        t = length_ns * 1e-3
        dephased, decayed = exp(np.array([-t / q.t2_us, -t / q.t1_us])).tolist()
        fidelity *= (1 + 2 * dephased + decayed) / 4
    return 1 - (d * fidelity + 1) / (d + 1)
