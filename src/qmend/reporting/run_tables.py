"""Tables of tracked runs: a list, one in full, several side by side, the cells of a sweep."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from mlflow.entities import Run as MlflowRun

from qmend.metrics import Interval, interval_keys, interval_text
from qmend.reporting.leaderboard import SIMULATES
from qmend.reporting.numbers import (
    age_text,
    number_text,
    seconds_text,
    signed_text,
    size_text,
)
from qmend.reporting.table import Cell, Column, Row, Table
from qmend.runs.cells import CellRecord
from qmend.runs.configurations import differing
from qmend.runs.leaderboard import Leaderboard, align_circuits
from qmend.runs.reading import ScoredRun
from qmend.tracking.finding import (
    kind_of,
    logged_figure,
    name_of,
    parent_of,
    parents_of,
    status_of,
)
from qmend.tracking.store import Store

#: Fewer characters leave no room for intervals and data.
WIDE = 100
_BARS = "▁▂▃▄▅▆▇█"
_CURVE = 32
_SHORT_ID = 8
#: Params in which runs of one configuration may differ.
_RESULT_KEPT = ("trainer.threads", "seed")
#: A name and its value.
Pair = tuple[str, str | Cell]


def sparkline(values: Sequence[float]) -> str:
    """Draw a curve as bars, each a mean; blank where values are missing."""
    parts = np.array_split(np.array(values, dtype=float), min(len(values), _CURVE))
    points = np.array([part[~np.isnan(part)].mean() if (~np.isnan(part)).any() else np.nan
                       for part in parts])  # fmt: skip
    finite = points[np.isfinite(points)]
    if not len(finite):
        return " " * len(points)
    low, span = finite.min(), finite.max() - finite.min()
    scaled = (points - low) / span if span > 0 else points * 0.0
    return "".join(
        " " if math.isnan(p) else _BARS[round(min(max(p, 0.0), 1.0) * (len(_BARS) - 1))]
        for p in scaled
    )


@dataclass(frozen=True)
class Line:
    """A run in a list.

    Attributes:
        depth: below the first run's.
        reused: the run above has reused it, and another command has made it.
    """

    run: MlflowRun
    depth: int = 0
    reused: bool = False


def indented(runs: Sequence[MlflowRun], below: str | None = None) -> list[Line]:
    """Order runs as a tree: newest first, children below their parent from oldest to newest.

    A reused run stands below each run that reused it, too.

    Args:
        below: id of the only run whose children are wanted.
    """
    ids = {run.info.run_id for run in runs}
    children: dict[str, list[MlflowRun]] = {}
    for run in runs:
        for parent in parents_of(run):
            children.setdefault(parent, []).append(run)

    def tree(parent: str, depth: int) -> Iterator[Line]:
        for run in sorted(children.get(parent, ()), key=lambda run: run.info.start_time):
            yield Line(run, depth, parent_of(run) != parent)
            yield from tree(run.info.run_id, depth + 1)

    if below is not None:
        return list(tree(below, 0))
    top = [run for run in runs if parent_of(run) not in ids]
    newest = sorted(top, key=lambda run: -run.info.start_time)
    return [line for run in newest for line in (Line(run), *tree(run.info.run_id, 1))]


def list_table(lines: Sequence[Line], now: int, width: int = WIDE) -> Table:
    """List runs, one a line, with fewer columns on a terminal narrower than :data:`WIDE`.

    Args:
        now: milliseconds since the epoch.
    """
    wide = width >= WIDE
    columns = (
        Column("run", "name", words=True, long="ellipsis"),
        Column.text("kind"),
        Column.text("status"),
        Column("dataset", "dataset" if wide else None, words=True),
        Column("seed", None),
        Column("median L1RC [95 %]", "median L1RC [95 %]" if wide else None),
        Column(None, None if wide else "L1RC"),
        Column("harmed %", "harmed %" if wide else "harmed"),
        Column("seconds", "seconds" if wide else None),
        Column(None, "age"),
        Column("id", None, words=True),
        Column(None, "id", words=True),
    )
    rows = []
    for line in lines:
        run = line.run
        status, change = "reused" if line.reused else status_of(run), logged_figure(run)
        harmed, seconds = logged_figure(run, "harmed_pct"), run.data.metrics.get("cost/seconds")
        mark = SIMULATES if run.data.tags.get("simulates") == "true" else ""
        cells = [
            "  " * line.depth + name_of(run),
            kind_of(run),
            Cell(status, status),
            run.data.tags.get("dataset", "")[:15],
            run.data.tags.get("seed", "").replace("none", ""),
            "" if change is None else f"{interval_text(change)}{mark}",
            "" if change is None else f"{change.value:.3f}{mark}",
            "" if harmed is None else f"{harmed.value:.2f}",
            "" if seconds is None else seconds_text(seconds),
            age_text(now - (run.info.end_time or now)),
            Cell(run.info.run_id[:12], "id"),
            run.info.run_id[:_SHORT_ID],
        ]
        rows.append(Row.of(cells))
    return Table(columns, (tuple(rows),))


def fact_pairs(run: MlflowRun, now: int) -> list[Pair]:
    """Describe a run: id, kind, status, result, times, parent."""
    status, info, tags = status_of(run), run.info, run.data.tags
    pairs: list[Pair] = [
        ("id", info.run_id),
        ("kind", kind_of(run)),
        ("status", Cell(status, status)),
    ]
    if "error" in tags:
        pairs.append(("error", Cell(str(tags["error"]), "failed")))
    change = logged_figure(run)
    if change is not None:
        simulates = tags.get("simulates") == "true"
        mark = f"  {SIMULATES} simulates its circuits" if simulates else ""
        pairs.append(("median L1RC", f"{interval_text(change)}{mark}"))
    ended = info.end_time or now
    took = age_text(ended - info.start_time)
    pairs.append(("took", f"{took}, ended {age_text(now - ended)} ago"))
    own = parent_of(run)
    parents = parents_of(run)
    return pairs + [("parent" if parent == own else "reused by", parent) for parent in parents]


def _without_ends(metrics: Mapping[str, float]) -> list[str]:
    """List keys of metrics, without those of the ends of intervals."""
    ends = {f"{key}{end}" for key in interval_keys(metrics) for end in ("_lo", "_hi")}
    return sorted(set(metrics) - ends)


def metric_pairs(run: MlflowRun) -> list[Pair]:
    """List metrics, those with an interval on one line."""
    logged = run.data.metrics
    pairs: list[Pair] = []
    for key in _without_ends(logged):
        text, interval = number_text(logged[key]), Interval.read(logged, key)
        if interval is not None:
            text += f" [{number_text(interval.lo)}, {number_text(interval.hi)}]"
        pairs.append((key, text))
    return pairs


def curve_pairs(history: Mapping[str, Sequence[float]]) -> list[Pair]:
    """Draw learning curves: first value, bars, last value."""
    return [
        (name, f"{values[0]:.4g} {sparkline(values)} {values[-1]:.4g}  ({len(values)} steps)")
        for name, values in history.items()
        if len(values) > 1
    ]


def artifact_pairs(store: Store, run: MlflowRun) -> list[Pair]:
    """List files and their sizes."""
    return [(name, size_text(size)) for name, size in store.artifacts(run)]


def tag_pairs(run: MlflowRun) -> list[Pair]:
    """List tags but for MLflow's own."""
    tags = run.data.tags
    return [(key, str(tags[key])) for key in sorted(tags) if not key.startswith("mlflow.")]


