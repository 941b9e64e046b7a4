"""Runs read back from the store are compared on the same circuits, and on no others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qmend.evaluation.comparison import compare
from qmend.evaluation.scores import FIGURES
from qmend.metrics import Bootstrap, Interval
from qmend.runs.leaderboard import leaderboards
from qmend.runs.reading import ScoredRun, read_scored
from qmend.tracking.store import Store
from tracked_runs import JOBS, SIZE, circuit_ids, job_ids, made_up_scores, scored_run


def read(store: Store, *ids: str) -> list[ScoredRun]:
    found = [read_scored(store, store.client.get_run(run_id)) for run_id in ids]
    assert all(found)
    return [run for run in found if run is not None]


def test_a_run_is_read_back_as_it_was_scored(board, store):
    """The demo's own runs: scores, ids, history and figures."""
    for entry in board.runs:
        (found,) = read(store, entry.run_id)
        for name in ("circuit_id", "job_id", *FIGURES):
            np.testing.assert_array_equal(getattr(found.scores, name), getattr(entry.scores, name))
        assert (found.run_id, found.kind, found.simulates) == (
            entry.run_id,
            entry.kind,
            entry.simulates,
        )
        assert found.summary == entry.summary
        for metric, values in entry.history.items():
            assert found.history[metric] == pytest.approx(values)
        assert found.median == entry.median == entry.figures["l1rc_median"].value


def test_the_same_verdicts_as_the_leaderboard(board, store):
    """The paired intervals of the demo's table, from the store alone."""
    (group,) = leaderboards(read(store, *(entry.run_id for entry in board.runs)))
    assert group.best is not None
    assert group.best.name == board.best.name
    assert group.winner.name == board.winner.name
    by_name = {c.name: c for c in group.configurations}
    assert len(by_name) == len(board.runs)
    for baseline in board.baselines:
        found = group.compare(group.best, by_name[baseline.name])
        assert found == board.compare(board.best, baseline)


def test_paired_differences_of_seeds_against_a_bootstrap_by_hand(store):
    """Mean over seeds of the medians, whole jobs drawn for both sides at once."""
    ours = [made_up_scores(-0.60, 1), made_up_scores(-0.62, 2)]
    theirs = made_up_scores(-0.58, 3)
    ids = [scored_run(store, f"a seed {k}", s, seed=k) for k, s in enumerate(ours)]
    ids.append(scored_run(store, "b", theirs, config={"width": 3}))
    (group,) = leaderboards(read(store, *ids))
    a, b = group.configurations
    assert (a.name, len(a.runs), b.name) == ("a", 2, "b")
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(1000):
        chosen = rng.integers(0, JOBS, size=JOBS)
        rows = np.concatenate([np.arange(j * SIZE, (j + 1) * SIZE) for j in chosen])
        medians = [np.median(s.l1rc[rows]) for s in ours]
        drawn.append(np.mean(medians) - np.median(theirs.l1rc[rows]))
    found = group.compare(a, b)
    value = np.mean([np.median(s.l1rc) for s in ours]) - np.median(theirs.l1rc)
    assert found.difference.value == pytest.approx(value)
    assert (found.difference.lo, found.difference.hi) == pytest.approx(
        tuple(np.percentile(drawn, [2.5, 97.5]))
    )
    assert found.word == "better"
    back = group.compare(b, a)
    assert back.difference.lo == pytest.approx(-found.difference.hi)
    assert back.difference.hi == pytest.approx(-found.difference.lo)
    assert back.word == "worse"


def test_pairing_finds_what_separate_intervals_hide():
    """A small difference between runs that share the circuits' own scatter is told."""
    ours, theirs = made_up_scores(-0.60, 1), made_up_scores(-0.56, 2)
    bootstrap = Bootstrap.over(job_ids())
    assert compare(ours, theirs, bootstrap).difference.hi < 0
    alone = [bootstrap.interval(lambda i, s=s: float(np.median(s.l1rc[i]))) for s in (ours, theirs)]
    assert alone[0].hi > alone[1].lo


def test_only_runs_on_the_same_circuits_share_a_group(store):
    count = JOBS * SIZE
    scores = made_up_scores(-0.5, 1)
    ids = [
        scored_run(store, "a", scores),
        scored_run(store, "b", scores),
        scored_run(store, "c", scores, circuits=circuit_ids(count, first=1)),
        scored_run(store, "d", scores, dataset_sha="f" * 16),
    ]
    found = [[c.name for c in group.configurations] for group in leaderboards(read(store, *ids))]
    assert sorted(map(sorted, found)) == [["a", "b"], ["c"], ["d"]]


