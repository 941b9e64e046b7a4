"""The ledger of a collection: every job's history, one JSON line an event, only ever appended.

    opened     the recipe, the device as asked for and as resolved, the package versions
    planned    the circuits of a job (their ids, and how often each was redrawn)
    submitted  the provider's id of a job, written before its result is waited for
    done       the provider has finished it
    fetched    its rows are in a file
    failed     why; ``retry`` says whether it may be submitted again
    cancelled  why
    lost       it ran in a process that is gone, and cost nothing
    finished   a dataset was made of the jobs that are there

A line is on the disk (fsync) before the next step. A kill can tear only the last line, and a torn
line is dropped: each step can be repeated without the line that would follow it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from qmend.datasets.manifest import sync_folder
from qmend.types import QmendError

LEDGER = "ledger.jsonl"


@dataclass
class JobRecord:
    """What the ledger knows of one job.

    Attributes:
        circuit_ids: of the planned circuits; None before.
        attempts: circuit -> how often it was redrawn.
        ids: the provider's ids of all submissions, in order.
        state: of the last submission: an event, or ``planned``.
        reason: of a failure.
        retry: whether a failure may be submitted again.
        failures: submissions that failed.
        file: where the rows are.
    """

    circuit_ids: list[str] | None = None
    attempts: dict[int, int] = field(default_factory=dict)
    ids: list[str] = field(default_factory=list)
    state: str = "planned"
    reason: str = ""
    retry: bool = True
    failures: int = 0
    file: str | None = None


class Ledger:
    """Reads a ledger and appends to it; one process at a time.

    Raises:
        QmendError: if a line other than the last is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / LEDGER
        self.opening: dict[str, Any] | None = None
        self.jobs: dict[int, JobRecord] = {}
        for event in self._events():
            self._take(event)

    def _events(self) -> list[dict[str, Any]]:
        try:
            lines = self.path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return []
        events = []
        for number, line in enumerate(lines[:-1], start=1):
            try:
                events.append(json.loads(line))
            except ValueError:
                raise QmendError(
                    f"Line {number} of {self.path} is damaged; restore the file from a copy: it "
                    "says which jobs were paid for."
                ) from None
        return events

    def job(self, number: int) -> JobRecord:
        """The record of a job, empty for one not yet planned."""
        return self.jobs.setdefault(number, JobRecord())

    def append(self, event: str, job: int | None = None, **more: Any) -> None:
        """Write one event and wait until it is on the disk."""
        known: dict[str, Any] = {"event": event, "time": datetime.now(UTC).isoformat()}
        if job is not None:
            known["job"] = job
        known.update(more)
        line = json.dumps(known, sort_keys=True).encode() + b"\n"
        self._drop_torn_line()
        new = not self.path.exists()
        with self.path.open("ab") as handle:
            handle.write(line)
            handle.flush()
            os.fsync(handle.fileno())
        if new:
            sync_folder(self.path.parent)
        self._take(json.loads(line))

    def _drop_torn_line(self) -> None:
        if not self.path.exists():
            return
        with self.path.open("r+b") as handle:
            text = handle.read()
            whole = text.rfind(b"\n") + 1
            if whole != len(text):
                handle.truncate(whole)

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
            record.attempts = dict(event["attempts"])
            return
        record.state = kind
        record.reason = event.get("reason", "")
        if kind == "submitted":
            record.ids.append(event["id"])
            record.file = None
        elif kind == "failed":
            record.failures += 1
            record.retry = event["retry"]
        elif kind == "fetched":
            record.file = event["file"]
