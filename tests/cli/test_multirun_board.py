"""The driver of a multirun shows what its cells report, in a log and in a terminal."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from qmend.cli.multirun import CellObserver, Reporter, report_file
from qmend.cli.multirun_board import Board
from qmend.cli.multirun_driver import ended_as
from qmend.cli.terminal import console
from qmend.processes import process_identity
from qmend.runs.cells import CellRecord, Outcome, failure

NAMES = ["seed=0", "seed=1", "seed=2", "seed=3"]


def reporter(folder, number: int) -> Reporter:
    return Reporter(report_file(folder, number))


def start(folder, number: int) -> CellObserver:
    reporter(folder, number).write("start", process=process_identity())
    return CellObserver(reporter(folder, number))


def end(folder, number: int, outcome: Outcome) -> None:
    reporter(folder, number).write("end", **asdict(outcome))


def test_a_log_has_a_line_for_each_start_message_and_end_with_counts(tmp_path):
    board = Board(tmp_path, NAMES, watching=False)
    observer = start(tmp_path, 0)
    with observer.training("rnn", 30) as training:
        training.epoch(1, 30, {"val/l1rc_median": -0.5})
        training.message("Resumes after epoch 4 of 30.")
    start(tmp_path, 1)
    with console.capture() as captured:
        board.read()
    assert captured.get().splitlines() == [
        "  cell 1/4 starts: seed=0 (0 of 4 ended, 1 running)",
        "  cell 1/4: Resumes after epoch 4 of 30.",
        "  cell 2/4 starts: seed=1 (0 of 4 ended, 2 running)",
    ]
    end(tmp_path, 1, Outcome("failed", error="it was wrong."))
    end(tmp_path, 0, Outcome("finished", "abc", result="test median L1RC -0.5"))
    with console.capture() as captured:
        board.read()
        board.read()
    first, second = captured.get().splitlines()
    assert first.startswith("  cell 1/4 finished: seed=0; test median L1RC -0.5; run abc (")
    assert first.endswith(" s; 1 of 4 ended, 1 running)")
    assert second.startswith("  cell 2/4 failed: seed=1; it was wrong (")
    assert second.endswith(" s; 2 of 4 ended, 1 failed)")


def test_a_terminal_shows_what_runs_and_how_far_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(console, "_force_terminal", True)
    with console.capture() as captured:
        board = Board(tmp_path, NAMES, watching=True)
        with start(tmp_path, 1).training("rnn", 30) as training:
            training.epoch(30, 30, {"val/l1rc_median": -0.5})
        board.read()
        assert board._bars is not None
        every, cell = board._bars.tasks
        board.close()
    assert (every.description, every.total, every.completed) == ("cells", 4, 1.0)
    assert every.fields["note"] == "1 running"
    assert (cell.description, cell.total, cell.completed) == ("2 seed=1", 30, 30)
    assert cell.fields["note"] == "epochs val L1RC -0.500"
    assert "seed=1" in captured.get()


def test_half_a_line_is_read_when_it_is_whole(tmp_path):
    board = Board(tmp_path, NAMES, watching=False)
    whole = reporter(tmp_path, 2)
    whole.write("start", process=process_identity())
    text = whole.file.read_text()
    whole.file.write_text(text[:10])
    with console.capture() as captured:
        board.read()
        whole.file.write_text(text)
        board.read()
    assert captured.get().count("cell 3/4 starts") == 1


@pytest.mark.parametrize(
    ("interrupted", "statuses"),
    [
        (True, ["finished", "interrupted", "not started", "not started"]),
        (False, ["finished", "failed", "not started", "not started"]),
    ],
)
def test_cells_that_never_started_are_told_from_those_whose_process_died(
    tmp_path, interrupted, statuses
):
    board = Board(tmp_path, NAMES, watching=False)
    start(tmp_path, 0)
    end(tmp_path, 0, Outcome("finished", "abc"))
    start(tmp_path, 1)
    with console.capture():
        board.close()
    outcomes = [ended_as(cell, interrupted) for cell in board.cells]
    assert [outcome.status for outcome in outcomes] == statuses
    assert [outcome.error for outcome in outcomes[2:]] == ["", ""]
    records = [
        CellRecord((name,), outcome.status, outcome.run_id, outcome.error, {})
        for name, outcome in zip(NAMES, outcomes, strict=True)
    ]
    assert str(failure(records, "Again.")) == (
        "3 of 4 cells did not finish. Again."
        if interrupted
        else "1 of 4 cells failed and 2 did not finish, the first (seed=1): its process ended "
        "before it did. Again."
    )
    assert failure(records[:1], "Again.") is None
