"""Cells: the runs that a multirun or a study is made of. Importable without MLflow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from qmend.types import QmendError

#: Directory of the tables and figures of a study among the files of its run.
STUDY_FILES = "tables"


@dataclass(frozen=True)
class Cell:
    """Where a run belongs.

    Attributes:
        parent: id of the run of the multirun or study.
        name: the overrides that vary, for a person.
    """

    parent: str
    name: str = ""


@dataclass(frozen=True)
class Outcome:
    """The end of one cell.

    Attributes:
        status: ``reused``: finished by an earlier command, whose run it is.
        error: one sentence where it failed.
        result: its figures in a few words.
    """

    status: Literal["finished", "reused", "failed", "interrupted", "not started"]
    run_id: str | None = None
    error: str = ""
    result: str = ""


@dataclass(frozen=True)
class CellRecord:
    """A cell with its outcome, as ``cells.json`` of the parent run holds it.

    Attributes:
        overrides: ``key=value`` of each key that varies.
        status: of its :class:`Outcome`.
        run_id: its run; None where it got none.
        error: one sentence where it failed.
        metrics: of its run, by the run contract.
    """

    overrides: tuple[str, ...]
    status: str
    run_id: str | None
    error: str
    metrics: Mapping[str, float]

    @property
    def name(self) -> str:
        return " ".join(self.overrides)

    @property
    def failed(self) -> bool:
        return self.status == "failed"

    @property
    def unfinished(self) -> bool:
        """Tell whether something else than an error of its own kept it from its end."""
        return self.status in ("interrupted", "not started")


class FailedCellsError(QmendError):
    """Cells of a multirun or study failed or did not finish; the others did."""

    status = 3


def failure(records: Sequence[CellRecord], advice: str) -> FailedCellsError | None:
    """Return the error that tells the failed and unfinished cells, or None if there are none.

    Args:
        advice: a sentence on how to try them again.
    """
    failed = [record for record in records if record.failed]
    unfinished = sum(record.unfinished for record in records)
    if not failed:
        if not unfinished:
            return None
        return FailedCellsError(f"{unfinished} of {len(records)} cells did not finish. {advice}")
    first = failed[0]
    counted = f"{len(failed)} of {len(records)} cells failed"
    if unfinished:
        counted += f" and {unfinished} did not finish"
    return FailedCellsError(f"{counted}, the first ({first.name}): {first.error} {advice}")
