"""One mitigator against another on the same circuits, and the best of several."""

import numpy as np
import pytest

from qmend.evaluation.comparison import Comparison, Resampled, compare
from qmend.evaluation.scores import Scores, summarise
from qmend.metrics import Bootstrap, Interval
from qmend.runs.leaderboard import Leaderboard
from tracked_runs import scores_of, unstored_run


@pytest.mark.parametrize(
    ("value", "hi", "harm", "beats"),
    [
        (-0.1, -0.01, 0.0, True),
        (-0.1, -0.01, -3.0, True),
        (-0.1, -0.01, 1.0, True),  # more harm, within the margin
        (-0.1, -0.01, 1.01, False),
        (-0.1, -0.01, np.nan, False),
        (np.nan, -0.01, 0.0, False),
        (-0.1, np.nan, 0.0, False),
        (-0.1, 0.01, 0.0, False),  # the interval holds 0
        (-0.1, 0.0, 0.0, False),
        (0.1, 0.2, 0.0, False),
    ],
)
def test_beating_needs_a_lower_median_clearly_and_non_inferior_harm(value, hi, harm, beats):
    harm_interval = Interval(harm - 0.5, harm - 1, harm)
    assert Comparison(Interval(value, value - 0.2, hi), harm_interval).beats is beats


def test_pairs_tell_what_single_intervals_cannot():
    """Circuits differ a lot, the two mitigators little but always: pairing shows it."""
    rng = np.random.default_rng(0)
    theirs = rng.normal(-0.5, 0.3, size=300)
    ours = theirs - 0.02
    bootstrap = Bootstrap.over(np.arange(300) % 5)
    paired = compare(scores_of(ours), scores_of(theirs), bootstrap)
    assert paired.difference.value == pytest.approx(-0.02)
    assert paired.difference.hi == pytest.approx(-0.02)
    assert paired.beats
    single = [summarise(scores_of(x), bootstrap).figures["l1rc_median"] for x in (ours, theirs)]
    assert single[0].hi > single[1].lo
    reverse = compare(scores_of(theirs), scores_of(ours), bootstrap)
    assert reverse.difference.value == pytest.approx(0.02)
    assert not reverse.beats


def test_equals_do_not_beat_each_other():
    values = np.random.default_rng(1).normal(-0.5, 0.3, size=100)
    same = compare(scores_of(values), scores_of(values), Bootstrap.over(np.arange(100)))
    assert same.difference == Interval(0, 0, 0)
    assert not same.beats


def test_a_better_median_bought_with_harm_does_not_beat():
    theirs = np.full(100, -0.5)
    ours = np.where(np.arange(100) < 3, 0.5, -0.9)
    found = compare(scores_of(ours), scores_of(theirs), Bootstrap.over(np.arange(100)))
    assert found.difference.hi < 0
    assert found.harm.value == pytest.approx(3)
    assert found.harm.hi > 3
    assert found.word == "even"  # nor is it beaten


def test_no_mitigation_has_an_l1rc_of_0_and_does_no_harm():
    """It is compared with by the same rule as any other."""
    ours = np.where(np.arange(100) < 3, 0.5, -0.9)
    found = compare(scores_of(ours), None, Bootstrap.over(np.arange(100)))
    assert (found.difference.value, found.harm.value) == pytest.approx((-0.9, 3))
    assert not found.beats
    assert found == compare(scores_of(ours), scores_of(0 * ours), Bootstrap.over(np.arange(100)))


def test_a_circuit_without_noisy_error_is_left_out():
    values = np.array([np.nan, -0.5, -0.6, -0.7])
    resampled = Resampled.of([scores_of(values)] * 2, Bootstrap.over(np.arange(4)))
    assert resampled.figures == pytest.approx([-0.6, 0])
    assert np.nanmin(resampled.replicates) >= -0.7


# The best, and what it is compared with


def way_to_ideal(share: float, count: int = 60) -> Scores:
    """Distributions a known part of the way from noisy to ideal."""
    return scores_of(np.full(count, -share))


def test_the_leaderboard_ranks_and_compares():
    board = Leaderboard.of(
        [
            unstored_run("none", way_to_ideal(0.0), "baseline"),
            unstored_run("strong", way_to_ideal(0.6), "baseline"),
            unstored_run("weak", way_to_ideal(0.3)),
            unstored_run("best", way_to_ideal(0.8)),
        ]
    )
    assert [c.name for c in board.baselines] == ["none", "strong"]
    assert [c.name for c in board.models] == ["weak", "best"]
    assert [c.name for c in board.ranked] == ["best", "strong", "weak", "none"]
    assert board.best.name == board.winner.name == "best"
    found = {c.name: board.compare(board.best, c) for c in board.baselines}
    assert found["none"].difference.value == pytest.approx(-0.8)
    assert found["strong"].difference.value == pytest.approx(-0.2)
    assert all(comparison.beats for comparison in found.values())


def test_the_best_model_is_chosen_on_the_validation_split():
    """The one that happens to be best on the scored split would flatter itself."""
    runs = [
        unstored_run("none", way_to_ideal(0.0), "baseline"),
        unstored_run("lucky", way_to_ideal(0.8), validation=(-0.1, -0.2)),
        unstored_run("chosen", way_to_ideal(0.7), validation=(-0.5, -0.4)),
    ]
    board = Leaderboard.of(runs)
    assert board.winner.name == "lucky"
    assert board.best.name == "chosen"


def test_one_that_simulates_neither_wins_nor_is_best():
    """However good it is, and however good it was in validation; nor does a reference."""
    honest = unstored_run("honest", way_to_ideal(0.5), validation=(-0.5,))
    runs = [
        unstored_run("none", way_to_ideal(0.0), "baseline"),
        unstored_run("bound", way_to_ideal(1.0), "baseline", simulates=True),
        unstored_run("simulator", way_to_ideal(1.0), validation=(-1.0,), simulates=True),
        unstored_run("knows the noise", way_to_ideal(0.9), "reference", validation=(-0.9,)),
    ]
    board = Leaderboard.of([*runs, honest])
    assert board.best.name == board.winner.name == "honest"
    board = Leaderboard.of(runs)
    assert board.best.name == board.winner.name == "none"  # a baseline, as there is no model
    board = Leaderboard.of(runs[1:])
    assert board.best is board.winner is None
