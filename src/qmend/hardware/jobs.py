"""Interfaces of a service that runs jobs, and its temporary errors."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, Protocol

from qiskit.circuit import QuantumCircuit

from qmend.devices.calibration import Calibration

JobState = Literal["pending", "done", "failed", "cancelled"]


class TransientError(Exception):
    """A network or service error that may be gone at the next try."""


class SessionEndedError(TransientError):
    """The session takes no more jobs; the next submission opens another."""


class ServiceJob(Protocol):
    """A job that a service holds. Every method may raise :class:`TransientError`."""

    @property
    def job_id(self) -> str:
        """The provider's id."""

    def state(self) -> JobState:
        """Ask for the job's state."""

    def reason(self) -> str:
        """Ask why it failed or was cancelled; one line."""

    def result(self) -> Any:
        """Fetch the sampler's result of a job that is done."""

    def executed_at(self) -> datetime:
        """Ask when it ran (UTC)."""

    def calibration(self) -> Calibration:
        """Read the device's calibration when it ran, or else the present one."""


class JobService(Protocol):
    """Submits jobs and finds them again.

    Attributes:
        backend: Qiskit's backend; circuits must fit its target.
        outlives: whether jobs live on without this process.
    """

    backend: Any
    outlives: bool

    def submit(self, circuits: Sequence[QuantumCircuit], shots: int, tag: str) -> ServiceJob:
        """Submit one job.

        Raises:
            TransientError: the job may have been accepted all the same; look for its tag.
            QmendError: the service refused the job.
        """

    def job(self, job_id: str) -> ServiceJob | None:
        """Find the job with this id; None if the service does not know it (any more)."""

    def jobs(self, tag: str) -> list[ServiceJob]:
        """List all jobs that were submitted with this tag."""

    def session_ended(self, job_id: str) -> bool:
        """Say whether a job was submitted here, into a session that takes no more."""

    def close(self) -> None:
        """End the session, if there is one; jobs in it are finished."""
