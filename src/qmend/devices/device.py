"""A device as the project uses it: a chain of physical qubits, native gates, a calibration."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from qmend.devices.calibration import Calibration
from qmend.types import QmendError, nearest

#: Gates that a snapshot may list and that circuits are compiled to.
_COMPILED_GATES = ("id", "rz", "sx", "x", "cx", "ecr", "cz")
_TWO_QUBIT = ("cx", "ecr", "cz")


class DeviceConfig(BaseModel):
    """Which snapshot, and which of its physical qubits in which order.

    Attributes:
        provider: ``fake``: a snapshot shipped by qiskit-ibm-runtime.
        backend: class name in ``qiskit_ibm_runtime.fake_provider``.
        layout: physical qubits; chain position ``k`` is ``layout[k]``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    provider: Literal["fake"] = "fake"
    backend: str
    layout: tuple[int, ...] = Field(min_length=1, max_length=10)


@dataclass(frozen=True)
class Device:
    """A chain of physical qubits on one processor.

    Attributes:
        name: the processor's name, such as ``ibm_algiers``.
        layout: (n,) physical qubit at each chain position.
        native_gates: gates that circuits may be compiled to.
        edges: directed pairs of chain positions with a native two-qubit gate.
        calibration: the snapshot, restricted to the layout.
    """

    name: str
    layout: tuple[int, ...]
    native_gates: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]
    calibration: Calibration

    @property
    def n_qubits(self) -> int:
        return len(self.layout)


def load_device(config: DeviceConfig) -> Device:
    """Read a device's snapshot and check that the layout fits it.

    Raises:
        QmendError: if the backend is unknown, or the layout repeats a qubit, names one that
            does not exist, or is not connected.
    """
    return device_from_calibration(_fake_calibration(config.backend), config.layout)


def device_from_calibration(calibration: Calibration, layout: Sequence[int]) -> Device:
    """The device that a snapshot describes, on the given physical qubits.

    Raises:
        QmendError: as :func:`load_device`.
    """
    if len(set(layout)) != len(layout):
        raise QmendError(f"device.layout {list(layout)} names a qubit twice; name each once.")
    part = calibration.restrict(layout)
    position = {physical: k for k, physical in enumerate(layout)}
    found = {g.gate for g in part.gates}
    edges = sorted(
        {
            (position[g.qubits[0]], position[g.qubits[1]])
            for g in part.gates
            if g.gate in _TWO_QUBIT and len(g.qubits) == 2
        }
    )
    reached, frontier = {0}, [0]
    while frontier:
        at = frontier.pop()
        near = {b for a, b in edges if a == at} | {a for a, b in edges if b == at}
        frontier.extend(near - reached)
        reached |= near
    if len(reached) < len(layout):
        lost = [layout[k] for k in range(len(layout)) if k not in reached]
        raise QmendError(
            f"device.layout {list(layout)} is not connected on {calibration.device}: no two-qubit "
            f"gate joins {lost} to the rest; choose neighbouring qubits."
        )
    return Device(
        name=calibration.device,
        layout=tuple(layout),
        native_gates=tuple(g for g in _COMPILED_GATES if g in found),
        edges=tuple(edges),
        calibration=part,
    )


@lru_cache(maxsize=8)
def _fake_calibration(backend: str) -> Calibration:
    from qiskit_ibm_runtime import fake_provider

    known: dict[str, Any] = {
        name: getattr(fake_provider, name)
        for name in dir(fake_provider)
        if re.fullmatch(r"Fake[A-Z0-9]\w*", name) and name != "FakeProviderForBackendV2"
    }
    if backend not in known:
        raise QmendError(f"device.backend: no snapshot {backend!r}. {nearest(backend, known)}")
    instance = known[backend]()
    properties = instance.properties() if hasattr(instance, "properties") else None
    if properties is None:
        raise QmendError(f"device.backend: {backend} ships no calibration; choose another.")
    return Calibration.from_properties(properties)
