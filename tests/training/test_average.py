"""The moving average of the weights against one computed by hand."""

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

import qmend.training.train as train_module
from qmend.encodings import BatchLoader
from qmend.models.base import Dimensions, build_model, model_config
from qmend.training.config import OptimizerConfig, TrainingConfig
from qmend.training.data import encode, encode_splits
from qmend.training.losses import LOSSES
from qmend.training.module import MitigationModule

BLIND = model_config({"name": "blind_mlp", "width": 8})


def train(tiny, ema, **trainer):
    config = TrainingConfig(
        model=BLIND,
        loss={"name": "kl"},
        optimizer={"lr": 0.03, "schedule": "constant"},
        trainer={"max_epochs": 6, "batch_size": 24, "threads": 1, "ema": ema, **trainer},
    )
    return train_module.train(config, encode(config, tiny))


class Watch(Callback):
    """Copies of the weights and of their average after each step."""

    def __init__(self) -> None:
        self.weights: list[list[np.ndarray]] = []
        self.averages: list[list[np.ndarray]] = []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        if trainer.global_step:
            self.take(pl_module)

    def on_train_end(self, trainer, pl_module) -> None:
        self.take(pl_module)

    def take(self, module: MitigationModule) -> None:
        for place, network in ((self.weights, module.model), (self.averages, module.average)):
            place.append([p.detach().double().numpy().copy() for p in network.parameters()])


@pytest.mark.filterwarnings("ignore:.*LeafSpec", "ignore:.*does not have many workers")
@pytest.mark.parametrize("decay", [0.5, 0.97])
def test_the_average_is_that_by_hand(tiny, decay):
    """d = min(decay, (1 + t) / (10 + t)) for the t-th step after the first, which is copied."""
    batch = encode_splits(BLIND, tiny.parts("train"), tiny.parts("val")).train[0]
    dimensions = Dimensions.of(batch)
    torch.manual_seed(0)
    module = MitigationModule(
        build_model(BLIND, dimensions),
        LOSSES["l1"],
        OptimizerConfig(lr=0.03, schedule="constant"),
        total_steps=1,
        ema=decay,
    )
    watch = Watch()
    loader = BatchLoader(batch, batch_size=16)
    pl.Trainer(
        accelerator="cpu",
        max_epochs=4,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[watch],
        log_every_n_steps=1,
        num_sanity_val_steps=0,
    ).fit(module, loader, BatchLoader(batch, batch_size=96))
    assert len(watch.weights) == 4 * len(loader)
    expected = watch.weights[0]
    for t, weights in enumerate(watch.weights):
        if t:
            d = min(decay, (1 + t) / (10 + t))
            expected = [d * a + (1 - d) * w for a, w in zip(expected, weights, strict=True)]
        for found, by_hand in zip(watch.averages[t], expected, strict=True):
            np.testing.assert_allclose(found, by_hand, atol=1e-6)
    assert not np.allclose(watch.averages[-1][0], watch.weights[-1][0], atol=1e-3)


@pytest.mark.parametrize("monitor", ["val/loss", "val/l1rc_median"])
def test_the_averaged_weights_are_validated_and_kept(tiny, monitor):
    """The network that comes back has the best validation loss of the history."""
    trained = train(tiny, 0.9, monitor=monitor)
    part = tiny.part("val")
    batch = trained.model.encoding(part.circuits, part.ideal)
    with torch.no_grad():
        out = trained.model.network(batch)
    found = LOSSES["kl"](out, batch.labels, batch.noisy).item()
    best = int(np.argmin(trained.history[monitor]))
    assert found == pytest.approx(trained.history["val/loss"][best], rel=1e-5)


def test_an_average_changes_what_is_validated_and_not_how_it_is_trained(tiny):
    plain, averaged = train(tiny, None), train(tiny, 0.9)
    assert plain.history["train/loss"] == averaged.history["train/loss"]
    assert plain.history["val/loss"] != averaged.history["val/loss"]


def test_the_start_is_soon_forgotten(tiny):
    """With a constant decay of 0.9999, twelve steps would leave the average at the start."""
    plain, averaged = train(tiny, None), train(tiny, 0.9999)
    fallen = [m.history["val/loss"][0] - min(m.history["val/loss"]) for m in (plain, averaged)]
    assert fallen[1] > 0.3 * fallen[0] > 0
