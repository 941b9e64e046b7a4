"""The tracking store: made once, never left with a run that lies about its process."""

import fcntl
import os
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mlflow
import pytest

from qmend.processes import process_identity
from qmend.tracking import heartbeat
from qmend.tracking.owner import ALIVE_TAG, PROCESS_TAG, SILENCE
from qmend.tracking.run import begin_run, end_run, start_run
from qmend.tracking.store import Store, end_own_runs, open_store, reconcile
from qmend.types import QmendError

CHILD = """
import sys, time
from pathlib import Path
from qmend.tracking.run import begin_run, end_run, start_run
from qmend.tracking.store import open_store

store = open_store(Path(sys.argv[1]))
with start_run(store, "child", {"kind": "train"}, {"seed": 1}) as run:
    print(run.run_id, flush=True)
    time.sleep(600)
"""


@contextmanager
def child_with_run(root: Path) -> Iterator[tuple[subprocess.Popen, str]]:
    """A real process that has opened a run and works on."""
    # SQLAlchemy 2.1 warns about MLflow's own models; kept out of the test's output.
    arguments = [sys.executable, "-W", "ignore", "-c", CHILD, str(root)]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        run_id = process.stdout.readline().strip()
        assert run_id, process.stderr.read()
        yield process, run_id
    finally:
        process.kill()
        process.communicate()


def test_a_store_is_one_database_and_one_folder(tmp_path):
    store = open_store(tmp_path / "deep" / "mlruns")
    assert (tmp_path / "deep" / "mlruns" / "mlflow.db").is_file()
    assert (tmp_path / "deep" / "mlruns" / "artifacts").is_dir()
    assert store.uri == f"sqlite:///{tmp_path / 'deep' / 'mlruns' / 'mlflow.db'}"
    again = open_store(tmp_path / "deep" / "mlruns")
    assert again == store
    experiment = store.client.get_experiment(store.experiment_id)
    assert experiment.name == "qmend"
    assert experiment.artifact_location == str(store.root / "artifacts")


def test_a_relative_root_means_the_same_store_from_anywhere(store, monkeypatch):
    monkeypatch.chdir(store.root.parent)
    assert open_store(Path("mlruns")) == store


def test_a_killed_process_leaves_no_running_run(store):
    """SIGKILL gives a process no chance to say goodbye: the next one to open the store does."""
    with child_with_run(store.root) as (process, run_id):
        assert store.client.get_run(run_id).info.status == "RUNNING"
        process.kill()
        process.wait()
        open_store(store.root)
        run = store.client.get_run(run_id)
    assert run.info.status == "KILLED"
    assert run.info.end_time
    assert run.data.tags["error"] == "the process was killed"


def test_a_killed_process_that_nobody_has_waited_for_yet(store):
    """A zombie is gone, too: in containers they may stay for as long as the machine runs."""
    with child_with_run(store.root) as (process, run_id):
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        open_store(store.root)
        assert store.client.get_run(run_id).info.status == "KILLED"


def test_the_run_of_a_live_process_is_left_alone(store):
    with child_with_run(store.root) as (process, run_id):
        open_store(store.root)
        assert store.client.get_run(run_id).info.status == "RUNNING"
        process.send_signal(signal.SIGINT)
        process.wait()
        run = store.client.get_run(run_id)
    assert run.info.status == "KILLED"
    assert run.data.tags["error"] == "interrupted"


def running(store, identity: str | None) -> str:
    tags = {"kind": "train"} | ({PROCESS_TAG: identity} if identity else {})
    return store.client.create_run(store.experiment_id, tags=tags).info.run_id


def test_only_runs_of_processes_known_to_be_gone_are_ended(store):
    """A reused pid, another machine, a run of another program."""
    host, pid, started = process_identity().rsplit(":", 2)
    ours = running(store, process_identity())
    reused = running(store, f"{host}:{pid}:{float(started) - 100:.2f}")
    elsewhere = running(store, f"{host}-other:999999:1.00")
    foreign = running(store, None)
    assert reconcile(store) == [reused]
    status = {k: store.client.get_run(k).info.status for k in (ours, reused, elsewhere, foreign)}
    assert status == {ours: "RUNNING", reused: "KILLED", elsewhere: "RUNNING", foreign: "RUNNING"}
    for run_id in (ours, elsewhere, foreign):
        store.client.set_terminated(run_id, "FINISHED")


