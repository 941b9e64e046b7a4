"""The command that a search prints at its end: pasted, it repeats the best trial's training."""

from __future__ import annotations

import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser

from qmend.cli.hydra_app import run_hydra
from qmend.config.quoting import written
from qmend.metrics import Interval
from qmend.reporting.experiment import experiment_text, training_command
from qmend.tuning.record import Trial
from qmend.tuning.result import ScoredTrial, SearchResult
from qmend.tuning.search import Search, SearchPlan
from qmend.workflows.compose import compose
from qmend.workflows.configs import TrainConfig

VALUES = {
    "loss": "relative_l1",
    "optimizer.lr": 1.234e-05,
    "optimizer.schedule": "constant",
    "trainer.ema": 0.99,
    "trainer.batch_size": 64,
}


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["qmend"])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    GlobalHydra.instance().clear()


def best_of(
    overrides: list[str], folder: Path, config_dir: Path | None = None
) -> tuple[dict, list[str]]:
    """The config of the best trial of a search, and the words of the printed command."""
    if config_dir is None:
        config = compose("tune", overrides)
    else:
        seen: list[Any] = []
        words = ["--config-dir", str(config_dir), *overrides]
        run_hydra("tune", type(compose("tune")), seen.append, words)
        (config,) = seen
    training = {key: value for key, value in config.plain().items() if key != "tune"}
    plan = SearchPlan.of(training, config.tune, TrainConfig.model_validate)
    trial = Trial(3, "tpe", "", VALUES, [0.5], "finished")
    search: Any = SimpleNamespace(plan=plan, trials=[trial], parent="a" * 32)
    search.resolved = lambda trial: Search.resolved(search, trial)
    best = ScoredTrial(trial, Interval(-0.1, -0.2, 0.0), 60.0, 10.0)
    result = SearchResult(best, None, 1)
    path = folder / "experiment" / "best.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(experiment_text(search, result, config.choices))
    command = training_command(search, result, config.choices, folder)
    return plan.check(search.resolved(trial)).plain(), shlex.split(command)


@pytest.mark.parametrize(
    "overrides",
    [
        ["dataset=tiny", "device=hanoi", "dataset.name=mine", "seed=7"],
        [
            "data.root=a dir/x",
            "tracking.root=\"it's #1, really = 'ü'\"",
            "dataset.family.gadget_counts=[3,4,6]",
            "ray.address=ray://host:10001",
            "++device.calibration_id=a",
        ],
        [
            "dataset=small",
            "dataset/family=vqe",
            "dataset.name=null_",
            "dataset/noise=surrogate_twirled",
        ],
        ["dataset/calibrations=drift", "dataset.calibrations.snapshots=5", "dataset/split=by_time"],
        ["device.layout=lowest_error", "device.n_qubits=5", "device.backend=FakeHanoiV2"],
        ["device=file", 'device.name="7"', "device.calibration_file=a=b.json"],
        [
            "experiment=walsh_operator",
            "trainer=tiny",
            "trainer.patience=4",
            "device.layout=[7,4,1,0,2]",
        ],
    ],
)
def test_pasted_the_command_composes_the_best_trials_config(overrides: list[str]) -> None:
    """Hydra takes a value with = or # in quotes alone."""
    given = [text.replace("a=b.json", '"a=b.json"') for text in overrides]
    wanted, words = best_of(given, Path("reports/it's = #1"))
    seen: list[TrainConfig] = []
    assert words[:2] == ["qmend", "train"]
    run_hydra("train", TrainConfig, seen.append, words[2:])
    (config,) = seen
    assert config.plain() == wanted
    assert (config.loss.name, config.optimizer.lr) == ("relative_l1", 1.234e-05)


def test_configs_of_another_directory_are_told_by_their_values(tmp_path: Path) -> None:
    """The command has room for the experiment's directory alone."""
    for group, text in {
        "trainer": "max_epochs: 7\n",
        "dataset": "defaults: [tiny, _self_]\nname: own\nshots: 123\n",
        "device": "name: mine\nprovider: fake\nbackend: FakeHanoiV2\nlayout: [5, 3, 2, 1, 0]\n",
    }.items():
        path = tmp_path / "conf" / group / "mine.yaml"
        path.parent.mkdir(parents=True)
        path.write_text(("defaults: [default]\n" if group == "trainer" else "") + text)
    mine = ["trainer=mine", "dataset=mine", "device=mine"]
    wanted, words = best_of(mine, Path("reports"), tmp_path / "conf")
    assert wanted["dataset"]["shots"] == 123
    seen: list[TrainConfig] = []
    run_hydra("train", TrainConfig, seen.append, words[2:])
    assert seen[0].plain() == wanted


@pytest.mark.parametrize(
    "value",
    [
        None, True, False, 0, -3, 1.0, 1e-05, 1.5e300, "a", "null", "True", "1e3", "7", "inf", "",
        "a/b.c-d", "./x", "~x", "a b", "it's", 'say "no"', "a\\", "$HOME", "2024-01-01T00:00Z",
        [1, 2.5, "x", None, [True]], {"a": {"b": [1, "c d"]}, "e": "null"}, [], {},
    ],
)  # fmt: skip
def test_a_value_is_written_as_hydra_reads_it(value: Any) -> None:
    read = OverridesParser.create().parse_override(f"x={written(value)}").value()
    if isinstance(read, dict):
        read = {str(key): each for key, each in read.items()}
    assert read == value
    assert type(read) is type(value) or isinstance(value, str)
