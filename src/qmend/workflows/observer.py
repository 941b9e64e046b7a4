"""Who watches the work of a command: progress and messages as one object."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from qmend.training.observer import TrainingObserver
from qmend.types import Progress

if TYPE_CHECKING:  # imports MLflow, and every command that prints needs this file
    from qmend.tuning.record import Trial


class Observer:
    """Watch datasets being made and networks being trained; this one does so in silence."""

    def message(self, sentence: str) -> None:
        """Take one sentence for a person."""

    def step(self, title: str) -> None:
        """Take the title of the step that begins."""

    @contextmanager
    def circuits(self, title: str = "circuits") -> Iterator[Progress]:
        """Watch circuits being made or read."""
        yield lambda done, total: None

    @contextmanager
    def training(self, name: str, epochs: int) -> Iterator[TrainingObserver]:
        """Watch a training of at most so many epochs."""
        yield TrainingObserver(message=self.message)

    @contextmanager
    def search(self, trials: int, epochs: int) -> Iterator[Callable[[Trial], None]]:
        """Watch a search of so many trials: each is reported whenever it changes."""
        yield lambda trial: None