def test_a_silent_run_of_another_host_is_ended(store):
    """Nobody here can look at its process; its signs of life say whether it works on."""
    host, pid, started = process_identity().rsplit(":", 2)
    ids = {}
    for name, age in (("silent", SILENCE + 60), ("alive", SILENCE / 2)):
        ids[name] = running(store, f"{host}-other:{pid}:{started}")
        store.client.set_tag(ids[name], ALIVE_TAG, f"{time.time() - age:.0f}")
    assert reconcile(store) == [ids["silent"]]
    ended = store.client.get_run(ids["silent"])
    assert ended.info.status == "KILLED"
    assert ended.data.tags["error"] == "no sign of life for 11 minutes"
    store.client.set_terminated(ids["alive"], "FINISHED")


def test_an_open_run_gives_signs_of_life(store, monkeypatch):
    monkeypatch.setattr(heartbeat, "PERIOD", 0.02)

    def sign(run_id: str) -> str:
        return store.client.get_run(run_id).data.tags[ALIVE_TAG]

    with start_run(store, "long", {"kind": "train"}, {}) as run:
        store.client.set_tag(run.run_id, ALIVE_TAG, "0")
        deadline = time.monotonic() + 30
        while sign(run.run_id) == "0" and time.monotonic() < deadline:
            time.sleep(0.02)
        assert abs(float(sign(run.run_id)) - time.time()) < 60
        # A laptop that was asleep: others took its run for dead, and it goes on.
        store.client.set_tag(run.run_id, "error", "no sign of life for 11 minutes")
        store.client.set_terminated(run.run_id, "KILLED")
    ended = store.client.get_run(run.run_id)
    assert (ended.info.status, ended.data.tags.get("error")) == ("FINISHED", None)
    time.sleep(1)  # a last sign may have been under way
    store.client.set_tag(run.run_id, ALIVE_TAG, "0")
    time.sleep(0.1)
    assert sign(run.run_id) == "0"


def test_a_run_that_ended_meanwhile_keeps_its_end(store, monkeypatch):
    """Its process ended it, and then itself, between the look at the store and that at it."""
    host, pid, started = process_identity().rsplit(":", 2)
    run_id = running(store, f"{host}:{pid}:{float(started) - 100:.2f}")
    stale = store.runs("attributes.status = 'RUNNING'")
    store.client.set_terminated(run_id, "FINISHED")
    monkeypatch.setattr(Store, "runs", lambda *_: stale)
    assert reconcile(store) == []
    assert store.client.get_run(run_id).info.status == "FINISHED"


def test_a_run_that_another_process_took_over_is_left_to_it(store):
    host, pid, started = process_identity().rsplit(":", 2)
    other = f"{host}-other:{pid}:{started}"
    with start_run(store, "taken over", {"kind": "train"}, {}) as run:
        store.client.set_tag(run.run_id, PROCESS_TAG, other)
    assert store.client.get_run(run.run_id).info.status == "RUNNING"
    again = begin_run(store, "taken over", {"kind": "train"}, {})
    store.client.set_tag(again.run_id, PROCESS_TAG, other)
    end_run(again, "KILLED", "interrupted")
    assert store.client.get_run(again.run_id).info.status == "RUNNING"
    for each in (run, again):
        store.client.set_terminated(each.run_id, "FINISHED")


def test_runs_are_found_by_tag_newest_first(store):
    ids = []
    for k in range(3):
        with start_run(store, f"r{k}", {"kind": "search-me"}, {}) as run:
            ids.append(run.run_id)
    found = [r.info.run_id for r in store.runs("tags.kind = 'search-me'")]
    assert sorted(found) == sorted(ids)
    starts = [r.info.start_time for r in store.runs("tags.kind = 'search-me'")]
    assert starts == sorted(starts, reverse=True)


# Bad stores


def refused(root: Path) -> str:
    with pytest.raises(QmendError) as caught:
        open_store(root)
    text = str(caught.value)
    assert "\n" not in text
    assert "choose another tracking.root" in text
    return text


def test_a_locked_database_is_one_sentence(tmp_path):
    root = tmp_path / "mlruns"
    root.mkdir()
    holder = sqlite3.connect(root / "mlflow.db", isolation_level=None)
    try:
        holder.execute("BEGIN IMMEDIATE")
        text = refused(root)
    finally:
        holder.close()
    assert f"{root / 'mlflow.db'} can't be used (database is locked); close the program" in text


def test_a_file_that_is_no_database_is_one_sentence(tmp_path):
    (tmp_path / "mlflow.db").write_text("not a database " * 100)
    text = refused(tmp_path)
    assert "can't be used (file is not a database); choose another" in text


def proposed_command(text: str) -> list[str]:
    """The command in a sentence, as a shell would read it."""
    return shlex.split(text.split("`")[1])