def side_by_side(runs: Sequence[MlflowRun]) -> list[Table]:
    """Tabulate the params that differ, and the metrics, a column for each run."""
    heads = [f"{name_of(run)}\n{run.info.run_id[:_SHORT_ID]}" for run in runs]
    columns = (Column.text(""), *(Column(head, head, long="fold") for head in heads))
    params = [run.data.params for run in runs]
    keys = differing(params)
    keys += [key for key in _RESULT_KEPT if len({each.get(key) for each in params}) > 1]
    rows = [Row.of([key, *(each.get(key, "-") for each in params)]) for key in keys]
    none = Row.of(["none", *("" for _ in runs)])
    logged = [run.data.metrics for run in runs]
    metrics = _without_ends({key: 0.0 for each in logged for key in each})
    figures = [
        Row.of([key, *(number_text(each[key]) if key in each else "-" for each in logged)])
        for key in metrics
    ]
    return [
        Table(columns, (tuple(rows or [none]),), "Params that differ"),
        Table(columns, (tuple(figures),), "Metrics"),
    ]


def paired_table(scored: Sequence[ScoredRun]) -> Table | None:
    """Compare each run with the first on the same circuits, if any has them."""
    first, *others = scored
    comparable = [first, *(run for run in others if run.circuits_key == first.circuits_key)]
    if len(comparable) < 2:
        return None
    board = Leaderboard.of([replace(run, name=run.run_id) for run in align_circuits(comparable)])
    columns = (
        Column.text("run", "fold"),
        Column.number("median L1RC [95 %]"),
        Column.number("harmed, % points [95 %]"),
        Column.text(""),
    )
    baseline, *challengers = board.configurations
    rows = []
    for run, configuration in zip(comparable[1:], challengers, strict=True):
        comparison = board.compare(configuration, baseline)
        name = f"{run.name} {run.run_id[:_SHORT_ID]}"
        figures = signed_text(comparison.difference), signed_text(comparison.harm, 2)
        rows.append(Row.of([name, *figures, comparison.word]))
    title = f"Paired: each minus {first.name}, on the same circuits"
    return Table(columns, (tuple(rows),), title)


