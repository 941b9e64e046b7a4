"""The leaderboard as a table on a terminal."""

from dataclasses import replace
from io import StringIO

import numpy as np
import pytest
from rich.console import Console

from qmend.evaluation.scores import Scores, summarise
from qmend.metrics import Bootstrap, Interval
from qmend.reporting import table
from qmend.runs.leaderboard import Leaderboard
from qmend.runs.scoring import Entry


@pytest.fixture(scope="module")
def printed(board) -> list[str]:
    console = Console(file=StringIO(), width=160)
    console.print(table.leaderboard_table(board))
    return [line.strip() for line in console.file.getvalue().splitlines() if line.strip()]


def test_rows_are_baselines_models_and_last_the_reference(printed, board):
    names = [e.name for e in board.entries]
    rows = [line.split()[0] for line in printed if line.split()[0] in names]
    assert rows == names
    assert [e.kind for e in board.entries] == ["baseline"] * 5 + ["train"] * 2
    last = [k for k, line in enumerate(printed) if line.startswith("shot-noise reference")]
    assert len(last) == 1
    assert last[0] > max(k for k, line in enumerate(printed) if line.split()[0] in names)
    assert table.interval_text(board.reference) in printed[last[0]]


def test_figures_of_each_row(printed, board):
    for entry in board.entries:
        line = next(x for x in printed if x.split()[0] == entry.name)
        shown = [c.text(entry) for c in table.columns(board) if c.narrow]
        assert line.split()[1:] == " ".join(shown).split()


def test_the_caption_says_what_was_resampled(printed, board):
    text = " ".join(printed)
    assert f"{len(board.data)} test circuits" in text
    assert "bootstrap over circuits" in text
    assert "harmed: L1RC > 0.05" in text


def test_it_fits_a_terminal_of_100_columns(board):
    """The longest names, figures of every width, shots and marks: no line is broken or cut."""
    bound, costly, large = (
        replace(board.entries[0], name=name, **changes)
        for name, changes in {
            "probabilistic_inversion": {"simulates": True},
            "clifford_data_regression": {"shots_factor": 11.0},
            "physics_perceiver": {"parameters": 123_456_789, "seconds": 12345.6, "kind": "train"},
        }.items()
    )
    whole = replace(board, entries=[*board.entries[1:], bound, costly, large])
    for shown in (board, whole):
        console = Console(file=StringIO(), width=100)
        console.print(table.leaderboard_table(shown))
        lines = console.file.getvalue().splitlines()
        assert "…" not in "".join(lines)
        starts = [line.split()[0] for line in lines if line.strip()]
        assert {e.name for e in shown.entries} <= set(starts)


def test_shots_are_shown_where_they_differ_and_simulation_is_marked(board):
    entries = board.entries
    assert "shots" not in [c.heading for c in table.columns(board)]
    assert table.SIMULATES not in table.caption(board)
    costly = replace(entries[1], shots_factor=3.0, simulates=True)
    other = replace(board, entries=[entries[0], costly, *entries[2:]])
    cells = [
        {c.heading: c.text(e).strip() for c in table.columns(other)} for e in other.entries[:2]
    ]
    assert [row["shots"] for row in cells] == ["1x", "3x"]
    assert [row["uniform"] for row in cells] == ["0.000", "0.000†"]
    assert "† simulates its circuits" in table.caption(other)
    assert f"best constant {entries[0].constant:.3f}" in table.caption(other)


def test_one_that_simulates_is_neither_best_nor_judged(board):
    """The row of the best mitigator is bold; a sentence says who is out, and why."""
    best = board.best_model
    out = replace(board, entries=[replace(e, simulates=e is best) for e in board.entries])
    styles = {
        str(row): style
        for row, style in (
            (cell, getattr(cell, "style", ""))
            for cell in table.leaderboard_table(out).columns[0]._cells
        )
    }
    assert styles[best.name] == "dim"
    assert [name for name, style in styles.items() if style == "bold green"] == [out.winner.name]
    lines = table.verdicts(out)
    assert lines[0].startswith(f"{best.name} simulates its circuits")
    assert all(line.startswith(f"{out.best_model.name} ") for line in lines[1:])
    assert len(lines) == 1 + len(board.baselines)


def test_texts_of_numbers():
    assert table.interval_text(Interval(-0.85349, -0.8611, -0.8456)) == "-0.853 [-0.861, -0.846]"
    assert table.seconds_text(12.34) == "12.3"
    assert table.seconds_text(0.01) == "<0.1"
    assert [table.count_text(n) for n in (3, 12_345, 1_234_567, 98_765_432)] == [
        "3",
        "12,345",
        "1.23M",
        "98.8M",
    ]


def entry(data, name: str, kind: str, change: np.ndarray) -> Entry:
    """Made up: a mitigator with a given L1RC on every circuit."""
    scores = Scores(*[change] * 6)
    summary = summarise(scores, Bootstrap.over(data.job_id, replicates=20))
    return Entry(name, kind, scores, summary, data.circuits.noisy, 0, 0.0, {}, "")


@pytest.mark.parametrize(
    ("ours", "verdict"),
    [
        (-0.6, "ours beats theirs: median L1RC -0.100 [-0.100, -0.100] in pairs, harmed +0.00 %"),
        (-0.4, "ours does not beat theirs: median L1RC 0.100 [0.100, 0.100] in pairs"),
        (
            None,
            "ours does not beat theirs: median L1RC -0.100 [-0.100, -0.100] in pairs, harmed +5",
        ),
    ],
    ids=["better", "worse", "harmful"],
)
def test_verdicts(board, ours, verdict):
    """A better median bought with one harmed circuit of twenty is no victory."""
    data = board.data
    change = np.full(len(data), -0.6 if ours is None else ours)
    if ours is None:
        change[0] = 0.5
    theirs = entry(data, "theirs", "baseline", np.full(len(data), -0.5))
    made_up = Leaderboard(data, [theirs, entry(data, "ours", "train", change)], None)
    (found,) = table.verdicts(made_up)
    assert found.startswith(verdict)
