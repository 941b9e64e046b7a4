"""All studies of the paper, one after the other at one scale."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from qmend.files import check_writable
from qmend.runs.cells import Cell, Outcome
from qmend.studies import compose_study, run_study
from qmend.studies.base import ADVICE, StudyResult, open_study, write_table
from qmend.studies.grid import ScaleConfig
from qmend.types import QmendError
from qmend.workflows.data_config import CommonConfig
from qmend.workflows.observer import Observer

if TYPE_CHECKING:
    from qmend.reporting.table import Table


class Config(CommonConfig):
    """``conf/study/all.yaml``.

    Attributes:
        studies: name -> overrides of the study, in their order.
        minutes: name -> of two cores, at scale=small; a study that is not there has no budget.
        output: directory; each study has one of its own in it.
    """

    scale: ScaleConfig
    studies: dict[str, tuple[str, ...]] = Field(min_length=1)
    minutes: dict[str, float]
    output: Path


def run(config: Config, observer: Observer) -> StudyResult:
    """Run the studies, or go on where an earlier command was stopped.

    A study that can't run does not keep the others from running.

    Raises:
        QmendError: naming the study whose config is wrong, before any work.
    """
    from qmend.runs.sweeps import mark_reused

    plain = config.plain()
    sections = {key: plain[key] for key in ("scale", "data", "ray", "tracking")}
    studies = {
        name: compose_study(name, [f"output={config.output / name}", *overrides], sections)
        for name, overrides in config.studies.items()
    }
    check_writable(config.output / "table.md")
    seconds: dict[str, float] = {}
    results: dict[str, StudyResult] = {}
    with open_study(config, "study all", {"scale": config.scale.name}, observer) as study:
        for name, one in studies.items():
            budget = config.minutes.get(name)
            about = "" if budget is None else f", {budget:g} minutes of two cores at scale=small"
            observer.step(f"study {name}{about}")
            started = time.monotonic()

            def work(
                _: Cell, name: str = name, one: CommonConfig = one
            ) -> tuple[StudyResult, Outcome]:
                result = run_study(name, one, observer)
                if result.failure is not None:
                    raise QmendError(str(result.failure).removesuffix(f" {ADVICE}"))
                mark_reused(study.store, result.run_id, study.run.run_id)
                return result, Outcome("finished", result.run_id)

            result = study.cell(name, work)
            seconds[name] = time.monotonic() - started
            if result is not None:
                results[name] = result
        table = _table(config, seconds, results)
        write_table(table, {name: round(value, 1) for name, value in seconds.items()}, study.files)
    notes = (f"Pages of the studies: {config.output}",)
    return StudyResult(study.run.run_id, (table,), notes, study.failure)


def _table(config: Config, seconds: dict[str, float], results: dict[str, StudyResult]) -> Table:
    from qmend.reporting.table import Column, Row, Table

    rows = []
    for name, taken in seconds.items():
        budget = config.minutes.get(name)
        texts = [name, "" if budget is None else f"{budget:g}", f"{taken / 60:.1f}"]
        done = name in results
        end = results[name].run_id[:8] if done else "failed"
        rows.append(Row.of([*texts, end], "" if done else "failed"))
    columns = (
        Column.text("study"),
        Column.number("minutes at scale=small"),
        Column.number("taken"),
        Column.text("run"),
    )
    caption = "Finished runs are taken from the store, so that a second command takes less."
    return Table(columns, (tuple(rows),), f"study all, scale={config.scale.name}", caption)
