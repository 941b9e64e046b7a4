"""A leaderboard as a table, its caption, and its comparisons in sentences."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from qmend.evaluation.comparison import Comparison
from qmend.evaluation.simulation import GAIN, SLOPE
from qmend.metrics import Interval, interval_text
from qmend.reporting.numbers import (
    count_text,
    listing,
    seconds_text,
    signed_text,
)
from qmend.reporting.table import Cell, Column, Row, Table
from qmend.reporting.verdict import verdict
from qmend.runs.configurations import Configuration
from qmend.runs.leaderboard import Leaderboard

#: Marks the figure of a mitigator that simulates its circuits.
SIMULATES = "†"
_CHANGE = "median L1RC [95 %]"
#: More configurations than this make no readable matrix.
_MATRIX = 12


def leaderboard_table(
    board: Leaderboard, *, ranked: bool = True, paired: bool = False, title: str = ""
) -> Table:
    """Build the table of a leaderboard; the shot-noise reference is no row of a mitigator.

    Seeds and shots have a column only where rows differ in them.

    Args:
        ranked: lowest median L1RC first, below the reference; else baselines, models, and the
            reference last, in the order of the leaderboard.
        paired: number the rows, and add their differences from the best.
    """
    order = board.ranked if ranked else [*board.baselines, *board.models]
    numbers = {c.name: k for k, c in enumerate(order, 1)}
    best, winner = board.best, board.winner
    paired = paired and best is not None
    several_seeds = any(len(c.seeds) > 1 for c in board.configurations)
    guarded = any("applied_pct" in c.figures for c in board.configurations)
    shots_differ = any(c.shots_factor != 1 for c in board.configurations)

    def difference(c: Configuration) -> Cell:
        if best is None or c is best:
            return Cell("")
        comparison = board.compare(c, best)
        return Cell(signed_text(comparison.difference), comparison.word)

    def slope(c: Configuration) -> str:
        return _value(c, SLOPE, 2) + (SIMULATES if c.simulates else " ")

    def seconds(c: Configuration) -> str:
        trained_before = c.kind == "evaluation" and c.seconds == 0
        return "" if trained_before else seconds_text(c.seconds)

    def seeds(c: Configuration) -> str:
        return " ".join(f"{value:.3f}" for value in c.seeds) if c.runs[0].seed.isdigit() else ""

    def mark(c: Configuration) -> str:
        return "best" if c is winner else "simulates" if c.simulates else ""

    number_of_best = numbers[best.name] if best else 0
    fields: list[tuple[Column, Callable[[Configuration], str | Cell], bool]] = [
        (Column(" ", None), lambda c: str(numbers[c.name]), paired),
        (Column.text("mitigator", "fold"), lambda c: c.name, True),
        (Column.number(_CHANGE), lambda c: _interval(c, "l1rc_median"), True),
        (Column(f"minus row {number_of_best} [95 %]", None), difference, paired),
        (Column("improved %", "improved\n%"), lambda c: _value(c, "improved_pct", 2), True),
        (Column("harmed %", "harmed\n%"), lambda c: _value(c, "harmed_pct", 2), True),
        (Column("applied %", "applied\n%"), lambda c: _value(c, "applied_pct", 1), guarded),
        (Column.number("TV"), lambda c: _value(c, "tv", 3), True),
        (Column("Hellinger", None), lambda c: _value(c, "hellinger", 3), True),
        (Column("KL", None), lambda c: _value(c, "kl", 3), True),
        (Column("own slope", "own\nslope"), slope, True),
        (Column("own gain %", None), lambda c: _value(c, GAIN, 1), True),
        (Column.number("shots"), lambda c: f"{c.shots_factor:g}x", shots_differ),
        (Column("parameters", "para-\nmeters"), lambda c: count_text(c.parameters), True),
        (Column("seconds", "sec-\nonds"), seconds, True),
        # The widest column is the first to be out of sight on a narrow screen.
        (Column("seeds", None), seeds, several_seeds),
    ]
    fields = [field for field in fields if field[-1]]
    columns = tuple(column for column, _, _ in fields)

    def rows(configurations: Sequence[Configuration]) -> tuple[Row, ...]:
        cells = ([text(c) for _, text, _ in fields] for c in configurations)
        return tuple(map(Row.of, cells, map(mark, configurations)))

    reference: tuple[Row, ...] = ()
    if board.reference is not None:
        texts = {"mitigator": "shot-noise reference", _CHANGE: interval_text(board.reference)}
        cells = (texts.get(column.heading or "", "") for column in columns)
        reference = (Row.of(cells, "reference"),)
    sections = (
        (reference, rows(order))
        if ranked
        else (rows(board.baselines), rows(board.models), reference)
    )
    title = title or f"Mitigators on {board_title(board)}"
    return Table(columns, sections, title, caption(board))


def _interval(c: Configuration, name: str) -> str:
    return interval_text(c.figures[name]) if name in c.figures else ""


def _value(c: Configuration, name: str, digits: int) -> str:
    return figure_text(c.figures, name, digits)


def figure_text(figures: Mapping[str, Interval], name: str, digits: int) -> str:
    """Write a figure without its interval, empty if not logged; 0.000 rather than -0.000."""
    return f"{round(figures[name].value, digits) + 0.0:.{digits}f}" if name in figures else ""


def board_title(board: Leaderboard) -> str:
    """Name the dataset and the split."""
    split = "all rows" if board.split == "all" else f"{board.split} split"
    return f"{board.dataset}, {split}"


def caption(board: Leaderboard) -> str:
    """Describe the scored circuits and the intervals."""
    first = board.runs[0]
    jobs = len(set(first.scores.job_id.tolist()))
    split = "" if board.split == "all" else f"{board.split} "
    parts = [
        f"{len(first.scores):,} {split}circuits in {jobs:,} jobs, dataset hash "
        f"{board.dataset_sha}; 95 % intervals from a bootstrap over {board.bootstrap.unit}",
        "harmed: L1RC > 0.05",
    ]
    if any("applied_pct" in c.figures for c in board.configurations):
        parts.append("applied: where the guard did not abstain, which counts as 0")
    if first.summary.excluded:
        parts.append(f"{first.summary.excluded} circuits without noisy error left out")
    if any(SLOPE in c.figures for c in board.configurations):
        parts.append(
            "own slope, own gain: how far the output follows the circuit's own ideal where another "
            "circuit's measurement is given; 0: not at all"
        )
    if any(len(c.seeds) > 1 for c in board.configurations):
        parts.append(
            "with several seeds: means, and the interval from the lowest lower to the highest "
            "upper end of theirs"
        )
    if uneven := uneven_seeds(board):
        parts.append(uneven)
    if any(c.simulates for c in board.configurations):
        parts.append(f"{SIMULATES} simulates its circuits, can't win")
    return "; ".join(parts)


def uneven_seeds(board: Leaderboard) -> str:
    """Say which seeds each trained row has, if some have more than others; else nothing."""
    names: dict[tuple[str, ...], list[str]] = {}
    for c in board.configurations:
        seeds = tuple(run.seed for run in c.runs)
        if seeds[0].isdigit():
            names.setdefault(seeds, []).append(c.name)
    if len({len(seeds) for seeds in names}) < 2:
        return ""
    most = sorted(names.items(), key=lambda item: -len(item[0]))
    rows = [
        f"{listing(these)} {'has' if len(these) == 1 else 'have'} {listing(list(seeds))}"
        for seeds, these in most
    ]
    return f"rows differ in their number of seeds: {'; '.join(rows)}"


def verdicts(board: Leaderboard) -> list[str]:
    """List which baselines the best beats, and which models simulate, in sentences."""
    lines = [
        f"{c.name} simulates its circuits: where another circuit's measurement is given, the size "
        f"of its parities follows its own ideal with a slope of {_value(c, SLOPE, 2) or '?'}, and "
        f"its own features change the L1 error by {_value(c, GAIN, 1) or '?'} %; it is out of the "
        "running."
        for c in board.models
        if c.simulates
    ]
    best = board.best
    for baseline in board.baselines:
        if best is None or baseline is best or not baseline.eligible:
            continue
        lines.append(verdict(best.name, baseline.name, board.compare(best, baseline)))
    return lines


def summary_verdicts(board: Leaderboard) -> list[str]:
    """Compare the best with each baseline, and with the other models in a few sentences."""
    best = board.best
    if best is None:
        return ["All of them simulate their circuits: none can be the best."]
    chosen = "best on the validation split" if best.validation < math.inf else "lowest median L1RC"
    lines = [f"{best.name} is compared with the others: {chosen} among the models."]
    lines += verdicts(board)
    others: dict[str, list[str]] = {}
    for c in board.ranked:
        if c.eligible and c is not best and c.kind != "baseline":
            others.setdefault(_grouped(board.compare(best, c)), []).append(c.name)
    return lines + [sentence.format(listing(names)) for sentence, names in others.items()]


def _grouped(comparison: Comparison) -> str:
    """Choose the sentence for all that the best compares with alike."""
    if comparison.beats:
        return "It beats {}."
    if comparison.beaten:
        return "It is beaten by {}."
    if comparison.lower:
        return "It does not beat {}: the harmed share is not within the margin."
    return "It does not beat {}: the difference of the median L1RC is not all below 0."


def pairs_table(board: Leaderboard) -> Table | None:
    """Build the matrix of paired differences of the best configurations; None below three."""
    numbers = {c.name: k for k, c in enumerate(board.ranked, 1)}
    shown = [c for c in board.ranked if not c.simulates][:_MATRIX]
    if len(shown) < 3:
        return None
    columns = [Column.text("row minus column")]
    columns += [Column.number(str(numbers[c.name])) for c in shown]
    rows = []
    for ours in shown:
        cells = [Cell(f"{numbers[ours.name]} {ours.name}")]
        for theirs in shown:
            comparison = board.compare(ours, theirs)
            text = f"{comparison.difference.value:+.3f}"
            cells.append(Cell("") if ours is theirs else Cell(text, comparison.word))
        rows.append(Row.of(cells))
    return Table(tuple(columns), (tuple(rows),))
