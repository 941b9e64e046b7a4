"""The input of an import: one record a circuit, JSON lines or Parquet.

``docs/datasets/importing.md`` describes the fields.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from qmend.config.model import ConfigModel
from qmend.devices.calibration import (
    ErrorRate,
    Frequency,
    Length,
    Lifetime,
    Time,
    read_time,
)
from qmend.importing.reading import plain_values, read_rows
from qmend.strict_json import parse_json
from qmend.types import QmendError, nearest

#: Columns of published tables that say nothing which the other fields don't.
IGNORED = (
    "date_source", "depth", "device_qubits", "device_version", "extra", "file", "index", "n_cx",
    "n_measured", "n_qubits", "source_ideal_z", "tvd",
)  # fmt: skip
#: Fields of published tables -> ours.
_PUBLISHED = {
    "source_repo": "source",
    "circuit_level": "circuit_stage",
    "date_utc": "date",
    "shots_per_observable": "shots",
    "noisy_z": "values",
    "zne_z": "extrapolated_values",
    "ideal_z": "ideal_values",
}
_TEXT_OF_JSON = ("counts", "ideal", "calibration", "physical_qubits")
_VARIANT = re.compile(r"^(.+?)(?::|-(?=step\d+$))(.+)$")

#: Sums of shots are 64-bit integers; no experiment comes near.
MOST_SHOTS = 2**53
#: Rounding may carry an expectation value past 1 by this much.
_ROUNDING = 1e-6
#: A zero-noise extrapolation may leave [-1, 1], but not by as much as a value in per cent.
_MOST_EXTRAPOLATED = 10.0


def _bounded(largest: float) -> AfterValidator:
    def check(value: float) -> float:
        if not abs(value) <= largest:
            raise ValueError(f"{value} is no expectation value (-1 to 1); divide per cent by 100")
        return value

    return AfterValidator(check)


Whole = Annotated[int, Field(strict=True, ge=0, le=MOST_SHOTS)]
Real = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Expectation = Annotated[Real, _bounded(1 + _ROUNDING)]
Extrapolated = Annotated[Real, _bounded(_MOST_EXTRAPOLATED)]


class MedianCalibration(ConfigModel):
    """A device's medians, where the values of single qubits were not published.

    Errors are probabilities, T1 and T2 in us, lengths in ns, frequencies in GHz.
    """

    time: Time | None = None
    t1_us: Lifetime | None = None
    t2_us: Lifetime | None = None
    frequency_ghz: Frequency | None = None
    readout_error: ErrorRate | None = None
    one_qubit_error: ErrorRate | None = None
    two_qubit_error: ErrorRate | None = None
    one_qubit_length_ns: Length | None = None
    two_qubit_length_ns: Length | None = None


class Record(ConfigModel):
    """One measured circuit; exactly one of ``counts`` and ``values`` is given.

    Attributes:
        id: unique in the file; names the record in messages.
        qasm: OpenQASM 2 or 3 with its measurements.
        circuit_stage: ``executed``: the native gates that ran; ``submitted``: before compilation.
        device: name, such as ``ibm_fez``.
        shots: of the circuit, or of each observable; the sum of ``counts`` where left out.
        counts: bitstring or hex -> shots; classical bit 0 is the rightmost character.
        observables, values, extrapolated_values: labels of Z and I on the program's classical
            bits, bit 0 rightmost; their measured expectation values; the source's own zero-noise
            extrapolation of them.
        ideal, ideal_values: the source's noiseless values, compared with ours.
        date: with a time zone; without one it is kept as text and the time stays unknown.
        physical_qubits: qubit of the device behind each qubit of the program.
        calibration: a whole :class:`qmend.devices.calibration.Calibration` or a
            :class:`MedianCalibration`.
        family, variant: what kind of circuit, and which; ``family: grover:S3-1`` gives both.
    """

    id: str = Field(min_length=1)
    qasm: str
    circuit_stage: Literal["executed", "submitted"]
    device: str = Field(min_length=1)
    shots: Annotated[Whole, Field(ge=1)] | None = None
    counts: dict[str, Whole] | None = None
    observables: list[str] | None = None
    values: list[Expectation] | None = None
    extrapolated_values: list[Extrapolated] | None = None
    ideal_values: list[Expectation] | None = None
    ideal: dict[str, Real] | None = None
    date: str | None = None
    job_id: str | None = None
    physical_qubits: list[Annotated[int, Field(strict=True, ge=0, lt=32768)]] | None = None
    calibration: dict[str, Any] | None = None
    family: str | None = None
    variant: str | None = None
    source: str | None = None
    licence: str | None = None
    attribution: str | None = None

    @field_validator("id", "job_id", "variant", mode="before")
    @classmethod
    def _number_as_name(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value

    @field_validator("date", mode="before")
    @classmethod
    def _date_text(cls, value: Any) -> Any:
        return value if isinstance(value, str) else read_time(value).isoformat()

    @field_validator("shots", mode="before")
    @classmethod
    def _whole_shots(cls, value: Any) -> Any:
        return int(value) if isinstance(value, float) and value.is_integer() else value

    @field_validator("counts", mode="before")
    @classmethod
    def _no_probabilities(cls, value: Any, info: ValidationInfo) -> Any:
        """Take 870.0 for a count only if ``shots`` says so: 1.0 may be a probability."""
        if not isinstance(value, dict) or not any(isinstance(v, float) for v in value.values()):
            return value
        numbers = [v for v in value.values() if isinstance(v, int | float)]
        broken = [v for v in numbers if not float(v).is_integer()]
        if not broken and info.data.get("shots") == sum(numbers):
            return {key: int(v) if isinstance(v, float) else v for key, v in value.items()}
        shown = [*broken, *(v for v in numbers if isinstance(v, float))][0]
        raise ValueError(
            f"{shown!r} may be a probability or per cent; give whole numbers of shots (870, not "
            "870.0), or their sum as shots"
        )

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (self.counts is None) == (self.values is None):
            raise ValueError("give either counts or values (expectation values)")
        if self.values is not None:
            names = ("observables", "extrapolated_values", "ideal_values")
            for name in names:
                entries = getattr(self, name)
                if entries is not None and len(entries) != len(self.values):
                    raise ValueError(
                        f"{name} has {len(entries)} entries, values has {len(self.values)}"
                    )
            if self.observables is None:
                raise ValueError("values need observables")
            if len(set(self.observables)) < len(self.observables):
                raise ValueError("observables names one twice")
            if self.shots is None:
                raise ValueError("values need shots, those of each observable")
        if self.date is not None:
            datetime.fromisoformat(self.date)  # a ValueError names the text
        if self.physical_qubits is not None and len(set(self.physical_qubits)) < len(
            self.physical_qubits
        ):
            raise ValueError("physical_qubits names a qubit twice")
        return self

    @property
    def executed_at(self) -> datetime | None:
        """When it ran; None if unknown, or known without its time zone."""
        when = None if self.date is None else datetime.fromisoformat(self.date)
        return None if when is None or when.tzinfo is None else when


def read_records(path: Path) -> list[Record]:
    """Read and check a file.

    Raises:
        QmendError: naming the file, or the first record that is wrong.
    """
    records, seen = [], set()
    for number, raw in enumerate(read_rows(path)):
        name = str(raw.get("id", f"number {number}"))
        try:
            record = _record(raw, number)
        except QmendError as error:
            raise QmendError(f"{path}: record {name}: {error}") from None
        if record.id in seen:
            raise QmendError(f"{path}: two records are called {record.id}; name each once.")
        seen.add(record.id)
        records.append(record)
    if not records:
        raise QmendError(f"{path} holds no record.")
    kinds = {record.counts is None for record in records}
    if len(kinds) > 1:
        raise QmendError(
            f"{path} has records with counts and records with expectation values; import them "
            "from two files into two datasets."
        )
    return records


def _record(raw: Mapping[str, Any], number: int) -> Record:
    try:
        return Record.model_validate(_rename_fields(raw, number))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(p) for p in first["loc"])
        if first["type"] == "extra_forbidden":
            fields = [*Record.model_fields, *_PUBLISHED, *IGNORED]
            raise QmendError(
                f"it has the unknown field {where!r}. {nearest(where, fields)}"
            ) from None
        message = first["msg"].removeprefix("Value error, ")
        raise QmendError(f"{where + ': ' if where else ''}{message}; correct it.") from None


def _rename_fields(raw: Mapping[str, Any], number: int) -> dict[str, Any]:
    """Rename a record's published columns to ours; NaN is pandas' null."""
    fields = {
        key: value
        for key, value in raw.items()
        if key not in IGNORED and not (isinstance(value, float) and math.isnan(value))
    }
    fields.setdefault("id", f"record-{number:06d}")
    for key in _TEXT_OF_JSON:
        if isinstance(fields.get(key), str):
            try:
                fields[key] = plain_values(parse_json(fields[key]))
            except (ValueError, RecursionError) as error:
                raise QmendError(f"{key} is no JSON ({error}); correct it.") from None
    if "source_repo" in fields:
        commit = fields.pop("commit", None)
        fields["source_repo"] = f"https://github.com/{fields['source_repo']}" + (
            f" at {commit}" if commit else ""
        )
    if "attribution:" in str(fields.get("licence")) and "attribution" not in fields:
        licence, _, attribution = str(fields["licence"]).partition("attribution:")
        fields["licence"] = licence.strip().rstrip(";")
        fields["attribution"] = attribution.strip()
    if "circuit_level" in fields:
        fields["circuit_level"] = str(fields["circuit_level"]).split(";")[0].strip()
    if "noisy_z" in fields:
        if not isinstance(fields["noisy_z"], list):
            raise QmendError("noisy_z is no list of values; correct it.")
        size = len(fields["noisy_z"])
        fields["observables"] = ["I" * (size - 1 - k) + "Z" + "I" * k for k in range(size)]
        if "circuit_level" not in fields:
            fields.setdefault("circuit_stage", "executed")
    if "date_utc" in fields:
        fields.pop("date", None)  # the local one
    for theirs, ours in _PUBLISHED.items():
        if theirs in fields and ours in fields:
            raise QmendError(f"it has both {ours} and {theirs}, which mean the same; give one.")
        if theirs in fields:
            fields[ours] = fields.pop(theirs)
    variant = _VARIANT.match(str(fields.get("family", "")))
    if variant and "variant" not in fields:
        fields["family"], fields["variant"] = variant.groups()
    if isinstance(fields.get("calibration"), dict):
        calibration = _medians(fields.pop("calibration"))
        if calibration:
            fields["calibration"] = calibration
    return fields


#: Names in published tables -> ours.
_MEDIANS = {
    "calibration_timestamp": "time",
    "median_t1_us": "t1_us",
    "median_t2_us": "t2_us",
    "median_readout_error": "readout_error",
    "median_single_qubit_gate_error": "one_qubit_error",
    "median_two_qubit_gate_error": "two_qubit_error",
}


def _medians(calibration: dict[str, Any]) -> dict[str, Any]:
    if "backend" in calibration and isinstance(calibration["backend"], dict):
        backend = calibration["backend"]
        return {ours: backend[theirs] for theirs, ours in _MEDIANS.items() if theirs in backend}
    return calibration
