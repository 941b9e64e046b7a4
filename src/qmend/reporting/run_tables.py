"""Runs as tables on a terminal: a list, one in full, several side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from mlflow.entities import Run as MlflowRun
from rich import box
from rich.table import Table
from rich.text import Text

from qmend.metrics import Interval
from qmend.reporting.runs_report import signed_text
from qmend.reporting.table import SIMULATES, interval_text, seconds_text
from qmend.runs.reading import (
    Configuration,
    Group,
    ScoredRun,
    differing,
    scored_split,
)
from qmend.tracking.finding import artifact_path, kind_of, name_of, parent_of, status_of

#: Fewer characters leave no room for intervals and data.
WIDE = 100
_BARS = "▁▂▃▄▅▆▇█"
_CURVE = 32
_STYLES = {"failed": "red", "killed": "yellow", "running": "cyan", "pruned": "dim"}
_SHORT_ID = 8
#: A name and what it stands for.
Pair = tuple[str, str | Text]


def _table(title: str | None = None) -> Table:
    return Table(
        title=title,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        show_edge=False,
        padding=(0, 1),
        collapse_padding=True,
    )


def age_text(milliseconds: float) -> str:
    """``40 s``, ``7 min``, ``3 h``, ``12 d``."""
    seconds = max(milliseconds, 0) / 1000
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 1.5 * size or (unit == "min" and seconds >= 60):
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def size_text(size: int) -> str:
    """``812 B``, ``34 kB``, ``1.2 MB``."""
    if size < 1000:
        return f"{size} B"
    return f"{size / 1e3:.0f} kB" if size < 1e6 else f"{size / 1e6:.1f} MB"


def sparkline(values: Sequence[float]) -> str:
    """A curve as a line of bars, the means of equal stretches; blank where a value is missing."""
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


def indented(runs: Sequence[MlflowRun]) -> list[tuple[int, MlflowRun]]:
    """(depth, run): newest at the top first, below each parent its children, oldest first."""
    ids = {run.info.run_id for run in runs}
    below: dict[str, list[MlflowRun]] = {}
    top = []
    for run in runs:
        parent = parent_of(run)
        if parent in ids and parent is not None:
            below.setdefault(parent, []).append(run)
        else:
            top.append(run)

    def tree(run: MlflowRun, depth: int) -> list[tuple[int, MlflowRun]]:
        children = sorted(below.get(run.info.run_id, []), key=lambda r: r.info.start_time)
        return [(depth, run), *(line for child in children for line in tree(child, depth + 1))]

    newest = sorted(top, key=lambda run: -run.info.start_time)
    return [line for run in newest for line in tree(run, 0)]


def list_table(lines: Sequence[tuple[int, MlflowRun]], now: int, width: int) -> Table:
    """A line a run, the columns that matter first; fewer of them below :data:`WIDE`.

    Args:
        now: milliseconds since the epoch.
        width: of the terminal.
    """
    wide = width >= WIDE
    table = _table()
    table.padding = (0, 0)
    table.add_column("name", no_wrap=True, overflow="ellipsis", min_width=16, ratio=1)
    table.add_column("kind", no_wrap=True)
    table.add_column("status", no_wrap=True)
    table.add_column("median L1RC [95 %]" if wide else "L1RC", justify="right", no_wrap=True)
    table.add_column("harmed %" if wide else "harmed", justify="right", no_wrap=True)
    if wide:
        table.add_column("dataset", no_wrap=True, overflow="ellipsis", max_width=15)
        table.add_column("seconds", justify="right", no_wrap=True)
    table.add_column("age", justify="right", no_wrap=True)
    table.add_column("id", no_wrap=True, min_width=_SHORT_ID)
    table.expand = True
    for depth, run in lines:
        status = status_of(run)
        change = median_interval(run)
        mark = SIMULATES if run.data.tags.get("simulates") == "true" else ""
        harm = _last(run, "harmed_pct")
        seconds = run.data.metrics.get("cost/seconds")
        cells: list[str | Text] = [
            Text("  " * depth + name_of(run)),
            kind_of(run),
            Text(status, _STYLES.get(status, "")),
            ""
            if change is None
            else f"{interval_text(change) if wide else f'{change.value:.3f}'}{mark}",
            "" if harm is None else f"{harm:.2f}",
        ]
        if wide:
            cells += [
                str(run.data.tags.get("dataset", "")),
                "" if seconds is None else seconds_text(seconds),
            ]
        ended = run.info.end_time or now
        cells += [age_text(now - ended), run.info.run_id[:_SHORT_ID]]
        table.add_row(*cells)
    return table


def median_interval(run: MlflowRun) -> Interval | None:
    """The median L1RC that a run logged; None: it scored nothing."""
    split = scored_split(run)
    if split is None:
        return None
    logged = run.data.metrics
    return Interval(*(logged[f"{split}/l1rc_median{end}"] for end in ("", "_lo", "_hi")))


def _last(run: MlflowRun, figure: str) -> float | None:
    found = run.data.metrics.get(f"{scored_split(run)}/{figure}")
    return None if found is None else float(found)


def pairs_table(title: str, pairs: Sequence[Pair]) -> Table:
    """Names and values, one pair a line."""
    table = _table(title)
    table.show_header = False
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    for name, value in pairs:
        table.add_row(name, value)
    return table


def fact_pairs(run: MlflowRun, now: int) -> list[Pair]:
    """What a run is, in the order in which a person asks."""
    status = status_of(run)
    tags = run.data.tags
    info = run.info
    pairs: list[Pair] = [
        ("id", info.run_id),
        ("kind", kind_of(run)),
        ("status", Text(status, _STYLES.get(status, ""))),
    ]
    if "error" in tags:
        pairs.append(("error", Text(str(tags["error"]), "red")))
    change = median_interval(run)
    if change is not None:
        simulates = f"  {SIMULATES} simulates its circuits" if _simulates(run) else ""
        pairs.append(("median L1RC", f"{interval_text(change)}{simulates}"))
    took = (info.end_time or now) - info.start_time
    pairs.append(("took", f"{age_text(took)}, ended {age_text(now - (info.end_time or now))} ago"))
    parent = parent_of(run)
    if parent is not None:
        pairs.append(("parent", parent))
    return pairs


def _simulates(run: MlflowRun) -> bool:
    return bool(run.data.tags.get("simulates") == "true")


def metric_pairs(run: MlflowRun) -> list[Pair]:
    """Metrics, those with an interval on one line."""
    logged = run.data.metrics
    pairs: list[Pair] = []
    for key in sorted(logged):
        if key.endswith(("_lo", "_hi")) and key[:-3] in logged:
            continue
        text = number_text(logged[key])
        if f"{key}_lo" in logged and f"{key}_hi" in logged:
            ends = (number_text(logged[f"{key}{end}"]) for end in ("_lo", "_hi"))
            text += f" [{', '.join(ends)}]"
        pairs.append((key, text))
    return pairs


def number_text(value: float) -> str:
    """Six digits that mean something; whole numbers as they are."""
    return f"{value:,.0f}" if value == int(value if math.isfinite(value) else 0) else f"{value:.6g}"


def curve_pairs(history: Mapping[str, Sequence[float]]) -> list[Pair]:
    """Learning curves: first value, line, last value."""
    return [
        (name, f"{values[0]:.4g} {sparkline(values)} {values[-1]:.4g}  ({len(values)} steps)")
        for name, values in history.items()
        if len(values) > 1
    ]


def artifact_pairs(run: MlflowRun) -> list[Pair]:
    """Files and their sizes."""
    root = artifact_path(run)
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return [(str(path.relative_to(root)), size_text(path.stat().st_size)) for path in files]


def tag_pairs(run: MlflowRun) -> list[Pair]:
    """Tags without MLflow's own."""
    tags = run.data.tags
    return [(key, str(tags[key])) for key in sorted(tags) if not key.startswith("mlflow.")]


