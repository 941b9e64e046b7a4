"""The ledger of a collection: an append-only log of every job's history, in JSON lines.

    opened     the recipe, the device as asked for and as resolved, the package versions
    planned    the circuits of a job (their ids, and how often each was redrawn)
    submitted  the provider's id of a job, written before its result is waited for
    done       the provider has finished it
    fetched    its rows are in a file
    failed     why; ``retry`` says whether it may be submitted again
    cancelled  why
    lost       it ran in a process that is gone, and cost nothing
    finished   a dataset was made of the jobs that are there

Each step can be repeated without the line that would follow it (:class:`qmend.files.AppendLog`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from qmend.files import AppendLog
from qmend.types import QmendError

LEDGER = "ledger.jsonl"


@dataclass
class JobRecord:
    """The history of one job.

    Attributes:
        circuit_ids: of the planned circuits; None before.
        instruction_ids: of their instructions alone, whatever is measured.
        attempts: circuit -> how often it was redrawn.
        ids: the provider's ids of all submissions, in order.
        state: of the last submission: an event, or ``planned``.
        reason: of a failure.
        retry: whether a failure may be submitted again.
        failures: submissions that failed.
    """

    circuit_ids: list[str] | None = None
    instruction_ids: list[str] = field(default_factory=list)
    attempts: dict[int, int] = field(default_factory=dict)
    ids: list[str] = field(default_factory=list)
    state: str = "planned"
    reason: str = ""
    retry: bool = True
    failures: int = 0


class Ledger:
    """Reads a ledger and appends to it; one process at a time.

    Raises:
        QmendError: if a line other than the last is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / LEDGER
        self._log = AppendLog(self.path)
        self.opening: dict[str, Any] | None = None
        self.jobs: dict[int, JobRecord] = {}
        try:
            self._log.replay(self._take)
        except ValueError as error:
            raise QmendError(
                f"{error}; restore the file from a copy: it says which jobs were paid for."
            ) from None

    def job(self, number: int) -> JobRecord:
        """Return the record of a job, empty for one not yet planned."""
        return self.jobs.setdefault(number, JobRecord())

    def append(self, event: str, job: int | None = None, **more: Any) -> None:
        """Write one event and wait until it is on the disk."""
        entry: dict[str, Any] = {"event": event, "time": datetime.now(UTC).isoformat()}
        if job is not None:
            entry["job"] = job
        self._take(self._log.append({**entry, **more}))

    def _take(self, event: Mapping[str, Any]) -> None:
        kind = event["event"]
        if kind == "opened":
            self.opening = dict(event)
            return
        if "job" not in event:
            return
        record = self.job(event["job"])
        if kind == "planned":
            record.circuit_ids = list(event["circuit_ids"])
            record.instruction_ids = list(event.get("instruction_ids", ()))
            record.attempts = dict(event["attempts"])
            return
        record.state = kind
        record.reason = event.get("reason", "")
        if kind == "submitted":
            record.ids.append(event["id"])
        elif kind == "failed":
            record.failures += 1
            record.retry = event["retry"]
