"""A stage of DVC says where its dataset is not the recorded one, and why."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo

from qmend.cli import main
from qmend.datasets import dvc_lock

BELL = (
    'OPENQASM 2.0; include "qelib1.inc"; qreg q[2]; creg c[2]; h q[0]; cx q[0],q[1]; measure q->c;'
)
COMMAND = "qmend data import raw/given.jsonl --name lab --replace"
STAGE = {
    "cmd": COMMAND,
    "deps": ["raw"],
    "params": [{"schema.py": ["SCHEMA_VERSION"]}],
    "outs": [{"data/lab": {"persist": True, "cache": False}}],
}


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose lock records an import; this process is now that stage's command."""
    monkeypatch.chdir(tmp_path)
    raw = tmp_path / "raw"
    (raw / "licences").mkdir(parents=True)
    (raw / "licences" / "LICENSE.txt").write_text("free")
    records = [
        {"id": f"r{k}", "qasm": BELL, "circuit_stage": "submitted", "device": "lab"}
        | {"counts": {"00": 500 + k, "11": 500 - k}}
        for k in range(3)
    ]
    (raw / "given.jsonl").write_text("\n".join(json.dumps(record) for record in records))
    (tmp_path / "schema.py").write_text(f"SCHEMA_VERSION = {dvc_lock.SCHEMA_VERSION}\n")
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"lab": STAGE}}))
    run(COMMAND, monkeypatch)
    with Repo.init(str(tmp_path), no_scm=True) as repo:
        repo.commit("lab", force=True)
    monkeypatch.setenv("DVC_STAGE", "lab")
    return tmp_path


def run(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", shlex.split(command))
    assert main.run(shlex.split(command)[1:]) == 0


def hash_in_lock() -> str:
    (out,) = yaml.safe_load(Path("dvc.lock").read_text())["stages"]["lab"]["outs"]
    return str(out["md5"])


def warning(capsys: pytest.CaptureFixture[str]) -> str:
    text = " ".join(capsys.readouterr().out.split())
    return text[text.find("Warning") :] if "dvc.lock" in text else ""


def test_the_same_dataset_is_no_news(recorded, monkeypatch, capsys):
    assert dvc_lock.directory_hash(Path("data/lab")) == hash_in_lock()
    assert Path("data/lab/licences/LICENSE.txt").read_text() == "free"
    run(COMMAND, monkeypatch)
    assert not warning(capsys)


def test_another_input_and_another_command_are_named(recorded, monkeypatch, capsys):
    path = Path("raw/given.jsonl")
    path.write_text(path.read_text().replace("501", "503").replace("499", "497"))
    run(COMMAND, monkeypatch)
    made = dvc_lock.directory_hash(Path("data/lab"))
    assert made != hash_in_lock()
    expected = f"data/lab has the hash {made}, dvc.lock records {hash_in_lock()}: its recipe has "
    assert expected + "changed (raw)." in warning(capsys)
    run(f"{COMMAND} --seed 3", monkeypatch)
    assert "its recipe has changed (the command, raw)." in warning(capsys)
    monkeypatch.delenv("DVC_STAGE")
    run(COMMAND, monkeypatch)
    assert not warning(capsys)


def test_another_schema_version_is_named(recorded, monkeypatch, capsys):
    Path("data/lab/licences/more").write_text("as if the new version wrote another column")
    monkeypatch.setattr(dvc_lock, "SCHEMA_VERSION", 9)
    told = dvc_lock.lock_difference(Path("data/lab"), shlex.split(COMMAND)[1:])
    assert told is not None
    old = yaml.safe_load(Path("dvc.lock").read_text())["stages"]["lab"]["params"]["schema.py"]
    assert f"the schema version was {old['SCHEMA_VERSION']} there and is 9 now" in told


def test_other_bytes_of_one_recipe_point_at_versions_and_processor(recorded, monkeypatch, capsys):
    monkeypatch.setattr(
        "qmend.importing.storage.package_versions", lambda names: dict.fromkeys(names, "9.9")
    )
    run(COMMAND, monkeypatch)
    told = warning(capsys)
    assert f"dvc.lock records {hash_in_lock()}: its recipe is the same, so another version" in told
    assert "another type of processor" in told
    assert "`git checkout dvc.lock` keeps the recorded hash" in told


def test_a_generation_says_it_too(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_STAGE", "few@algiers")
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    command = "qmend data generate dataset=tiny dataset.circuits=30 data.workers=1"
    out = {"path": "data/tiny_algiers", "md5": "0123.dir"}
    told = []
    for recorded in (command, f"{command} dataset.seed=3"):
        lock = {"stages": {"few@algiers": {"cmd": recorded, "outs": [out]}}}
        (tmp_path / "dvc.lock").write_text(yaml.safe_dump(lock))
        run(command, monkeypatch)
        told.append(warning(capsys))
    assert "dvc.lock records 0123.dir: its recipe is the same" in told[0]
    assert "its recipe has changed (the command)" in told[1]
