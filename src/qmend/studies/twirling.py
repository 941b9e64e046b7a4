"""Gain by random compilations of each circuit, at the same shots in all.

The same circuits are measured as compiled, and split over several numbers of random compilations
with Pauli gates around their two-qubit gates. More compilations turn coherent errors into Pauli
errors, which mitigators undo better; the Pauli gates themselves have errors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field, field_validator

from qmend.datasets.config import TwirlingConfig
from qmend.files import check_writable
from qmend.studies.base import StudyResult, compose_cell, open_study, write_table
from qmend.types import QmendError
from qmend.workflows.configs import Checkpoints, EvaluateConfig, each_once
from qmend.workflows.data_config import CommonConfig
from qmend.workflows.directories import check_directories
from qmend.workflows.observer import Observer

if TYPE_CHECKING:  # torch, MLflow
    from qmend.reporting.table import Table
    from qmend.runs.leaderboard import Leaderboard
    from qmend.runs.networks import LoadedNetwork
    from qmend.tracking.store import Store

#: Row -> number of randomizations -> figure -> value, with its interval where it has one.
Figures = dict[str, dict[int, dict[str, Any]]]


class Config(CommonConfig):
    """``conf/study/twirling.yaml``.

    Attributes:
        checkpoint: networks, each a row.
        baselines: names; each is fitted to the training split of each number of randomizations.
        randomizations: of each circuit; 0: as compiled.
        output: directory of table and figure.
    """

    checkpoint: Checkpoints
    baselines: tuple[str, ...] = Field(min_length=1)
    randomizations: tuple[int, ...] = Field(min_length=1)
    output: Path

    @field_validator("randomizations")
    @classmethod
    def _different(cls, values: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(values)) < len(values):
            raise QmendError("randomizations names a number more than once; name each once.")
        return values


def run(config: Config, observer: Observer) -> StudyResult:
    """Score networks and baselines for every number of randomizations.

    Raises:
        QmendError: if a network was trained on circuits that are scored, or can't read them.
    """
    cells = {number: _cell(config, number) for number in config.randomizations}
    check_directories([cell.plain() for cell in cells.values()])

    from qmend.datasets.table import load_dataset
    from qmend.runs.networks import load_networks
    from qmend.runs.scoring import dataset_tags
    from qmend.tracking.store import open_store
    from qmend.training.checkpoint import resolve_checkpoint
    from qmend.workflows.generate import generate

    check_writable(config.output / "table.md")
    store = open_store(config.tracking.root)
    checkpoint = each_once(tuple(resolve_checkpoint(store, c) for c in config.checkpoint))
    first = cells[config.randomizations[0]]
    generate(first, observer)
    dataset = load_dataset(first.dataset_folder)
    parts = dataset.parts("test")
    scored = [name for part in parts for name in part.circuits.instructions.circuit_ids()]
    notes = check_unshared(store, load_networks(store, checkpoint), scored, config.data.root)
    title = f"study twirling on {config.simulated.name}"
    boards: dict[int, Leaderboard] = {}
    config = config.model_copy(update={"checkpoint": checkpoint})
    with open_study(config, title, dataset_tags(dataset), observer) as study:
        for number, cell in cells.items():
            evaluation = study.evaluate(
                f"{number} randomizations", cell.model_copy(update={"checkpoint": checkpoint})
            )
            if evaluation is not None:
                boards[number] = evaluation.leaderboard
                notes += [note for note in evaluation.notes if note not in notes]
        figures = _figures(boards)
        table = randomizations_table(figures, title)
        write_table(table, figures, study.files)
        if figures:
            save_figure(figures, study.files / "randomizations")
    notes.append(f"Table and figure: {config.output}")
    return StudyResult(study.run.run_id, (table,), tuple(notes), study.failure, figures)


def _cell(config: Config, randomizations: int) -> EvaluateConfig:
    """Compose the evaluation of one number of randomizations."""
    dataset = config.simulated
    changes = {
        "name": f"{dataset.name}_{randomizations}",
        "twirling": TwirlingConfig(randomizations=randomizations),
    }
    changed = config.model_copy(update={"dataset": dataset.model_copy(update=changes)})
    texts = ["checkpoint=[]", f"baselines=[{','.join(config.baselines)}]"]
    cell: EvaluateConfig = compose_cell(changed, "randomizations", "evaluate", texts)
    return cell


def check_unshared(
    store: Store, networks: Sequence[LoadedNetwork], scored: Sequence[str], root: Path
) -> list[str]:
    """Refuse networks that were trained on scored circuits; note those whose data are gone.

    Args:
        scored: id of the instructions of each.
        root: directory of datasets to look in.

    Raises:
        QmendError: naming a network and how many circuits it knows.
    """
    from mlflow.exceptions import MlflowException

    from qmend.runs.logged_dataset import logged_dataset

    notes = []
    for network in networks:
        for origin in (network.provenance, *network.provenance.get("ancestors", ())):
            try:
                trained = logged_dataset(
                    store, store.client.get_run(str(origin.get("run_id"))), [root]
                )
            except (QmendError, MlflowException):
                notes.append(
                    f"The data that {network.name} was trained on ({origin.get('dataset')}) are "
                    "not here: only recipes say that it has not seen the scored circuits."
                )
                continue
            pairs = zip(trained.groups, trained.splits, strict=True)
            seen = {
                name
                for group, split in pairs
                for name, own in zip(
                    group.circuits.instructions.circuit_ids(), split.tolist(), strict=True
                )
                if own != "test"
            }
            shared = len(seen.intersection(scored))
            if shared:
                raise QmendError(
                    f"{network.name} was trained on {shared:,} of the {len(scored):,} scored "
                    "circuits; choose another dataset.seed, and another dataset.name for it."
                )
    return notes


def _figures(boards: Mapping[int, Leaderboard]) -> Figures:
    """Collect the figures of all rows as plain data."""
    figures: Figures = {}
    for number, board in boards.items():
        for row in board.configurations:
            summary = {name: row.runs[0].figures[name] for name in ("l1rc_median", "harmed_pct")}
            figures.setdefault(row.name, {})[number] = {
                **{name: [f.value, f.lo, f.hi] for name, f in summary.items()},
                "l1_median": float(2 * np.median(row.runs[0].scores.tv)),
            }
    return figures


def randomizations_table(figures: Figures, title: str) -> Table:
    """Tabulate median L1RC and harmed share of each row by the number of randomizations."""
    from qmend.reporting.table import Column, Row, Table

    numbers = sorted({number for row in figures.values() for number in row})
    rows = []
    for name, row in figures.items():
        texts = [name]
        for number in numbers:
            one = row.get(number)
            texts.append(
                "" if one is None else f"{one['l1rc_median'][0]:.3f} / {one['harmed_pct'][0]:.2f}"
            )
        rows.append(Row.of(texts))
    unmitigated = {number: one["l1_median"] for number, one in figures.get("none", {}).items()}
    shown = ", ".join(f"{unmitigated[number]:.3f}" for number in sorted(unmitigated))
    caption = "Median L1RC / harmed %, by random compilations of each circuit (0: as compiled)."
    if shown:
        caption += f" Median unmitigated L1: {shown}."
    columns = (Column.text("mitigator"), *(Column.number(f"R = {n}") for n in numbers))
    return Table(columns, (tuple(rows),), title, caption)


def save_figure(figures: Figures, stem: Path) -> None:
    """Draw median L1RC and harmed share against the number of randomizations, PNG and SVG."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    from qmend.plots.style import COLOURS, STYLE
    from qmend.reporting.figures import save

    numbers = sorted({number for row in figures.values() for number in row})
    place = {number: k for k, number in enumerate(numbers)}
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.5, 3.6), layout="constrained")
        panels = zip(
            figure.subplots(1, 2),
            ("l1rc_median", "harmed_pct"),
            ("median L1RC", "harmed %"),
            strict=True,
        )
        for axis, key, label in panels:
            for k, (name, row) in enumerate(figures.items()):
                if name == "none":
                    continue  # 0 everywhere by definition
                at = [place[number] for number in row]
                value, low, high = np.array([one[key] for one in row.values()]).T
                arms = np.maximum([value - low, high - value], 0)
                axis.errorbar(
                    at, value, arms, fmt="o-", ms=4, color=COLOURS[k % len(COLOURS)], label=name
                )
            axis.set_xticks(range(len(numbers)), [n if n else "as compiled" for n in numbers])
            axis.set(xlabel="random compilations of each circuit", ylabel=label)
        figure.axes[0].legend(fontsize=8)
        save(figure, stem)
