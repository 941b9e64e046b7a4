"""Read snapshots: those shipped with Qiskit, or those of live backends."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

from qmend.devices.calibration import Calibration
from qmend.types import QmendError, nearest

_ACCOUNT = (
    "save one with QiskitRuntimeService.save_account(token=..., instance=...) or set "
    "QISKIT_IBM_TOKEN and QISKIT_IBM_INSTANCE"
)


@lru_cache(maxsize=8)
def fake_calibration(backend: str) -> Calibration:
    """Read the snapshot of a class in ``qiskit_ibm_runtime.fake_provider``.

    Raises:
        QmendError: if there is no such class or it ships no calibration.
    """
    from qiskit_ibm_runtime import fake_provider

    backends: dict[str, Any] = {
        name: getattr(fake_provider, name)
        for name in dir(fake_provider)
        if re.fullmatch(r"Fake[A-Z0-9]\w*", name) and name != "FakeProviderForBackendV2"
    }
    if backend not in backends:
        raise QmendError(f"device.backend: no snapshot {backend!r}. {_near(backend, backends)}")
    instance = backends[backend]()
    properties = instance.properties() if hasattr(instance, "properties") else None
    if properties is None:
        raise QmendError(f"device.backend: {backend} ships no calibration; choose another.")
    return Calibration.from_properties(properties)


def runtime_backend(backend: str) -> Any:
    """Open a live backend, with the service behind it as its ``service``.

    The account is the one that Qiskit finds: saved, or in the environment. None of it is kept.

    Args:
        backend: name such as ``ibm_fez``.

    Raises:
        QmendError: without the package, an account, or such a backend.
    """
    try:
        from qiskit_ibm_runtime import QiskitRuntimeService
        from qiskit_ibm_runtime.accounts.exceptions import AccountsError
    except ImportError as error:
        raise QmendError(
            f"device.provider=runtime needs qiskit-ibm-runtime ({error}); install it with pip."
        ) from None
    try:
        service = QiskitRuntimeService()
    except AccountsError as error:
        raise QmendError(
            f"device.provider=runtime needs an IBM Quantum account ({_reason(error)}); {_ACCOUNT}."
        ) from None
    except Exception as error:  # whatever the network or the service makes of it
        raise QmendError(
            f"device.provider=runtime: IBM Quantum can't be reached ({_reason(error)}); check the "
            "network and the account's instance."
        ) from None
    try:
        return service.backend(backend)
    except Exception as error:
        raise QmendError(
            f"device.backend: {backend!r} can't be opened ({_reason(error)}). "
            f"{nearest(backend, _names(service))}"
        ) from None


@lru_cache(maxsize=8)
def runtime_calibration(backend: str, time: datetime | None = None) -> Calibration:
    """Read the calibration of a live backend, once a process.

    Args:
        backend: name such as ``ibm_fez``.
        time: the calibration that was valid then; None: the latest.

    Raises:
        QmendError: as :func:`runtime_backend`, or without an answer.
    """
    live = runtime_backend(backend)
    try:
        return backend_calibration(live, time)
    except QmendError:
        raise
    except Exception as error:
        raise QmendError(
            f"device.backend: the calibration of {backend} can't be read ({_reason(error)}); try "
            "again, or use device.provider=file."
        ) from None


def backend_calibration(backend: Any, time: datetime | None = None) -> Calibration:
    """Read the calibration of an ``IBMBackend``, without gates that it declares faulty.

    Those are the gates that its properties have and its target lacks.

    Raises:
        QmendError: if the backend has no properties, as simulators have none.
    """
    # Qiskit takes any zone but UTC for the local one, and gives what is older than the time.
    when = {} if time is None else {"datetime": time.astimezone(UTC) + timedelta(seconds=1)}
    properties = backend.properties(**when)
    if properties is None:
        raise QmendError(
            f"device.backend: {backend.name} has no calibration"
            f"{f' of {time.isoformat()}' if time else ''}; choose a processor."
        )
    target = backend.target_history(**when) if when else backend.target
    calibration = Calibration.from_properties(properties)
    return Calibration(
        device=calibration.device,
        time=calibration.time,
        qubits=calibration.qubits,
        gates=tuple(
            g
            for g in calibration.gates
            if g.gate not in target.operation_names
            or target.instruction_supported(g.gate, g.qubits)
        ),
    )


def _near(backend: str, names: Iterable[str]) -> str:
    """Suggest a snapshot, or the three nearest: all of them would fill a screen."""
    bare = {_bare(name): name for name in names}
    close = get_close_matches(_bare(backend), bare, n=1, cutoff=0.7)
    if close:
        return f"Did you mean {bare[close[0]]!r}?"
    near = get_close_matches(_bare(backend), bare, n=3, cutoff=0.0)
    return f"Near names: {', '.join(bare[name] for name in near)}."


def _bare(name: str) -> str:
    """Return a name without what many have in common."""
    return re.sub(r"^(fake|ibmq?)_?|_?v2$", "", name.lower())


def _names(service: Any) -> list[str]:
    try:
        return [b.name for b in service.backends()]
    except Exception:
        return []


def _reason(error: Exception) -> str:
    """The first line of a foreign error, without its quotation marks and full stop."""
    text = str(error).strip().strip("'\"") or type(error).__name__
    return text.splitlines()[0].rstrip(". ")
