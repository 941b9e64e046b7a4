"""One tracked run: everything of the run contract, and a status that is true."""

import json
import os
import shutil
import sqlite3
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import mlflow
import pytest
import yaml

from qmend.config.nested import flatten
from qmend.tracking.run import config_sha, git_sha, start_run
from qmend.tracking.store import Store, open_store
from qmend.types import QmendError

CONFIG = {
    "model": {"name": "blind_mlp", "width": 8},
    "seed": 3,
    "tracking": {"root": Path("mlruns")},
    "list": [1, 2],
}


def finished(store, **config):
    """A run that logged nothing of its own."""
    with start_run(store, "name", {"kind": "train"}, config) as run:
        pass
    return store.client.get_run(run.run_id)


def artifact(store, run_id: str, name: str) -> str:
    return (store.root / "artifacts" / run_id / "artifacts" / name).read_text()


# Status


def test_a_run_that_ends_is_finished(store):
    with start_run(store, "name", {"kind": "train"}, CONFIG) as run:
        assert store.client.get_run(run.run_id).info.status == "RUNNING"
    info = store.client.get_run(run.run_id).info
    assert info.status == "FINISHED"
    assert info.end_time >= info.start_time


@pytest.mark.parametrize(
    ("error", "status", "tag"),
    [
        (ValueError("the loss is NaN"), "FAILED", "ValueError: the loss is NaN"),
        (QmendError("no such model"), "FAILED", "QmendError: no such model"),
        (KeyboardInterrupt(), "KILLED", "interrupted"),
        (SystemExit(3), "KILLED", "interrupted"),
        (RuntimeError("x" * 9000), "FAILED", "RuntimeError: " + "x" * 986),
    ],
    ids=["error", "sentence", "ctrl-C", "exit", "long"],
)
def test_a_run_that_breaks_says_how_and_the_error_goes_on(store, error, status, tag):
    with (
        pytest.raises(type(error)) as caught,
        start_run(store, "name", {"kind": "train"}, CONFIG) as run,
    ):
        raise error
    assert caught.value is error
    found = store.client.get_run(run.run_id)
    assert found.info.status == status
    assert found.data.tags["error"] == tag


def test_an_error_inside_a_child_fails_both(store):
    ids = []

    def nested() -> None:
        with start_run(store, "p", {}, {}) as parent:
            ids.append(parent.run_id)
            with start_run(store, "c", {}, {}, parent.run_id) as child:
                ids.append(child.run_id)
                raise ValueError("inner")

    with pytest.raises(ValueError, match="inner"):
        nested()
    assert [store.client.get_run(k).info.status for k in ids] == ["FAILED", "FAILED"]


# What is logged


def test_tags_and_parent(store):
    with (
        start_run(store, "the parent", {"kind": "demo"}, {}) as parent,
        start_run(store, "the child", {"kind": "train", "seed": 5}, CONFIG, parent.run_id) as run,
    ):
        run.tags({"later": 1.5})
    tags = store.client.get_run(run.run_id).data.tags
    assert tags["mlflow.runName"] == "the child"
    assert tags["mlflow.parentRunId"] == parent.run_id
    assert {k: tags[k] for k in ("kind", "seed", "later")} == {
        "kind": "train",
        "seed": "5",
        "later": "1.5",
    }
    assert tags["config_sha"] == config_sha(CONFIG)
    assert tags["git_sha"]
    assert "mlflow.parentRunId" not in store.client.get_run(parent.run_id).data.tags


def test_the_config_is_logged_flat_and_whole(store):
    run = finished(store, **CONFIG)
    assert run.data.params == {
        "model.name": "blind_mlp",
        "model.width": "8",
        "seed": "3",
        "tracking.root": "mlruns",
        "list": "[1, 2]",
    }
    whole = yaml.safe_load(artifact(store, run.info.run_id, "config.yaml"))
    assert whole == {**CONFIG, "tracking": {"root": "mlruns"}}
    assert list(whole) == list(CONFIG)


def test_a_large_config_is_logged_completely(store):
    """MLflow takes 100 params at once, and the database 500 characters."""
    run = finished(store, **{f"k{n}": n for n in range(230)}, long="y" * 9000)
    assert len(run.data.params) == 231
    assert run.data.params["k229"] == "229"
    assert run.data.params["long"] == "y" * 500
    assert yaml.safe_load(artifact(store, run.info.run_id, "config.yaml"))["long"] == "y" * 9000


def test_the_environment_is_logged(store):
    text = artifact(store, finished(store).info.run_id, "environment.txt")
    lines = text.splitlines()
    assert lines[0].startswith("# python 3.")
    names = [line.split("==")[0].lower() for line in lines[2:]]
    assert {"torch", "qiskit", "mlflow", "numpy", "qmend"} <= set(names)
    assert all("==" in line for line in lines[2:])


def test_metrics_keep_their_steps(store):
    with start_run(store, "name", {}, {}) as run:
        for step, value in enumerate([3.0, 2.0, float("nan")]):
            run.metrics({"val/loss": value, "other": -value}, step)
    history = store.client.get_metric_history(run.run_id, "val/loss")
    assert [(m.step, m.value) for m in sorted(history, key=lambda m: m.step)][:2] == [
        (0, 3),
        (1, 2),
    ]
    assert len(history) == 3


def test_files_come_from_a_temporary_folder(store):
    with start_run(store, "name", {}, {}) as run:
        with run.artifact_folder("model") as folder:
            (folder / "weights").write_text("w")
            (folder / "sub").mkdir()
            (folder / "sub" / "more").write_text("m")
        with run.artifact_folder() as top:
            (top / "root.txt").write_text("r")
    assert not folder.exists()
    assert artifact(store, run.run_id, "model/weights") == "w"
    assert artifact(store, run.run_id, "model/sub/more") == "m"
    assert artifact(store, run.run_id, "root.txt") == "r"


