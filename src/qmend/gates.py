"""Names of the native gates of the supported processors."""

from __future__ import annotations

#: The position in this tuple is the gate's code in stored data.
GATES: tuple[str, ...] = ("id", "x", "sx", "rz", "cx", "ecr", "cz")
GATE_CODE: dict[str, int] = {gate: code for code, gate in enumerate(GATES)}
ONE_QUBIT: tuple[str, ...] = ("id", "rz", "sx", "x")
#: Those that take time, and have one error on a qubit whatever their name.
PULSED: tuple[str, ...] = ("id", "sx", "x")
TWO_QUBIT: tuple[str, ...] = ("cx", "ecr", "cz")
