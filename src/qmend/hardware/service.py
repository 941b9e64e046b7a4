"""The service that jobs are submitted to, and patience with its answers."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from qmend.datasets.config import CollectionConfig
from qmend.devices.device import DeviceConfig
from qmend.hardware.jobs import JobService, TransientError
from qmend.hardware.runtime import LocalService, RuntimeService
from qmend.types import QmendError

T = TypeVar("T")

#: Opens the service that a device and a config name.
OpenService = Callable[[DeviceConfig, CollectionConfig], JobService]


def open_service(device: DeviceConfig, config: CollectionConfig) -> JobService:
    """IBM Quantum or the local mode.

    Raises:
        QmendError: without an account or such a backend.
    """
    assert device.backend is not None
    if config.execution == "local":
        return LocalService(device.backend, device.layout, config.mode)
    return RuntimeService(device.backend, config.mode)


class PatientService:
    """A service that is opened when it is first needed, and asked again after an error.

    Args:
        open_: opens it.
        ledger: path of the collection's ledger, for messages.
    """

    def __init__(
        self, device: DeviceConfig, config: CollectionConfig, open_: OpenService, ledger: Path
    ) -> None:
        self._device = device
        self._config = config
        self._open = open_
        self._ledger = ledger
        self._service: JobService | None = None

    @property
    def opened(self) -> JobService:
        """The service itself."""
        if self._service is None:
            self._service = self._open(self._device, self._config)
        return self._service

    def ask(self, call: Callable[[], T]) -> T:
        """Ask the service, and ask again where that may help."""
        for attempt in range(self._config.max_retries + 1):
            try:
                return call()
            except TransientError as error:
                if attempt == self._config.max_retries:
                    raise self.unreachable(error) from None
            time.sleep(self._config.poll_seconds)
        raise AssertionError

    def unreachable(self, error: Exception) -> QmendError:
        """Make the error that is raised when no tries are left."""
        return QmendError(
            f"IBM Quantum does not answer ({error}); run the same command again later: the ledger "
            f"{self._ledger} knows all jobs, and nothing is paid for twice."
        )

    def close(self) -> None:
        """End the session, if there is one."""
        if self._service is not None:
            with suppress(TransientError, QmendError):
                self._service.close()
