"""Killed at any moment, commands leave no process and no run lying, and go on."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import sqlite3
import subprocess
from pathlib import Path

import psutil
import pytest
from commandline import Command, Outcome, Tracked, end_tree, outcome, start, tracked, wait_until

from qmend.runs.training import RUN_FILE
from qmend.training.state import read_state

JOBLIB = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
#: Trains until it is stopped.
ENDLESS = (
    "dataset=tiny",
    "trainer=tiny",
    "trainer.max_epochs=1000000",
    "trainer.threads=1",
    "model=blind_mlp",
    "model.width=8",
)


def helpers(process: subprocess.Popen[str]) -> int:
    """How many processes a command has started, and those in turn."""
    try:
        return len(psutil.Process(process.pid).children(recursive=True))
    except psutil.Error:
        return 0


def kill(process: subprocess.Popen[str]) -> None:
    """SIGKILL the main process alone; its workers must end by themselves."""
    family = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    _, left = psutil.wait_procs(family, timeout=60)
    for member in left:
        member.kill()
    process.communicate()
    assert left == []


def test_killed_generations_go_on_and_give_the_same_bytes(here: Command, tmp_path: Path) -> None:
    arguments = ("data", "generate", "dataset=tiny", "dataset.circuits=600")
    folder = tmp_path / "data" / "tiny_algiers"
    first, last = folder / "circuits-00000.parquet", folder / "circuits-00005.parquet"

    process = start(*arguments, "data.workers=2", folder=tmp_path)
    try:
        # Two workers and what watches over them.
        wait_until(lambda: helpers(process) >= 3, "the workers", process)
        kill(process)
    finally:
        end_tree(process)
    assert not (folder / "manifest.json").exists()

    process = start(*arguments, "data.workers=2", folder=tmp_path)
    try:
        wait_until(first.exists, "the first shard", process)
        kill(process)
    finally:
        end_tree(process)
    assert not (folder / "manifest.json").exists()
    here("data", "verify", "dataset=tiny").refused(folder.name, "qmend data generate")

    # As a kill in the middle of writing would leave it.
    (folder / ".circuits-00004.parquet.part").write_bytes(b"PAR1")
    finished = first.read_bytes()
    last.write_bytes(finished[: len(finished) // 2])
    written = first.stat().st_mtime_ns

    result = here(*arguments, "data.workers=1").succeeded()
    assert "600 rows in 6 shards" in result.out
    assert "made 600" not in result.out
    assert first.stat().st_mtime_ns == written
    here(*arguments, "data.workers=1", "data.root=whole").succeeded()
    whole = tmp_path / "whole" / "tiny_algiers"
    made = {p.name: p.read_bytes() for p in folder.iterdir()}
    assert made == {p.name: p.read_bytes() for p in whole.iterdir()}


@pytest.fixture(scope="module")
def stopped(made: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tracked]:
    """Trainings stopped in the middle by each signal, the runs read before anything else."""
    ways = {
        "SIGINT": (signal.SIGINT, ()),
        "SIGKILL": (signal.SIGKILL, ()),
        # More cells than processes.
        "SIGTERM in a multirun": (signal.SIGTERM, ("-m", *JOBLIB, "seed=0,1,2")),
    }
    folders = {}
    processes = {}
    results: dict[str, Outcome] = {}
    try:
        for name, (_, more) in ways.items():
            folders[name] = tmp_path_factory.mktemp("stopped")
            shutil.copytree(made, folders[name] / "data" / made.name)
            processes[name] = start("train", *ENDLESS, *more, folder=folders[name])
        for name, (number, _) in ways.items():
            database = folders[name] / "mlruns" / "mlflow.db"
            cells = 2 if "multirun" in name else 1
            wait_until(
                lambda db=database, n=cells: trains(db, n), f"some epochs ({name})", processes[name]
            )
            processes[name].send_signal(number)
            results[name] = outcome(processes[name])
    finally:
        for process in processes.values():
            end_tree(process)
    return {name: tracked(folders[name], results[name]) for name in ways}


def trains(database: Path, runs: int) -> bool:
    """Whether so many have logged epochs; reads only, as the store may be about to be made."""
    query = "select count(*) from metrics where key = 'train/loss' group by run_uuid"
    try:
        connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
        with contextlib.closing(connection):
            return sum(count >= 3 for (count,) in connection.execute(query)) == runs
    except sqlite3.OperationalError:
        return False


def test_an_interrupted_training_is_killed_at_once(stopped: dict[str, Tracked]) -> None:
    (run,) = stopped["SIGINT"].runs
    assert run.info.status == "KILLED"
    assert run.info.end_time is not None
    assert run.data.tags["error"] == "interrupted"


@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM in a multirun"])
def test_an_interrupted_command_says_so(stopped: dict[str, Tracked], how: str) -> None:
    stopped[how].result.refused("interrupted", code=130)


@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM in a multirun"])
def test_an_interrupted_training_is_saved_at_once(stopped: dict[str, Tracked], how: str) -> None:
    """The next regular writing of the state was half a minute away."""
    left = stopped[how]
    runs = {run.info.run_id for run in left.kind("train")}
    for folder in (left.folder / "mlruns" / "unfinished").iterdir():
        state = read_state(folder).state
        assert state is not None
        assert f"Saved after epoch {state['epochs']} of 1000000." in left.result.out
        run_id = (folder / RUN_FILE).read_text()
        logged = left.client.get_metric_history(run_id, "train/loss")
        assert state["epochs"] >= len(logged) - 5  # they take milliseconds
        runs.remove(run_id)
    assert runs == set()


def test_an_interrupted_multirun_is_killed_with_its_cells(stopped: dict[str, Tracked]) -> None:
    left = stopped["SIGTERM in a multirun"]
    (parent,), cells = left.kind("multirun"), left.kind("train")
    for run in (parent, *cells):
        assert run.info.status == "KILLED"
        assert run.data.tags["error"] == "interrupted"
    assert {run.info.run_name for run in cells} == {"seed=0", "seed=1"}


def test_an_interrupted_multirun_says_what_became_of_each_cell(
    stopped: dict[str, Tracked],
) -> None:
    left = stopped["SIGTERM in a multirun"]
    out = left.result.out
    assert out.startswith("3 cells, 2 at once: seed=0,1,2\n")
    assert out.index("cell 1/3 starts: seed=0") < out.index("cell 1/3 interrupted: seed=0")
    assert "cell 3/3" not in out
    assert "3 cells: 2 interrupted, 1 not started" in out
    assert "resume=true" in out
    (parent,) = left.kind("multirun")
    records = json.loads(left.artifacts(parent, "cells.json").read_text())
    assert [record["status"] for record in records] == ["interrupted"] * 2 + ["not started"]
    assert {record["error"] for record in records} == {""}


def test_the_next_command_ends_a_run_whose_process_was_killed(
    stopped: dict[str, Tracked], here: Command
) -> None:
    left = stopped["SIGKILL"]
    assert left.result.code == -signal.SIGKILL
    assert [r.info.status for r in left.runs] == ["RUNNING"]
    here("runs", "list", folder=left.folder).succeeded()
    (run,) = tracked(left.folder, left.result).runs
    assert run.info.status == "KILLED"
    assert run.info.end_time is not None
    assert "killed" in run.data.tags["error"]
