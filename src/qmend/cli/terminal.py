"""The terminal: a console, and progress bars."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from qmend.training.observer import TrainingObserver
from qmend.workflows.observer import Observer

if TYPE_CHECKING:  # takes seconds to import, and every command prints
    from qmend.tuning.record import Trial

#: Wide enough for the table where the output is no terminal.
_FILE_WIDTH = 120
#: Prints texts as they are: names of runs, paths and values may hold brackets and colons.
console = Console(
    highlight=False,
    markup=False,
    emoji=False,
    width=None if sys.stdout.isatty() else _FILE_WIDTH,
)


def warn(sentence: str) -> None:
    """Print a warning."""
    console.print(Text.assemble("  ", ("Warning", "bold red"), f": {sentence}"))


def progress_bars(*, transient: bool = False) -> Progress:
    """Make bars with a description, counts, times and a note each.

    Args:
        transient: they disappear at the end.
    """
    return Progress(
        TextColumn("  {task.description}", markup=False),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        console=console,
        transient=transient,
    )


def epoch_note(values: Mapping[str, float]) -> str:
    """Write an epoch's figure beside a bar."""
    return f"val L1RC {values['val/l1rc_median']:+.3f}"


class TerminalObserver(Observer):
    """Print messages; show progress bars in a terminal, else a line for each stage's start."""

    def message(self, sentence: str) -> None:
        console.print(f"  {sentence}")

    def step(self, title: str) -> None:
        console.print(title, style="bold")

    def stage(self, name: str) -> None:
        if not console.is_terminal:  # where there is one, a bar shows it
            console.print(f"  {name} ...")

    @contextmanager
    def circuits(self, title: str = "circuits") -> Iterator[Callable[[int, int], None]]:
        with progress_bars() as progress:
            bars: list[TaskID] = []  # none before the config has proved possible

            def update(done: int, total: int) -> None:
                if not bars:
                    if done < total:
                        self.stage(f"{title}: {done:,} of {total:,}")
                    bars.append(progress.add_task(title, total=total, note=""))
                progress.update(bars[0], completed=done, total=total)

            yield update

    @contextmanager
    def training(self, name: str, epochs: int) -> Iterator[TrainingObserver]:
        self.stage(f"{name}: at most {epochs:,} epochs")
        with progress_bars() as progress:
            bar = progress.add_task(f"{name} epochs", total=epochs, note="")

            def update(done: int, total: int, values: dict[str, float]) -> None:
                progress.update(bar, completed=done, total=total, note=epoch_note(values))

            yield TrainingObserver(update, self.message)

    @contextmanager
    def search(self, trials: int, epochs: int) -> Iterator[Callable[[Trial], None]]:
        from qmend.cli.trials import TrialBoard

        board = TrialBoard(trials, epochs)
        if not console.is_terminal:
            self.stage(f"{trials} trials of at most {epochs:,} epochs")
            yield board.watch
            return
        with Live(board.table(), console=console, refresh_per_second=4, transient=True) as live:
            board.live = live
            yield board.watch
