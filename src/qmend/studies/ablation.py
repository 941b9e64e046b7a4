"""Ablations: a part of the input comes from other circuits, or a part of the model is taken out.

A model that is as good with another circuit's calibration does not use the calibration. Of a part
that is taken out, training can make up for what the others can do.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import TYPE_CHECKING, Self

from pydantic import Field, model_validator

from qmend.files import check_writable
from qmend.studies.base import StudyResult, open_study
from qmend.studies.grid import (
    GridConfig,
    compose_network,
    compose_test,
    score_networks,
    train_networks,
)
from qmend.studies.grid_tables import (
    figures_of,
    grid_table,
    write_grid,
)
from qmend.types import Ablation
from qmend.workflows.configs import EvaluateConfig
from qmend.workflows.directories import check_directories
from qmend.workflows.observer import Observer

if TYPE_CHECKING:  # torch, MLflow
    from qmend.reporting.table import Table
    from qmend.runs.configurations import Configuration


class Config(GridConfig):
    """``conf/study/ablation.yaml``.

    Attributes:
        ablations: columns of the first table of each data.
        baselines: names; each is fitted to the training split of each data.
        parts: model -> its parts, of which each is taken out in a training of its own.
    """

    ablations: tuple[Ablation, ...] = Field(min_length=1)
    baselines: tuple[str, ...]
    parts: dict[str, tuple[str, ...]]

    @model_validator(mode="after")
    def _parts_are_of_models(self) -> Self:
        self.check_models("parts", self.parts)
        return self

    @property
    def without(self) -> dict[str, list[str]]:
        """Name of a network without a part -> its overrides; of the compared models only."""
        return {
            f"{model} without {part}": [*self.scale.models[model], f"model.without=[{part}]"]
            for model, parts in self.parts.items()
            if model in self.models
            for part in parts
        }


def run(config: Config, observer: Observer) -> StudyResult:
    """Train each model on each data, and score it under each ablation.

    Raises:
        QmendError: naming the model whose config is wrong, before any work.
    """
    models = {**{name: config.scale.models[name] for name in config.models}, **config.without}
    networks = {
        f"{source} {name}": compose_network(config, f"{source} {name}", source, overrides)
        for source, (name, overrides) in product(config.source, models.items())
    }
    names = ",".join(config.baselines)
    tests = {
        (source, ablation): compose_test(
            config, f"{source} {ablation}", source, [f"ablation={ablation}", f"baselines=[{names}]"]
        )
        for source, ablation in product(config.source, config.ablations)
    }
    check_directories([network.training.plain() for network in networks.values()])
    check_writable(config.output / "table.md")
    notes: dict[str, None] = {}
    tables: list[Table] = []
    with open_study(config, "study ablation", {"scale": config.scale.name}, observer) as study:
        trained = train_networks(study, networks, config)
        for source in config.source:
            rows = {name: trained[key] for name in models if (key := f"{source} {name}") in trained}
            columns: dict[str, EvaluateConfig] = {a: tests[source, a] for a in config.ablations}
            own = {name: row for name, row in rows.items() if name in config.models}
            figures = figures_of(score_networks(study, columns, own, notes))
            caption = f"Parts of the input from other circuits, on {source}."
            tables.append(grid_table(figures, f"study ablation, {source}", "model", caption))
            write_grid(study, tables[-1], figures, source)
            if len(rows) > len(own):
                parts = {
                    name: row
                    for model in config.parts
                    for name, row in rows.items()
                    if name == model or name.startswith(f"{model} without ")
                }
                taken = {source: {name: dict(row.figures) for name, row in parts.items()}}
                tables.append(_parts_table(parts, source))
                write_grid(study, tables[-1], taken, f"{source}_parts")
    sentences = (*notes, f"Tables and figures: {config.output}")
    return StudyResult(study.run.run_id, tuple(tables), sentences, study.failure)


def _parts_table(rows: Mapping[str, Configuration], source: str) -> Table:
    """Tabulate networks without a part beside the whole one, in pairs of circuits."""
    from qmend.evaluation.comparison import Resampled
    from qmend.metrics import Bootstrap, interval_text
    from qmend.reporting.numbers import signed_text
    from qmend.reporting.table import Cell, Column, Row, Table

    groups = []
    for model in (name for name in rows if " without " not in name):
        members = {n: r for n, r in rows.items() if n == model or n.startswith(f"{model} without ")}
        scores = {name: [run.scores for run in row.runs] for name, row in members.items()}
        bootstrap = Bootstrap.over(scores[model][0].job_id)
        whole = Resampled.of(scores[model], bootstrap)
        lines = []
        for name, row in members.items():
            figures = row.figures
            texts = [name, interval_text(figures["l1rc_median"], 3)]
            harmed = f"{figures['harmed_pct'].value:.1f}"
            pair = Cell("")
            if name != model:
                comparison = Resampled.of(scores[name], bootstrap).minus(whole)
                pair = Cell(signed_text(comparison.difference), comparison.word)
            lines.append(Row.of([*texts, harmed, pair]))
        groups.append(tuple(lines))
    columns = (
        Column.text("model"),
        Column.number("median L1RC [95 %]"),
        Column.number("harmed %"),
        Column.number("minus the whole [95 %]"),
    )
    caption = f"A part of the network taken out before training, on {source}; in pairs of circuits."
    return Table(columns, tuple(groups), f"Parts of the networks, {source}", caption)
