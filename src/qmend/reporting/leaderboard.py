"""A leaderboard as a table, its caption, and its comparisons in sentences."""

from __future__ import annotations

import math

from qmend.evaluation.comparison import eligible
from qmend.reporting.numbers import (
    count_text,
    interval_text,
    listing,
    seconds_text,
    signed_text,
)
from qmend.reporting.table import Cell, Column, Row, Table
from qmend.runs.configurations import Configuration
from qmend.runs.leaderboard import Leaderboard

#: Behind the figure of a mitigator that simulates its circuits.
SIMULATES = "†"
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
    columns = [
        (Column(" ", None), paired),
        (Column("mitigator", "mitigator", words=True, long="fold"), True),
        (Column.number("median L1RC [95 %]"), True),
        (Column(f"minus row {numbers[best.name] if best else 0} [95 %]", None), paired),
        (Column("improved %", "improved\n%"), True),
        (Column("harmed %", "harmed\n%"), True),
        (Column("TV", "TV"), True),
        (Column("Hellinger", None), True),
        (Column("KL", None), True),
        (Column("uniform", "uniform"), True),
        (Column("shots", "shots"), any(c.shots_factor != 1 for c in board.configurations)),
        (Column("parameters", "para-\nmeters"), True),
        (Column("seconds", "sec-\nonds"), True),
        # The widest column is the first to be out of sight on a narrow screen.
        (Column("seeds", None), any(len(c.seeds) > 1 for c in board.configurations)),
    ]
    shown = [k for k, (_, there) in enumerate(columns) if there]

    def row(c: Configuration) -> Row:
        mark = "best" if c is winner else "simulates" if c.simulates else ""
        difference = Cell("")
        if paired and best is not None and c is not best:
            comparison = board.compare(c, best)
            difference = Cell(signed_text(comparison.difference), comparison.word)
        trained_before = c.kind == "evaluation" and c.seconds == 0
        cells: list[str | Cell] = [
            str(numbers[c.name]),
            c.name,
            _interval(c, "l1rc_median"),
            difference,
            _value(c, "improved_pct", 2),
            _value(c, "harmed_pct", 2),
            _value(c, "tv", 3),
            _value(c, "hellinger", 3),
            _value(c, "kl", 3),
            _value(c, "uniform_l1rc", 3) + (SIMULATES if c.simulates else " "),
            f"{c.shots_factor:g}x",
            count_text(c.parameters),
            "" if trained_before else seconds_text(c.seconds),
            " ".join(f"{value:.3f}" for value in c.seeds) if len(c.seeds) > 1 else "",
        ]
        return Row.of([cells[k] for k in shown], mark)

    reference: tuple[Row, ...] = ()
    if board.reference is not None:
        texts = ["", "shot-noise reference", interval_text(board.reference), *[""] * len(columns)]
        reference = (Row.of([texts[k] for k in shown], "reference"),)
    sections: tuple[tuple[Row, ...], ...]
    if ranked:
        sections = (reference, tuple(map(row, order)))
    else:
        groups = (board.baselines, board.models)
        sections = (*(tuple(map(row, group)) for group in groups), reference)
    return Table(
        tuple(columns[k][0] for k in shown),
        sections,
        title or f"Mitigators on {board_title(board)}",
        caption(board),
    )


def _interval(c: Configuration, name: str) -> str:
    return interval_text(c.figures[name]) if name in c.figures else ""


def _value(c: Configuration, name: str, digits: int) -> str:
    """A figure, empty if not logged; 0.000 rather than -0.000."""
    return f"{round(c.figures[name].value, digits) + 0.0:.{digits}f}" if name in c.figures else ""


def board_title(board: Leaderboard) -> str:
    """Name the dataset and the split."""
    split = "all rows" if board.split == "all" else f"{board.split} split"
    return f"{board.dataset}, {split}"


def caption(board: Leaderboard) -> str:
    """Say which circuits the figures are of, and how their intervals come about."""
    first = board.runs[0]
    jobs = len(set(first.scores.job_id.tolist()))
    split = "" if board.split == "all" else f"{board.split} "
    parts = [
        f"{len(first.scores):,} {split}circuits in {jobs:,} jobs, dataset hash "
        f"{board.dataset_sha}; 95 % intervals from a bootstrap over {board.bootstrap.unit}",
        "harmed: L1RC > 0.05",
    ]
    if first.summary.excluded:
        parts.append(f"{first.summary.excluded} circuits without noisy error left out")
    uniform = "uniform: median L1RC recovered from the uniform distribution"
    if not math.isnan(first.constant):
        uniform += f" (best constant {round(first.constant, 3) + 0.0:.3f})"
    parts.append(uniform)
    if any(len(c.seeds) > 1 for c in board.configurations):
        parts.append(
            "with several seeds: means, and the interval from the lowest lower to the highest "
            "upper end of theirs"
        )
    if any(c.simulates for c in board.configurations):
        parts.append(f"{SIMULATES} simulates its circuits, can't win")
    return "; ".join(parts)


def verdicts(board: Leaderboard) -> list[str]:
    """Say in a sentence each which baselines the best beats, and which models simulate."""
    lines = [
        f"{c.name} simulates its circuits: from the uniform distribution alone it recovers "
        f"{_value(c, 'uniform_l1rc', 3)}; it is out of the running"
        for c in board.models
        if c.simulates
    ]
    best = board.best
    for baseline in eligible(board.baselines):
        if best is None or baseline is best:
            continue
        comparison = board.compare(best, baseline)
        word = "beats" if comparison.beats else "does not beat"
        lines.append(
            f"{best.name} {word} {baseline.name}: median L1RC "
            f"{interval_text(comparison.difference)} in pairs, harmed {comparison.harm:+.2f} %"
        )
    return lines


def summary_verdicts(board: Leaderboard) -> list[str]:
    """Say in a few sentences how the best fares against all others."""
    best = board.best
    if best is None:
        return ["All of them simulate their circuits: none can be the best."]
    chosen = "best on the validation split" if best.validation < math.inf else "lowest median L1RC"
    lines = [f"{best.name} is compared with the others: {chosen} among the models."]
    others: dict[str, list[str]] = {"beats": [], "harms": [], "even": [], "worse": []}
    for c in eligible(board.ranked):
        if c is not best:
            comparison = board.compare(best, c)
            harms = comparison.word == "better" and not comparison.beats
            word = "beats" if comparison.beats else "harms" if harms else comparison.word
            others[word].append(c.name)
    for word, sentence in (
        ("beats", "It beats {}."),
        ("harms", "It has a lower median L1RC than {}, but harms more circuits."),
        ("even", "It can't be told from {}."),
        ("worse", "It is worse than {}."),
    ):
        if others[word]:
            lines.append(sentence.format(listing(others[word])))
    return lines


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
