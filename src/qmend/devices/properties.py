"""Qiskit's ``BackendProperties`` as a calibration's plain values, in our units."""

from __future__ import annotations

import math
from typing import Any


def plain_values(raw: dict[str, Any]) -> dict[str, Any]:
    """Convert the plain values of ``BackendProperties`` to those of a calibration.

    Raises:
        ValueError: if a value is there twice, is no number, or has an unknown unit.
        KeyError, TypeError, AttributeError: if they do not have that form.
    """
    qubits, faulty = [], set()
    for number, entries in enumerate(raw["qubits"]):
        values = _in_our_units(entries, f"qubit {number}")
        if values.get("operational") == 0:
            faulty.add(number)
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
        gate, on = entry["gate"], tuple(entry["qubits"])
        values = _in_our_units(entry["parameters"], f"{gate} on {list(on)}")
        works = values.get("operational") != 0 and faulty.isdisjoint(on)
        gates.append(
            {
                "gate": gate,
                "qubits": on,
                "error": values.get("gate_error") if works else 1.0,
                "length_ns": values.get("gate_length"),
            }
        )
    return {
        "device": raw["backend_name"],
        "time": raw["last_update_date"],
        "qubits": qubits,
        "gates": gates,
    }


# Units of the snapshots -> ours: T1, T2 in us, lengths in ns, frequencies in GHz.
_SCALE: dict[str, dict[str, float]] = {
    "T1": {"s": 1e6, "ms": 1e3, "us": 1.0, "ns": 1e-3},
    "T2": {"s": 1e6, "ms": 1e3, "us": 1.0, "ns": 1e-3},
    "frequency": {"Hz": 1e-9, "MHz": 1e-3, "GHz": 1.0},
    "readout_length": {"s": 1e9, "ms": 1e6, "us": 1e3, "ns": 1.0},
    "gate_length": {"s": 1e9, "ms": 1e6, "us": 1e3, "ns": 1.0},
}
#: The micro sign and the Greek letter mu look the same.
_MICRO = str.maketrans({"\N{MICRO SIGN}": "u", "\N{GREEK SMALL LETTER MU}": "u"})


def _in_our_units(entries: list[dict[str, Any]], where: str) -> dict[str, float | None]:
    """Read the entries of a qubit or gate by name.

    Raises:
        ValueError: if one is there twice, is no number, or has an unknown unit.
    """
    values: dict[str, float | None] = {}
    for entry in entries:
        name, value = entry["name"], entry.get("value")
        if name in values:
            raise ValueError(f"{where} has {name} more than once")
        try:
            number = None if value is None else float(value)
        except (TypeError, ValueError):
            raise ValueError(f"{name} of {where} is {value!r}, not a number") from None
        if number is None or math.isnan(number):
            values[name] = None
            continue
        unit = str(entry.get("unit", "")).translate(_MICRO)
        units = _SCALE.get(name, {unit: 1.0})
        if unit not in units:
            raise ValueError(
                f"{where} gives {name} in {entry.get('unit')!r}; known units: {', '.join(units)}"
            )
        values[name] = number * units[unit]
    return values
