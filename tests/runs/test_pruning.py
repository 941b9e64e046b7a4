"""Pruning removes what is left over, and nothing that anybody can want."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from qmend.runs.pruning import Pruning, plan_pruning, prune
from qmend.tracking.registry import register
from qmend.tracking.run import start_run
from qmend.tracking.store import Store
from qmend.training.state import claim, write_state
from tracked_runs import blank_store

DAY = 24 * 3600 * 1000


@pytest.fixture
def own(store, tmp_path) -> Store:
    return blank_store(store, tmp_path / "mlruns")


def run_of(store: Store, status: str, parent: str | None = None, **tags: str) -> str:
    """A run that ended so just now."""
    with start_run(store, status.lower(), {"kind": "train", **tags}, {}, parent) as run:
        pass
    store.client.set_terminated(run.run_id, status)
    return run.run_id


def plan(store: Store, days: float = 7, later: float = 30) -> Pruning:
    """The plan as it is so many days from now."""
    end = max(run.info.end_time or 0 for run in store.runs())
    return plan_pruning(store, days, int(end + later * DAY))


def removed(found: Pruning) -> set[str | None]:
    return {leftover.run_id for leftover in found.leftovers}


def artifacts(store: Store, run_id: str) -> Path:
    return store.root / "artifacts" / run_id


def test_only_old_runs_that_ended_badly_go(own):
    ids = {status: run_of(own, status) for status in ("FINISHED", "FAILED", "KILLED")}
    with start_run(own, "running", {"kind": "train"}, {}):
        assert removed(plan(own)) == {ids["FAILED"], ids["KILLED"]}
        assert removed(plan(own, days=31)) == set()
        assert plan(own, days=31).kept == {"is not 31 days old": 2}


def test_a_plan_removes_nothing_and_pruning_what_it_named(own):
    good, bad = run_of(own, "FINISHED"), run_of(own, "FAILED")
    found = plan(own)
    assert artifacts(own, bad).is_dir()
    assert {run.info.run_id for run in own.runs()} == {good, bad}
    (leftover,) = prune(own, found.leftovers)
    assert leftover.size == 0
    assert found.leftovers[0].folder == artifacts(own, bad)
    assert not artifacts(own, bad).exists()
    assert {run.info.run_id for run in own.runs()} == {good}
    assert (artifacts(own, good) / "artifacts" / "config.yaml").exists()
    assert plan(own).leftovers == []


def test_a_size_is_that_of_the_files(own):
    bad = run_of(own, "FAILED")
    (leftover,) = plan(own).leftovers
    files = [p for p in artifacts(own, bad).rglob("*") if p.is_file()]
    assert files
    assert leftover.size == sum(len(p.read_bytes()) for p in files)


def test_a_parent_goes_only_with_all_that_lies_below_it(own):
    kept, gone = run_of(own, "KILLED"), run_of(own, "KILLED")
    good, bad = run_of(own, "FINISHED", kept), run_of(own, "FAILED", kept)
    worse = run_of(own, "FAILED", gone)
    below = run_of(own, "KILLED", worse)
    found = plan(own)
    assert removed(found) == {gone, worse, below, bad}
    assert found.kept == {"has runs below it that are kept": 1}
    assert good not in removed(found)


def test_trials_stay_with_their_search(own):
    search = run_of(own, "FINISHED", kind="tune")
    for outcome in ("pruned", "failed"):
        run_of(own, "KILLED", search, kind="trial", outcome=outcome)
    lost = run_of(own, "KILLED", kind="tune")
    trial = run_of(own, "KILLED", lost, kind="trial", outcome="pruned")
    found = plan(own)
    assert removed(found) == {lost, trial}
    assert found.kept == {"belongs to a search that is kept": 2}


def test_what_a_registered_model_comes_from_stays(own):
    run_id = run_of(own, "KILLED")
    register(own, run_id)
    assert plan(own).leftovers == []
    assert plan(own).kept == {"a registered model comes from it": 1}
    own.client.delete_run(run_id)
    run_of(own, "FINISHED")
    assert plan(own).leftovers == []


def state(store: Store, name: str, run_id: str, whole: bool = True) -> Path:
    folder = store.root / "unfinished" / f"{name:0<16}-{'f' * 16}"
    folder.mkdir(parents=True)
    (folder / "run_id").write_text(run_id)
    if whole:
        write_state(folder, {"epochs": 1})
    return folder


def test_a_training_that_can_go_on_stays_and_states_without_a_run_go(own):
    resumable, damaged, finished = (run_of(own, s) for s in ("KILLED", "KILLED", "FINISHED"))
    kept = state(own, "a", resumable)
    gone = [
        state(own, "b", damaged, whole=False),
        state(own, "c", finished),
        state(own, "d", "0" * 32),
    ]
    other = own.root / "unfinished" / "somebody else's"
    other.mkdir()
    found = plan(own)
    assert {leftover.folder for leftover in found.leftovers} == {*gone, artifacts(own, damaged)}
    assert found.kept == {"can go on: the same command resumes it": 1}
    assert len(list(prune(own, found.leftovers))) == 4
    assert kept.is_dir()
    assert other.is_dir()
    assert not any(folder.exists() for folder in gone)


def test_a_state_that_a_process_is_at_stays(own):
    run_of(own, "FINISHED")
    folder = state(own, "a", "0" * 32)
    found = plan(own)
    assert [leftover.folder for leftover in found.leftovers] == [folder]
    with claim(folder):
        assert plan(own).leftovers == []
        assert list(prune(own, found.leftovers)) == []
    assert folder.is_dir()


def test_artifacts_of_deleted_runs_go(own):
    deleted, active = run_of(own, "FINISHED"), run_of(own, "FINISHED")
    own.client.delete_run(deleted)
    found = plan(own)
    assert [(each.what, each.folder) for each in found.leftovers] == [
        ("artifacts of a deleted run", artifacts(own, deleted))
    ]
    list(prune(own, found.leftovers))
    assert not artifacts(own, deleted).exists()
    assert artifacts(own, active).is_dir()


def test_files_outside_the_store_are_never_removed(own, tmp_path):
    """A copied database whose runs have their artifacts elsewhere, or a link to elsewhere."""
    bad = run_of(own, "FAILED")
    copy = tmp_path / "copy"
    copy.mkdir()
    shutil.copy(own.root / "mlflow.db", copy / "mlflow.db")
    other = Store(copy, f"sqlite:///{copy / 'mlflow.db'}", own.experiment, own.experiment_id)
    assert [each.folder for each in plan(other).leftovers] == [None]
    moved = artifacts(own, bad).rename(tmp_path / "moved")
    artifacts(own, bad).symlink_to(moved)
    found = plan(own)
    assert [each.folder for each in found.leftovers] == [None]
    list(prune(own, found.leftovers))
    assert list(moved.rglob("*"))