def test_circuits_in_another_order_are_the_same_circuits(store):
    scores, order = made_up_scores(-0.5, 1), np.random.default_rng(0).permutation(JOBS)
    rows = np.concatenate([np.arange(j * SIZE, (j + 1) * SIZE) for j in order])
    (first,) = read(store, scored_run(store, "a", scores))
    mixed = replace(
        first,
        name="b",
        run_id="another",
        params={"x": "1"},
        scores=first.scores.select(rows),
    )
    assert mixed.circuits_key == first.circuits_key
    back = mixed.scores.in_order_of(first.scores)
    np.testing.assert_array_equal(back.l1rc, scores.l1rc)
    np.testing.assert_array_equal(back.circuit_id, first.scores.circuit_id)
    (board,) = leaderboards([first, mixed])
    found = board.compare(*board.configurations)
    assert (found.difference, found.word) == (Interval(0, 0, 0), "even")


def test_seeds_are_one_configuration_and_repeats_are_left_out(store):
    config = {"model": {"width": 8}}
    scores = [made_up_scores(mean, k) for k, mean in enumerate((-0.5, -0.6, -0.9))]
    ids = [
        scored_run(store, "net seed 0", scores[0], seed=0, config=config),
        scored_run(store, "net seed 1", scores[1], seed=1, config=config),
        scored_run(store, "net seed 1", scores[2], seed=1, config=config),
        scored_run(store, "net seed 0", scores[0], seed=0, config={"model": {"width": 16}}),
        scored_run(store, "none", scores[0], kind="baseline", seed="none", config={"other": 1}),
        scored_run(store, "none", scores[0], kind="baseline", seed="none", config={"other": 2}),
    ]
    (group,) = leaderboards(read(store, *ids))
    found = {c.name: c for c in group.configurations}
    assert set(found) == {"net (width=8)", "net (width=16)", "none"}
    both = found["net (width=8)"]
    assert list(both.run_ids) == [ids[0], ids[2]]  # the newest of seed 1
    assert [run.run_id for run in both.repeats] == [ids[1]]
    assert both.median == pytest.approx(np.mean([np.median(scores[k].l1rc) for k in (0, 2)]))
    assert len(found["none"].repeats) == 1


def test_seeds_of_earlier_spellings_and_other_threads_are_one_configuration(store):
    """As a resumed multirun reuses them: their configs have equivalent hashes."""
    model = {"name": "rnn", "head": "correction"}
    configs = [
        {"model": {"name": "rnn", "output": "correction"}, "trainer": {"threads": 2}},
        {"model": model, "trainer": {"threads": 1}, "train_circuits": None},
    ]
    ids = [
        scored_run(store, f"rnn seed {k}", made_up_scores(-0.5, k), seed=k, config=config)
        for k, config in enumerate(configs)
    ]
    (group,) = leaderboards(read(store, *ids))
    (one,) = group.configurations
    assert list(one.run_ids) == ids


def test_evaluations_of_seeds_of_one_training_are_one_configuration(store):
    config, ids, trained = {"model": {"width": 8}}, [], []
    for seed in (0, 1):
        scores = made_up_scores(-0.5, seed)
        trained.append(scored_run(store, f"net seed {seed}", scores, seed=seed, config=config))
        ids.append(
            scored_run(
                store,
                "net",
                scores,
                kind="evaluation",
                seed=seed,
                config={"checkpoint": [trained[-1]], "seed": 0},
                checkpoint_run=trained[-1],
            )
        )
    sources = {run_id: store.client.get_run(run_id) for run_id in trained}
    (group,) = leaderboards(read(store, *ids), sources)
    assert [len(c.runs) for c in group.configurations] == [2]
    (apart,) = leaderboards(read(store, *ids))
    assert [len(c.runs) for c in apart.configurations] == [1, 1]


def test_a_simulating_run_is_never_judged(store):
    ids = [
        scored_run(store, "cheat", made_up_scores(-0.99, 1), simulates=True, validation=[-0.99]),
        scored_run(store, "late", made_up_scores(-0.7, 2), validation=[0.1, -0.6, -0.5]),
        scored_run(store, "lucky", made_up_scores(-0.8, 3), validation=[-0.4]),
        scored_run(store, "none", made_up_scores(0.0, 4), kind="baseline"),
    ]
    (group,) = leaderboards(read(store, *ids))
    assert group.configurations[0].name == "cheat"
    assert group.best is not None
    assert group.best.name == "late"  # by its best epoch on the validation split, not by test


def test_runs_without_scores_are_no_scored_runs(store):
    run_id = scored_run(store, "a", made_up_scores(-0.5, 1))
    run = store.client.get_run(run_id)
    (store.root / "artifacts" / run_id / "artifacts" / "scores" / "test.parquet").write_text("bad")
    assert read_scored(store, run) is None
