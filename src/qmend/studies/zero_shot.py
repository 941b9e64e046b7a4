"""Networks on families and devices that they have not seen, beside networks trained on each.

For each pair of a family and a device a network is trained on simulated circuits of that pair. It
stands beside networks that are used as they are, with their guards, and beside simple methods that
are fitted to the same training circuits. All are scored on the pair's test split.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from qmend.files import check_writable
from qmend.studies.base import (
    Study,
    StudyResult,
    compose_cell,
    compose_simulated,
    open_study,
    plain_figures,
    write_table,
)
from qmend.workflows.configs import Checkpoints, EvaluateConfig, TrainConfig, each_once
from qmend.workflows.data_config import CommonConfig
from qmend.workflows.directories import check_directories
from qmend.workflows.observer import Observer

if TYPE_CHECKING:  # torch, MLflow
    from qmend.metrics import Interval
    from qmend.reporting.table import Table
    from qmend.runs.configurations import Configuration

#: Row of the network that is trained on each pair.
TRAINED = "trained on each"
#: Name of a pair -> row -> figure.
Figures = dict[str, dict[str, dict[str, "Interval"]]]


class Config(CommonConfig):
    """``conf/study/zero_shot.yaml``.

    Attributes:
        checkpoint: networks that are scored as they are.
        families, devices: names of configs; each family is run on each device.
        recipe: overrides of the data of each pair, without family and device.
        trained: overrides of ``qmend train`` for the network that is trained on each pair.
        baselines: names; each is fitted to a pair's training split.
        output: directory of table and figure.
    """

    checkpoint: Checkpoints = Field(min_length=1)
    families: tuple[str, ...] = Field(min_length=1)
    devices: tuple[str, ...] = Field(min_length=1)
    recipe: tuple[str, ...]
    trained: tuple[str, ...]
    baselines: tuple[str, ...]
    output: Path


def run(config: Config, observer: Observer) -> StudyResult:
    """Train a network on each pair, and score it beside the others.

    Raises:
        QmendError: naming the pair whose config is wrong, before any work; if a network can't be
            read.
    """
    pairs = {
        f"{family} {device}": _pair(config, family, device)
        for family, device in product(config.families, config.devices)
    }
    check_directories([training.plain() for training, _ in pairs.values()])

    from qmend.runs.networks import load_networks
    from qmend.tracking.store import open_store
    from qmend.training.checkpoint import resolve_checkpoint

    check_writable(config.output / "table.md")
    store = open_store(config.tracking.root)
    checkpoint = each_once(tuple(resolve_checkpoint(store, c) for c in config.checkpoint))
    names = {
        str(network.provenance.get("run_id")): typed
        for network, typed in zip(load_networks(store, checkpoint), config.checkpoint, strict=True)
    }
    config = config.model_copy(update={"checkpoint": checkpoint})
    figures: Figures = {}
    notes: dict[str, None] = {}
    with open_study(config, "study zero_shot", {}, observer) as study:
        for name, (training, evaluation) in pairs.items():
            own = study.train(name, [training])
            if own is None:
                continue
            scored = evaluation.model_copy(update={"checkpoint": (*own.run_ids, *checkpoint)})
            rows = _score(study, name, scored, {own.run_ids[0]: TRAINED, **names}, notes)
            if rows:
                figures[name] = rows
        table = zero_shot_table(figures)
        record = plain_figures(figures, ("l1rc_median", "harmed_pct", "applied_pct"))
        write_table(table, record, study.files)
        if figures:
            save_figure(figures, study.files / "zero_shot")
    sentences = (*notes, f"Table and figure: {config.output}")
    return StudyResult(study.run.run_id, (table,), sentences, study.failure, record)


def _pair(config: Config, family: str, device: str) -> tuple[TrainConfig, EvaluateConfig]:
    """Compose the training on a family and a device, and the evaluation of all networks there."""
    key = f"families {family}, devices {device}"
    data = [
        *config.recipe,
        f"dataset/family={family}",
        f"dataset.name=zero_shot_{family}",
        f"device={device}",
    ]
    baselines = f"baselines=[{','.join(config.baselines)}]"
    training = compose_simulated(config, key, [*data, *config.trained])
    evaluation: EvaluateConfig = compose_cell(
        config, key, "evaluate", [*data, baselines, "checkpoint=[later]"]
    )
    return training, evaluation


def _score(
    study: Study,
    name: str,
    config: EvaluateConfig,
    names: Mapping[str, str],
    notes: dict[str, None],
) -> dict[str, dict[str, Interval]]:
    """Score networks and baselines on a pair: row -> figure; empty if that failed.

    Args:
        names: of networks, by the runs that trained them.
        notes: a sentence on each limit; further ones are added.
    """
    evaluation = study.evaluate(name, config)
    if evaluation is None:
        return {}
    rows = {}
    for row in evaluation.leaderboard.configurations:
        rows[_row_name(row, names)] = row.figures
    trained_elsewhere = [note for note in evaluation.notes if "trained on other data" not in note]
    notes.update(dict.fromkeys(trained_elsewhere))
    return rows


def _row_name(row: Configuration, names: Mapping[str, str]) -> str:
    """Name a network as the study's config does, guarded or not, and a baseline as itself."""
    for run_id in row.networks:
        if run_id in names:
            return names[run_id] + (", guarded" if "applied_pct" in row.figures else "")
    return row.name


