"""One set of weights for circuits that measure different numbers of qubits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from qmend import metrics
from qmend.datasets.schema import MAX_DENSE_QUBITS
from qmend.datasets.table import Dataset
from qmend.encodings import Batch
from qmend.mitigation.learned import LearnedMitigator
from qmend.models.base import Dimensions, build_model, model_config
from qmend.noise.paths import FEATURES
from qmend.training.config import OnlineConfig, TrainingConfig
from qmend.training.data import encode
from qmend.training.online import OnlineBatches
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


def test_an_epoch_of_a_draw_has_as_many_batches_as_are_said(partly_measured):
    """Whatever sizes its jobs happen to measure; none is larger than asked."""
    asked = config({**ONLINE, "with_stored": False})
    data = encode(asked, partly_measured)
    with OnlineBatches(data.online, data.encoding, True, (), 8, 6, 0) as batches:
        sizes = set()
        for number in range(6):
            parts = list(batches.epoch(number))
            sizes.add(tuple(sorted({part.n_bits for part in parts})))
            assert len(parts) == len(batches) == 6
            assert sum(map(len, parts)) == 24
            assert max(map(len, parts)) <= 8
    assert len(sizes) > 1


def test_an_operator_takes_as_many_bits_as_are_stored_densely():
    model = build_model(model_config(OPERATOR), Dimensions(MAX_DENSE_QUBITS, len(FEATURES), 3))
    size = 2**MAX_DENSE_QUBITS
    given = Batch(
        tokens=torch.rand(2, size, len(FEATURES)),
        mask=torch.ones(2, size, dtype=torch.bool),
        context=torch.rand(2, 3),
        noisy=torch.full((2, size), 1 / size),
        readout=torch.full((2, MAX_DENSE_QUBITS), 0.02),
        shots=torch.full((2, 1), 1000.0),
    )
    torch.testing.assert_close(model(given), given.noisy)
