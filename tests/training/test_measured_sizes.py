"""One set of weights for circuits that measure different numbers of qubits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qmend import metrics
from qmend.datasets.table import Dataset
from qmend.mitigation.learned import LearnedMitigator
from qmend.models.base import model_config
from qmend.training.config import OnlineConfig, TrainingConfig
from qmend.training.data import encode
from qmend.training.train import train
from qmend.types import QmendError

OPERATOR = {"name": "walsh_operator", "encoding": "paths", "channels": 4, "blocks": 1}
ONLINE = {
    "circuits": 24,
    "epochs_per_draw": 1,
    "noise": "dataset",
    "strength": (1.0, 1.0),
    "with_stored": True,
    "workers": 0,
}


def config(online: dict | None = None) -> TrainingConfig:
    return TrainingConfig(
        model=model_config(OPERATOR),
        loss={"name": "l1"},
        optimizer={"lr": 0.01},
        trainer={"max_epochs": 6, "batch_size": 8},
        online=None if online is None else OnlineConfig(**online),
        seed=0,
    )


def change(dataset: Dataset, mitigator: LearnedMitigator) -> float:
    after, before = [], []
    for part in dataset.parts("test"):
        after.append(metrics.l1(mitigator.mitigate(part.circuits), part.ideal))
        before.append(metrics.l1(part.circuits.noisy, part.ideal))
    return float(np.concatenate(after).mean() / np.concatenate(before).mean() - 1)


@pytest.mark.parametrize("resample", [None, "circuits", "noise"])
def test_an_operator_learns_from_all_sizes_at_once(partly_measured, resample):
    """From stored circuits, with new ones beside them, and with their noise drawn again."""
    online = None if resample is None else {**ONLINE, "resample": resample}
    asked = config(online)
    trained = train(asked, encode(asked, partly_measured))
    assert change(partly_measured, LearnedMitigator(trained.model)) < -0.4


def test_a_network_of_one_size_refuses_several(partly_measured, trainings):
    with pytest.raises(QmendError, match="blind_mlp takes circuits of one size that measure all"):
        encode(trainings["blind_mlp"], partly_measured)
    few = partly_measured.groups[0]
    split = np.where(np.arange(len(few)) % 2, "train", "val")
    one = replace(partly_measured, groups=(few,), splits=(split,))
    with pytest.raises(QmendError, match="choose model=walsh_operator"):
        encode(trainings["blind_mlp"], one)