def revision(root: Path, new: str | None = None) -> str:
    """The revision of a database's schema, which may be set."""
    with sqlite3.connect(root / "mlflow.db") as connection:
        if new is not None:
            connection.execute("UPDATE alembic_version SET version_num = ?", [new])
        ((found,),) = connection.execute("SELECT version_num FROM alembic_version")
    return found


@pytest.fixture
def copied(store: Store, tmp_path: Path) -> Path:
    """A store with one run at least, free to be changed, at a path that a shell must quote."""
    with start_run(store, "kept", {"kind": "train"}, {"seed": 1}):
        pass
    root = tmp_path / "it's a copy"
    root.mkdir()
    return Path(shutil.copy(store.root / "mlflow.db", root)).parent


def test_a_deleted_experiment_is_said_with_the_command_that_restores_it(copied):
    """MLflow's client finds it by name, and none of its runs."""
    store = open_store(copied)
    store.client.delete_experiment(store.experiment_id)
    text = refused(copied)
    assert f"The experiment qmend of the tracking store {copied} is deleted, and all its" in text
    uri, *words = proposed_command(text)
    assert uri == f"MLFLOW_TRACKING_URI=sqlite:///{copied / 'mlflow.db'}"
    assert words == ["mlflow", "experiments", "restore", "--experiment-id", store.experiment_id]
    store.client.restore_experiment(store.experiment_id)  # what that command does
    assert open_store(copied).runs()[0].info.run_name == "kept"


@pytest.mark.parametrize("lost", [None, "webhook_events"])
@pytest.mark.parametrize(
    ("written", "age", "way_out"),
    [
        ("75868b020152", "an older", ["mlflow", "db", "upgrade", "{uri}"]),
        ("ffffffffffff", "a newer", ["pip", "install", "--upgrade", "mlflow"]),
    ],
)
def test_a_database_of_another_mlflow_is_said_with_the_command_for_it(
    copied, written, age, way_out, lost
):
    """MLflow calls both older; where it misses a table it upgrades one without a word."""
    right = revision(copied)
    revision(copied, written)
    if lost is not None:
        with sqlite3.connect(copied / "mlflow.db") as connection:
            connection.execute(f"DROP TABLE {lost}")
    text = refused(copied)
    assert f"was written by {age} MLflow than the installed {mlflow.__version__}; " in text
    uri = f"sqlite:///{copied / 'mlflow.db'}"
    assert proposed_command(text) == [word.format(uri=uri) for word in way_out]
    assert revision(copied) == written
    if lost is None:
        revision(copied, right)
        assert open_store(copied).runs()[0].info.run_name == "kept"


def test_a_folder_in_the_databases_place_is_one_sentence(tmp_path):
    (tmp_path / "mlflow.db").mkdir()
    assert "unable to open database file" in refused(tmp_path)


def test_a_root_below_a_file_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    text = refused(tmp_path / "file" / "mlruns")
    assert "Can't write to the tracking store" in text


def test_opening_waits_for_another_process_that_is_opening(tmp_path):
    """Two first starts at once must not both migrate the database."""
    root = tmp_path / "mlruns"
    root.mkdir()
    opened = threading.Event()

    def open_it() -> None:
        open_store(root)
        opened.set()

    with (root / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        thread = threading.Thread(target=open_it)
        thread.start()
        assert not opened.wait(1.0)
        assert not (root / "mlflow.db").exists()
    thread.join(60)
    assert opened.is_set()


def test_killed_while_the_database_is_made_the_next_command_makes_it(tmp_path):
    opening = "import sys; from pathlib import Path; from qmend.tracking.store import open_store;"
    opening += " open_store(Path(sys.argv[1]))"
    process = subprocess.Popen([sys.executable, "-W", "ignore", "-c", opening, str(tmp_path)])
    making = tmp_path / ".making" / "mlflow.db"
    while not (making.exists() and making.stat().st_size):
        assert process.poll() is None, "the database was made in one step: nothing to kill"
        time.sleep(0.002)
    process.kill()
    process.wait()
    assert making.exists()
    store = open_store(tmp_path)
    assert store.runs() == []
    assert not making.parent.exists()


def test_a_process_that_is_interrupted_ends_its_own_runs_and_no_others(store):
    mine, others = (running(store, k) for k in (process_identity(), "another-host:1:1.00"))
    end_own_runs("interrupted")
    ended = store.client.get_run(mine)
    assert (ended.info.status, ended.data.tags["error"]) == ("KILLED", "interrupted")
    assert store.client.get_run(others).info.status == "RUNNING"
    store.client.set_terminated(others, "FINISHED")
