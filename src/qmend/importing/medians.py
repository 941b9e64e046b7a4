"""Read a record's calibration: a snapshot, or a device's published medians."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from qmend.devices.calibration import Calibration
from qmend.devices.imputation import MeanCalibration, empty_calibration
from qmend.importing.placement import Chain
from qmend.importing.records import MedianCalibration
from qmend.types import QmendError


def read_calibration(
    data: dict[str, Any], device: str, chain: Chain, executed_at: datetime | None
) -> tuple[Calibration, str]:
    """Read a record's calibration, and whether it is a ``snapshot`` or ``medians``.

    Medians stand for every qubit and gate of the chain; what they lack stays missing. Their
    time is their own or, without one, the circuit's.

    Raises:
        QmendError: if a value is bad, a snapshot lacks a qubit of the chain, or medians have no
            time.
    """
    if "qubits" in data or "gates" in data:
        calibration = Calibration.parse(data, "of the record")
        calibration.restrict(chain.layout)
        return calibration, "snapshot"
    try:
        medians = MedianCalibration.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(p) for p in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise QmendError(f"its calibration: {where}: {message}") from None
    time = medians.time or executed_at
    if time is None or time.tzinfo is None:
        raise QmendError("its calibration needs a time with a time zone")
    return expand(medians, device, chain, time), "medians"


def expand(medians: MedianCalibration, device: str, chain: Chain, time: datetime) -> Calibration:
    """Give every qubit and gate of a chain the same values."""
    pairs = {(chain.two_qubit_gate, *pair) for a, b in chain.edges for pair in ((a, b), (b, a))}
    empty = empty_calibration(device, chain.layout, pairs, time.astimezone(UTC))
    return MeanCalibration(**medians.model_dump(exclude={"time"})).fill(empty)[0]
