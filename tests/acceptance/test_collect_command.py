"""``qmend data collect``: what a user types and sees."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import qiskit_ibm_runtime.accounts.management as management
from commandline import Command, end_tree, start, wait_until

from qmend.datasets.table import load_dataset

LOCAL = (
    "data",
    "collect",
    "dataset=tiny",
    "dataset.job_size=1",
    "dataset.shots=100",
    "collect.execution=local",
    "collect.poll_seconds=0.05",
)


def submitted(ledger: Path) -> int:
    return ledger.read_text().count('"submitted"') if ledger.exists() else 0


def test_killed_and_started_again_then_kept_with_dvc(here: Command, tmp_path: Path) -> None:
    folder = tmp_path / "data" / "collected" / "tiny_algiers"
    arguments = (*LOCAL, "dataset.circuits=12")
    process = start(*arguments, "collect.max_pending=1", folder=tmp_path)
    try:
        wait_until(lambda: submitted(folder / "ledger.jsonl") >= 2, "two jobs", process)
        process.send_signal(signal.SIGKILL)
        process.wait()
    finally:
        end_tree(process)
    assert not (folder / "manifest.json").exists()
    here("data", "generate", "data.root=data/collected", "dataset=tiny").refused("another config")

    plan = here(*arguments, "collect.dry_run=true").succeeded().out
    assert "nothing was submitted" in plan
    assert "s on the processor, estimated: shots x (schedule" in plan

    result = here(*arguments).succeeded()
    assert "12 rows in 12 shards" in result.out
    command = "dvc add data/collected/tiny_algiers"
    assert command in result.out
    assert len(load_dataset(folder).rows) == 12
    card = (folder / "README.md").read_text()
    assert "the counts can't be made again" in card
    assert "qmend data generate" not in card
    again = here(*arguments).succeeded().out
    assert "submitted 0 and fetched 0 jobs" in again
    here("data", "verify", "data.root=data/collected", *arguments[2:5], arguments[-1]).succeeded()

    for words in ("init --no-scm -q", command.removeprefix("dvc ")):
        dvc = [sys.executable, "-m", "dvc", *words.split()]
        subprocess.run(dvc, cwd=tmp_path, capture_output=True, check=True)
    tracked = (tmp_path / "data" / "collected" / "tiny_algiers.dvc").read_text()
    assert "nfiles: 17" in tracked  # 12 shards, calibrations, ledger, manifest, two cards
    assert "cmd:" not in tracked  # nothing that could run


def test_without_an_account_one_sentence_says_how_to_get_one(
    here: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("QISKIT_IBM_TOKEN", "QISKIT_IBM_INSTANCE", "QISKIT_IBM_CHANNEL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(
        management, "_DEFAULT_ACCOUNT_CONFIG_JSON_FILE", str(tmp_path / "none.json")
    )
    live = ("device.provider=runtime", "device.backend=ibm_algiers")
    result = here("data", "collect", "dataset=tiny", *live)
    result.refused("account", "QiskitRuntimeService.save_account", "QISKIT_IBM_TOKEN")
    assert not (tmp_path / "data").exists() or not list((tmp_path / "data").rglob("*.jsonl"))


def test_hardware_is_asked_for_by_name(here: Command) -> None:
    here("data", "collect", "dataset=tiny").refused("provider=runtime", "collect.execution=local")


def test_wrong_values_are_refused(here: Command) -> None:
    here("data", "collect", "collect.mode=sessions").refused("collect.mode")
    here("data", "collect", "collect.retries=3").refused("retries")


def test_help_says_how_to_keep_the_data(here: Command) -> None:
    text = here("data", "collect", "--help").succeeded().out
    assert "dvc add" in text
    assert "collect.execution=local" in text
