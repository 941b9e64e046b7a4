"""The terminal: a console, and progress bars."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from qmend.training.observer import TrainingObserver

if TYPE_CHECKING:  # they take seconds to import, and every command prints
    from qmend.generation.generate import Generation
    from qmend.workflows.configs import CommonConfig

#: Wide enough for the table where the output is no terminal.
_FILE_WIDTH = 120
console = Console(highlight=False, width=None if sys.stdout.isatty() else _FILE_WIDTH)


_bars = [True]


def without_bars() -> None:
    """Show no progress bars from now on: this process is not alone in the terminal."""
    _bars.clear()


@contextmanager
def _bar() -> Iterator[Progress]:
    with Progress(
        TextColumn("  {task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
        disable=not _bars,
    ) as progress:
        yield progress


@contextmanager
def circuits_progress(what: str = "circuits") -> Iterator[Callable[[int, int], None]]:
    """Show a bar over circuits that starts again with each dataset."""
    with _bar() as progress:
        bars: list[TaskID] = []  # none before the config has proved possible

        def update(done: int, total: int) -> None:
            if not bars:
                bars.append(progress.add_task(what, total=total, note=""))
            progress.update(bars[0], completed=done, total=total)

        yield update


def generate_with_progress(config: CommonConfig, wait: bool = False) -> Generation:
    """Generate or reuse a dataset under a progress bar, and report it.

    Args:
        wait: for another process that makes it, in place of refusing.
    """
    from qmend.generation.generate import generate

    folder = config.dataset_folder
    with circuits_progress() as progress:
        done = generate(
            config.simulated,
            config.device,
            folder,
            config.data.workers,
            progress,
            config.data.replace,
            (config.data.ray_address or "auto") if config.data.executor == "ray" else None,
            wait,
        )
    manifest = done.manifest
    word = f"made {done.circuits_made:,} circuits" if done.circuits_made else "reused"
    console.print(
        f"  {folder}: {word}; {manifest.rows:,} rows in {len(manifest.shards)} shards, "
        f"hash {manifest.dataset_sha}"
    )
    return done


@contextmanager
def epoch_progress(name: str, epochs: int) -> Iterator[TrainingObserver]:
    """Show a bar over epochs with the validation figure beside it, and messages above."""
    with _bar() as progress:
        bar = progress.add_task(f"{name} epochs", total=epochs, note="")

        def update(done: int, total: int, values: dict[str, float]) -> None:
            note = f"val L1RC {values['val/l1rc_median']:+.3f}"
            progress.update(bar, completed=done, total=total, note=note)

        def message(sentence: str) -> None:
            console.print(f"  {sentence}", markup=False)

        yield TrainingObserver(update, message)
