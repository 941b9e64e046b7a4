"""How do mitigators do on measurements of families and devices that they were not fitted to?

A cell is one source circuit on one device; repeats of it are no evidence. Each method is fitted to
the cells of other families *and* other devices, since the same circuits ran on several devices.
Each network is scored again with features of other families' circuits of the same size. The gain
that is left does not need this circuit's features, though it may need what circuits of one size
have in common, such as their typical depth.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, field_validator

from qmend.devices.imputation import MeanCalibration
from qmend.files import check_writable
from qmend.mitigation.base import BASELINES, MultiCircuitMitigator
from qmend.studies.base import StudyResult, plain_interval, plain_number, write_table
from qmend.types import QmendError
from qmend.workflows.configs import Checkpoints, each_once
from qmend.workflows.data_config import CommonConfig
from qmend.workflows.observer import Observer

if TYPE_CHECKING:  # torch, MLflow
    from qmend.evaluation.cells import Cells
    from qmend.metrics import Interval
    from qmend.reporting.table import Table
    from qmend.studies.leave_out import Judged


class Config(CommonConfig):
    """``conf/study/hardware.yaml``.

    Attributes:
        checkpoint: networks, each a row and one with features of other circuits.
        baselines: names; those that need further circuits can't be run.
        max_bits: rows that measure more are left out.
        families: name -> families that count as one.
        missing: stand in for missing calibration values; the units are in the names.
        references: numbers of other circuits of the same job that tell a network of the device, if
            it reads numbers of the device.
        left_out: whether methods with fitted numbers are refitted without each source circuit.
        replicates: of the bootstrap.
        output: directory of the table.
    """

    checkpoint: Checkpoints
    baselines: tuple[str, ...]
    max_bits: int = Field(ge=1, le=10)
    families: dict[str, tuple[str, ...]]
    missing: dict[str, float]
    left_out: bool
    references: tuple[Annotated[int, Field(ge=0)], ...]
    replicates: int = Field(ge=2)
    seed: int = Field(ge=0)
    output: Path

    @field_validator("baselines")
    @classmethod
    def _can_run(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if issubclass(BASELINES[name], MultiCircuitMitigator):
                raise QmendError(
                    f"{name} needs further circuits, which imported measurements do not have; "
                    "leave it out."
                )
        return names

    @field_validator("missing")
    @classmethod
    def _known(cls, values: dict[str, float]) -> dict[str, float]:
        unknown = values.keys() - MeanCalibration().to_json().keys()
        if unknown:
            raise QmendError(
                f"missing: no calibration value {sorted(unknown)[0]!r}; choose among "
                f"{', '.join(MeanCalibration().to_json())}."
            )
        return values


def run(config: Config, observer: Observer) -> StudyResult:
    """Judge baselines and networks, as one tracked run.

    Raises:
        QmendError: if the dataset was not imported, or a network can't be read or was trained on
            it.
    """
    from qmend.datasets.measured import load_measured
    from qmend.evaluation.cells import Cells, summarise_cells
    from qmend.runs.evaluation import check_unseen_measurements
    from qmend.runs.networks import load_networks
    from qmend.studies.leave_out import judge_baseline, judge_network
    from qmend.tracking.run import start_run
    from qmend.tracking.store import open_store
    from qmend.training.checkpoint import resolve_checkpoint

    check_writable(config.output / "table.md")
    folder, families = config.dataset_folder, config.families
    manifest, groups = load_measured(folder, config.max_bits, families)
    store = open_store(config.tracking.root)
    checkpoints = each_once(tuple(resolve_checkpoint(store, c) for c in config.checkpoint))
    networks = load_networks(store, checkpoints)
    for network in networks:
        check_unseen_measurements(network.provenance, manifest, "all")
    cells, mean = Cells.of(groups), MeanCalibration.from_json(dict(config.missing))
    tags = {
        "kind": "study",
        "source": "hardware",
        "dataset": manifest.name,
        "dataset_sha": manifest.dataset_sha,
        "seed": str(config.seed),
    }
    plain = config.model_copy(update={"checkpoint": checkpoints}).plain()
    with start_run(store, f"study hardware on {manifest.name}", tags, plain) as tracked:
        tracked.dataset(manifest.name, manifest.dataset_sha, str(folder), "test")
        judged: list[Judged] = []
        for name in config.baselines:
            observer.stage(f"judging {name}")
            judged.append(judge_baseline(name, groups, cells, mean, config.left_out))
        for network in networks:
            observer.stage(f"judging {network.name}")
            judged += judge_network(network, groups, cells, config.references, config.seed)
        figures = {
            each.name: summarise_cells(cells, each.after, each.applied, config.replicates)
            | each.exchanged
            for each in judged
        }
        left_out = {each.name: each.left_out for each in judged if each.left_out is not None}
        table = cell_table(figures, left_out, f"study hardware on {manifest.name}")
        record = _record(figures, left_out)
        write_table(table, record, config.output)
        (config.output / "cells.json").write_text(
            json.dumps(_cell_records(cells, judged), indent=1) + "\n"
        )
        tracked.files(config.output, "tables")
        for name, values in figures.items():
            for key, interval in values.items():
                tracked.metrics(interval.logged(f"test/{_metric(name)}/{_metric(key)}"))
    notes = [
        f"{len(cells.before):,} rows, {len(cells):,} cells, {len(set(cells.circuit))} source "
        f"circuits, {len(set(cells.device))} devices; fitted to other families and other devices.",
        *dict.fromkeys(note for each in judged for note in each.notes),
        f"Tables: {config.output}",
    ]
    return StudyResult(tracked.run_id, (table,), tuple(notes), figures=record)


def _metric(name: str) -> str:
    """Name a part of a metric as MLflow takes it."""
    return re.sub(r"[^\w-]+", "_", name)


def cell_table(
    figures: Mapping[str, Mapping[str, Interval]],
    left_out: Mapping[str, tuple[float, float]],
    title: str,
) -> Table:
    """Make the table of all rows; the intervals of the families are in the JSON alone."""
    from qmend.evaluation.cells import FAMILY
    from qmend.evaluation.simulation import GAIN, SLOPE, simulates
    from qmend.metrics import interval_text
    from qmend.reporting.leaderboard import SIMULATES, figure_text
    from qmend.reporting.table import Column, Row, Table

    families = [name for name in next(iter(figures.values()), {}) if name.startswith(FAMILY)]
    columns = (
        Column.text("mitigator"),
        Column.number("all"),
        Column("spread", None),
        Column(None, "spread"),
        *(Column.number(name.removeprefix(FAMILY)) for name in families),
        Column("harmed %", "harmed"),
        Column("applied %", "applied"),
        Column("pooled L1", "L1"),
        Column("all, refitted without one circuit", "refitted"),
        Column("own slope", "own\nslope"),
        Column("own gain %", None),
    )
    rows = []
    for name, values in figures.items():
        texts = [name, *(interval_text(values[key], 2) for key in ("all", "spread"))]
        texts += [f"{values[key].value:.2f}" for key in ("spread", *families)]
        texts += [f"{values[key].value:.0f}" for key in ("harmed_pct", "applied_pct")]
        texts += [f"{values['pooled'].value:+.2f}"]
        texts += ["{:.2f} to {:.2f}".format(*left_out[name]) if name in left_out else ""]
        mark = SIMULATES if simulates(values) else ""
        texts += [figure_text(values, SLOPE, 2) + mark, figure_text(values, GAIN, 1)]
        rows.append(Row.of(texts))
    caption = (
        "Median L1RC of cells [95 % over source circuits, fits and devices fixed]; spread: the "
        "ideal is no point mass; families; cells with L1RC > 0.05; mean share of a cell's rows "
        "applied to, elsewhere unmitigated; change of the summed L1; all, of the refits without "
        "one source circuit; how far the output follows the circuit's own ideal where another "
        f"circuit's measurement is given ({SIMULATES} simulates)."
    )
    return Table(columns, (tuple(rows),), title, caption)


def _record(
    figures: Mapping[str, Mapping[str, Interval]], left_out: Mapping[str, tuple[float, float]]
) -> dict[str, Any]:
    """Convert the figures to plain data: row -> figure -> [value, lo, hi]."""
    from qmend.evaluation.cells import FAMILY
    from qmend.evaluation.simulation import GAIN, SLOPE

    record: dict[str, Any] = {}
    for name, values in figures.items():
        row: dict[str, Any] = {"families": {}, "left_out": None, SLOPE: None, GAIN: None}
        for key, interval in values.items():
            place = row["families"] if key.startswith(FAMILY) else row
            place[key.removeprefix(FAMILY)] = plain_interval(interval)
        if name in left_out:
            row["left_out"] = [plain_number(median) for median in left_out[name]]
        record[name] = row
    return record


def _cell_records(cells: Cells, judged: list[Judged]) -> list[dict[str, Any]]:
    """List each cell with the median L1RC of each row of the table."""
    changes = {each.name: cells.change(each.after) for each in judged}
    return [
        {
            "circuit": str(cells.circuit[k]),
            "device": str(cells.device[k]),
            "family": str(cells.family[k]),
            "spread": bool(cells.spread[k]),
            "l1rc": {name: plain_number(values[k]) for name, values in changes.items()},
        }
        for k in range(len(cells))
    ]
