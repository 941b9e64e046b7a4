"""Ablations of training in simulated worlds, scored there and on real devices.

Each cell trains a network like all others but for its own overrides. All networks are scored on the
test split of the same worlds, and judged on measurements of real devices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from qmend.files import check_writable
from qmend.studies import compose_study
from qmend.studies.base import (
    Study,
    StudyResult,
    compose_cell,
    compose_simulated,
    open_study,
    plain_figures,
    seeded,
    write_table,
)
from qmend.studies.hardware import Config as HardwareConfig
from qmend.types import QmendError
from qmend.workflows.configs import EvaluateConfig, TrainConfig
from qmend.workflows.data_config import CommonConfig
from qmend.workflows.directories import check_directories
from qmend.workflows.observer import Observer

if TYPE_CHECKING:  # torch, MLflow
    from qmend.datasets.manifest import Manifest
    from qmend.datasets.measured import MeasuredRows
    from qmend.evaluation.cells import Cells
    from qmend.metrics import Interval
    from qmend.reporting.table import Table
    from qmend.runs.configurations import Configuration

#: Name of the figures in simulated worlds.
WORLDS = "worlds"
#: Figures of cells on hardware that are tabulated.
TABULATED = ("all", "spread", "pooled", "harmed_pct")
#: Cell -> ``worlds`` or ``K = 0``, ... -> figure.
Figures = dict[str, dict[str, dict[str, "Interval"]]]


class Config(CommonConfig):
    """``conf/study/worlds.yaml``; the study's own dataset has the measurements.

    Attributes:
        recipe: overrides of the data of all cells; their test split scores every network.
        network: overrides of ``qmend train`` of all cells.
        cells: name -> further overrides; other data need a ``dataset.name`` of their own.
        seeds: every cell is trained with each.
        hardware: whether networks are judged on the measurements, as by ``qmend study hardware``.
        references: numbers of other circuits of the same job that tell a network of the device.
        output: directory of table and figure.
    """

    recipe: tuple[str, ...]
    network: tuple[str, ...]
    cells: dict[str, tuple[str, ...]] = Field(min_length=1)
    seeds: tuple[int, ...] = Field(min_length=1)
    hardware: bool
    references: tuple[Annotated[int, Field(ge=0)], ...] = Field(min_length=1)
    output: Path


@dataclass(frozen=True)
class _Measured:
    """The measurements, and how networks are judged on them."""

    config: HardwareConfig
    manifest: Manifest
    groups: Sequence[MeasuredRows]
    cells: Cells


def run(config: Config, observer: Observer) -> StudyResult:
    """Train every cell with every seed, and score the networks in the same worlds and on hardware.

    What the store already holds is not trained or scored again.

    Raises:
        QmendError: naming the cell whose config is wrong, before any work; if the measurements
            can't be read.
    """
    scored: EvaluateConfig = compose_cell(
        config, "recipe", "evaluate", [*config.recipe, "baselines=[]", "checkpoint=[later]"]
    )
    trainings = _compose(config, scored)
    check_writable(config.output / "table.md")
    measured = _load_measured(config) if config.hardware else None
    figures: Figures = {}
    notes: dict[str, None] = {}
    with open_study(config, "study worlds", {}, observer) as study:
        for name, training in trainings.items():
            trained = study.train(name, seeded(training, config.seeds))
            if trained is not None:
                figures[name] = _score(study, trained, scored)
                if measured is not None:
                    figures[name] |= _judge(study, trained, measured, notes)
        places = [WORLDS, *(_told_by(k) for k in config.references if config.hardware)]
        table = worlds_table(figures, places)
        record = plain_figures(figures, ("l1rc_median", *TABULATED))
        write_table(table, record, study.files)
        if any(figures.values()):
            save_figure(figures, study.files / "worlds")
    sentences = (*notes, f"Table and figure: {config.output}")
    return StudyResult(study.run.run_id, (table,), sentences, study.failure, record)


def _compose(config: Config, scored: EvaluateConfig) -> dict[str, TrainConfig]:
    """Compose the training of each cell, with data in a directory of their own or the scored."""
    trainings: dict[str, TrainConfig] = {}
    for name, overrides in config.cells.items():
        key = f"cells.{name}"
        texts = [*config.recipe, *config.network, *overrides]
        trainings[name] = compose_simulated(config, key, texts)
        try:
            check_directories([each.plain() for each in (scored, *trainings.values())])
        except QmendError as error:
            raise QmendError(f"{key}: {error}") from None
    return trainings


def _load_measured(config: Config) -> _Measured:
    """Read the rows that ``qmend study hardware`` reads by default."""
    from qmend.datasets.measured import load_measured
    from qmend.evaluation.cells import Cells

    references = ",".join(map(str, config.references))
    hardware = compose_study("hardware", [f"references=[{references}]"])
    assert isinstance(hardware, HardwareConfig)
    manifest, groups = load_measured(config.dataset_folder, hardware.max_bits, hardware.families)
    return _Measured(hardware, manifest, groups, Cells.of(groups))


def _score(
    study: Study, trained: Configuration, scored: EvaluateConfig
) -> dict[str, dict[str, Interval]]:
    """Score the networks of a cell in the common worlds; empty if that failed."""
    from qmend.runs.configurations import Configuration

    networks = scored.model_copy(update={"checkpoint": trained.run_ids})
    evaluation = study.evaluate(f"{trained.name} in common worlds", networks)
    if evaluation is None:
        return {}
    runs = Configuration(trained.name, tuple(evaluation.leaderboard.runs))
    return {WORLDS: runs.figures}


def _judge(
    study: Study, trained: Configuration, measured: _Measured, notes: dict[str, None]
) -> dict[str, dict[str, Interval]]:
    """Judge the networks of a cell on the measurements; empty if that failed.

    Args:
        notes: on rows that are not taken; further ones are added.
    """
    from qmend.evaluation.cells import summarise_cells
    from qmend.metrics import Interval
    from qmend.runs.cells import Outcome
    from qmend.runs.evaluation import check_unseen_measurements
    from qmend.runs.networks import load_networks
    from qmend.studies.leave_out import judge_network

    options, groups, cells = measured.config, measured.groups, measured.cells

    def judge_all() -> list[dict[str, dict[str, Interval]]]:
        seeds = []
        for network in load_networks(study.store, trained.run_ids):
            study.observer.stage(f"judging {trained.name}")
            check_unseen_measurements(network.provenance, measured.manifest, "all")
            rows = judge_network(
                network, groups, cells, options.references, options.seed, alone=True
            )
            notes.update(dict.fromkeys(f"{trained.name}: {n}" for row in rows for n in row.notes))
            summaries = [
                summarise_cells(cells, row.after, row.applied, options.replicates) for row in rows
            ]
            if len(rows) < len(options.references):  # it reads no numbers of the device
                summaries *= len(options.references)
            places = map(_told_by, options.references)
            seeds.append(dict(zip(places, summaries, strict=True)))
        return seeds

    name = f"{trained.name} on {measured.manifest.name}"
    seeds = study.cell(name, lambda _: (judge_all(), Outcome("finished")))
    return {
        place: {key: Interval.mean([seed[place][key] for seed in seeds or ()]) for key in TABULATED}
        for place in (seeds[0] if seeds else ())
    }


def _told_by(references: int) -> str:
    return f"K = {references}"


def worlds_table(figures: Figures, places: Sequence[str]) -> Table:
    """Tabulate each cell in the common worlds, and on hardware for each number of references.

    Args:
        places: of the figures, a group of columns each.
    """
    from qmend.metrics import interval_text
    from qmend.reporting.table import Column, Row, Table

    def text(row: dict[str, Interval], key: str) -> str:
        if key not in row:
            return ""
        if key in ("l1rc_median", "all"):
            return interval_text(row[key], 3 if key == "l1rc_median" else 2)
        return f"{row[key].value:.1f}" if key == "harmed_pct" else f"{row[key].value:+.2f}"

    columns, keys = [Column.text("cell")], []
    for place in places:
        hardware = place != WORLDS
        for key in TABULATED if hardware else ("l1rc_median", "harmed_pct"):
            keys.append((place, key))
            heading = {"harmed_pct": "harmed %", "l1rc_median": "median L1RC"}.get(key, key)
            interval = " [95 %]" if key in ("l1rc_median", "all") else ""
            short = {"harmed_pct": "harm\n%", "l1rc_median": place, "all": f"{place}, all"}
            columns.append(Column(f"{place}: {heading}{interval}", short.get(key)))
    rows = [
        Row.of([name, *(text(row.get(place, {}), key) for place, key in keys)])
        for name, row in figures.items()
    ]
    caption = (
        "Median L1RC of test circuits of the common worlds [95 % over jobs]. K other circuits of "
        "the same job tell of a real device: median L1RC of cells [95 % over source circuits]; "
        "spread: the ideal is no point mass; pooled: change of the summed L1. Over seeds: means, "
        "and the hull of the intervals."
    )
    return Table(tuple(columns), (tuple(rows),), "study worlds", caption)


def save_figure(figures: Figures, stem: Path) -> None:
    """Draw the median L1RC of each cell, in worlds and on hardware, PNG and SVG."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    from qmend.plots.dots import draw_dots
    from qmend.plots.style import STYLE
    from qmend.reporting.figures import save

    worlds = {
        cell: {WORLDS: row[WORLDS]["l1rc_median"]} if WORLDS in row else {}
        for cell, row in figures.items()
    }
    hardware = {
        cell: {place: one["all"] for place, one in row.items() if place != WORLDS}
        for cell, row in figures.items()
    }
    panels = {"median L1RC in worlds": worlds}
    if any(hardware.values()):
        panels["median L1RC on hardware"] = hardware
    with mpl.rc_context(STYLE):
        size = (1 + 4 * len(panels), 1.2 + 0.36 * len(figures))
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axis, (label, shown) in zip(axes, panels.items(), strict=True):
            names = draw_dots(axis, shown)
            axis.set_xlabel(label)
        if len(names) > 1:
            handles = axes[-1].get_legend_handles_labels()
            figure.legend(*handles, loc="outside upper right", ncols=len(names), fontsize=8)
        save(figure, stem)
