"""A device's published medians as a calibration of the chain in use."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from qmend.devices.calibration import Calibration, GateCalibration, QubitCalibration
from qmend.gates import PULSED
from qmend.importing.placement import Chain
from qmend.importing.records import MedianCalibration
from qmend.types import QmendError


def read_calibration(
    data: dict[str, Any], device: str, chain: Chain, executed_at: datetime | None
) -> tuple[Calibration, str]:
    """A record's calibration, and whether it is a ``snapshot`` or ``medians``.

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
        raise QmendError(f"its calibration: {where}: {first['msg']}") from None
    time = medians.time or executed_at
    if time is None or time.tzinfo is None:
        raise QmendError("its calibration needs a time with a time zone")
    return expand(medians, device, chain, time), "medians"


def expand(medians: MedianCalibration, device: str, chain: Chain, time: datetime) -> Calibration:
    """The same values for every qubit and gate of a chain."""
    gates = []
    for q in sorted(chain.layout):
        for name in PULSED:
            gates.append(
                GateCalibration(
                    gate=name,
                    qubits=(q,),
                    error=medians.one_qubit_error,
                    length_ns=medians.one_qubit_length_ns,
                )
            )
        gates.append(GateCalibration(gate="rz", qubits=(q,), error=0.0, length_ns=0.0))
        gates.append(GateCalibration(gate="reset", qubits=(q,)))
    both = {pair for a, b in chain.edges for pair in ((a, b), (b, a))}
    for a, b in sorted(both):
        gates.append(
            GateCalibration(
                gate=chain.two_qubit_gate,
                qubits=(chain.layout[a], chain.layout[b]),
                error=medians.two_qubit_error,
                length_ns=medians.two_qubit_length_ns,
            )
        )
    qubits = tuple(
        QubitCalibration(
            qubit=q,
            t1_us=medians.t1_us,
            t2_us=medians.t2_us,
            frequency_ghz=medians.frequency_ghz,
            readout_error=medians.readout_error,
        )
        for q in sorted(chain.layout)
    )
    return Calibration(device=device, time=time.astimezone(UTC), qubits=qubits, gates=tuple(gates))
