"""Scores, summaries, comparisons and the leaderboard."""

from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from qmend.evaluation.scores import Comparison, Scores, compare, reference, score, summarise
from qmend.metrics import Bootstrap, Interval
from qmend.runs.leaderboard import Leaderboard
from qmend.runs.scoring import Entry


def scores_of(l1rc) -> Scores:
    values = np.asarray(l1rc, dtype=float)
    return Scores(*[values] * 6)


@pytest.fixture(scope="module")
def scored(tiny):
    return tiny.part("test")


def test_each_score_is_that_of_its_own_circuit(scored):
    rng = np.random.default_rng(0)
    mitigated, of_uniform = rng.dirichlet(np.ones(32), size=(2, len(scored)))
    found = score(scored, mitigated, of_uniform)
    for k in range(len(scored)):
        ideal, noisy, ours = scored.ideal[k], scored.circuits.noisy[k], mitigated[k]
        before, after = np.abs(ideal - noisy).sum(), np.abs(ideal - ours).sum()
        assert found.l1rc[k] == pytest.approx((after - before) / before)
        assert found.tv[k] == pytest.approx(after / 2)
        overlap = np.sqrt(ideal * ours).sum()
        assert found.hellinger[k] == pytest.approx(np.sqrt(1 - overlap), rel=1e-6)
        seen = ideal > 0
        kl = (ideal[seen] * np.log(ideal[seen] / ours[seen])).sum()
        assert found.kl[k] == pytest.approx(kl, rel=1e-5)
        known, left = np.abs(ideal - 1 / 32).sum(), np.abs(ideal - of_uniform[k]).sum()
        assert found.uniform_l1rc[k] == pytest.approx((left - known) / known)


def test_no_mitigation_changes_nothing_and_the_ideal_is_perfect(scored):
    blind = np.full_like(scored.ideal, 1 / 32)
    assert (score(scored, scored.circuits.noisy, blind).l1rc == 0).all()
    perfect = score(scored, scored.ideal, blind)
    assert (perfect.l1rc == -1).all()
    assert perfect.tv.max() == 0
    assert perfect.kl.max() < 1e-6


def test_a_summary_has_the_figures_of_the_run_contract():
    l1rc = np.array([-0.9, -0.5, 0.01, 0.2, np.nan])
    other = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    summary = summarise(
        Scores(l1rc, other, other * 2, other * 4, other * 3, -other), Bootstrap.over(np.arange(5))
    )
    figures = {name: interval.value for name, interval in summary.figures.items()}
    assert figures == {
        "l1rc_median": pytest.approx((-0.5 + 0.01) / 2),
        "improved_pct": 50,
        "harmed_pct": 25,
        "tv": 3,
        "hellinger": 6,
        "rmse": 12,
        "kl": 9,
        "uniform_l1rc": -3,
    }
    assert (summary.excluded, summary.unit) == (1, "circuits")
    flat = summary.metrics("test/")
    assert set(flat) == {"test/excluded"} | {
        f"test/{name}{end}" for name in figures for end in ("", "_lo", "_hi")
    }
    for name in figures:
        assert flat[f"test/{name}_lo"] <= flat[f"test/{name}"] <= flat[f"test/{name}_hi"]


def test_scores_are_written_one_row_a_circuit(scored, tmp_path):
    mitigated = scored.circuits.noisy * 0.5 + 0.5 / 32
    found = score(scored, mitigated, mitigated)
    found.write(tmp_path / "scores.parquet", scored)
    table = pq.read_table(tmp_path / "scores.parquet").to_pydict()
    assert table["circuit_id"] == scored.circuit_id.tolist()
    assert table["job_id"] == scored.job_id.tolist()
    assert table["n_two_qubit"] == scored.n_two_qubit.tolist()
    assert table["depth"] == scored.depth.tolist()
    for name in ("l1rc", "tv", "hellinger", "kl", "uniform_l1rc"):
        assert table[name] == getattr(found, name).tolist()


# Comparison