def _share_of_gain(value: float, trained: float) -> float:
    """Compute the share of a trained network's gain that another one has, in per cent."""
    return 100 * value / trained if trained < 0 else float("nan")


def zero_shot_table(figures: Figures) -> Table:
    """Tabulate each row of each pair."""
    from qmend.metrics import interval_text
    from qmend.reporting.table import Column, Row, Table

    columns = (
        Column.text("family, device"),
        Column.text("mitigator"),
        Column.number("median L1RC [95 %]"),
        Column("gain, % of the trained network's", "% of\ntrained"),
        Column("applied %", "applied\n%"),
        Column("harmed %", "harmed\n%"),
        Column("harmed % of applied", "of\napplied"),
    )
    groups = []
    for pair, rows in figures.items():
        trained = rows[TRAINED]["l1rc_median"].value
        shown = [name for name in rows if name != "none"]
        shown.sort(key=lambda name: rows[name]["l1rc_median"].value)
        lines: list[Row] = []
        for name in shown:
            row = rows[name]
            applied, harmed = _applied(row), row["harmed_pct"].value
            of_applied = 100 * harmed / applied if applied > 0 else float("nan")
            gain = _share_of_gain(row["l1rc_median"].value, trained)
            lines.append(
                Row.of(
                    [
                        pair if not lines else "",
                        name,
                        interval_text(row["l1rc_median"], 3),
                        "" if name == TRAINED else f"{gain:.0f}",
                        f"{applied:.0f}",
                        f"{harmed:.1f}",
                        f"{of_applied:.1f}",
                    ],
                    "best" if not lines else "",
                )
            )
        groups.append(tuple(lines))
    caption = (
        "Median L1RC of a pair's test circuits [95 % over jobs]; where a guard abstains, it counts "
        "as 0."
    )
    return Table(columns, tuple(groups), "study zero_shot", caption)


def _applied(row: Mapping[str, Interval]) -> float:
    return row["applied_pct"].value if "applied_pct" in row else 100.0


def save_figure(figures: Figures, stem: Path) -> None:
    """Draw the median L1RC of each row by pair, PNG and SVG."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    from qmend.plots.dots import draw_dots
    from qmend.plots.style import STYLE
    from qmend.reporting.figures import save

    shown = {
        pair: {name: row["l1rc_median"] for name, row in rows.items() if name != "none"}
        for pair, rows in figures.items()
    }
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.5, 1.2 + 0.32 * len(shown)), layout="constrained")
        axis = figure.subplots()
        names = draw_dots(axis, shown)
        axis.set_xlabel("median L1RC")
        figure.legend(loc="outside upper center", ncols=len(names), fontsize=8)
        save(figure, stem)
