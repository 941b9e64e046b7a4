"""A training that was stopped and resumed gives, bit for bit, what an uninterrupted one gives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import qmend.training.state as state_module
import qmend.training.train as train_module
from qmend.training.config import TrainingConfig
from qmend.training.data import encode
from qmend.training.observer import TrainingObserver
from qmend.training.state import STATE, claim, read_state, write_state
from qmend.training.train import Trained

DROPOUT = {
    "name": "perceiver",
    "latents": 2,
    "width": 8,
    "depth": 1,
    "cross_heads": 2,
    "self_heads": 2,
    "dropout": 0.2,
}
#: What a state has to hold, each in one case at least; the last ends by its patience.
CASES = {
    "average and one cycle": {"ema": 0.9, "schedule": "one_cycle"},
    "plateau": {"schedule": "plateau", "lr": 0.3, "max_epochs": 16},
    "median kept, half precision": {"monitor": "val/l1rc_median", "precision": "bf16-mixed"},
    "early stop": {"schedule": "constant", "lr": 0.5, "patience": 4, "max_epochs": 30},
}


class StoppedError(Exception):
    """Raised in the middle of a training."""


def train(
    data, state: Path | None = None, stop_after: int = 0, said=None, error=StoppedError, **fields
):
    """Train for 8 epochs, or break off after some."""
    epochs = []

    def progress(done: int, total: int, values: dict[str, float]) -> None:
        epochs.append(done)
        if done == stop_after:
            raise error

    check = fields.pop("check", None)
    optimizer = {k: fields.pop(k) for k in ("lr", "schedule") if k in fields}
    seed = fields.pop("seed", 0)
    start = fields.pop("start", None)
    progress = fields.pop("progress", progress)
    trainer = {"max_epochs": 8, "batch_size": 24, "threads": 1, "save_every_seconds": 0.0}
    config = TrainingConfig(
        model=DROPOUT,
        loss={"name": "kl"},
        optimizer={"lr": 0.01, **optimizer},
        trainer={**trainer, **fields},
        seed=seed,
    )
    said = [] if said is None else said
    observer = TrainingObserver(progress, said.append, check=check)
    encoded = encode(config, data, start)
    trained = train_module.train(config, encoded, start=start, state=state, observer=observer)
    return trained, epochs


def stopped(data, state: Path, after: int, **fields) -> None:
    with pytest.raises(StoppedError):
        train(data, state, stop_after=after, **fields)


def assert_same(first: Trained, second: Trained) -> None:
    assert first.history == second.history
    weights = second.model.network.state_dict()
    for name, value in first.model.network.state_dict().items():
        assert torch.equal(value, weights[name]), name


@pytest.mark.parametrize("case", CASES)
def test_an_interrupted_training_ends_as_an_uninterrupted_one(tiny, tmp_path, case):
    """Stopped twice, the second time within the first epoch after it was resumed."""
    fields = CASES[case]
    whole, epochs = train(tiny, **fields)
    stopped(tiny, tmp_path, 5, **fields)
    stopped(tiny, tmp_path, 5, **fields)
    said: list[str] = []
    resumed, rest = train(tiny, tmp_path, said=said, **fields)
    assert rest == epochs[4:]
    assert said == [f"Resumes after epoch 4 of {fields.get('max_epochs', 8)}."]
    assert_same(resumed, whole)
    if case == "early stop":
        assert len(epochs) < 30
    if case == "plateau":
        assert read_state(tmp_path).state["optimizer"]["param_groups"][0]["lr"] < 0.3


@pytest.mark.parametrize("error", [KeyboardInterrupt, StoppedError])
def test_an_interrupt_or_error_saves_up_to_the_last_whole_epoch(tiny, tmp_path, monkeypatch, error):
    """However long ago the state was written: here never."""
    monkeypatch.setattr(state_module, "_COPY_PAUSE", 0)
    fields = {**CASES["average and one cycle"], "save_every_seconds": 1000.0}
    said: list[str] = []
    with pytest.raises(error):
        train(tiny, tmp_path, stop_after=6, said=said, error=error, **fields)
    assert said == (["Saved after epoch 5 of 8."] if error is KeyboardInterrupt else [])
    resumed, rest = train(tiny, tmp_path, **fields)
    assert rest == [6, 7, 8]
    assert_same(resumed, train(tiny, **fields)[0])


@pytest.mark.parametrize("batches", [0, 1])
def test_a_training_that_is_asked_to_end_keeps_the_epoch_it_has_just_reported(
    tiny, tmp_path, monkeypatch, batches
):
    """At the next epoch's start, or in the middle of that epoch."""
    monkeypatch.setattr(state_module, "_COPY_PAUSE", 0)
    fields = {**CASES["average and one cycle"], "save_every_seconds": 1000.0}
    done, asked = [0], [0]

    def progress(epoch: int, total: int, values: dict[str, float]) -> None:
        done[0] = epoch

    def check() -> None:
        asked[0] += done[0] == 5
        if asked[0] > 2 * batches:  # asked at the epoch's start, then at the first batch's
            raise StoppedError

    with pytest.raises(StoppedError):
        train(tiny, tmp_path, progress=progress, check=check, **fields)
    assert done == [5]
    resumed, rest = train(tiny, tmp_path, **fields)
    assert rest == [6, 7, 8]
    assert_same(resumed, train(tiny, **fields)[0])


