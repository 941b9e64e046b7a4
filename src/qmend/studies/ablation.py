"""Ablations: the input of each model is replaced, part by part, by that of other circuits.

A model that is as good with another circuit's calibration does not use the calibration.
"""

from __future__ import annotations

from itertools import product

from pydantic import Field

from qmend.files import check_writable
from qmend.studies.base import StudyResult, open_study
from qmend.studies.grid import (
    GridConfig,
    compose_network,
    compose_test,
    figures_of,
    grid_table,
    score_networks,
    train_networks,
    write_grid,
)
from qmend.types import Ablation
from qmend.workflows.configs import EvaluateConfig
from qmend.workflows.directories import check_directories
from qmend.workflows.observer import Observer


class Config(GridConfig):
    """``conf/study/ablation.yaml``.

    Attributes:
        ablations: columns of the table.
    """

    ablations: tuple[Ablation, ...] = Field(min_length=1)


def run(config: Config, observer: Observer) -> StudyResult:
    """Train each model on each data, and score it under each ablation.

    Raises:
        QmendError: naming the model whose config is wrong, before any work.
    """
    networks = {
        f"{source} {model}": compose_network(
            config, f"{source} {model}", source, config.scale.models[model]
        )
        for source, model in product(config.source, config.models)
    }
    tests = {
        (source, ablation): compose_test(
            config, f"{source} {ablation}", source, [f"ablation={ablation}", "baselines=[]"]
        )
        for source, ablation in product(config.source, config.ablations)
    }
    check_directories([network.training.plain() for network in networks.values()])
    check_writable(config.output / "table.md")
    notes: dict[str, None] = {}
    tables, figures = [], {}
    with open_study(config, "study ablation", {"scale": config.scale.name}, observer) as study:
        rows = train_networks(study, networks, config)
        for source in config.source:
            own = {
                model: rows[f"{source} {model}"]
                for model in config.models
                if f"{source} {model}" in rows
            }
            columns: dict[str, EvaluateConfig] = {a: tests[source, a] for a in config.ablations}
            figures[source] = figures_of(score_networks(study, columns, own, notes))
            caption = f"Parts of the input from other circuits, on {source}."
            title = f"study ablation, {source}"
            tables.append(grid_table(figures[source], title, "model", caption))
            write_grid(tables[-1], figures[source], config.output / source)
        study.run.files(config.output, "tables")
    sentences = (*notes, f"Tables and figures: {config.output}")
    return StudyResult(study.run.run_id, tuple(tables), sentences, study.failure)