def test_the_data_of_a_run_are_named(store):
    with start_run(store, "name", {}, {}) as run:
        run.dataset("tiny", "0123abcd", "/somewhere/tiny", "train")
        run.dataset("tiny", "0123abcd", "/somewhere/tiny", "test")
    inputs = store.client.get_run(run.run_id).inputs.dataset_inputs
    assert {i.dataset.digest for i in inputs} == {"0123abcd"}
    assert json.loads(inputs[0].dataset.source) == {"uri": "/somewhere/tiny"}
    contexts = {
        (i.dataset.name, t.value) for i in inputs for t in i.tags if t.key == "mlflow.data.context"
    }
    assert contexts == {("tiny/train", "train"), ("tiny/test", "test")}


# Identity of configs and code


def test_where_and_how_fast_do_not_change_the_config_sha():
    base = {"model": {"width": 8}, "seed": 0}
    same = [
        {**base, "tracking": {"root": "elsewhere"}},
        {**base, "data": {"root": "x", "workers": 9}},
        {**base, "output": Path("r.html")},
        {"seed": 0, "model": {"width": 8}},
    ]
    other = [{**base, "seed": 1}, {**base, "model": {"width": 9}}, {**base, "extra": None}]
    assert {config_sha(c) for c in same} == {config_sha(base)}
    assert len({config_sha(c) for c in [base, *other]}) == 4


def test_flattening():
    nested = {"a": {"b": {"c": 1}, "d": []}, "e": {}}
    assert flatten(nested) == {"a.b.c": 1, "a.d": []}


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_the_commit_is_known_and_changes_are_marked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_sha() == "none"
    git(tmp_path, "init", "--quiet")
    assert git_sha() == "none"
    (tmp_path / "file").write_text("1")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "--quiet", "--no-verify", "--no-gpg-sign", "-m", "one")
    head = git(tmp_path, "rev-parse", "HEAD")
    assert git_sha() == head
    (tmp_path / "untracked").write_text("2")
    assert git_sha() == head
    (tmp_path / "file").write_text("2")
    assert git_sha() == f"{head}-dirty"


# A store that breaks while a run is open


@pytest.fixture
def fragile(store, tmp_path) -> Store:
    """A store of its own, whose tables may be taken away."""
    root = tmp_path / "mlruns"
    root.mkdir()
    shutil.copy(store.root / "mlflow.db", root / "mlflow.db")
    return open_store(root)


def drop(store: Store, *tables: str) -> None:
    with sqlite3.connect(store.root / "mlflow.db") as connection:
        for table in tables:
            connection.execute(f"DROP TABLE {table}")
    connection.close()


@pytest.mark.parametrize(
    ("table", "use"),
    [
        ("metrics", lambda run: run.metrics({"x": 1.0})),
        ("tags", lambda run: run.tags({"x": "y"})),
        ("params", lambda run: run.config({"x": 1})),
        ("inputs", lambda run: run.dataset("x", "0", "here", "train")),
    ],
    ids=["metrics", "tags", "config", "dataset"],
)
def test_a_store_that_breaks_is_one_sentence(fragile, table, use):
    with start_run(fragile, "name", {}, {}) as run:
        pass
    drop(fragile, table)
    with pytest.raises(QmendError, match=r"tracking store .* can't be used") as caught:
        use(run)
    assert "\n" not in str(caught.value)


def log_folder(run) -> None:
    with run.artifact_folder("scores") as folder:
        (folder / "file").write_text("x")


@pytest.mark.parametrize(
    "use", [lambda run: run.text("x", "x.txt"), log_folder], ids=["text", "folder"]
)
def test_artifacts_that_cannot_be_written_are_one_sentence(store, use):
    """A file in the folder's place fails for every user, as a full disk would."""
    with start_run(store, "name", {}, {}) as run:
        pass
    folder = store.root / "artifacts" / run.run_id
    shutil.rmtree(folder)
    folder.write_text("in the way")
    with pytest.raises(QmendError, match="tracking store"):
        use(run)


def test_an_error_is_not_hidden_by_a_store_that_broke_too(fragile):
    def broken() -> None:
        with start_run(fragile, "name", {}, {}):
            drop(fragile, "tags")
            raise ValueError("the real reason")

    with pytest.raises(ValueError, match="the real reason"):
        broken()


def test_runs_that_log_the_same_new_dataset_at_once_all_have_it(store):
    """Between MLflow's look for a dataset and its insert, another writer may have made it."""
    together = Barrier(8, timeout=60)

    def log(number: int) -> str:
        with start_run(store, f"run {number}", {"kind": "train"}, {"seed": number}) as run:
            for digest in range(5):
                together.wait()
                run.dataset("tiny", f"{digest:016x}", "data/tiny", "train")
        return run.run_id

    with ThreadPoolExecutor(8) as pool:
        runs = list(pool.map(log, range(8)))
    for run_id in runs:
        inputs = store.client.get_run(run_id).inputs.dataset_inputs
        assert sorted(each.dataset.digest for each in inputs) == [f"{k:016x}" for k in range(5)]


def test_a_training_leaves_the_process_its_own_tracking_uri(board, store):
    """A notebook's own MLflow, and the next command, go on where they were."""
    assert os.environ.get("MLFLOW_TRACKING_URI") != store.uri
    assert mlflow.get_tracking_uri() != store.uri
