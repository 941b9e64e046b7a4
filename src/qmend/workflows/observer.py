"""Observe the work of a command: its progress and messages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from qmend.training.observer import TrainingObserver
from qmend.types import Progress

if TYPE_CHECKING:  # imports MLflow, and every command that prints needs this file
    from qmend.tuning.record import Trial


class Observer:
    """An observer of datasets, trainings and searches that shows nothing."""

    def message(self, sentence: str) -> None:
        """Take a sentence for the user."""

    def step(self, title: str) -> None:
        """Take the title of a step that begins."""

    def stage(self, name: str) -> None:
        """Take the name of a stage that begins inside a step, for a log."""

    @contextmanager
    def circuits(self, title: str = "circuits") -> Iterator[Progress]:
        """Observe circuits being made or read."""
        yield lambda done, total: None

    @contextmanager
    def training(self, name: str, epochs: int) -> Iterator[TrainingObserver]:
        """Observe a training of at most so many epochs."""
        yield TrainingObserver(message=self.message)

    @contextmanager
    def search(self, trials: int, epochs: int) -> Iterator[Callable[[Trial], None]]:
        """Observe a search: a trial is reported whenever it changes."""
        yield lambda trial: None


def announce_new(observer: Observer, what: str, root: Path | str) -> None:
    """Say where data or runs will be kept, once: where the directory is not there yet.

    Args:
        root: a directory, or a server's address, which is no news.
    """
    if isinstance(root, Path) and not root.exists():
        observer.message(f"{what} are kept in {root.resolve()}, a new directory.")
