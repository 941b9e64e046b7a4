"""One verdict: promote, evaluate and report say the same of the same scores."""

import numpy as np
import pytest

from qmend.metrics import harmed_pct
from qmend.reporting.leaderboard import summary_verdicts, verdicts
from qmend.reporting.models import promotion_sentences
from qmend.runs.leaderboard import Leaderboard
from qmend.runs.promotion import Promotion, judge
from tracked_runs import scores_of, unstored_run

COUNT, JOBS = 1_200, 60


def scored(figure: np.ndarray, jobs: int = JOBS):
    return scores_of(figure, np.arange(len(figure)) % jobs)


def harming(circuits: int, count: int = COUNT) -> np.ndarray:
    """A lower median, and that many harmed circuits, spread over the jobs."""
    values = np.full(count, -0.6)
    values[:circuits] = 0.5
    return values


def said(ours: np.ndarray) -> str:
    """The sentence, which is the same in all three."""
    name = "Version 1"  # as promote calls it
    network, none = scored(ours), scored(0 * ours)
    board = Leaderboard.of(
        [unstored_run("none", none, "baseline"), unstored_run(name, network, validation=(-0.5,))]
    )
    comparison = judge(network, None)
    promoted, *_ = promotion_sentences(Promotion(1, comparison.beats, None, comparison))
    (evaluated,) = verdicts(board)
    assert promoted == evaluated
    assert evaluated in summary_verdicts(board)
    return evaluated


def test_one_harmed_circuit_in_12_000_decides_nothing():
    assert said(harming(1, 12_000)) == (
        "Version 1 beats no mitigation: in pairs, median L1RC -0.600 [-0.600, -0.600] is below 0, "
        "and the harmed share +0.01 [+0.00, +0.03] % points is within the margin of 1."
    )


def test_a_lower_median_that_harms_3_points_more_is_refused_with_the_reason():
    ours = harming(36)
    assert harmed_pct(ours) == pytest.approx(3)
    assert said(ours) == (
        "Version 1 does not beat no mitigation: in pairs, median L1RC -0.600 [-0.600, -0.600] is "
        "below 0, and the harmed share +3.00 [+2.42, +3.67] % points is not within the margin of 1."
    )


def test_the_margin_holds_for_the_upper_end_of_the_interval():
    """A share below the margin whose interval passes it is refused: the harm sits in few jobs."""
    ours = np.full(COUNT, -0.6)
    ours[np.arange(COUNT) % JOBS == 0] = np.arange(COUNT // JOBS) / 20 - 0.45
    assert harmed_pct(ours) == pytest.approx(0.75)
    assert "does not beat" in said(ours)
    assert "not within the margin" in said(ours)


@pytest.mark.parametrize("ours", [np.full(COUNT, 0.01), np.zeros(COUNT)], ids=["higher", "equal"])
def test_a_median_that_is_not_lower_is_refused_with_the_reason(ours):
    assert "does not beat no mitigation" in said(ours)
    assert "is not all below 0, and" in said(ours)


@pytest.mark.filterwarnings("error")
def test_nan_is_refused():
    nan = np.full(COUNT, np.nan)
    assert "does not beat no mitigation: in pairs, median L1RC +nan" in said(nan)
    assert "not within the margin" in said(nan)


@pytest.mark.parametrize("side", ["ours", "theirs"])
def test_scores_that_leave_out_other_circuits_are_refused(side):
    """A NaN on one side alone is no circuit without noisy error."""
    whole, part = harming(0), harming(0)
    part[7] = np.nan
    network, champion = (part, whole + 0.1) if side == "ours" else (whole, part + 0.1)
    comparison = judge(scored(network), scored(champion))
    assert not comparison.beats
    assert comparison.word == "even"
    assert judge(scored(part), scored(part + 0.1)).beats


def network(name: str, change: float, **tags: str):
    run = unstored_run(name, scored(np.full(240, change)), "evaluation", validation=(change,))
    run.tags.update(tags)
    return run


def test_the_verdict_is_about_the_ensemble_not_about_one_of_its_members():
    """Even if a member stands better on the validation split."""
    runs = [
        unstored_run("none", scored(np.zeros(240)), "baseline"),
        network("tf", -0.7, checkpoint_run="a"),
        network("rnn", -0.5, checkpoint_run="b"),
        network("ensemble of 2", -0.6, checkpoint_run="a+b"),
    ]
    board = Leaderboard.of(runs)
    assert board.best.name == "ensemble of 2"
    (line,) = verdicts(board)
    assert line.startswith("ensemble of 2 beats no mitigation: ")
    assert summary_verdicts(board)[-2:] == ["It is beaten by tf.", "It beats rnn."]
    other = network("another", -0.9, checkpoint_run="c")
    assert Leaderboard.of([*runs, other]).best.name == "another"
    runs[-1].tags["simulates"] = "true"
    assert Leaderboard.of(runs).best.name == "tf"
