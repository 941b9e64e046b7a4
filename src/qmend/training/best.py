"""A callback that keeps the best epoch's weights and the history of metrics."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from qmend.training.module import MitigationModule
from qmend.training.observer import EpochProgress


class KeepBest(Callback):
    """Keep the validated weights of the best epoch and the history; report progress."""

    def __init__(self, monitor: str, epochs: int, progress: EpochProgress) -> None:
        self.monitor, self.epochs, self.progress = monitor, epochs, progress
        self.best = float("inf")
        self.weights: dict[str, torch.Tensor] | None = None
        self.history: dict[str, list[float]] = {}

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        values = {k: float(v) for k, v in trainer.callback_metrics.items()}
        for name, value in values.items():
            self.history.setdefault(name, []).append(value)
        if values[self.monitor] < self.best:
            self.best = values[self.monitor]
            assert isinstance(pl_module, MitigationModule)
            weights = pl_module.validated.state_dict()
            self.weights = {name: value.detach().cpu().clone() for name, value in weights.items()}
        if self.progress(trainer.current_epoch + 1, self.epochs, values):
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "weights": self.weights, "history": self.history}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best, self.weights = state_dict["best"], state_dict["weights"]
        self.history = state_dict["history"]
