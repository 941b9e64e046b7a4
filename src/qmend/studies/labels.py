"""Do mislabelled circuits give the published figures of simulated ones (arXiv 2601.14226)?

Routing permutes qubits. Where a circuit is compiled first and measured afterwards, its counts are
in the order of the physical wires, and its ideal distribution is in that of the source's qubits.
Nothing crashes. The same models are trained and scored on proven labels and on such ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Self

from pydantic import Field, model_validator

from qmend.config.model import ConfigModel
from qmend.files import check_writable
from qmend.runs.cells import Cell, Outcome
from qmend.studies.base import Study, StudyResult, open_study
from qmend.studies.grid import (
    GridConfig,
    compose_network,
    compose_test,
    train_networks,
)
from qmend.studies.grid_tables import (
    Figures,
    figures_of,
    write_grid,
)
from qmend.types import QmendError
from qmend.workflows.configs import EvaluateConfig, TrainConfig
from qmend.workflows.directories import check_directories
from qmend.workflows.observer import Observer

if TYPE_CHECKING:  # torch, MLflow
    from qmend.datasets.table import Dataset, LabelledCircuits
    from qmend.metrics import Interval
    from qmend.reporting.table import Table
    from qmend.runs.configurations import Configuration
    from qmend.runs.reading import ScoredRun

#: Columns of the table.
LABELS = ("proven", "mislabelled")
#: A median L1RC is near another one within this distance.
NEAR = 0.1
#: L1 distance from which a mislabelled circuit's label counts as another one.
CHANGED = 0.05


class Published(ConfigModel):
    """Figures of a published model; ``improved_pct``: least and greatest of several sources."""

    l1rc_median: float
    improved_pct: tuple[float, ...]


class Config(GridConfig):
    """``conf/study/labels.yaml``.

    Attributes:
        baselines: names; each is fitted to the training split with either labels.
        published: model -> its published figures.
    """

    baselines: tuple[str, ...]
    published: dict[str, Published] = Field(min_length=1)

    @model_validator(mode="after")
    def _baselines_are_named(self) -> Self:
        if "all" in self.baselines:
            raise QmendError("baselines: name each one; [all] is none here.")
        return self


def run(config: Config, observer: Observer) -> StudyResult:
    """Train and score each model on each data, with proven labels and mislabelled.

    Raises:
        QmendError: naming the model whose config is wrong, before any work.
    """
    networks = {
        f"{source} {model}": compose_network(
            config, f"{source} {model}", source, config.scale.models[model]
        )
        for source, model in product(config.source, config.models)
    }
    for name, network in networks.items():
        if network.training.online is not None or network.training.checkpoint is not None:
            raise QmendError(
                f"{name}: online simulation and checkpoints have proven labels; leave them out."
            )
    baselines = [f"baselines=[{','.join(config.baselines)}]"]
    tests = {source: compose_test(config, source, source, baselines) for source in config.source}
    check_directories([network.training.plain() for network in networks.values()])
    check_writable(config.output / "table.md")

    from qmend.datasets.table import load_dataset
    from qmend.workflows.generate import generate

    tables, figures, notes = [], {}, []
    with open_study(config, "study labels", {"scale": config.scale.name}, observer) as study:
        trained = train_networks(study, networks, config)
        for source, test in tests.items():
            generate(test, observer, wait=True)
            proven = load_dataset(test.dataset_folder)
            rows: dict[str, dict[str, Configuration]] = {label: {} for label in LABELS}
            for model in config.models:
                name = f"{source} {model}"
                pair = (
                    trained.get(name),
                    train_mislabelled(study, name, networks[name].training, config),
                )
                for label, row in zip(LABELS, pair, strict=True):
                    if row is not None:
                        rows[label][model] = row
            for label, data in zip(LABELS, (proven, mislabelled(proven)), strict=True):
                rows[label] |= score_baselines(study, f"{source} {label}", test, data)
            figures[source] = figures_of(rows)
            tables.append(labels_table(config, source, figures[source]))
            shown = {**figures[source], "published": _published(config)}
            write_grid(study, tables[-1], shown, source)
            notes += [_share(source, proven), *_verdicts(config, source, figures[source])]
    notes += [
        "The size of networks and data and the length of training move figures too: only the "
        "authors' data can tell whether their labels belong to their counts.",
        f"Tables and figures: {config.output}",
    ]
    return StudyResult(study.run.run_id, tuple(tables), tuple(notes), study.failure)


def mislabelled(data: Dataset) -> Dataset:
    """Leave the labels in the source's bit order while the counts are in chain order.

    Its manifest has another name and another hash, so that runs on it are not compared with runs
    on proven labels.
    """
    from qmend.circuits.statevector import to_bit_order

    groups = [replace(g, ideal=to_bit_order(g.ideal, g.circuits.measured)) for g in data.groups]
    manifest = data.manifest
    shards = [
        shard.model_copy(update={"sha256": f"{shard.sha256} mislabelled"})
        for shard in manifest.shards
    ]
    changes = {"name": f"{manifest.name}_mislabelled", "shards": shards}
    return replace(data, manifest=manifest.model_copy(update=changes), groups=tuple(groups))


def permuted_pct(rows: LabelledCircuits) -> float:
    """Return the share of circuits whose wires end permuted, per cent."""
    return float(
        100 * (rows.circuits.measured[:, 1:] < rows.circuits.measured[:, :-1]).any(1).mean()
    )


def train_mislabelled(
    study: Study, name: str, config: TrainConfig, grid: GridConfig
) -> Configuration | None:
    """Train with each seed on mislabelled data; None if all failed."""
    from qmend.datasets.table import load_dataset

    def work(seed: int, cell: Cell) -> tuple[ScoredRun, Outcome]:
        training = config.model_copy(update={"seed": seed})
        data = load_dataset(config.dataset_folder)
        data = data.shortened(config.train_circuits, config.val_circuits)
        plain = {**training.plain(), "labels": "mislabelled"}
        return study.train_on(mislabelled(data), training, plain, cell)

    return study.row(f"{name}, mislabelled", grid.seeds, work)


def score_baselines(
    study: Study, name: str, test: EvaluateConfig, data: Dataset
) -> dict[str, Configuration]:
    """Fit and score the baselines of a test on data in memory; those that failed are missing."""
    from qmend.mitigation.runnable import runnable_baselines
    from qmend.runs.configurations import Configuration
    from qmend.runs.scoring import run_baseline

    rows = {}
    assert test.baselines != "all"
    for baseline in runnable_baselines(data, test.baselines).mitigators:
        update = {"checkpoint": (), "baselines": (baseline.name,)}
        plain = test.model_copy(update=update).plain()
        scored = study.cell(
            f"{name} {baseline.name}",
            partial(
                study.score_on,
                data,
                plain,
                work=partial(run_baseline, mitigator=baseline, config=plain),
                kind="baseline",
                architecture=baseline.name,
            ),
        )
        if scored is not None:
            rows[baseline.name] = Configuration(baseline.name, (scored,))
    return rows


def labels_table(config: Config, source: str, figures: Figures) -> Table:
    """Tabulate the figures of each model by its labels, beside the published ones."""
    from qmend.reporting.table import Column, Row, Table

    lines = []
    for name in dict.fromkeys(name for rows in figures.values() for name in rows):
        texts = [name]
        for label in LABELS:
            row = figures[label].get(name)
            texts.append("" if row is None else _median_improved_harmed(row))
        published = config.published.get(name)
        if published is None:
            texts.append("")
        else:
            improved = " to ".join(f"{share:.0f}" for share in published.improved_pct)
            texts.append(f"{published.l1rc_median:.2f}" + (f" / {improved}" if improved else ""))
        lines.append(Row.of(texts))
    columns = (Column.text("model"), *map(Column.number, (*LABELS, "published")))
    caption = f"Labels of {source}. Median L1RC / improved % / harmed %."
    return Table(columns, (tuple(lines),), f"study labels, {source}", caption)


def _median_improved_harmed(row: Mapping[str, Interval]) -> str:
    shares = " / ".join(f"{row[key].value:.1f}" for key in ("improved_pct", "harmed_pct"))
    return f"{row['l1rc_median'].value:.3f} / {shares}"


def _published(config: Config) -> dict[str, dict[str, Interval]]:
    """Return the published medians as a column of the plot, without intervals."""
    from qmend.metrics import Interval

    medians = {name: each.l1rc_median for name, each in config.published.items()}
    return {
        name: {"l1rc_median": Interval(value, value, value)}
        for name, value in medians.items()
        if name in config.models
    }


def _share(source: str, proven: Dataset) -> str:
    """Say how many circuits are mislabelled, and what this adds to their error."""
    import numpy as np

    from qmend import metrics

    right, wrong = proven.part("test"), mislabelled(proven).part("test")
    changed = 100 * (metrics.l1(right.ideal, wrong.ideal) > CHANGED).mean()
    before, after = (
        np.median(metrics.l1(part.ideal, part.circuits.noisy)) for part in (right, wrong)
    )
    return (
        f"{source}: routing permutes the qubits of {permuted_pct(right):.0f} % of the test "
        f"circuits, and {changed:.0f} % have another label (L1 > {CHANGED}); figures depend on "
        f"this share. Median unmitigated L1: {before:.3f} with proven labels, {after:.3f} with "
        "mislabelled ones."
    )


def _verdicts(config: Config, source: str, figures: Figures) -> list[str]:
    """Say which figure of each published model lies nearer the published one."""
    sentences = []
    for name, published in config.published.items():
        if not all(name in figures[label] for label in LABELS):
            continue
        medians = [figures[label][name]["l1rc_median"].value for label in LABELS]
        off = [abs(median - published.l1rc_median) for median in medians]
        nearer = LABELS[off.index(min(off))]
        near = "" if min(off) < NEAR else f", neither within {NEAR}"
        sentences.append(
            f"{source} {name}: the {nearer} figure is nearer the published "
            f"{published.l1rc_median:.2f} (proven {medians[0]:.2f}, mislabelled {medians[1]:.2f}"
            f"{near})."
        )
    return sentences
