"""The leaderboard as a table: on a terminal, in Markdown, as HTML."""

from dataclasses import replace
from io import StringIO

import numpy as np
import pytest
from rich.console import Console

from qmend.metrics import Interval, interval_text
from qmend.reporting import numbers
from qmend.reporting.leaderboard import (
    SIMULATES,
    caption,
    leaderboard_table,
    pairs_table,
    summary_verdicts,
    verdicts,
)
from qmend.reporting.run_tables import cells_table
from qmend.reporting.search_table import running_table
from qmend.reporting.table import Cell, Column, Row, Table
from qmend.runs.cells import CellRecord
from qmend.runs.leaderboard import Leaderboard
from qmend.tuning.record import Trial
from tracked_runs import made_up_scores, scores_of, unstored_run


def lines_of(table: Table, width: int) -> list[str]:
    console = Console(file=StringIO(), width=width)
    console.print(table.terminal())
    return [line.strip() for line in console.file.getvalue().splitlines() if line.strip()]


@pytest.fixture(scope="module")
def printed(board) -> list[str]:
    return lines_of(leaderboard_table(board, ranked=False), 160)


def test_rows_are_baselines_models_and_last_the_reference(printed, board):
    names = [e.name for e in board.runs]
    rows = [line.split()[0] for line in printed if line.split()[0] in names]
    assert rows == names
    assert [e.kind for e in board.runs] == ["baseline"] * 5 + ["train"] * 2
    last = [k for k, line in enumerate(printed) if line.startswith("shot-noise reference")]
    assert len(last) == 1
    assert last[0] > max(k for k, line in enumerate(printed) if line.split()[0] in names)
    assert interval_text(board.reference) in printed[last[0]]


def test_ranked_rows_are_below_the_reference(board):
    first, *rows = leaderboard_table(board).rows
    assert first.mark == "reference"
    assert [row.cells[0].text for row in rows] == [c.name for c in board.ranked]


def test_figures_of_each_row(printed, board):
    for entry in board.runs:
        line = next(x for x in printed if x.split()[0] == entry.name)
        figures = entry.figures
        shares = [f"{figures[name].value:.2f}" for name in ("improved_pct", "harmed_pct")]
        expected = [
            *interval_text(figures["l1rc_median"]).split(),
            *shares,
            f"{figures['tv'].value:.3f}",
        ]
        assert line.split()[1 : 1 + len(expected)] == expected
        assert line.split()[-2] == numbers.count_text(entry.parameters)


def test_the_caption_says_what_was_resampled(printed, board):
    text = " ".join(printed)
    assert f"{len(board.runs[0].scores)} test circuits" in text
    assert "bootstrap over circuits" in text
    assert "harmed: L1RC > 0.05" in text


def test_it_fits_a_terminal_of_100_columns(board):
    """The longest names, figures of every width, shots and marks: no line is broken or cut."""
    first = board.runs[0]
    bound, costly, large = (
        replace(
            first,
            name=name,
            tags={**first.tags, **tags},
            metrics={**first.metrics, **{f"cost/{key}": value for key, value in costs.items()}},
        )
        for name, tags, costs in (
            ("probabilistic_inversion", {"simulates": "true"}, {}),
            ("clifford_data_regression", {}, {"shots_factor": 11.0}),
            (
                "physics_perceiver",
                {"kind": "train"},
                {"parameters": 123456789.0, "seconds": 12345.6},
            ),
        )
    )
    whole = Leaderboard.of([*board.runs[1:-1], bound, costly, large], board.reference)
    for shown in (board, whole):
        for ranked in (False, True):
            lines = lines_of(leaderboard_table(shown, ranked=ranked), 100)
            assert "…" not in "".join(lines)
            assert {e.name for e in shown.runs} <= {line.split()[0] for line in lines}


def test_every_column_of_a_sweep_and_a_search_is_whole_on_120_columns():
    settings = ("model=physics_perceiver", "optimizer.lr=0.001", "optimizer.weight_decay=0.0001",
                "loss=relative_l1", "seed=1", "dataset.seed=2")  # fmt: skip
    figures = {f"test/l1rc_median{end}": -0.75 for end in ("", "_lo", "_hi")}
    figures |= {"test/improved_pct": 100.0, "test/harmed_pct": 0.0, "cost/seconds": 1234.5}
    cell = CellRecord(settings, "not finished", "ab" * 16, "", figures)
    values = dict.fromkeys(("model.latents", "model.width", "trainer.batch_size"), 123456)
    values |= dict.fromkeys(("optimizer.weight_decay", "trainer.gradient_clip"), 1.23e-5)
    trial = Trial(12, "tpe", "", values, [-0.7123] * 123, "finished", 1234.5)
    sweep = lines_of(cells_table([cell, cell], "multirun", "f" * 32), 120)
    search = lines_of(running_table([trial], 150), 120)
    assert {"model", "lr", "loss", "seed", "status", "run"} <= set(" ".join(sweep[:3]).split())
    for lines, whole in (
        (sweep, "-0.750 [-0.750, -0.750] 100.00 0.00 1234.5 not finished abababab"),
        (search, "12 finished 123/150 -0.7123 1234.5 latents=123456"),
    ):
        assert any(whole in " ".join(line.split()) for line in lines), lines


