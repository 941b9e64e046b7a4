"""What needs no network, no simulation and no store loads none of their libraries."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from qmend.cli.main import main
from qmend.config.compose import compose_config
from qmend.config.paths import study_configs

HEAVY = ("torch", "pytorch_lightning", "qiskit", "qiskit_aer", "qiskit_ibm_runtime", "ray")
HEAVY += ("optuna", "numba", "mlflow", "scipy", "matplotlib")
LIGHT_MODULES = (
    "qmend",
    "qmend.cli.main",
    "qmend.cli.hydra_app",
    "qmend.cli.doctor",
    "qmend.cli.multirun",
    "qmend.cli.terminal",
    "qmend.workflows.compose",
    "qmend.mitigation.baselines",
)
WRONG_CONFIGS = (
    "train model.widht=3",
    "train +model.widht=3",
    "train model.name=percever",
    "train model=nope",
    "train trainer.max_epochs=0",
    "train dataset.shots=-1",
    "train dataset.family.gadgets_min=12",
    "train dataset/noise=surrogate_hardware dataset.noise.strength=-1",
    "tune tune.trials=0",
    "tune model.widht=3",
    "evaluate",
    "evaluate checkpoint=a baselines=[nine]",
    "data generate dataset.shots=-1",
    "data collect collect.mode=alone",
    "data verify sample=0",
    "data show reprot=3",
    "demo trainings.perceiver.trainer.max_epochs=0",
    "report reprot=3",
    "references x.qasm references.count=0",
    "study yardstick seeds=[]",
    "study yardstick transferred=[nobody]",
    *(f"study {path.stem} +reprot=3" for path in study_configs()),
)
#: Runs command lines in one process, and prints exit status and heavy modules after each.
PROGRAM = """
import json, sys
from qmend.cli.main import run
heavy, lines = json.loads(sys.argv[1])
for line in lines:
    status = run(line.split())
    print("@" + json.dumps([line, status, [name for name in heavy if name in sys.modules]]))
"""


def loaded(program: str, *arguments: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=folder,
        env={key: value for key, value in os.environ.items() if not key.startswith("QMEND_")},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_light_modules(tmp_path: Path) -> None:
    program = (
        "import importlib, json, sys\n"
        "for name in json.loads(sys.argv[1]):\n"
        "    importlib.import_module(name)\n"
        "    print(name, *(h for h in json.loads(sys.argv[2]) if h in sys.modules))\n"
    )
    out = loaded(program, json.dumps(LIGHT_MODULES), json.dumps(HEAVY), folder=tmp_path)
    assert out.splitlines() == list(LIGHT_MODULES)


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (WRONG_CONFIGS, 2),
        (("--help", "train --help", "runs list --help", "train --cfg job", "doctor"), 0),
    ],
)
def test_first_words(tmp_path: Path, lines: tuple[str, ...], status: int) -> None:
    out = loaded(PROGRAM, json.dumps([HEAVY, lines]), folder=tmp_path)
    said = [json.loads(line[1:]) for line in out.splitlines() if line.startswith("@")]
    assert said == [[line, status, []] for line in lines]
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(("asked", "policy"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_waiting_threads_sleep_unless_asked_otherwise(
    asked: str | None, policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before an OpenMP runtime is loaded: it reads this once."""
    monkeypatch.setenv("OMP_WAIT_POLICY", asked or "")
    if asked is None:
        monkeypatch.delenv("OMP_WAIT_POLICY")
    monkeypatch.setattr("sys.argv", ["qmend", "--version"])
    monkeypatch.setattr("signal.signal", lambda *_: None)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert os.environ["OMP_WAIT_POLICY"] == policy


@pytest.mark.parametrize("command", ["train", "demo"])
def test_a_training_has_one_thread(command: str) -> None:
    """More did not pay for any of the networks of ``conf/model`` that train on a processor."""
    config = compose_config(command, [])
    fits = config["trainings"].values() if command == "demo" else [config]
    assert {fit["trainer"]["threads"] for fit in fits} == {1}
