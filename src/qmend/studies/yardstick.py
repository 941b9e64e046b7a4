"""Compare architectures, losses and baselines over several seeds, and on other data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from qmend.config.compose import expand_sweep
from qmend.files import check_writable
from qmend.studies.base import (
    Study,
    StudyResult,
    compose_cell,
    compose_training,
    open_study,
    seeded,
    write_leaderboard,
)
from qmend.types import QmendError, nearest
from qmend.workflows.configs import EvaluateConfig
from qmend.workflows.data_config import CommonConfig
from qmend.workflows.directories import check_directories
from qmend.workflows.observer import Observer

if TYPE_CHECKING:  # torch, MLflow
    from qmend.runs.configurations import Configuration
    from qmend.runs.leaderboard import Leaderboard
    from qmend.workflows.evaluate import Evaluation


class Config(CommonConfig):
    """``conf/study/yardstick.yaml``.

    Attributes:
        seeds: every cell is trained with each.
        train_circuits: of the training split, where a cell sets no number; null: all.
        baselines: names, or ``all`` that can run.
        cells: name -> overrides of ``qmend train``; values with commas between make a row each.
        transferred: rows whose networks are averaged over seeds, and scored on other data.
        other_data: name -> overrides of ``qmend evaluate`` that choose the data.
        output: directory of the tables, one for each dataset.
    """

    seeds: tuple[int, ...] = Field(min_length=1)
    train_circuits: int | None = Field(ge=1)
    baselines: Literal["all"] | tuple[str, ...]
    cells: dict[str, tuple[str, ...]] = {}
    transferred: tuple[str, ...]
    other_data: dict[str, tuple[str, ...]] = {}
    output: Path

    @model_validator(mode="after")
    def _transferred_rows_exist(self) -> Self:
        rows = self.rows()
        for name in self.transferred:
            if name not in rows:
                raise QmendError(f"transferred: no row {name!r} in cells. {nearest(name, rows)}")
        return self

    def rows(self) -> dict[str, list[str]]:
        """Expand the cells: name of each row -> overrides of its trainings.

        The values that vary follow the cell's name: ``loss=kl,l1`` gives ``NAME_kl``, ``NAME_l1``.

        Raises:
            QmendError: if two rows have the same name.
        """
        rows: dict[str, list[str]] = {}
        for cell, overrides in self.cells.items():
            expanded, swept = expand_sweep(overrides)
            varying = [text.partition("=")[0] for text in swept]
            for texts in expanded:
                pairs = [text.partition("=")[::2] for text in texts]
                name = "_".join([cell, *(value for key, value in pairs if key in varying)])
                if name in rows:
                    raise QmendError(f"cells: two rows are named {name!r}; rename one.")
                rows[name] = texts
        return rows


def run(config: Config, observer: Observer) -> StudyResult:
    """Train every cell with every seed, score the baselines, then the best on other data.

    What the store already holds is not run again.

    Raises:
        QmendError: naming the cell whose config is wrong, before any work.
    """
    trainings = {
        name: compose_training(config, f"cells.{name}", config.train_circuits, texts)
        for name, texts in config.rows().items()
    }
    baselines: EvaluateConfig | None = None
    if config.baselines:
        names = "all" if config.baselines == "all" else f"[{','.join(config.baselines)}]"
        texts = ["checkpoint=[]", f"baselines={names}"]
        baselines = compose_cell(config, "baselines", "evaluate", texts)
    others: dict[str, EvaluateConfig] = {
        name: compose_cell(
            config, f"other_data.{name}", "evaluate", [*overrides, "checkpoint=[later]"]
        )
        for name, overrides in config.other_data.items()
    }
    check_directories([each.plain() for each in (config, *others.values())])

    from qmend.datasets.table import load_dataset
    from qmend.evaluation.scores import reference
    from qmend.reporting.leaderboard import leaderboard_table, summary_verdicts
    from qmend.runs.leaderboard import Leaderboard
    from qmend.runs.scoring import dataset_tags
    from qmend.workflows.generate import generate

    check_writable(config.output / "table.md")
    generate(config, observer)
    dataset = load_dataset(config.dataset_folder)
    for count in {training.train_circuits for training in trainings.values()}:
        dataset.shortened(count)
    title = f"study yardstick on {dataset.folder.name}"
    with open_study(config, title, dataset_tags(dataset), observer) as study:
        notes: list[str] = []
        rows: list[Configuration] = []
        transferred: list[Configuration] = []
        for name, training in trainings.items():
            row = study.train(name, seeded(training, config.seeds))
            if row is not None:
                rows.append(row)
                if name in config.transferred:
                    transferred.append(row)
        for row in transferred:
            if len(row.runs) > 1:
                rows += _average(study, config, row)
        if baselines is not None:
            evaluation = study.evaluate("baselines", baselines)
            rows += evaluation.leaderboard.configurations if evaluation else ()
            notes += evaluation.notes if evaluation else ()
        boards = {}
        if rows:
            boards[dataset.folder.name] = Leaderboard(tuple(rows), reference(dataset.parts("test")))
        for name, other in others.items():
            evaluation = _transfer(study, name, other, transferred)
            if evaluation is not None:
                boards[name] = _with_rows(evaluation, transferred)
                notes += [f"{name}: {note}" for note in evaluation.notes]
        for name, board in boards.items():
            write_leaderboard(study, board, config.output, name)
            notes += [f"{name}: {sentence}" for sentence in summary_verdicts(board)]
    tables = tuple(leaderboard_table(board, title=name) for name, board in boards.items())
    notes.append(f"Tables: {config.output}")
    return StudyResult(study.run.run_id, tables, tuple(notes), study.failure)


def _average(study: Study, config: Config, row: Configuration) -> list[Configuration]:
    """Score the average of a row's networks on the study's data; empty where that failed."""
    from qmend.runs.configurations import Configuration

    name = f"{row.name} average of {len(row.runs)}"
    texts = ("ensemble=true", f"checkpoint=[{','.join(row.run_ids)}]", "baselines=[]")
    average: EvaluateConfig = compose_cell(config, name, "evaluate", texts)
    evaluation = study.evaluate(name, average)
    return [] if evaluation is None else [Configuration(name, (evaluation.leaderboard.runs[-1],))]


def _transfer(
    study: Study, name: str, other: EvaluateConfig, rows: Sequence[Configuration]
) -> Evaluation | None:
    """Score trained networks on other data, beside baselines that are fitted to these."""
    ids = [run_id for row in rows for run_id in row.run_ids]
    if not ids and not other.baselines:
        return None
    return study.evaluate(name, other.model_copy(update={"checkpoint": tuple(ids)}))


def _with_rows(evaluation: Evaluation, rows: Sequence[Configuration]) -> Leaderboard:
    """Group the scored networks of an evaluation by row, at the cost of their training."""
    from qmend.runs.configurations import Configuration
    from qmend.runs.leaderboard import Leaderboard

    board = evaluation.leaderboard
    by_id = {run.tags.get("checkpoint_run"): run for run in board.runs}
    grouped = list(board.baselines)
    for row in rows:
        runs = [by_id[run_id] for run_id in row.run_ids if run_id in by_id]
        cost: Mapping[str, float] = {"cost/seconds": row.seconds}
        priced = tuple(replace(run, metrics={**run.metrics, **cost}) for run in runs)
        if priced:
            grouped.append(Configuration(row.name, priced))
    return Leaderboard(tuple(grouped), board.reference)