@pytest.mark.parametrize(
    ("value", "hi", "harm", "beats"),
    [
        (-0.1, -0.01, 0.0, True),
        (-0.1, -0.01, -3.0, True),
        (-0.1, -0.01, 0.1, False),  # more harm
        (-0.1, 0.01, 0.0, False),  # the interval holds 0
        (-0.1, 0.0, 0.0, False),
        (0.1, 0.2, 0.0, False),
    ],
)
def test_beating_needs_a_lower_median_a_clear_interval_and_no_more_harm(value, hi, harm, beats):
    assert Comparison(Interval(value, value - 0.2, hi), harm).beats is beats


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
    assert found.harm == pytest.approx(3)
    assert not found.beats


# Reference and leaderboard


def test_the_reference_is_the_median_of_what_shots_leave(scored):
    noisy, exact = scored.circuits.noisy, scored.noisy_exact
    left = np.abs(noisy - exact).sum(axis=1) / np.abs(scored.ideal - noisy).sum(axis=1) - 1
    found = reference(scored, Bootstrap.over(scored.job_id))
    assert found.value == pytest.approx(np.median(left))
    assert -1 < found.lo < found.value < found.hi < 0
    hardware = replace(scored, noisy_exact=None)
    assert reference(hardware, Bootstrap.over(scored.job_id)) is None


def entry(name: str, kind: str, data, mitigated) -> Entry:
    scores = score(data, mitigated, np.full_like(mitigated, 1 / 32))
    summary = summarise(scores, Bootstrap.over(data.job_id, replicates=50))
    return Entry(name, kind, scores, summary, mitigated, 0, 0.0, {}, "")


def test_the_leaderboard_ranks_and_compares(scored):
    """Distributions a known part of the way from noisy to ideal."""
    noisy, ideal = scored.circuits.noisy, scored.ideal
    entries = [
        entry(name, kind, scored, noisy + share * (ideal - noisy))
        for name, kind, share in [
            ("none", "baseline", 0.0),
            ("strong", "baseline", 0.6),
            ("weak", "train", 0.3),
            ("best", "train", 0.8),
        ]
    ]
    board = Leaderboard.build(scored, entries)
    assert [e.name for e in board.baselines] == ["none", "strong"]
    assert [e.name for e in board.models] == ["weak", "best"]
    assert [e.name for e in board.ranked] == ["best", "strong", "weak", "none"]
    assert board.best_model.name == "best"
    found = {e.name: c for e, c in board.comparisons()}
    assert found["none"].difference.value == pytest.approx(-0.8)
    assert found["strong"].difference.value == pytest.approx(-0.2)
    assert all(c.beats for c in found.values())


def test_the_model_to_be_judged_is_chosen_on_the_validation_split(scored):
    """The one that happens to be best on the scored split would flatter itself."""
    noisy, ideal = scored.circuits.noisy, scored.ideal
    entries = [
        replace(
            entry(name, kind, scored, noisy + share * (ideal - noisy)),
            history={"val/l1rc_median": validation} if validation else {},
        )
        for name, kind, share, validation in [
            ("none", "baseline", 0.0, None),
            ("lucky", "train", 0.8, [-0.1, -0.2]),
            ("chosen", "train", 0.7, [-0.5, -0.4]),
        ]
    ]
    board = Leaderboard.build(scored, entries)
    assert board.ranked[0].name == "lucky"
    assert board.best_model.name == "chosen"


def test_one_that_simulates_neither_wins_nor_is_an_opponent(scored):
    """However good it is, and however good it was in validation."""
    noisy, ideal = scored.circuits.noisy, scored.ideal
    entries = [
        replace(
            entry(name, kind, scored, noisy + share * (ideal - noisy)),
            history={"val/l1rc_median": [-share]} if kind == "train" else {},
            simulates=share == 1.0,
        )
        for name, kind, share in [
            ("none", "baseline", 0.0),
            ("bound", "baseline", 1.0),
            ("simulator", "train", 1.0),
            ("honest", "train", 0.5),
        ]
    ]
    board = Leaderboard.build(scored, entries)
    assert board.best_model.name == board.winner.name == "honest"
    assert [e.name for e, _ in board.comparisons()] == ["none"]
    alone = Leaderboard.build(scored, [e for e in entries if e.name != "honest"])
    assert alone.best_model is None
    assert alone.comparisons() == []
    assert alone.winner.name == "none"
