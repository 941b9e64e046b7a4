"""`qmend train`: killed, it resumes; with checkpoint=, it fine-tunes."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
from pathlib import Path

import pytest
from commandline import Command, Tracked, end_tree, outcome, start, tracked, wait_until

#: Long enough to be killed in the middle, with a state after each epoch.
LONG = (
    "dataset=tiny",
    "trainer=tiny",
    "trainer.max_epochs=60",
    "trainer.save_every_seconds=0",
    "trainer.threads=1",
    "trainer.ema=0.9",
    "model=blind_mlp",
    "model.width=8",
)


def epochs_logged(database: Path) -> int:
    """Reads only, as the store may be about to be made."""
    query = "select count(*) from metrics where key = 'train/loss'"
    try:
        connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
        with contextlib.closing(connection):
            return int(connection.execute(query).fetchone()[0])
    except sqlite3.OperationalError:
        return 0


def history(found: Tracked, run_id: str, name: str) -> list[tuple[int, float]]:
    return sorted((m.step, m.value) for m in found.client.get_metric_history(run_id, name))


def test_a_killed_training_goes_on_in_its_run(here: Command, data: Path, tmp_path: Path) -> None:
    process = start("train", *LONG, folder=tmp_path)
    try:
        database = tmp_path / "mlruns" / "mlflow.db"
        wait_until(lambda: epochs_logged(database) >= 4, "four epochs", process)
        process.kill()
        killed = tracked(tmp_path, outcome(process))
    finally:
        end_tree(process)
    assert killed.result.code == -signal.SIGKILL
    (run,) = killed.runs
    assert run.info.status == "RUNNING"

    result = here("train", *LONG).succeeded()
    assert "Resumes after epoch " in result.out
    found = tracked(tmp_path, result)
    (resumed,) = found.runs
    assert (resumed.info.run_id, resumed.info.status) == (run.info.run_id, "FINISHED")
    assert "error" not in resumed.data.tags
    assert not list((tmp_path / "mlruns" / "unfinished").iterdir())

    again = here("train", *LONG, "tracking.root=whole").succeeded()
    assert "Resumes" not in again.out
    (tmp_path / "other").mkdir()
    (tmp_path / "whole").rename(tmp_path / "other" / "mlruns")
    whole = tracked(tmp_path / "other", again)
    (expected,) = whole.runs
    for name in ("train/loss", "val/loss", "val/l1rc_median"):
        logged = history(found, resumed.info.run_id, name)
        assert logged == history(whole, expected.info.run_id, name)
        assert len(logged) == 60
    figures = [
        {k: v for k, v in r.data.metrics.items() if k != "cost/seconds"}
        for r in (resumed, expected)
    ]
    assert figures[0] == figures[1]


@pytest.fixture
def trained(demo: Tracked, data: Path, tmp_path: Path) -> str:
    """The folder of a blind_mlp that was trained on the data."""
    (run,) = [r for r in demo.kind("train") if r.data.tags["architecture"] == "blind_mlp"]
    return str(demo.artifacts(run, "model"))


QUICK = ("dataset=tiny", "trainer=tiny", "trainer.max_epochs=1", "trainer.threads=1")


def test_fine_tuning_takes_the_checkpoint_s_model_at_a_tenth_of_its_rate(
    here: Command, trained: str, demo: Tracked, tmp_path: Path
) -> None:
    result = here("train", *QUICK, f"checkpoint={trained}").succeeded()
    (run,) = tracked(tmp_path, result).runs
    (parent,) = [r for r in demo.kind("train") if r.data.tags["architecture"] == "blind_mlp"]
    assert run.data.tags["checkpoint_run"] == parent.info.run_id
    assert run.data.tags["architecture"] == run.data.params["model.name"] == "blind_mlp"
    assert run.data.params["model.width"] == parent.data.params["model.width"]
    assert float(run.data.params["optimizer.lr"]) == pytest.approx(1e-4)
    assert "fine-tuned" in result.out

    folder = tracked(tmp_path, result).artifacts(run, "model")
    result = here("train", *QUICK, f"checkpoint={folder}", "optimizer.lr=0.002").succeeded()
    lrs = {r.data.params["optimizer.lr"] for r in tracked(tmp_path, result).runs}
    assert "0.002" in lrs


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("model=perceiver",), ["keeps the checkpoint's model (blind_mlp)", "leave out"]),
        (("model=blind_mlp", "model.width=7"), ["keeps the checkpoint's model"]),
        (("dataset.circuits=200",), ["another dataset.circuits", "has seen"]),
        (
            ("device=algiers_0123", "dataset.family.n_qubits=4"),
            ["trained on 5 qubits, all measured, the dataset has 4"],
        ),
        (("fine_tune.lr_factor=-1",), ["fine_tune.lr_factor"]),
    ],
)
def test_a_fine_tuning_that_cannot_be_is_one_sentence(
    here: Command, trained: str, arguments: tuple[str, ...], parts: list[str]
) -> None:
    here("train", *QUICK, f"checkpoint={trained}", *arguments).refused(*parts)


def test_a_checkpoint_that_is_not_there_is_one_sentence(here: Command, data: Path) -> None:
    here("train", *QUICK, "checkpoint=nowhere").refused("checkpoint=nowhere", "neither a folder")
