"""Mean calibration values, which stand in for missing ones of imported data.

Everywhere else a missing value is an error. A network can only be asked about a device without a
calibration if something stands in for it; the mean over its own training data says the least.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from qmend.devices.calibration import Calibration, GateCalibration, QubitCalibration
from qmend.gates import PULSED, TWO_QUBIT

_QUBIT_FIELDS = ("t1_us", "t2_us", "frequency_ghz", "readout_error")
#: The time of a calibration that is not known.
UNKNOWN_TIME = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class MeanCalibration:
    """Mean of each quantity over calibrations; None where none of them has it.

    One-qubit values are over ``id``, ``sx`` and ``x``; two-qubit values over ``cx``, ``ecr`` and
    ``cz``, and stand in for any of them.
    """

    t1_us: float | None = None
    t2_us: float | None = None
    frequency_ghz: float | None = None
    readout_error: float | None = None
    one_qubit_error: float | None = None
    one_qubit_length_ns: float | None = None
    two_qubit_error: float | None = None
    two_qubit_length_ns: float | None = None
    reset_length_ns: float | None = None

    @staticmethod
    def of(calibrations: Iterable[Calibration]) -> MeanCalibration:
        """Average over all qubits and gates of all calibrations, each value once."""
        values: dict[str, list[float]] = defaultdict(list)
        for calibration in calibrations:
            for qubit in calibration.qubits:
                for field in _QUBIT_FIELDS:
                    _add(values[field], getattr(qubit, field))
            for gate in calibration.gates:
                kind = _kind(gate.gate)
                if kind:
                    _add(values[f"{kind}_length_ns"], gate.length_ns)
                    if kind != "reset":
                        _add(values[f"{kind}_error"], gate.error)
        return MeanCalibration(**{name: float(np.mean(v)) for name, v in values.items() if v})

    def to_json(self) -> dict[str, float | None]:
        """Plain data."""
        return asdict(self)

    @staticmethod
    def from_json(data: dict[str, Any]) -> MeanCalibration:
        """Inverse of :meth:`to_json`."""
        return MeanCalibration(**{k: None if v is None else float(v) for k, v in data.items()})

    def fill(self, calibration: Calibration) -> tuple[Calibration, int]:
        """Fill a calibration's missing values; return it with the number of them.

        Values without a mean stay missing. Values that only the simulation of readout
        reads (the two assignment errors, the readout length) stay as they are.
        """
        count = 0

        def value(reported: float | None, mean: float | None) -> float | None:
            nonlocal count
            if reported is None and mean is not None:
                count += 1
                return mean
            return reported

        qubits = [
            q.model_copy(update={f: value(getattr(q, f), getattr(self, f)) for f in _QUBIT_FIELDS})
            for q in calibration.qubits
        ]
        gates = []
        for gate in calibration.gates:
            kind = _kind(gate.gate)
            if not kind:
                gates.append(gate)
                continue
            length = value(gate.length_ns, getattr(self, f"{kind}_length_ns"))
            error = gate.error
            if kind != "reset":
                error = value(error, getattr(self, f"{kind}_error"))
            gates.append(gate.model_copy(update={"error": error, "length_ns": length}))
        # Made anew: a copy would keep the lookup tables of the original.
        filled = Calibration(
            device=calibration.device,
            time=calibration.time,
            qubits=tuple(qubits),
            gates=tuple(gates),
        )
        return filled, count


def lacking_values(calibration: Calibration) -> list[str]:
    """List names of the values, of :class:`MeanCalibration`, that a calibration lacks."""
    names = MeanCalibration().to_json()
    return [name for name in names if MeanCalibration(**{name: 0.0}).fill(calibration)[1]]


def unknown_calibration(
    device: str, layout: Sequence[int], pairs: Iterable[tuple[str, int, int]]
) -> Calibration:
    """Make the calibration of a chain of which no calibration is known.

    Args:
        layout: physical qubits of the chain.
        pairs: (gate, chain position, chain position) of the two-qubit gates in use; each is
            listed in both directions, and so are neighbours on the chain.
    """
    used = {(gate, a, b) for gate, a, b in pairs}
    names = {gate for gate, *_ in used} or {"cx"}
    used |= {(name, k, k + 1) for name in names for k in range(len(layout) - 1)}
    used |= {(gate, b, a) for gate, a, b in used}
    return empty_calibration(device, layout, used, UNKNOWN_TIME)


def empty_calibration(
    device: str, layout: Sequence[int], pairs: Iterable[tuple[str, int, int]], time: datetime
) -> Calibration:
    """Make a calibration without values: reading any of them is an error.

    Args:
        layout: physical qubits of the chain.
        pairs: (gate, chain position, chain position) of each directed two-qubit gate.
    """
    gates = []
    for q in sorted(layout):
        gates += [GateCalibration(gate=name, qubits=(q,)) for name in PULSED]
        gates.append(GateCalibration(gate="rz", qubits=(q,), error=0.0, length_ns=0.0))
        gates.append(GateCalibration(gate="reset", qubits=(q,)))
    gates += [
        GateCalibration(gate=name, qubits=(layout[a], layout[b])) for name, a, b in sorted(pairs)
    ]
    qubits = tuple(QubitCalibration(qubit=q) for q in sorted(layout))
    return Calibration(device=device, time=time, qubits=qubits, gates=tuple(gates))


def _kind(gate: str) -> str | None:
    if gate in PULSED:
        return "one_qubit"
    if gate in TWO_QUBIT:
        return "two_qubit"
    return "reset" if gate == "reset" else None


def _add(values: list[float], value: float | None) -> None:
    if value is not None:
        values.append(value)