def cells_table(cells: Sequence[CellRecord], kind: str, parent: str) -> Table:
    """Tabulate cells: a column for each key that varies, the best cell marked, errors below.

    Args:
        kind, parent: kind and id of the run above them.
    """
    keys = [text.partition("=")[0] for text in cells[0].overrides]
    names = [key.rpartition(".")[2] for key in keys]
    headings = [n if names.count(n) == 1 else key for n, key in zip(names, keys, strict=True)]
    columns = (
        Column.number(""),
        *(Column.text(heading, "fold") for heading in headings),
        Column.number("median L1RC [95 %]"),
        Column("improved %", "improved\n%"),
        Column("harmed %", "harmed\n%"),
        Column("seconds", "sec-\nonds"),
        Column.text("status"),
        Column.text("run"),
    )
    medians = [Interval.read(cell.metrics, "test/l1rc_median") for cell in cells]
    values = [m.value for m in medians if m is not None and not math.isnan(m.value)]
    rows = []
    for number, (cell, median) in enumerate(zip(cells, medians, strict=True), 1):
        best = median is not None and median.value == min(values, default=None)
        figures = ["-"] * 4
        if median is not None:
            shares = (cell.metrics[f"test/{name}_pct"] for name in ("improved", "harmed"))
            seconds = seconds_text(cell.metrics["cost/seconds"])
            figures = [interval_text(median), *(f"{share:.2f}" for share in shares), seconds]
        settings = [text.partition("=")[2] for text in cell.overrides]
        run_id = (cell.run_id or "-")[:_SHORT_ID]
        texts = [str(number), *settings, *figures, cell.status, run_id]
        rows.append(Row.of(texts, "failed" if cell.error else "best" if best else ""))
    problems = [f"{k}: {cell.error}" for k, cell in enumerate(cells, 1) if cell.error]
    statuses = [cell.status for cell in cells]
    counts = [f"{statuses.count(status)} {status}" for status in dict.fromkeys(statuses)]
    summary = f"{len(cells)} cells: {', '.join(counts)}; harmed: L1RC > 0.05"
    caption = "\n".join([*problems, summary])
    return Table(columns, (tuple(rows),), f"Cells of {kind} {parent}", caption)
