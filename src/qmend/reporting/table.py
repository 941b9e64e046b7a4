"""The leaderboard as a rich table."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from rich import box
from rich.table import Table
from rich.text import Text

from qmend.metrics import Interval
from qmend.runs.leaderboard import Leaderboard
from qmend.runs.scoring import Entry

#: Behind the figure of a mitigator that simulates its circuits.
SIMULATES = "†"
#: As many columns beside the name as there is room for two blanks between.
_LOOSE = 7


@dataclass(frozen=True)
class Column:
    """One figure of each row.

    Attributes:
        narrow: the heading on a terminal of 100 columns; None: no room for it there.
    """

    heading: str
    text: Callable[[Entry], str]
    narrow: str | None


def columns(board: Leaderboard) -> list[Column]:
    """Those beside the name; shots only where some mitigator takes more than the others."""
    change = "median L1RC [95 %]"
    every = [
        Column(change, lambda e: interval_text(e.summary.figures["l1rc_median"]), change),
        _figure("improved %", "improved_pct", 1, "improved\n%"),
        _figure("harmed %", "harmed_pct", 1, "harmed\n%"),
        _figure("TV", "tv", 3, "TV"),
        _figure("Hellinger", "hellinger", 3, None),
        Column("uniform", uniform_text, "uniform"),
    ]
    if any(e.shots_factor != 1 for e in board.entries):
        every.append(Column("shots", lambda e: f"{e.shots_factor:g}x", "shots"))
    return [
        *every,
        Column("parameters", lambda e: count_text(e.parameters), "para-\nmeters"),
        Column("seconds", lambda e: seconds_text(e.seconds), "sec-\nonds"),
    ]


def _figure(heading: str, name: str, digits: int, narrow: str | None) -> Column:
    return Column(heading, lambda e: f"{e.summary.figures[name].value:.{digits}f}", narrow)


def interval_text(interval: Interval) -> str:
    """``-0.853 [-0.861, -0.846]``."""
    return f"{interval.value:.3f} [{interval.lo:.3f}, {interval.hi:.3f}]"


def uniform_text(entry: Entry) -> str:
    """What is recovered from no measurement, with a mark where that is simulation."""
    # 0.0 rather than -0.0.
    value = round(entry.summary.figures["uniform_l1rc"].value, 3) + 0.0
    return f"{value:.3f}{SIMULATES if entry.simulates else ' '}"


def count_text(count: int) -> str:
    """``12,345``, ``6.54M``."""
    return f"{count:,}" if count < 1_000_000 else f"{count / 1e6:.3g}M"


def seconds_text(seconds: float) -> str:
    """Seconds with a digit that means something."""
    return f"{seconds:.1f}" if seconds >= 0.05 else "<0.1"


def caption(board: Leaderboard) -> str:
    """What the figures are of."""
    entry = board.entries[0]
    split = "" if board.split == "all" else f"{board.split} "
    text = (
        f"{len(board.data):,} {split}circuits; 95 % intervals from a bootstrap over "
        f"{entry.summary.unit}; harmed: L1RC > 0.05"
    )
    excluded = entry.summary.excluded
    if excluded:
        text += f"; {excluded} circuits without noisy error left out"
    text += "; uniform: median L1RC recovered from the uniform distribution"
    if not math.isnan(entry.constant):
        text += f" (best constant {entry.constant + 0.0:.3f})"
    if any(e.simulates for e in board.entries):
        text += f"; {SIMULATES} simulates its circuits, can't win"
    return text


def leaderboard_table(board: Leaderboard) -> Table:
    """Baselines, then models, then the shot-noise reference; the best in bold."""
    shown = [(c, c.narrow) for c in columns(board) if c.narrow]
    table = Table(
        title="Mitigators on "
        + ("all rows" if board.split == "all" else f"the {board.split} split"),
        title_justify="left",
        caption=caption(board),
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        show_edge=False,
        collapse_padding=True,
        # With a column for shots, two blanks between columns would be too wide for 100.
        padding=(0, 0) if len(shown) > _LOOSE else (0, 1),
    )
    table.add_column("mitigator", overflow="fold", min_width=14)
    for _, heading in shown:
        table.add_column(heading, justify="right", no_wrap=True)
    best = board.winner
    for group in (board.baselines, board.models):
        for entry in group:
            style = "bold green" if entry is best else "dim" if entry.simulates else ""
            cells = (Text(column.text(entry), style) for column, _ in shown)
            table.add_row(Text(entry.name, style), *cells)
        table.add_section()
    if board.reference:
        row = [interval_text(board.reference)] + ["-"] * (len(shown) - 1)
        table.add_row(Text("shot-noise reference", "dim"), *(Text(c, "dim") for c in row))
    return table


def verdicts(board: Leaderboard) -> list[str]:
    """One sentence for each model that simulates, and each baseline: whether the best model beats
    it."""
    lines = [
        f"{entry.name} simulates its circuits: from the uniform distribution alone it recovers "
        f"{entry.summary.figures['uniform_l1rc'].value:.3f}; it is out of the running"
        for entry in board.models
        if entry.simulates
    ]
    best = board.best_model
    for baseline, comparison in board.comparisons():
        assert best is not None
        word = "beats" if comparison.beats else "does not beat"
        lines.append(
            f"{best.name} {word} {baseline.name}: median L1RC "
            f"{interval_text(comparison.difference)} in pairs, harmed {comparison.harm:+.2f} %"
        )
    return lines
