"""A calibration snapshot of a device as one validated type, with units and time."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError, field_validator

from qmend.config.model import ConfigModel
from qmend.types import QmendError

ErrorRate = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)] | None
Length = Annotated[float, Field(ge=0, allow_inf_nan=False)] | None


def read_time(value: Any) -> Any:
    """Read ISO 8601; pydantic itself takes a number, 20240501 too, as seconds since 1970.

    Raises:
        ValueError: if it is neither ISO 8601 nor a date.
    """
    if isinstance(value, str):
        return datetime.fromisoformat(value)
    if not isinstance(value, date):
        raise ValueError(f"{value!r} is no time: write text such as 2024-05-01T00:00:00+00:00")
    return value


Time = Annotated[datetime, BeforeValidator(read_time)]


class QubitCalibration(ConfigModel):
    """Measured properties of one physical qubit; None where the snapshot has no value."""

    qubit: int = Field(ge=0)
    t1_us: Positive = None
    t2_us: Positive = None  # kept raw: T2 > 2 T1 occurs in real snapshots
    frequency_ghz: Positive = None
    readout_error: ErrorRate = None
    prob_meas0_prep1: ErrorRate = None
    prob_meas1_prep0: ErrorRate = None
    readout_length_ns: Length = None


class GateCalibration(ConfigModel):
    """Measured properties of one gate on one physical qubit or directed pair."""

    gate: str
    qubits: tuple[int, ...]
    error: ErrorRate = None
    length_ns: Length = None


class Calibration(ConfigModel):
    """Everything a device reports about itself at one time.

    Qubits are physical numbers; ``time`` is timezone-aware (UTC).
    """

    device: str
    time: Time
    qubits: tuple[QubitCalibration, ...]
    gates: tuple[GateCalibration, ...]

    @field_validator("time")
    @classmethod
    def _utc(cls, value: datetime) -> datetime:
        return value if value.tzinfo is None else value.astimezone(UTC)

    def model_post_init(self, _: Any) -> None:
        object.__setattr__(self, "_qubit", {q.qubit: q for q in self.qubits})
        object.__setattr__(self, "_gate", {(g.gate, g.qubits): g for g in self.gates})

    _qubit: dict[int, QubitCalibration]
    _gate: dict[tuple[str, tuple[int, ...]], GateCalibration]

    def qubit(self, physical: int) -> QubitCalibration:
        """Properties of one physical qubit.

        Raises:
            QmendError: if the snapshot has no such qubit.
        """
        if physical not in self._qubit:
            raise QmendError(
                f"The calibration of {self.device} has no qubit {physical}; choose a layout "
                f"among its qubits 0..{max(self._qubit, default=-1)}."
            )
        return self._qubit[physical]

    def gate(self, name: str, qubits: Sequence[int]) -> GateCalibration:
        """Properties of one gate.

        Raises:
            QmendError: if the snapshot has no such gate on these qubits.
        """
        key = (name, tuple(qubits))
        if key not in self._gate:
            raise QmendError(
                f"The calibration of {self.device} has no gate {name!r} on qubits "
                f"{list(qubits)}; choose a layout that its coupling map holds."
            )
        return self._gate[key]

    def value(self, item: QubitCalibration | GateCalibration, field: str) -> float:
        """Return a value that must not be missing.

        Raises:
            QmendError: naming the qubit or gate and the field that is missing.
        """
        value = getattr(item, field)
        if value is None:
            where = (
                f"qubit {item.qubit}"
                if isinstance(item, QubitCalibration)
                else f"{item.gate} on {list(item.qubits)}"
            )
            raise QmendError(
                f"The calibration of {self.device} at {self.time.isoformat()} lacks {field} of "
                f"{where}; add the value to the snapshot or choose another layout."
            )
        return float(value)

    def restrict(self, layout: Sequence[int]) -> Calibration:
        """Return the part that concerns the physical qubits of a layout."""
        wanted = set(layout)
        for physical in layout:
            self.qubit(physical)
        return Calibration(
            device=self.device,
            time=self.time,
            qubits=tuple(q for q in self.qubits if q.qubit in wanted),
            gates=tuple(g for g in self.gates if wanted.issuperset(g.qubits)),
        )

    @property
    def calibration_id(self) -> str:
        """SHA-256 (first 16 hex digits) of the canonical JSON."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @staticmethod
    def parse(data: Any, source: str) -> Calibration:
        """Validate plain data (JSON of this type); ``source`` names it in errors.

        Raises:
            QmendError: naming the first bad value.
        """
        try:
            calibration = Calibration.model_validate(data)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(p) for p in first["loc"])
            message = first["msg"].removeprefix("Value error, ")
            raise QmendError(
                f"Calibration {source}: {where} {message}; correct the value or remove it."
            ) from None
        if calibration.time.tzinfo is None:
            raise QmendError(f"Calibration {source}: time needs a time zone, such as +00:00.")
        return calibration

    @staticmethod
    def read(path: Path) -> Calibration:
        """Read a JSON file of this type.

        Raises:
            QmendError: if the file is missing, is no JSON or has a bad value.
        """
        try:
            data = json.loads(path.read_text())
        except FileNotFoundError:
            raise QmendError(f"Calibration file {path} does not exist; check the path.") from None
        except (OSError, ValueError) as error:
            raise QmendError(
                f"Calibration file {path} is no readable JSON ({error}); correct it."
            ) from None
        return Calibration.parse(data, str(path))

    @staticmethod
    def from_properties(properties: Any) -> Calibration:
        """Convert Qiskit's ``BackendProperties`` (a fake provider's or a live backend's), or its
        plain values.

        Times become microseconds, gate lengths nanoseconds, frequencies GHz, the date UTC.
        """
        raw = properties if isinstance(properties, dict) else properties.to_dict()
        qubits = []
        for number, entries in enumerate(raw["qubits"]):
            values = {e["name"]: _to_unit(e) for e in entries}
            qubits.append(
                {
                    "qubit": number,
                    "t1_us": values.get("T1"),
                    "t2_us": values.get("T2"),
                    "frequency_ghz": values.get("frequency"),
                    "readout_error": values.get("readout_error"),
                    "prob_meas0_prep1": values.get("prob_meas0_prep1"),
                    "prob_meas1_prep0": values.get("prob_meas1_prep0"),
                    "readout_length_ns": values.get("readout_length"),
                }
            )
        gates = []
        for entry in raw["gates"]:
            values = {p["name"]: _to_unit(p) for p in entry["parameters"]}
            gates.append(
                {
                    "gate": entry["gate"],
                    "qubits": tuple(entry["qubits"]),
                    "error": values.get("gate_error"),
                    "length_ns": values.get("gate_length"),
                }
            )
        time = raw["last_update_date"]
        if isinstance(time, str):
            time = datetime.fromisoformat(time)
        data = {
            "device": raw["backend_name"],
            "time": time.astimezone(UTC),
            "qubits": qubits,
            "gates": gates,
        }
        return Calibration.parse(data, f"of {raw['backend_name']}")


# Units of the snapshots -> ours: T1, T2 in us, lengths in ns, frequencies in GHz.
_SCALE: dict[str, dict[str, float]] = {
    "T1": {"s": 1e6, "ms": 1e3, "us": 1.0, "µs": 1.0, "ns": 1e-3},
    "T2": {"s": 1e6, "ms": 1e3, "us": 1.0, "µs": 1.0, "ns": 1e-3},
    "frequency": {"Hz": 1e-9, "MHz": 1e-3, "GHz": 1.0},
    "readout_length": {"s": 1e9, "ms": 1e6, "us": 1e3, "ns": 1.0},
    "gate_length": {"s": 1e9, "ms": 1e6, "us": 1e3, "ns": 1.0},
}


def _to_unit(entry: dict[str, Any]) -> float | None:
    value = entry.get("value")
    if value is None or math.isnan(float(value)):
        return None
    name, unit = entry["name"], entry.get("unit", "")
    if name not in _SCALE:
        return float(value)
    if unit not in _SCALE[name]:
        raise QmendError(
            f"The snapshot gives {name} in {unit!r}; known units: {', '.join(_SCALE[name])}."
        )
    return float(value) * _SCALE[name][unit]
