"""The table of the architectures study, in Markdown and on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table

from qmend.metrics import Interval
from qmend.reporting.table import SIMULATES, count_text, interval_text, seconds_text
from qmend.studies.architectures import Row

HEADINGS = (
    "mitigator",
    "median L1RC [95 %]",
    "seeds",
    "improved %",
    "harmed %",
    "TV",
    "KL",
    "uniform",
    "shots",
    "parameters",
    "seconds",
)


def ranked(rows: Sequence[Row]) -> list[Row]:
    """Lowest median L1RC first."""
    return sorted(rows, key=lambda row: row.figures["l1rc_median"].value)


def cells(row: Row) -> list[str]:
    """One text a heading."""
    change = row.figures["l1rc_median"]
    uniform = round(row.figures["uniform_l1rc"].value, 3) + 0.0
    return [
        row.name,
        interval_text(change),
        " ".join(f"{value:.3f}" for value in row.seeds) if len(row.seeds) > 1 else "",
        f"{row.figures['improved_pct'].value:.2f}",
        f"{row.figures['harmed_pct'].value:.2f}",
        f"{row.figures['tv'].value:.3f}",
        f"{row.figures['kl'].value:.3f}",
        f"{uniform:.3f}{SIMULATES if row.simulates else ''}",
        f"{row.shots_factor:g}x",
        count_text(row.parameters),
        seconds_text(row.seconds),
    ]


def markdown(rows: Sequence[Row], reference: Interval | None) -> str:
    """A Markdown table, best first, the shot-noise reference on top."""
    lines = ["| " + " | ".join(HEADINGS) + " |", "|---|" + "---:|" * (len(HEADINGS) - 1)]
    if reference is not None:
        texts = ["*shot-noise reference*", interval_text(reference)]
        lines.append("| " + " | ".join([*texts, *[""] * (len(HEADINGS) - 2)]) + " |")
    trained = [
        row for row in rows if row.kind not in ("baseline", "reference") and not row.simulates
    ]
    best = ranked(trained)[0].name if trained else None
    for row in ranked(rows):
        texts = cells(row)
        if row.name == best:
            texts[:2] = [f"**{text}**" for text in texts[:2]]
        lines.append("| " + " | ".join(texts) + " |")
    return "\n".join(lines) + "\n"


def terminal_table(rows: Sequence[Row], reference: Interval | None, title: str) -> Table:
    """The same for a terminal, with fewer columns."""
    shown = (0, 1, 3, 4, 7, 9, 10)
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for k in shown:
        table.add_column(HEADINGS[k], justify="left" if k == 0 else "right", no_wrap=True)
    if reference is not None:
        table.add_row("shot-noise reference", interval_text(reference))
    for row in ranked(rows):
        texts = cells(row)
        table.add_row(*(texts[k] for k in shown))
    return table
