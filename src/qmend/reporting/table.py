"""The leaderboard as a rich table."""

from __future__ import annotations

from rich import box
from rich.table import Table
from rich.text import Text

from qmend.evaluation.leaderboard import Leaderboard
from qmend.evaluation.tracked import Entry
from qmend.metrics import Interval

#: Column title -> figure, decimals.
FIGURES: tuple[tuple[str, str, int], ...] = (
    ("improved %", "improved_pct", 1),
    ("harmed %", "harmed_pct", 1),
    ("TV", "tv", 3),
    ("Hellinger", "hellinger", 3),
)


def interval_text(interval: Interval) -> str:
    """``-0.853 [-0.861, -0.846]``."""
    return f"{interval.value:.3f} [{interval.lo:.3f}, {interval.hi:.3f}]"


def seconds_text(seconds: float) -> str:
    """Seconds with a digit that means something."""
    return f"{seconds:.1f}" if seconds >= 0.05 else "<0.1"


def cells(entry: Entry) -> list[str]:
    """The figures of one row, as text."""
    figures = entry.summary.figures
    return [
        interval_text(figures["l1rc_median"]),
        *(f"{figures[name].value:.{digits}f}" for _, name, digits in FIGURES),
        f"{entry.parameters:,}",
        seconds_text(entry.seconds),
    ]


HEADINGS = ("median L1RC [95 %]", *(title for title, _, _ in FIGURES), "parameters", "seconds")


def caption(board: Leaderboard) -> str:
    """What the figures are of."""
    entry = board.entries[0]
    split = "" if board.split == "all" else f"{board.split} "
    text = (
        f"{len(board.data):,} {split}circuits; 95 % intervals from a bootstrap over "
        f"{entry.summary.unit}; harmed: L1RC > 0.05"
    )
    excluded = entry.summary.excluded
    return text + (f"; {excluded} circuits without noisy error left out" if excluded else "")


def leaderboard_table(board: Leaderboard) -> Table:
    """Baselines, then models, then the shot-noise reference; the best in bold."""
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
    )
    table.add_column("mitigator", overflow="fold", min_width=14)
    for number, heading in enumerate(HEADINGS):
        table.add_column(heading, justify="right", no_wrap=number == 0)
    best = board.ranked[0]
    for group in (board.baselines, board.models):
        for entry in group:
            style = "bold green" if entry is best else ""
            table.add_row(Text(entry.name, style), *(Text(c, style) for c in cells(entry)))
        table.add_section()
    if board.reference:
        row = [interval_text(board.reference)] + ["-"] * (len(HEADINGS) - 1)
        table.add_row(Text("shot-noise reference", "dim"), *(Text(c, "dim") for c in row))
    return table


def verdicts(board: Leaderboard) -> list[str]:
    """One sentence for each baseline: whether the best model beats it."""
    lines = []
    for baseline, comparison in board.comparisons():
        word = "beats" if comparison.beats else "does not beat"
        lines.append(
            f"{board.best_model.name} {word} {baseline.name}: median L1RC "
            f"{interval_text(comparison.difference)} in pairs, harmed {comparison.harm:+.1f} %"
        )
    return lines
