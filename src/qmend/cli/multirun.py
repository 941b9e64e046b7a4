"""A Hydra multirun as its cells see it, in this process or in others.

The driver opens the parent run and tells each cell, through Hydra's callback, what it belongs
to; each cell leaves one small file with its outcome. So the launcher may run cells one after the
other here or several at once elsewhere, and a worker may die before it reports.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from qmend.cli.terminal import without_bars
from qmend.processes import end_with, process_identity
from qmend.runs.cells import Cell, Outcome

if TYPE_CHECKING:
    from qmend.cli.multirun_driver import Multirun


@dataclass(frozen=True)
class Sweep:
    """The facts that each cell gets.

    Attributes:
        folder: where each leaves its outcome.
        varying: keys of the overrides that vary.
        driver: identity of the process that started the command.
    """

    parent: str
    folder: Path
    varying: tuple[str, ...]
    driver: str


class CallbackError(BaseException):
    """Take an error past Hydra, which only warns of errors in a callback."""

    def __init__(self, error: Exception) -> None:
        self.error = error


@contextmanager
def reraise_callback_error() -> Iterator[None]:
    """Raise the error inside a :class:`CallbackError`."""
    try:
        yield
    except CallbackError as outer:
        raise outer.error from None


_cell: list[Cell] = []
_open: list[Multirun] = []


def current_cell() -> Cell | None:
    """Return the cell of this process; None outside a multirun."""
    return _cell[-1] if _cell else None


def end_multirun(error: BaseException | None) -> None:
    """Print the table of a multirun and end its run, whether it came to its own end or not.

    Raises:
        FailedCellsError: if it did, and a cell failed.
    """
    _cell.clear()
    while _open:
        _open.pop().end(error)


class ParentRun(Callback):
    """Hydra's callback: in the driver for the whole multirun, in each cell's process for the cell.

    Hydra sends it along to other processes, so it holds plain values alone.
    """

    def __init__(self) -> None:
        self.sweep: Sweep | None = None

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        try:
            from qmend.cli.multirun_driver import Multirun  # MLflow loads slowly

            multirun = Multirun(config)
        except Exception as error:
            raise CallbackError(error) from None
        _open.append(multirun)
        self.sweep = multirun.sweep

    def on_job_start(self, config: DictConfig, **_: Any) -> None:
        if self.sweep is None:
            return
        if process_identity() != self.sweep.driver:
            _follow(self.sweep.driver)
        name = varying_overrides(list(config.hydra.overrides.task), self.sweep.varying)
        _cell[:] = [Cell(self.sweep.parent, " ".join(name))]

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **_: Any) -> None:
        _cell.clear()
        result = job_return._return_value
        if self.sweep is not None and isinstance(result, Outcome):
            part = self.sweep.folder / f".{config.hydra.job.num}.part"
            part.write_text(json.dumps(asdict(result)))
            part.rename(self.sweep.folder / f"{config.hydra.job.num}.json")


def varying_overrides(overrides: Sequence[str], keys: Sequence[str]) -> list[str]:
    return [text for text in overrides if text.partition("=")[0] in keys]


_following: list[str] = []


def _follow(driver: str) -> None:
    """Make this worker end with the driver, even by SIGKILL, and leave the terminal to it."""
    if _following:
        return
    _following.append(driver)
    without_bars()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ctrl-C reaches the driver, which ends workers
    end_with(driver)
