"""The Lightning module that trains any architecture with any loss."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from qmend import metrics
from qmend.datasets.tensors import Batch
from qmend.models.base import Architecture, Inputs
from qmend.training.config import OptimizerConfig
from qmend.training.losses import Loss

_PLATEAU_PATIENCE = 10
_SHORT_TRAINING = 20  # steps


def model_inputs(batch: Batch) -> Inputs:
    """The part of a batch that a model may see."""
    return Inputs(**{name: batch[name] for name in Inputs.__dataclass_fields__})


class MitigationModule(pl.LightningModule):
    """Minimises a loss between mitigated and ideal distributions.

    Logs each epoch ``train/loss``, ``val/loss`` and ``val/l1rc_median``.
    """

    def __init__(
        self, model: Architecture, loss: Loss, optimizer: OptimizerConfig, total_steps: int
    ) -> None:
        super().__init__()
        self.model, self.loss, self.optimizer_config = model, loss, optimizer
        self.total_steps = total_steps
        self._changes: list[np.ndarray] = []

    def training_step(self, batch: Batch, _: int) -> Tensor:
        loss = self.loss(self.model(model_inputs(batch)), batch["ideal"], batch["noisy"])
        self.log("train/loss", loss, on_step=False, on_epoch=True, batch_size=len(batch["ideal"]))
        return loss

    def validation_step(self, batch: Batch, _: int) -> None:
        mitigated = self.model(model_inputs(batch))
        loss = self.loss(mitigated, batch["ideal"], batch["noisy"])
        self.log("val/loss", loss, batch_size=len(batch["ideal"]))
        rows = (batch["ideal"], batch["noisy"], mitigated)
        self._changes.append(metrics.l1rc(*(r.double().cpu().numpy() for r in rows)))

    def on_validation_epoch_end(self) -> None:
        self.log("val/l1rc_median", metrics.median_l1rc(np.concatenate(self._changes)))
        self._changes.clear()

    def configure_optimizers(self) -> Any:
        config = self.optimizer_config
        optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=config.lr, weight_decay=config.weight_decay
        )
        if config.schedule == "one_cycle":
            cycle = torch.optim.lr_scheduler.OneCycleLR(
                optimizer,
                max_lr=config.lr,
                total_steps=self.total_steps,
                # A tenth of a very short training is no whole step.
                pct_start=0.1 if self.total_steps > _SHORT_TRAINING else 0.3,
            )
            return [optimizer], [{"scheduler": cycle, "interval": "step"}]
        if config.schedule == "plateau":
            plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
                optimizer, factor=0.5, patience=_PLATEAU_PATIENCE
            )
            return [optimizer], [{"scheduler": plateau, "monitor": "val/loss"}]
        return optimizer