def side_by_side(runs: Sequence[MlflowRun]) -> list[Table]:
    """What differs in their params, and their metrics, a column each run."""
    differ = _columns("Params that differ", runs)
    keys = differing(runs)
    seeds = {run.data.params.get("seed") for run in runs}
    for key in [*keys, *(["seed"] if len(seeds) > 1 else [])]:
        differ.add_row(key, *(Text(run.data.params.get(key, "-")) for run in runs))
    if not differ.row_count:
        differ.add_row("none", *("" for _ in runs))
    figures = _columns("Metrics", runs)
    metrics = sorted(set().union(*(run.data.metrics for run in runs)))
    for key in metrics:
        if key.endswith(("_lo", "_hi")) and key[:-3] in metrics:
            continue
        values = [run.data.metrics.get(key) for run in runs]
        figures.add_row(key, *("-" if v is None else number_text(v) for v in values))
    return [differ, figures]


def _columns(title: str, runs: Sequence[MlflowRun]) -> Table:
    table = _table(title)
    table.add_column("", no_wrap=True)
    for run in runs:
        table.add_column(
            f"{name_of(run)}\n{run.info.run_id[:_SHORT_ID]}", justify="right", overflow="fold"
        )
    return table


def paired_table(scored: Sequence[ScoredRun]) -> Table | None:
    """Each run minus the first on the same circuits; None where none shares the first's."""
    first, *others = scored
    same = [first, *(run.in_order_of(first) for run in others if run.place == first.place)]
    if len(same) < 2:
        return None
    members = tuple(Configuration(run.run.info.run_id, (run,)) for run in same)
    group = Group(*first.place[:3], configurations=members)
    table = _table(f"Paired: each minus {name_of(first.run)}, on the same circuits")
    table.add_column("run", overflow="fold")
    table.add_column("median L1RC [95 %]", justify="right", no_wrap=True)
    table.add_column("harmed, % points", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for run, configuration in zip(same[1:], members[1:], strict=True):
        found = group.paired(configuration, members[0])
        name = f"{name_of(run.run)} {run.run.info.run_id[:_SHORT_ID]}"
        table.add_row(name, signed_text(found.l1rc), f"{found.harm:+.2f}", found.word)
    return table
