"""Two people share a real `mlflow server`: every command takes its address as the store."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from commandline import Command, Outcome, end_tree, environment, start, wait_until
from test_ui_command import answer, free_port

from qmend.processes import process_identity
from qmend.tracking.owner import ALIVE_TAG, PROCESS_TAG
from qmend.tracking.store import Store, open_store
from qmend.workflows.load import load

SHORT = ("dataset=tiny", "model=blind_mlp", "model.width=8", "trainer.max_epochs=2")


@dataclass(frozen=True)
class Server:
    """A server with its own database and artifacts."""

    address: str
    artifacts: Path
    process: subprocess.Popen[str]

    @property
    def store(self) -> Store:
        return open_store(self.address)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder, port = tmp_path_factory.mktemp("server"), free_port()
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder / 'runs.db'}"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment(MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        wait_until(lambda: answer(f"{address}/health"), "the server answers", process)
        yield Server(address, folder / "artifacts", process)
    finally:
        end_tree(process)


@pytest.fixture(scope="module")
def desks(made: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The working directories of two people, who have the same data."""
    folders = tmp_path_factory.mktemp("ann"), tmp_path_factory.mktemp("bob")
    for folder in folders:
        shutil.copytree(made, folder / "data" / made.name)
    return folders


def run_of(result: Outcome) -> str:
    (run_id,) = re.findall(r"run\s+([0-9a-f]{32})", result.out)
    return run_id


def test_a_run_of_one_is_read_promoted_and_reported_by_the_other(
    server: Server, desks: tuple[Path, Path], here: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = desks
    trained = here("train", *SHORT, f"tracking.root={server.address}", folder=ann).succeeded()
    run_id = run_of(trained)
    assert "http" not in trained.out
    # Nothing of it lies on Ann's machine but the directory of unfinished trainings, now empty.
    assert [path for path in (ann / "mlruns").rglob("*") if path.is_file()] == []
    assert list(server.artifacts.rglob(f"{run_id}/artifacts/model/model.safetensors"))

    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
    listed = here("runs", "list", folder=bob).succeeded()
    assert run_id[:8] in listed.out
    shown = here("runs", "show", run_id[:6], folder=bob).succeeded()
    assert "model/model.safetensors" in shown.out
    again = here("train", *SHORT, "resume=true", folder=bob).succeeded()
    assert f"run {run_id} has finished it" in " ".join(again.out.split())
    reproduced = here("runs", "reproduce", run_id[:6], folder=bob).succeeded()
    assert "are equal" in reproduced.out
    here("models", "promote", run_id[:6], "--force", folder=bob).succeeded()
    here("evaluate", "checkpoint=models:/qmend@champion", "dataset=tiny", folder=bob).succeeded()
    here("report", f"runs=[{run_id[:6]}]", "output=page.html", folder=bob).succeeded()
    assert "blind_mlp" in (bob / "page.html").read_text()
    views = here("ui", folder=bob).succeeded()
    assert f"{server.address}/#/experiments/" in views.out
    assert load("models:/qmend@champion", server.address).provenance["run_id"] == run_id
    assert not (bob / "mlruns" / "mlflow.db").exists()


def test_a_multirun_and_a_search_of_processes_log_to_it(
    server: Server, desks: tuple[Path, Path], here: Command
) -> None:
    root = f"tracking.root={server.address}"
    here("train", "-m", *SHORT, "seed=1,2", root, folder=desks[0]).succeeded()
    assert not (desks[0] / "http:").exists()
    store = server.store
    (parent,) = store.runs("tags.kind = 'multirun'")
    cells = json.loads(store.artifact(parent, "cells.json").read_text())
    assert [cell["status"] for cell in cells] == ["finished", "finished"]

    here("tune", *SHORT, "tune.trials=2", root, folder=desks[0]).succeeded()
    (search,) = store.runs("tags.kind = 'tune'")
    trials = store.runs(f"tags.mlflow.parentRunId = '{search.info.run_id}' and tags.kind = 'trial'")
    assert sorted(trial.info.status for trial in trials) == ["FINISHED", "FINISHED"]

    # The same search, running on a third computer.
    host, pid, started = process_identity().rsplit(":", 2)
    elsewhere = {PROCESS_TAG: f"{host}-other:{pid}:{started}", ALIVE_TAG: f"{time.time():.0f}"}
    for key, value in elsewhere.items():
        store.client.set_tag(search.info.run_id, key, value)
    store.client.update_run(search.info.run_id, status="RUNNING")
    refused = here("tune", *SHORT, "tune.trials=2", root, folder=desks[1])
    refused.refused("Another process", f"{host}-other", search.info.run_id[:12], "tune.seed")
    store.client.set_terminated(search.info.run_id, "FINISHED")


def test_a_server_that_does_not_answer_is_refused_at_once(here: Command, tmp_path: Path) -> None:
    address = f"http://127.0.0.1:{free_port()}"
    started = time.process_time()
    here("train", f"tracking.root={address}").refused(address, "Connection refused")
    here("runs", "list", "--root", address).refused(address, "tracking.root")
    assert time.process_time() - started < 20
    assert list(tmp_path.iterdir()) == []


def test_a_directory_is_served_as_it_is(
    here: Command, desks: tuple[Path, Path], tmp_path: Path
) -> None:
    """`qmend ui` on a directory is a server, too, for those who see the same files."""
    here("train", *SHORT, f"tracking.root={tmp_path / 'runs'}", folder=desks[0]).succeeded()
    port = free_port()
    process = start("ui", "--port", str(port), "--root", "runs", folder=tmp_path)
    try:
        address = f"http://127.0.0.1:{port}"
        wait_until(lambda: answer(f"{address}/health"), "the UI answers", process)
        served = here("train", *SHORT, "seed=9", f"tracking.root={address}", folder=desks[0])
        run_id = run_of(served.succeeded())
        assert (tmp_path / "runs" / "artifacts" / run_id / "artifacts" / "model").is_dir()
        shutil.move(tmp_path / "runs" / "artifacts", tmp_path / "elsewhere")
        there = here("runs", "list", "--root", address)
        there.refused("directory of its own machine", "--artifacts-destination")
    finally:
        end_tree(process)


def test_an_interrupt_does_not_wait_for_a_server_that_is_gone(
    server: Server, desks: tuple[Path, Path]
) -> None:
    """MLflow tries for four minutes; whoever presses ctrl-C wants his terminal back."""
    long = (*SHORT, "trainer.max_epochs=5000", "seed=7", f"tracking.root={server.address}")
    process = start("train", *long, folder=desks[0])
    try:
        wait_until(lambda: list(desks[0].rglob("unfinished/*/run_id")), "it trains", process)
        end_tree(server.process)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=100)
        assert process.returncode == 130
        assert "interrupted" in err
    finally:
        end_tree(process)
