"""A calibration snapshot of a device as one validated type, with units and time."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from qmend.config.model import ConfigModel
from qmend.devices.properties import plain_values
from qmend.gates import ONE_QUBIT, TWO_QUBIT
from qmend.strict_json import parse_json
from qmend.types import QmendError

#: Shorter than any gate. Values up to 10 ms that are given in seconds lie below it.
SHORTEST_LIFETIME_US = 0.01
#: Shorter than any pulse. Values up to 1 us that are given in us lie below it.
SHORTEST_LENGTH_NS = 1.0
#: Above any qubit that is driven by microwaves. Values in MHz or Hz lie above it.
HIGHEST_FREQUENCY_GHZ = 1000.0


def _lifetime(value: float) -> float:
    if not value >= SHORTEST_LIFETIME_US:
        raise ValueError(
            f"{value:g} us is not believable, as every gate takes longer than "
            f"{SHORTEST_LIFETIME_US:g} us: look at its unit"
        )
    return value


def _length(value: float) -> float:
    if value and not value >= SHORTEST_LENGTH_NS:
        raise ValueError(
            f"{value:g} ns is not believable, as no pulse is shorter than "
            f"{SHORTEST_LENGTH_NS:g} ns: look at its unit"
        )
    return value


def _frequency(value: float) -> float:
    if not value <= HIGHEST_FREQUENCY_GHZ:
        raise ValueError(
            f"{value:g} GHz is not believable, as no qubit is above "
            f"{HIGHEST_FREQUENCY_GHZ:g} GHz: look at its unit"
        )
    return value


_Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
ErrorRate = Annotated[_Number, Field(ge=0, le=1)]
#: T1 or T2 in us.
Lifetime = Annotated[_Number, Field(gt=0), AfterValidator(_lifetime)]
#: In ns; 0 for a gate that is no pulse.
Length = Annotated[_Number, Field(ge=0), AfterValidator(_length)]
#: In GHz.
Frequency = Annotated[_Number, Field(gt=0), AfterValidator(_frequency)]


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
    t1_us: Lifetime | None = None
    t2_us: Lifetime | None = None  # kept raw: T2 > 2 T1 occurs in real snapshots
    frequency_ghz: Frequency | None = None
    readout_error: ErrorRate | None = None
    prob_meas0_prep1: ErrorRate | None = None
    prob_meas1_prep0: ErrorRate | None = None
    readout_length_ns: Length | None = None


class GateCalibration(ConfigModel):
    """Measured properties of one gate on one physical qubit or directed pair.

    An error of 1 marks a gate that does not work.
    """

    gate: str
    qubits: tuple[int, ...] = Field(min_length=1)
    error: ErrorRate | None = None
    length_ns: Length | None = None

    @model_validator(mode="after")
    def _own_qubits(self) -> Self:
        count = 1 if self.gate in ONE_QUBIT else 2 if self.gate in TWO_QUBIT else len(self.qubits)
        if len(self.qubits) != count:
            raise ValueError(f"{self} has {count} qubit{'s' if count > 1 else ''}")
        if len(set(self.qubits)) < len(self.qubits):
            raise ValueError(f"{self} names a qubit twice")
        return self

    def __str__(self) -> str:
        return f"{self.gate} on {list(self.qubits)}"


class Calibration(ConfigModel):
    """Everything a device reports about itself at one time.

    Qubits are physical numbers; ``time`` is timezone-aware (UTC). Each qubit, and each gate on
    qubits in one order, is there once.
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

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if len(self._qubit) < len(self.qubits):
            (number, _), *_ = Counter(q.qubit for q in self.qubits).most_common(1)
            raise ValueError(f"qubit {number} is there more than once")
        if len(self._gate) < len(self.gates):
            (twice, _), *_ = Counter(map(str, self.gates)).most_common(1)
            raise ValueError(f"the gate {twice} is there more than once")
        for gate in self.gates:
            if not self._qubit.keys() >= set(gate.qubits):
                raise ValueError(f"{gate} is on a qubit that is not among its qubits")
        return self

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
            where = f"qubit {item.qubit}" if isinstance(item, QubitCalibration) else str(item)
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
        """Validate plain data: JSON of this type, or of Qiskit's ``BackendProperties``.

        Args:
            source: names the data in errors.

        Raises:
            QmendError: naming the first bad value.
        """
        if isinstance(data, dict) and "backend_name" in data:
            return Calibration.from_properties(data, source)
        try:
            calibration = Calibration.model_validate(data)
        except ValidationError as error:
            first = error.errors()[0]
            where = "".join(f"{part}." for part in first["loc"]).removesuffix(".")
            message = " ".join(filter(None, (where, first["msg"].removeprefix("Value error, "))))
            raise QmendError(
                f"Calibration {source}: {message}; correct the value or remove it."
            ) from None
        if calibration.time.tzinfo is None:
            raise QmendError(f"Calibration {source}: time needs a time zone, such as +00:00.")
        return calibration

    @staticmethod
    def read(path: Path) -> Calibration:
        """Read a JSON file, see :meth:`parse`.

        Raises:
            QmendError: if the file is missing, is no JSON or has a bad value.
        """
        try:
            data = parse_json(path.read_text(encoding="utf-8-sig"))
        except FileNotFoundError:
            raise QmendError(f"Calibration file {path} does not exist; check the path.") from None
        except (OSError, ValueError) as error:
            raise QmendError(
                f"Calibration file {path} is no readable JSON ({error}); correct it."
            ) from None
        return Calibration.parse(data, str(path))

    @staticmethod
    def from_properties(properties: Any, source: str | None = None) -> Calibration:
        """Convert Qiskit's ``BackendProperties`` (a fake provider's or a live backend's), or its
        plain values.

        Times become microseconds, gate lengths nanoseconds, frequencies GHz, the date UTC. Gates
        that are not operational, and those of such qubits, get an error of 1.

        Args:
            source: names the properties in errors; None: by their backend's name.

        Raises:
            QmendError: naming the first bad value.
        """
        raw = properties if isinstance(properties, dict) else properties.to_dict()
        source = source or f"of {raw.get('backend_name')}"
        try:
            return Calibration.parse(plain_values(raw), source)
        except (KeyError, TypeError, AttributeError) as error:
            raise QmendError(
                f"Calibration {source} does not have the form of Qiskit's BackendProperties "
                f"({type(error).__name__}: {error}); correct it."
            ) from None
        except ValueError as error:
            raise QmendError(f"Calibration {source}: {error}; correct it.") from None