def test_shots_are_shown_where_they_differ_and_simulation_is_marked(board):
    first, second, *others = board.runs
    assert "shots" not in leaderboard_table(board).headings
    assert SIMULATES not in caption(board)
    costly = replace(
        second,
        tags={**second.tags, "simulates": "true"},
        metrics={**second.metrics, "cost/shots_factor": 3.0},
    )
    other = Leaderboard.of([first, costly, *others])
    table = leaderboard_table(other, ranked=False)
    cells = [dict(zip(table.headings, table.texts(r), strict=True)) for r in table.rows[:2]]
    assert [row["shots"] for row in cells] == ["1x", "3x"]
    assert [row["own slope"] for row in cells] == ["0.00", "0.00†"]
    assert [row["own gain %"] for row in cells] == ["0.0", "0.0"]
    assert "† simulates its circuits" in caption(other)
    assert "own slope, own gain" in caption(other)
    old = replace(first, metrics={k: v for k, v in first.metrics.items() if "/own_" not in k})
    older = leaderboard_table(Leaderboard.of([old]))
    (row,) = older.rows
    shown = dict(zip(older.headings, older.texts(row), strict=True))
    assert shown["own slope"] == shown["own gain %"] == ""
    assert "own slope" not in older.caption


def test_one_that_simulates_is_neither_marked_best_nor_compared(board):
    """The row of the best mitigator is marked; a sentence says who is out, and why."""
    best = board.best
    out = Leaderboard.of(
        [
            replace(e, tags={**e.tags, "simulates": str(e.name == best.name).lower()})
            for e in board.runs
        ]
    )
    marks = {row.cells[0].text: row.mark for row in leaderboard_table(out).rows}
    assert marks[best.name] == "simulates"
    assert [name for name, mark in marks.items() if mark == "best"] == [out.winner.name]
    lines = verdicts(out)
    assert lines[0].startswith(f"{best.name} simulates its circuits")
    assert all(line.startswith(f"{out.best.name} ") for line in lines[1:])
    assert len(lines) == 1 + len(board.baselines)


def test_texts_of_numbers():
    assert interval_text(Interval(-0.85349, -0.8611, -0.8456)) == "-0.853 [-0.861, -0.846]"
    assert numbers.seconds_text(12.34) == "12.3"
    assert numbers.seconds_text(0.01) == "<0.1"
    assert [numbers.count_text(n) for n in (3, 12_345, 1_234_567, 98_765_432)] == [
        "3",
        "12,345",
        "1.23M",
        "98.8M",
    ]


@pytest.mark.parametrize(
    ("ours", "verdict", "summary"),
    [
        (
            -0.6,
            "ours beats theirs: in pairs, median L1RC -0.100 [-0.100, -0.100] is below 0, and",
            "It beats theirs.",
        ),
        (
            -0.4,
            "ours does not beat theirs: in pairs, median L1RC +0.100 [+0.100, +0.100] is not all",
            "It is beaten by theirs.",
        ),
        (
            None,
            "ours does not beat theirs: in pairs, median L1RC -0.100 [-0.100, -0.100] is below 0, "
            "and the harmed share +5.00 [+0.00, +15.00] % points is not within the margin of 1.",
            "It does not beat theirs: the harmed share is not within the margin.",
        ),
        (
            -0.5,
            "ours does not beat theirs: in pairs, median L1RC +0.000 [+0.000, +0.000] is not all",
            "It does not beat theirs: the difference of the median L1RC is not all below 0.",
        ),
    ],
    ids=["better", "worse", "harmful", "even"],
)
def test_verdicts(ours, verdict, summary):
    """A better median bought with one harmed circuit of twenty is no victory."""
    change = np.full(20, -0.6 if ours is None else ours)
    if ours is None:
        change[0] = 0.5
    for kind in ("baseline", "train"):
        theirs = unstored_run("theirs", scores_of(np.full(20, -0.5)), kind, validation=(-0.1,))
        ours = unstored_run("ours", scores_of(change), validation=(-0.2,))
        board = Leaderboard.of([theirs, ours])
        if kind == "baseline":
            (sentence,) = verdicts(board)
            assert sentence.startswith(verdict)
            assert summary_verdicts(board)[-1] == sentence
        else:
            assert summary_verdicts(board)[-1] == summary


def test_pairs_are_a_matrix_that_is_antisymmetric():
    runs = [unstored_run(f"m{k}", made_up_scores(-0.5 - 0.1 * k, k)) for k in range(3)]
    assert pairs_table(Leaderboard.of(runs[:2])) is None
    rows = pairs_table(Leaderboard.of(runs)).rows
    assert [row.cells[0].text for row in rows] == ["1 m2", "2 m1", "3 m0"]
    opposite = {"better": "worse", "worse": "better", "": ""}
    for k in range(3):
        for j in range(3):
            assert rows[k].cells[1 + j].mark == opposite[rows[j].cells[1 + k].mark]


def test_one_table_in_three_forms():
    """Columns may be on pages or on terminals alone; texts are never markup."""
    columns = (Column.text("name"), Column.number("x"), Column("page", None), Column(None, "short"))
    rows = (Row.of(["<b> [red]", "1", Cell("2", "better"), "3"], "best"),)
    table = Table(columns, (rows,), "A [title]", "a caption")
    lines = lines_of(table, 80)
    assert lines[0] == "A [title]"
    assert lines[1].split() == ["name", "x", "short"]
    assert lines[3].split() == ["<b>", "[red]", "1", "3"]
    assert lines[4] == "a caption"
    assert table.markdown().splitlines() == [
        "| name | x | page |",
        "|---|---:|---:|",
        "| **<b> [red]** | **1** | 2 |",
    ]
    html = table.html()
    assert '<tr class="best"><td class="text">&lt;b&gt; [red]</td>' in html
    assert '<td class="better">2</td>' in html
    assert "short" not in html
