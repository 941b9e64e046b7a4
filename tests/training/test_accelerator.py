"""A GPU that is not there is told before any work."""

from importlib import import_module

import pytest
import torch

from qmend.types import QmendError
from qmend.workflows.compose import compose


@pytest.fixture(autouse=True)
def _without_gpu(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def refused(command: str, *overrides: str) -> str:
    """The sentence of a command in whose directory nothing appears."""
    with pytest.raises(QmendError) as caught:
        workflow(command)(compose(command, ["dataset=tiny", *overrides]))
    return str(caught.value)


def workflow(command: str):
    return getattr(import_module(f"qmend.workflows.{command}"), command)


def never(*_, **__):
    pytest.fail("the work began")


@pytest.mark.parametrize(
    ("command", "key"),
    [("train", "trainer"), ("tune", "trainer"), ("demo", "trainings.perceiver.trainer")],
)
def test_a_gpu_that_is_not_there_is_told_before_any_work(command, key, tmp_path, monkeypatch):
    monkeypatch.setattr(f"qmend.workflows.{command}.generate", never)
    monkeypatch.setattr(f"qmend.workflows.{command}.open_store", never)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    text = refused(command, f"{key}.accelerator=gpu")
    assert text.startswith("trainer.accelerator=gpu, but torch finds no CUDA GPU here; use ")
    assert "needs a GPU" in refused(command, f"{key}.precision=16-mixed")
    assert list(tmp_path.iterdir()) == []


def test_the_nodes_of_a_cluster_have_their_own(monkeypatch):
    monkeypatch.setattr("qmend.workflows.tune.open_store", lambda _: 1 / 0)
    config = compose("tune", ["dataset=tiny", "trainer.accelerator=gpu", "ray.address=a:1"])
    with pytest.raises(ZeroDivisionError):
        workflow("tune")(config)
