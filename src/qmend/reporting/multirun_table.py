"""The cells of a multirun as a rich table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich import box
from rich.table import Table
from rich.text import Text

from qmend.metrics import Interval
from qmend.reporting.table import interval_text, seconds_text


@dataclass(frozen=True)
class Row:
    """One cell.

    Attributes:
        overrides: ``key=value`` of each key that varies.
        status: ``finished``, ``reused`` (from an earlier command), ``failed`` or ``not finished``.
        run_id: its run; None where it got none.
        error: one sentence where it did not finish.
        metrics: of its run, by the run contract.
    """

    overrides: tuple[str, ...]
    status: str
    run_id: str | None
    error: str
    metrics: Mapping[str, float]

    @property
    def name(self) -> str:
        return " ".join(self.overrides)


def multirun_table(rows: Sequence[Row], parent: str) -> Table:
    """A column for each key that varies, the best cell in bold, errors below.

    Args:
        parent: id of the multirun's run.
    """
    problems = [f"{k}: {row.error}" for k, row in enumerate(rows, 1) if row.error]
    table = Table(
        title=f"Cells of multirun {parent}",
        title_justify="left",
        caption="\n".join([*problems, _caption(rows)]),
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        show_edge=False,
        collapse_padding=True,
    )
    table.add_column("", justify="right")
    for text in rows[0].overrides:
        table.add_column(text.partition("=")[0], overflow="fold")
    for heading in ("median L1RC [95 %]", "improved\n%", "harmed\n%", "sec-\nonds"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("status", no_wrap=True)
    table.add_column("run", no_wrap=True, min_width=32)
    done = [row.metrics["test/l1rc_median"] for row in rows if "test/l1rc_median" in row.metrics]
    best = min((value for value in done if not math.isnan(value)), default=None)
    for number, row in enumerate(rows, 1):
        value = row.metrics.get("test/l1rc_median")
        style = "bold green" if value is not None and value == best else ""
        if row.error:
            style = "red"
        values = [text.partition("=")[2] for text in row.overrides]
        cells = [str(number), *values, *_figures(row), row.status, row.run_id or "-"]
        table.add_row(*(Text(cell, style) for cell in cells))
    return table


def _figures(row: Row) -> list[str]:
    found = row.metrics
    if "test/l1rc_median" not in found:
        return ["-"] * 4
    change = Interval(*(found[f"test/l1rc_median{end}"] for end in ("", "_lo", "_hi")))
    return [
        interval_text(change),
        f"{found['test/improved_pct']:.1f}",
        f"{found['test/harmed_pct']:.1f}",
        seconds_text(found["cost/seconds"]),
    ]


def _caption(rows: Sequence[Row]) -> str:
    statuses = [row.status for row in rows]
    counts = [f"{statuses.count(status)} {status}" for status in dict.fromkeys(statuses)]
    return f"{len(rows)} cells: {', '.join(counts)}; harmed: L1RC > 0.05"
