"""``qmend data collect``: what a user types and sees."""

from __future__ import annotations

import shlex
import signal
from pathlib import Path

import pytest
import qiskit_ibm_runtime.accounts.management as management
import yaml
from commandline import Command, end_tree, start, wait_until
from dvc.cli import main as dvc

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


@pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")  # in DVC
def test_killed_and_started_again_then_kept_with_dvc(
    here: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
    assert "a frozen stage of DVC" in result.out
    stage = [line.strip() for line in result.out.splitlines() if line.startswith("    dvc ")]
    assert len(load_dataset(folder).rows) == 12
    card = (folder / "README.md").read_text()
    assert "the counts can't be made again" in card
    assert "qmend data generate" not in card
    again = here(*arguments).succeeded().out
    assert "submitted 0 and fetched 0 jobs" in again
    here("data", "verify", "data.root=data/collected", *arguments[2:5], arguments[-1]).succeeded()

    monkeypatch.chdir(tmp_path)
    for line in ("dvc init --no-scm -q", *stage):
        assert dvc(shlex.split(line)[1:]) == 0
    (entry,) = yaml.safe_load((tmp_path / "dvc.yaml").read_text())["stages"].values()
    assert entry["frozen"]
    assert shlex.split(entry["cmd"]) == ["qmend", *arguments]
    (record,) = yaml.safe_load((tmp_path / "dvc.lock").read_text())["stages"].values()
    (out,) = record["outs"]
    assert out["path"] == "data/collected/tiny_algiers"
    assert out["nfiles"] == 17  # 12 shards, calibrations, ledger, manifest, two cards
    kept = [(tmp_path / "dvc.lock").read_bytes(), (folder / "ledger.jsonl").read_bytes()]
    assert dvc(["repro", "--force", "-q"]) == 0  # runs nothing
    (folder / "ledger.jsonl").unlink()
    assert dvc(["checkout", "--force", "-q"]) == 0
    assert kept == [(tmp_path / "dvc.lock").read_bytes(), (folder / "ledger.jsonl").read_bytes()]


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
    assert "a frozen stage of DVC" in text
    assert "collect.execution=local" in text