def test_an_interrupt_while_the_state_is_written_saves_it(tiny, tmp_path, monkeypatch):
    """Before the fifth file is moved to its place."""
    fields = CASES["average and one cycle"]
    moved = []

    def interrupted(source: Path, target: Path) -> None:
        moved.append(target)
        if len(moved) == 5:
            raise KeyboardInterrupt
        os.rename(source, target)

    monkeypatch.setattr(state_module.os, "replace", interrupted)
    said: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        train(tiny, tmp_path, said=said, **fields)
    assert said == ["Saved after epoch 5 of 8."]
    resumed, rest = train(tiny, tmp_path, **fields)
    assert rest == [6, 7, 8]
    assert_same(resumed, train(tiny, **fields)[0])


def test_a_state_that_could_not_be_written_is_saved_at_an_error(tiny, tmp_path):
    """As after a disk was full for a while."""
    fields = CASES["average and one cycle"]
    in_the_way = tmp_path / f".{STATE}.part"

    def progress(done: int, total: int, values: dict[str, float]) -> None:
        if done == 3:
            in_the_way.mkdir()
        if done == 6:
            in_the_way.rmdir()
            raise StoppedError

    with pytest.raises(StoppedError):
        train(tiny, tmp_path, progress=progress, **fields)
    resumed, rest = train(tiny, tmp_path, **fields)
    assert rest == [6, 7, 8]
    assert_same(resumed, train(tiny, **fields)[0])


def test_a_finished_training_is_not_trained_again(tiny, tmp_path):
    """As after a kill while the model is scored."""
    fields = CASES["early stop"]
    whole, _ = train(tiny, tmp_path, **fields)
    again, epochs = train(tiny, tmp_path, **fields)
    assert epochs == []
    assert_same(again, whole)


#: A training in a process of its own, killed by itself as the system would.
KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
import test_resume
from qmend.datasets.table import load_dataset

def progress(done, total, values):
    if done == 5:
        os.kill(os.getpid(), signal.SIGKILL)

