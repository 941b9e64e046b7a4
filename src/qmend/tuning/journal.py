"""The journal of a search: one JSON line an event, only ever appended; a search resumes from it.

    trial    number, sampled values and where they come from, before the trial starts
    report   a trial's epoch, its validation value, and whether ASHA stops it there
    end      finished, pruned or failed, with what it cost

A line is on the disk (fsync) before anything acts on it. A kill can tear only the last line, and a
torn line is dropped: what it would have said is done again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from qmend.files import AppendLog
from qmend.tuning.space import Value
from qmend.types import QmendError

JOURNAL = "journal.jsonl"
Outcome = Literal["finished", "pruned", "failed"]


@dataclass(frozen=True)
class Report:
    """What a trial gave after one epoch.

    Attributes:
        value: of the metric; infinite where it was no number.
        seconds: of training up to here.
        stop: ASHA ends the trial here.
    """

    epoch: int
    value: float
    seconds: float
    stop: bool


@dataclass
class Trial:
    """What the journal knows of one trial.

    Attributes:
        source: ``default``, ``run <id>`` or ``tpe``.
        values: sampled, by dotted key.
        outcome: None while it has not ended.
    """

    number: int
    source: str
    values: dict[str, Value]
    reports: list[Report] = field(default_factory=list)
    outcome: Outcome | None = None
    seconds: float = 0.0
    parameters: int = 0
    error: str = ""

    @property
    def best(self) -> float:
        """The lowest value of all epochs; infinite if there was none."""
        return min((r.value for r in self.reports), default=math.inf)

    @property
    def epochs(self) -> int:
        return self.reports[-1].epoch if self.reports else 0

    @property
    def stopped(self) -> bool:
        """Whether ASHA has given its verdict against it."""
        return any(r.stop for r in self.reports)


class Journal:
    """Reads a journal and appends to it; one process at a time.

    Raises:
        QmendError: if a line other than the last is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self._log = AppendLog(folder / JOURNAL)
        self.trials: list[Trial] = []
        #: All reports in the order in which they came, with the number of their trial.
        self.reports: list[tuple[int, Report]] = []
        try:
            self._log.replay(self._take)
        except ValueError as error:
            raise QmendError(f"{error}; remove {folder} to start the search anew.") from None

    def trial(self, source: str, values: Mapping[str, Value]) -> Trial:
        """A new trial."""
        number = len(self.trials)
        self._record({"event": "trial", "number": number, "source": source, "values": values})
        return self.trials[number]

    def report(self, number: int, report: Report) -> None:
        """An epoch of a trial."""
        value = report.value if math.isfinite(report.value) else None
        self._record({"event": "report", "number": number, **vars(report), "value": value})

    def end(
        self, number: int, outcome: Outcome, seconds: float, parameters: int = 0, error: str = ""
    ) -> None:
        """The end of a trial."""
        self._record(
            {
                "event": "end",
                "number": number,
                "outcome": outcome,
                "seconds": seconds,
                "parameters": parameters,
                "error": error,
            }
        )

    def _record(self, event: Mapping[str, Any]) -> None:
        self._take(self._log.append(event))

    def _take(self, event: Mapping[str, Any]) -> None:
        number = event["number"]
        if event["event"] == "trial":
            if number != len(self.trials):
                raise ValueError(f"trial {number} follows {len(self.trials) - 1}")
            self.trials.append(Trial(number, event["source"], dict(event["values"])))
            return
        trial = self.trials[number]
        if event["event"] == "report":
            value = math.inf if event["value"] is None else float(event["value"])
            report = Report(event["epoch"], value, event["seconds"], event["stop"])
            trial.reports.append(report)
            self.reports.append((number, report))
        else:
            trial.outcome = event["outcome"]
            trial.seconds, trial.parameters = event["seconds"], event["parameters"]
            trial.error = event["error"]
