"""A callback that asks, between batches, whether a training is to end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pytorch_lightning.callbacks import Callback


class CheckBetweenBatches(Callback):
    """Call a function at the start of each epoch and each batch; its error ends the training."""

    def __init__(self, check: Callable[[], None]) -> None:
        self.check = check

    def on_train_epoch_start(self, *_: Any) -> None:
        self.check()

    def on_train_batch_start(self, *_: Any) -> None:
        self.check()

    def on_validation_batch_start(self, *_: Any) -> None:
        self.check()
