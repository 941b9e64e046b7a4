"""The best config of each published architecture, one search each."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pydantic import Field, model_validator

from qmend.files import check_writable, write_text
from qmend.runs.cells import Cell, Outcome
from qmend.studies.base import StudyResult, compose_cell, open_study
from qmend.types import QmendError, nearest
from qmend.workflows.configs import TuneCommandConfig
from qmend.workflows.data_config import CommonConfig
from qmend.workflows.observer import Observer

if TYPE_CHECKING:  # torch, MLflow, Ray
    from qmend.reporting.table import Table
    from qmend.workflows.tune import Tuning


class Config(CommonConfig):
    """``conf/study/search.yaml``.

    Attributes:
        searches: name -> overrides of ``qmend tune``.
        models: names of those that run.
        output: directory of the table and of the best configs.
    """

    searches: dict[str, tuple[str, ...]]
    models: tuple[str, ...] = Field(min_length=1)
    output: Path

    @model_validator(mode="after")
    def _searches_exist(self) -> Self:
        for name in self.models:
            if name not in self.searches:
                raise QmendError(f"models: no search {name!r}. {nearest(name, self.searches)}")
        return self


def run(config: Config, observer: Observer) -> StudyResult:
    """Search for the best config of each architecture, or resume the searches.

    Raises:
        QmendError: naming the search whose config is wrong, before any work.
    """
    searches: dict[str, TuneCommandConfig] = {}
    for name in config.models:
        output = config.output / name
        texts = [*config.searches[name], f"tune.output={output}"]
        searches[name] = compose_cell(config, f"searches.{name}", "tune", texts)
        check_writable(output / "experiment" / "best.yaml")
    tunings: dict[str, Tuning] = {}
    with open_study(config, f"study search on {config.simulated.name}", {}, observer) as study:
        for name, search in searches.items():

            def work(_: Cell, search: TuneCommandConfig = search) -> tuple[Tuning, Outcome]:
                from qmend.workflows.tune import tune

                tuning = tune(search, observer)
                return tuning, Outcome("finished", tuning.result.best.trial.run_id)

            tuning = study.cell(name, work)
            if tuning is not None:
                tunings[name] = tuning
        table = search_table(tunings)
        write_text(study.files / "table.md", table.markdown())
        for name in tunings:
            best = Path(name) / "experiment" / "best.yaml"
            (study.files / best).parent.mkdir(parents=True)
            shutil.copy(config.output / best, study.files / best)
    notes = (f"Table and best configs: {config.output}",)
    return StudyResult(study.run.run_id, (table,), notes, study.failure)


def search_table(tunings: dict[str, Tuning]) -> Table:
    """Tabulate the best config of each search beside the one that it started with."""
    from qmend.metrics import interval_text
    from qmend.reporting.numbers import seconds_text
    from qmend.reporting.table import Column, Row, Table

    rows = []
    for name, tuning in tunings.items():
        result, trials = tuning.result, tuning.search.trials
        best, default = result.best, result.default
        finished = sum(trial.outcome in ("finished", "pruned") for trial in trials)
        rows.append(
            Row.of(
                [
                    name,
                    f"{finished}",
                    "" if default is None else interval_text(default.test, 3),
                    interval_text(best.test, 3),
                    f"{best.improved_pct:.1f}",
                    f"{best.harmed_pct:.1f}",
                    seconds_text(best.trial.seconds),
                    seconds_text(sum(trial.seconds for trial in trials)),
                    best.trial.run_id[:8],
                ]
            )
        )
    columns = (
        Column.text("model"),
        Column.number("trials"),
        Column.number("before [95 %]"),
        Column.number("best trial [95 %]"),
        Column("improved %", "improved\n%"),
        Column("harmed %", "harmed\n%"),
        Column("seconds of the best", "s of\nbest"),
        Column("seconds of all trials", "s of\nall"),
        Column.text("run"),
    )
    caption = (
        "Median L1RC on the test split, which is scored after the choice: of the config that a "
        "search starts with, and of its best trial."
    )
    return Table(columns, (tuple(rows),), "study search", caption)
