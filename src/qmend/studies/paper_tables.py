"""Our figures beside the published ones, from the tracked studies of one scale."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from qmend.files import check_writable
from qmend.studies.base import StudyResult, open_study, write_table
from qmend.studies.findings import (
    FigurePlace,
    Finding,
    TrackedStudies,
    figure_text,
    write_findings,
)
from qmend.studies.grid import ScaleConfig
from qmend.types import QmendError
from qmend.workflows.data_config import CommonConfig
from qmend.workflows.observer import Observer

if TYPE_CHECKING:  # MLflow
    from qmend.reporting.table import Table

#: Difference of two medians, or of two shares in per cent, that is no disagreement.
_CLOSE, _CLOSE_PCT = 0.05, 5.0


class PublishedRow(FigurePlace):
    """A published number, and where ours is.

    Attributes:
        reason: why the two may differ.
    """

    what: str
    published: float
    reason: str


class Config(CommonConfig):
    """``conf/study/paper_tables.yaml``.

    Attributes:
        findings: the page starts with them.
        rows: of the first table.
        networks: of study ``architectures``; the best of them stands beside the simple methods.
        simple: rows of that study.
        output: directory of the tables.
    """

    scale: ScaleConfig
    findings: tuple[Finding, ...]
    rows: tuple[PublishedRow, ...] = Field(min_length=1)
    networks: tuple[str, ...] = Field(min_length=1)
    simple: tuple[str, ...]
    output: Path


def run(config: Config, observer: Observer) -> StudyResult:
    """Tabulate our figures beside the published ones.

    Raises:
        QmendError: if no study of the scale has finished.
    """
    from qmend.tracking.store import open_store

    check_writable(config.output / "table.md")
    store = open_store(config.tracking.root)
    names = {row.study for row in config.rows} | {"architectures"}
    names |= {finding.plot[0] for finding in config.findings}
    tracked = TrackedStudies(store, config.scale, names)
    missing = [name for name, study in tracked.runs.items() if study is None]
    if len(missing) == len(tracked.runs):
        raise QmendError(
            f"No study of scale={config.scale.name} has finished in {store.root}; start with "
            f"`qmend study all scale={config.scale.name}`."
        )
    with open_study(config, "study paper_tables", {"scale": config.scale.name}, observer) as study:
        rows = [(row, tracked.figure(row)) for row in config.rows]
        ids = {n: "" if run is None else run.info.run_id[:8] for n, run in tracked.runs.items()}
        tables = (published_table(rows, ids), _shares_table(config, tracked))
        record = {row.what: {"published": row.published, "ours": ours} for row, ours in rows}
        write_table(tables[0], record, study.files)
        opening = write_findings(config.findings, tracked, study.files)
    notes = [f"Study {name} has not finished at this scale." for name in missing]
    notes += [
        f"Study {name} was run with other settings than its config." for name in tracked.changed
    ]
    notes.append(f"Tables: {config.output}")
    return StudyResult(study.run.run_id, tables, tuple(notes), study.failure, opening=opening)


def published_table(
    rows: list[tuple[PublishedRow, list[float] | None]], ids: dict[str, str]
) -> Table:
    """Tabulate published numbers, ours with intervals, and whether they agree."""
    from qmend.reporting.table import Column, Row, Table

    lines = []
    for row, ours in rows:
        text, verdict = "", ""
        if ours is not None:
            value, lo, hi = (figure_text(number, row.figure[2]) for number in ours)
            text, verdict = f"{value} [{lo}, {hi}]", _verdict(row, ours)
        reason = "" if verdict in ("", "close") else row.reason
        study = f"{row.study} {ids[row.study]}".strip()
        lines.append(Row.of([row.what, f"{row.published:g}", text, verdict, study, reason]))
    columns = (
        Column.text("what"),
        Column.number("published"),
        Column.number("ours [95 %]"),
        Column.text("ours is"),
        Column.text("study, run"),
        Column.text("likely reason", long="fold"),
    )
    caption = (
        "Median L1RC where no other figure is named. The circuits differ, and published values of "
        "real devices stand beside surrogate hardware, which is none: no row is a contest."
    )
    return Table(columns, (tuple(lines),), "study paper_tables", caption)


def _verdict(row: PublishedRow, ours: list[float]) -> str:
    """Tell whether ours is close to the published value, within the interval or closely."""
    value, lo, hi = ours
    share = row.figure[2].endswith("_pct")
    if lo <= row.published <= hi or abs(value - row.published) <= (_CLOSE_PCT if share else _CLOSE):
        return "close"
    better = value > row.published if row.figure[2] == "improved_pct" else value < row.published
    return "better" if better else "worse"


def _shares_table(config: Config, tracked: TrackedStudies) -> Table:
    """Tabulate the share of the best network's gain that simple methods have, by noise world."""
    from qmend.reporting.table import Column, Row, Table

    lines = []
    for family in ("pauli", "random"):
        columns = tracked.figures_of("architectures", family)
        for column in ("simulated", "surrogate only"):
            rows = columns.get(column, {})
            medians = {
                name: rows[name]["l1rc_median"][0]
                for name in (*config.networks, *config.simple)
                if name in rows
            }
            networks = [name for name in config.networks if name in medians]
            if not networks:
                continue
            best = min(networks, key=lambda name: medians[name])
            texts = [f"{family}, {column.removesuffix(' only')}", best, f"{medians[best]:.3f}"]
            for name in config.simple:
                share = 100 * medians[name] / medians[best] if name in medians else float("nan")
                texts.append(f"{medians[name]:.3f}, {share:.0f} %" if name in medians else "")
            lines.append(Row.of(texts))
    heads = (Column.text("noise world"), Column.text("best network"), Column.number("median L1RC"))
    simple = tuple(Column.number(name) for name in config.simple)
    caption = "Median L1RC, and its share of that of the network with the best test median."
    return Table((*heads, *simple), (tuple(lines),), "What simple methods already give", caption)
