"""Callbacks of a training: progress, messages and loggers as one object."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # takes seconds to import, and every command that shows progress needs this file
    from pytorch_lightning.loggers import Logger

#: Takes epochs done, epochs at most and the epoch's metrics; True ends the training.
EpochProgress = Callable[[int, int, dict[str, float]], bool | None]
#: Takes one sentence for a person.
Message = Callable[[str], None]


@dataclass(frozen=True)
class TrainingObserver:
    """Callbacks while a network trains; by default they do nothing.

    Attributes:
        epoch: called after each epoch.
        check: called at the start of each epoch and batch; an error that it raises ends the
            training, which keeps its last whole epoch.
        message: called with a sentence on the state of a stopped training.
        loggers: get every epoch's metrics.
    """

    epoch: EpochProgress = lambda done, total, values: None
    message: Message = lambda sentence: None
    check: Callable[[], None] | None = None
    loggers: tuple[Logger, ...] = ()
