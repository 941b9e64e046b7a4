"""A device as the project uses it: a chain of physical qubits, native gates, a calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AwareDatetime,
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from qmend.config.model import ConfigModel
from qmend.devices.calibration import Calibration, read_time
from qmend.devices.layout import check_gates_work, lowest_error_layout, native_gates
from qmend.devices.providers import fake_calibration, runtime_calibration
from qmend.gates import TWO_QUBIT
from qmend.types import QmendError

#: In place of a list of qubits: choose them by the calibration.
LOWEST_ERROR = "lowest_error"


class DeviceConfig(ConfigModel):
    """Which snapshot, and which of its physical qubits in which order.

    A config is *resolved* when it names its physical qubits and, where the snapshot could
    change, which snapshot it is; see :func:`resolve`.

    Attributes:
        provider: ``fake``: a snapshot shipped by qiskit-ibm-runtime; ``runtime``: a live
            backend of IBM Quantum; ``file``: a JSON file of :class:`Calibration`.
        backend: class name in ``qiskit_ibm_runtime.fake_provider``, or a live backend's name.
        layout: physical qubits; chain position ``k`` is ``layout[k]``. ``lowest_error`` stands
            for the best ``n_qubits`` (:func:`lowest_error_layout`) and is the empty tuple here.
        n_qubits: length of the layout, needed by ``lowest_error``.
        calibration_file: of ``file``.
        calibration_time: of ``runtime``: the calibration that was valid then.
        calibration_id: the snapshot must be this one.
    """

    name: str
    provider: Literal["fake", "runtime", "file"] = "fake"
    backend: str | None = None
    layout: tuple[int, ...] = Field(min_length=1, max_length=10)
    n_qubits: int | None = Field(None, ge=1, le=10)
    calibration_file: Path | None = None
    calibration_time: Annotated[AwareDatetime, BeforeValidator(read_time)] | None = None
    calibration_id: str | None = None

    @field_validator("layout", mode="wrap")
    @classmethod
    def _chosen(cls, value: Any, check: ValidatorFunctionWrapHandler) -> tuple[int, ...]:
        if value == LOWEST_ERROR:
            return ()
        if isinstance(value, str):
            raise ValueError(f"give a list of physical qubits or {LOWEST_ERROR}")
        layout: tuple[int, ...] = check(value)
        return layout

    @model_validator(mode="after")
    def _whole(self) -> Self:
        needed = "calibration_file" if self.provider == "file" else "backend"
        for field in ("backend", "calibration_file"):
            is_set = getattr(self, field) is not None
            if is_set != (field == needed):
                raise ValueError(
                    f"provider={self.provider} {'has no' if is_set else 'needs'} {field}"
                )
        if self.calibration_time is not None and self.provider != "runtime":
            raise ValueError(f"provider={self.provider} has no calibration_time")
        if self.layout and self.n_qubits not in (None, len(self.layout)):
            raise ValueError(
                f"n_qubits is {self.n_qubits}, but layout names {len(self.layout)} qubits; leave "
                "n_qubits out"
            )
        if not self.layout and self.n_qubits is None:
            raise ValueError("layout=lowest_error needs n_qubits")
        return self

    @model_serializer(mode="wrap")
    def _plain(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out fields that are None.

        Recipes are hashed: a new field must not show in the configs of older datasets.
        """
        plain: dict[str, Any] = dump(self)
        if self.layout:
            plain["n_qubits"] = None
        else:
            plain["layout"] = LOWEST_ERROR
        return {key: value for key, value in plain.items() if value is not None}


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


def read_calibration(config: DeviceConfig) -> Calibration:
    """Read the whole snapshot of a device.

    Raises:
        QmendError: if it can't be read, or is not the one that ``calibration_id`` names.
    """
    if config.provider == "file":
        assert config.calibration_file is not None
        source = str(config.calibration_file)
        calibration = Calibration.read(config.calibration_file)
    else:
        assert config.backend is not None
        source = config.backend
        read = fake_calibration if config.provider == "fake" else runtime_calibration
        calibration = read(config.backend)
        if config.calibration_time not in (None, calibration.time):
            calibration = runtime_calibration(config.backend, config.calibration_time)
    if config.calibration_id not in (None, calibration.calibration_id):
        raise QmendError(
            f"The calibration of {source} is {calibration.calibration_id}, not "
            f"{config.calibration_id} as device.calibration_id says: it has changed; bring the old "
            "one back, or leave device.calibration_id out and make the dataset under another name."
        )
    return calibration


def resolve(config: DeviceConfig) -> DeviceConfig:
    """Name the physical qubits, and the calibration unless it is a shipped snapshot.

    Recipes and hashes hold the resolved config.

    Raises:
        QmendError: as :func:`read_calibration` and :func:`lowest_error_layout`.
    """
    if config.layout and config.provider == "fake":
        return config
    calibration = read_calibration(config)
    changes: dict[str, Any] = {"n_qubits": None}
    if not config.layout:
        assert config.n_qubits is not None
        changes["layout"] = lowest_error_layout(calibration, config.n_qubits)
    if config.provider != "fake":
        changes["calibration_id"] = calibration.calibration_id
    if config.provider == "runtime":
        changes["calibration_time"] = calibration.time
    return config.model_copy(update=changes)


def check_usable(config: DeviceConfig) -> None:
    """Refuse a resolved config for new circuits if a gate of its layout is faulty.

    Data that exist are not asked: they were measured as they were.

    Raises:
        QmendError: as :func:`check_gates_work`.
    """
    check_gates_work(read_calibration(config), config.layout)


def load_device(config: DeviceConfig) -> Device:
    """Read a device's snapshot and check that the layout fits it.

    Raises:
        QmendError: if the snapshot can't be read, or the layout repeats a qubit, names one that
            does not exist, or is not connected.
    """
    resolved = resolve(config)
    return device_from_calibration(read_calibration(resolved), resolved.layout)


def device_from_calibration(calibration: Calibration, layout: Sequence[int]) -> Device:
    """Build a device from a snapshot and physical qubits.

    Raises:
        QmendError: as :func:`load_device`.
    """
    if len(set(layout)) != len(layout):
        raise QmendError(f"device.layout {list(layout)} names a qubit twice; name each once.")
    part = calibration.restrict(layout)
    position = {physical: k for k, physical in enumerate(layout)}
    native = native_gates(part)
    kinds = [g for g in native if g in TWO_QUBIT]
    if len(kinds) > 1:
        raise QmendError(
            f"device.layout {list(layout)}: {calibration.device} has {' and '.join(kinds)} between "
            "these qubits, but circuits are compiled to one; choose qubits that share one."
        )
    edges = sorted(
        {
            (position[g.qubits[0]], position[g.qubits[1]])
            for g in part.gates
            if g.gate in TWO_QUBIT and len(g.qubits) == 2
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
        native_gates=native,
        edges=tuple(edges),
        calibration=part,
    )