test_resume.train(load_dataset(Path(sys.argv[1])), Path(sys.argv[2]), ema=0.9, progress=progress)
"""


def test_a_killed_training_ends_as_an_uninterrupted_one(tiny, tiny_folder, tmp_path):
    here = str(Path(__file__).parent)
    process = subprocess.run(
        [sys.executable, "-c", KILLED, str(tiny_folder), str(tmp_path), here],
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert process.returncode == -signal.SIGKILL, process.stderr
    resumed, epochs = train(tiny, tmp_path, ema=0.9)
    assert epochs == [5, 6, 7, 8]
    whole, _ = train(tiny, ema=0.9)
    assert_same(resumed, whole)


@pytest.mark.parametrize(
    "other", [{"seed": 1}, {"lr": 0.02}, {"ema": 0.5}, {"batch_size": 12}, {"max_epochs": 9}]
)
def test_a_state_of_another_training_is_not_used(tiny, tmp_path, other):
    stopped(tiny, tmp_path, 2)
    said: list[str] = []
    found, epochs = train(tiny, tmp_path, said=said, **other)
    (sentence,) = said
    assert "belongs to another training" in sentence
    assert epochs[0] == 1
    assert_same(found, train(tiny, **other)[0])


def test_a_state_on_other_data_or_weights_is_not_used(tiny, tmp_path):
    stopped(tiny, tmp_path, 2)
    fewer = tiny.select([np.arange(80)], "less")
    for data, start in ((fewer, None), (tiny, train(tiny, max_epochs=1)[0].model)):
        said: list[str] = []
        stopped(data, tmp_path, 1, start=start, said=said)
        assert "belongs to another training" in said[0]


def test_how_often_the_state_is_written_may_change(tiny, tmp_path):
    stopped(tiny, tmp_path, 3)
    _, epochs = train(tiny, tmp_path, save_every_seconds=1000.0)
    assert epochs[0] == 3


def flip(path: Path, at: float) -> None:
    content = bytearray(path.read_bytes())
    content[int(at * len(content))] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        lambda f: flip(f, 0.5),
        lambda f: flip(f, 0.0),
        lambda f: f.write_bytes(f.read_bytes()[:-100]),
        lambda f: f.write_bytes(b""),
    ],
    ids=["bit", "digest", "cut", "empty"],
)
def test_a_damaged_state_is_not_used(tiny, tmp_path, damage):
    write_state(tmp_path, {"identity": "x", "epochs": 3, "tensor": torch.arange(1000)})
    assert read_state(tmp_path).state["epochs"] == 3
    damage(tmp_path / STATE)
    assert read_state(tmp_path).state is None
    said: list[str] = []
    stopped(tiny, tmp_path, 1, said=said)
    assert said == [f"The state in {tmp_path} is not used, as it is damaged: starts again."]


def test_no_object_is_made_of_a_state(tmp_path):
    """A file with a right digest that would run something when unpickled."""
    marker = tmp_path / "was here"

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(marker),)

    write_state(tmp_path, {"identity": Evil()})
    assert read_state(tmp_path).reason == "it is damaged"
    assert not marker.exists()


def test_a_state_of_other_packages_is_not_used(tmp_path):
    write_state(tmp_path, {"packages": {"torch": "1.0"}})
    assert "other versions" in read_state(tmp_path).reason


def test_a_folder_without_a_state_is_nothing_to_talk_about(tmp_path):
    found = read_state(tmp_path)
    assert (found.state, found.reason) == (None, "")


def test_a_state_that_cannot_be_written_does_not_stop_a_training(tiny, tmp_path):
    (tmp_path / f".{STATE}.part").mkdir()  # in the way
    said: list[str] = []
    model, _ = train(tiny, tmp_path, said=said, max_epochs=3)
    (sentence,) = said
    assert "could not be written" in sentence
    assert_same(model, train(tiny, max_epochs=3)[0])


def test_only_one_process_holds_a_folder(tmp_path):
    """The lock goes with whoever holds it, and with the folder."""
    folder = tmp_path / "state"
    with claim(folder) as first, claim(folder) as second:
        assert (first, second) == (folder, None)
    with claim(folder) as third:
        assert third == folder
        folder.rmdir()
        with claim(folder) as new:  # a training of the same config begins again meanwhile
            assert new == folder
