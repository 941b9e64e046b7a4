"""The leaderboard as a table on a terminal."""

from io import StringIO

import numpy as np
import pytest
from rich.console import Console

from qmend.evaluation.leaderboard import Leaderboard
from qmend.evaluation.scores import Scores, summarise
from qmend.evaluation.tracked import Entry
from qmend.metrics import Bootstrap, Interval
from qmend.reporting import table


@pytest.fixture(scope="module")
def printed(board) -> list[str]:
    console = Console(file=StringIO(), width=160)
    console.print(table.leaderboard_table(board))
    return [line.strip() for line in console.file.getvalue().splitlines() if line.strip()]


def test_rows_are_baselines_models_and_last_the_reference(printed, board):
    names = [e.name for e in board.entries]
    rows = [line.split()[0] for line in printed if line.split()[0] in names]
    assert rows == names
    assert [e.kind for e in board.entries] == ["baseline"] * 4 + ["train"] * 2
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


def test_texts_of_numbers():
    assert table.interval_text(Interval(-0.85349, -0.8611, -0.8456)) == "-0.853 [-0.861, -0.846]"
    assert table.seconds_text(12.34) == "12.3"
    assert table.seconds_text(0.01) == "<0.1"


def entry(data, name: str, kind: str, change: np.ndarray) -> Entry:
    """Made up: a mitigator with a given L1RC on every circuit."""
    scores = Scores(*[change] * 6)
    summary = summarise(scores, Bootstrap.over(data.job_id, replicates=20))
    return Entry(name, kind, scores, summary, data.circuits.noisy, 0, 0.0, {}, "")


@pytest.mark.parametrize(
    ("ours", "verdict"),
    [
        (-0.6, "ours beats theirs: median L1RC -0.100 [-0.100, -0.100] in pairs, harmed +0.0 %"),
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
