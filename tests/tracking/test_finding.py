"""Runs are found by the head of an id, a parent or a tag, and typos are answered with a name."""

from __future__ import annotations

import pytest

from qmend.runs.sweeps import mark_reused
from qmend.tracking.finding import all_runs, children_of, find_run, select
from qmend.tracking.run import start_run
from qmend.tracking.store import Store
from qmend.types import QmendError
from tracked_runs import blank_store


def run_of(store: Store, name: str, parent: str | None = None, **tags: str) -> str:
    with start_run(store, name, {"kind": "train", **tags}, {}, parent) as run:
        run.metrics({"x": 1.0})
    return run.run_id


@pytest.fixture(scope="module")
def tree(store, tmp_path_factory) -> tuple[Store, dict[str, str]]:
    """Two parents, one below the other, and a run alone; the newest holds nothing."""
    own = blank_store(store, tmp_path_factory.mktemp("finding") / "mlruns")
    ids = {"alone": run_of(own, "alone", colour="red")}
    ids["top"] = run_of(own, "top", kind="study")
    ids["middle"] = run_of(own, "middle", ids["top"], kind="multirun")
    ids["leaf"] = run_of(own, "leaf", ids["middle"], colour="blue")
    with start_run(own, "empty", {"kind": "train"}, {}) as run:
        ids["empty"] = run.run_id
    return own, ids


def names(runs) -> set[str]:
    return {run.info.run_name for run in runs}


def test_the_head_of_an_id_is_enough(tree):
    own, ids = tree
    runs = all_runs(own)
    for name, run_id in ids.items():
        heads = [run_id[:k] for k in range(1, 33)]
        unique = [h for h in heads if sum(i.startswith(h) for i in ids.values()) == 1]
        assert {find_run(runs, head).info.run_name for head in unique} == {name}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("0" * 32, "the store has no run 0+"),
        ("zzz", "no run's id begins with 'zzz'. `qmend runs list`"),
        ("midle", "Did you mean 'middle', run [0-9a-f]{12}"),
        ("eaf", "Did you mean 'leaf'"),
        ("", "no run's id begins with ''"),
    ],
)
def test_what_names_no_run_is_answered_with_a_way_out(tree, text, says):
    with pytest.raises(QmendError, match=says):
        find_run(all_runs(tree[0]), text)


def test_an_ambiguous_head_names_the_candidates(tree):
    runs = all_runs(tree[0])
    for run in runs:
        run.info._run_id = "abc" + run.info.run_id[3:]
    with pytest.raises(QmendError, match=r"5 runs begin with 'abc': abc.*give more digits"):
        find_run(runs, "abc")


def test_children_are_found_at_any_depth(tree):
    own, ids = tree
    assert names(children_of(all_runs(own), ids["top"])) == {"middle", "leaf"}
    assert children_of(all_runs(own), ids["leaf"]) == []


def test_selections(tree):
    own, ids = tree
    latest = select(own, "latest")  # not the run that holds nothing
    assert (latest.title, names(latest.parents), names(latest.runs)) == (
        "top",
        {"top", "middle"},
        {"leaf"},
    )
    same = select(own, f"parent={ids['top'][:9]}")
    assert (same.title, names(same.all)) == ("top", names(latest.all))
    assert names(select(own, "tag=colour:red").all) == {"alone"}
    assert names(select(own, "tag=kind:multirun").all) == {"middle", "leaf"}
    assert names(select(own, [ids["alone"], ids["leaf"][:10]]).all) == {"alone", "leaf"}
    assert names(select(own, ids["alone"]).all) == {"alone"}


def test_a_reused_run_belongs_to_each_sweep_that_reused_it(store, tmp_path):
    own = blank_store(store, tmp_path / "mlruns")
    first = run_of(own, "first", kind="multirun")
    cell = run_of(own, "cell", first)
    for name in ("second", "third"):
        with start_run(own, name, {"kind": "multirun"}, {}) as sweep:
            mark_reused(own, cell, sweep.run_id)
            mark_reused(own, cell, sweep.run_id)
    runs = all_runs(own)
    for parent in ("first", "second", "third"):
        chosen = select(own, f"parent={find_run_named(runs, parent)}")
        assert (names(chosen.parents), names(chosen.runs)) == ({parent}, {"cell"})
    assert select(own, "latest").title == "third"
    assert names(children_of(runs, first)) == {"cell"}


def find_run_named(runs, name: str) -> str:
    return next(run.info.run_id for run in runs if run.info.run_name == name)


def test_a_search_or_a_single_run_is_selected_beside_what_was_scored_on_its_data(store, tmp_path):
    own = blank_store(store, tmp_path / "mlruns")

    def scored(name: str, parent: str | None = None, sha: str = "aa", **tags: str) -> str:
        with start_run(own, name, {"kind": "train", "dataset_sha": sha, **tags}, {}, parent) as run:
            run.metrics({f"test/l1rc_median{end}": -0.5 for end in ("", "_lo", "_hi")})
        return run.run_id

    demo = scored("demo", kind="demo")
    scored("none", demo, kind="baseline")
    assert names(select(own, "latest").all) == {"demo", "none"}
    scored("elsewhere", sha="bb")
    assert names(select(own, "latest").all) == {"elsewhere"}
    scored("alone")
    latest = select(own, "latest")
    assert names(latest.all) == {"alone", "demo", "none"}
    assert latest.title == "alone, beside 2 runs on the same data"
    for name in ("first search", "second search"):
        scored(f"trial of the {name}", scored(name, kind="tune"), kind="trial")
    trials = {"trial of the first search", "trial of the second search"}
    found = names(select(own, "latest").all)
    assert found == {"second search", *trials, "alone", "demo", "none"}


@pytest.mark.parametrize(
    ("which", "says"),
    [
        ("newest", "runs=newest is none of latest"),
        ("tag=colour:rad", "no run has the tag colour with the value 'rad'. Did you mean 'red'"),
        ("tag=color:red", "no run has a tag 'color'. Did you mean 'colour'"),
        ("parent=", "is none of"),
        ("parent=leaves", "Did you mean 'leaf'"),
    ],
)
def test_impossible_selections_are_one_sentence(tree, which, says):
    with pytest.raises(QmendError, match=says) as caught:
        select(tree[0], which)
    assert "\n" not in str(caught.value)


def test_an_empty_store_is_one_sentence(store, tmp_path):
    own = blank_store(store, tmp_path / "mlruns")
    with pytest.raises(QmendError, match="has no runs yet"):
        select(own, "latest")
