"""The Lightning module that trains any architecture with any loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from qmend import metrics
from qmend.encodings.batch import Batch
from qmend.models.base import Architecture
from qmend.training.config import OptimizerConfig
from qmend.training.losses import Loss
from qmend.types import QmendError

_PLATEAU_PATIENCE = 10
_SHORT_TRAINING = 20  # steps


class MitigationModule(pl.LightningModule):
    """Minimise a loss between mitigated and ideal distributions.

    Logs each epoch ``train/loss``, ``val/loss`` and ``val/l1rc_median``.

    Args:
        ema: decay of the moving average of the weights, which is then what is validated.
    """

    def __init__(
        self,
        model: Architecture,
        loss: Loss,
        optimizer: OptimizerConfig,
        total_steps: int,
        ema: float | None = None,
    ) -> None:
        super().__init__()
        self.model, self.loss, self.optimizer_config = model, loss, optimizer
        self.total_steps = total_steps
        self.average = None if ema is None else AveragedModel(model, multi_avg_fn=_moving(ema))
        self._changes: list[np.ndarray] = []

    @property
    def validated(self) -> torch.nn.Module:
        """The network that is validated and kept: the average, if there is one."""
        return self.model if self.average is None else self.average.module

    def training_step(self, batch: Batch, _: int) -> Tensor:
        mitigated = self.model(batch.unlabelled()).float()
        loss = self.loss(mitigated, batch.labels, batch.noisy)
        self.log("train/loss", loss, on_step=False, on_epoch=True, batch_size=len(batch))
        return loss

    def on_train_batch_end(self, *_: Any) -> None:
        if self.average is not None:
            self.average.update_parameters(self.model)

    def validation_step(self, batch: Batch, _: int) -> None:
        mitigated = self.validated(batch.unlabelled()).float()
        if not torch.isfinite(mitigated).all():
            raise QmendError(
                f"The network's output is no number after epoch {self.current_epoch + 1}: its "
                "weights have grown beyond bounds; lower optimizer.lr or trainer.gradient_clip."
            )
        loss = self.loss(mitigated, batch.labels, batch.noisy)
        self.log("val/loss", loss, batch_size=len(batch))
        rows = (batch.labels, batch.noisy, mitigated)
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


def _moving(decay: float) -> Callable[[Any, Any, Any], None]:
    """Make the update of an exponential moving average of the weights.

    a <- d a + (1 - d) w with d = min(decay, (1 + t) / (10 + t)) at step t of the average.
    Torch starts the average with the weights after the first step. A constant decay would keep
    those for 1 / (1 - decay) steps; here 0.9 of the weight is younger than about t / 4 steps.
    """

    def update(averaged: list[Tensor], current: list[Tensor], count: Tensor) -> None:
        t = int(count)
        torch._foreach_lerp_(averaged, current, 1 - min(decay, (1 + t) / (10 + t)))

    return update
