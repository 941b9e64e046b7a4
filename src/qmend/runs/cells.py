"""Cells: the runs that a multirun or a study is made of."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cell:
    """Where a run belongs.

    Attributes:
        parent: id of the run of the multirun or study.
        name: the overrides that vary, for a person.
        threads: the cell's share of the processors; None: as its config says.
    """

    parent: str
    name: str = ""
    threads: int | None = None
