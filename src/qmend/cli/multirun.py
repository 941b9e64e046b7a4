"""A Hydra multirun as its cells see it, in this process or in others.

The driver opens the parent run and tells each cell, through Hydra's callback, what it belongs
to; each cell writes down what happens to it, in a file of its own. So the launcher may run cells
one after the other here or several at once elsewhere, and a worker may die before it reports.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from qmend.cli.terminal import epoch_note
from qmend.processes import end_with, process_identity
from qmend.runs.cells import Cell, Outcome
from qmend.tracking.location import local_folder, store_root
from qmend.training.observer import TrainingObserver
from qmend.types import QmendError
from qmend.workflows.observer import Observer

if TYPE_CHECKING:
    from qmend.cli.multirun_driver import Multirun

# For ``hydra.sweep.dir``: a server's address is no directory.
OmegaConf.register_new_resolver(
    "store_folder", lambda root: str(local_folder(store_root(root))), replace=True
)

#: File in a :attr:`Sweep.folder`; where it is, no further cell starts.
STOP = "stop"
#: Seconds between two reports of progress.
_PAUSE = 0.5


@dataclass(frozen=True)
class Sweep:
    """The facts that each cell gets.

    Attributes:
        folder: where each reports; of this multirun alone.
        varying: keys of the overrides that vary.
        driver: identity of the process that started the command.
    """

    parent: str
    folder: Path
    varying: tuple[str, ...]
    driver: str


def report_file(folder: Path, number: int) -> Path:
    """Name the file of a cell's events, one JSON object a line."""
    return folder / f"{number}.jsonl"


@dataclass(frozen=True)
class Reporter:
    """Writes the events of a cell for the driver to show."""

    file: Path

    def write(self, event: str, **values: Any) -> None:
        with self.file.open("a") as file:
            file.write(json.dumps({"event": event, **values}) + "\n")


class CellObserver(Observer):
    """Report to the driver, which alone has the terminal."""

    def __init__(self, reporter: Reporter) -> None:
        self.reporter = reporter

    def message(self, sentence: str) -> None:
        self.reporter.write("message", text=sentence)

    @contextmanager
    def circuits(self, title: str = "circuits") -> Iterator[Callable[[int, int], None]]:
        report = self._progress(title)
        started = False

        def update(done: int, total: int) -> None:
            nonlocal started
            if not started and done < total:
                self.message(f"{title}: {done:,} of {total:,} ...")
            started = True
            report(done, total, "")

        yield update

    @contextmanager
    def training(self, name: str, epochs: int) -> Iterator[TrainingObserver]:
        report = self._progress("epochs", main=True)
        report(0, epochs, "")
        yield TrainingObserver(
            lambda done, total, values: report(done, total, epoch_note(values)),
            self.message,
            check=_raise_interrupt,
        )

    def _progress(self, title: str, *, main: bool = False) -> Callable[[int, int, str], None]:
        """Return a function that reports at most twice a second, but always the end.

        Args:
            main: it is most of the cell's work.
        """
        last = -_PAUSE

        def report(done: int, total: int, note: str) -> None:
            nonlocal last
            if not main:  # a training is asked between its batches
                _raise_interrupt()
            now = time.monotonic()
            if now - last >= _PAUSE or done == total:
                last = now
                values = {"done": done, "total": total, "main": main, "note": note}
                self.reporter.write("progress", text=title, **values)

        return report


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
#: Identity of the driver, in a worker; the observer of its present cell.
_following: list[str] = []
_observers: list[CellObserver] = []
#: Cells of this worker that were interrupted.
_interrupts: list[Cell] = []


def current_cell() -> Cell | None:
    """Return the cell of this process; None outside a multirun."""
    return _cell[-1] if _cell else None


def cell_observer() -> CellObserver | None:
    """Return the observer of this worker's cell; None where the terminal is this process's."""
    return _observers[-1] if _observers else None


def is_stopping() -> bool:
    """Tell whether this worker's cell was interrupted, or is not to start any more."""
    return bool(_following) and (not _cell or bool(_interrupts))


def end_multirun(error: BaseException | None) -> None:
    """Print the table of a multirun and end its run, whether it came to its own end or not.

    Raises:
        FailedCellsError: if it did, and a cell failed.
    """
    _cell.clear()
    while _open:
        _open.pop().end(error)


class SeparateData(Callback):
    """Hydra's callback that refuses a multirun whose cells would replace each other's data."""

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        from qmend.cli.swept_data import check_swept_data

        try:
            check_swept_data(config)
        except QmendError as error:
            raise CallbackError(error) from None


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
        reporter = Reporter(report_file(self.sweep.folder, config.hydra.job.num))
        if process_identity() != self.sweep.driver:
            _follow(self.sweep.driver)
            if _interrupts or (self.sweep.folder / STOP).exists():
                return
            _observers[:] = [CellObserver(reporter)]
        name = varying_overrides(list(config.hydra.overrides.task), self.sweep.varying)
        _cell[:] = [Cell(self.sweep.parent, " ".join(name))]
        self._report(reporter, "start", process=process_identity())

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **_: Any) -> None:
        _cell.clear()
        result = job_return._return_value
        if self.sweep is not None and isinstance(result, Outcome):
            reporter = Reporter(report_file(self.sweep.folder, config.hydra.job.num))
            self._report(reporter, "end", **asdict(result))

    def _report(self, reporter: Reporter, event: str, **values: Any) -> None:
        reporter.write(event, **values)
        if _open:
            _open[-1].board.read()


def varying_overrides(overrides: Sequence[str], keys: Sequence[str]) -> list[str]:
    return [text for text in overrides if text.partition("=")[0] in keys]


def _follow(driver: str) -> None:
    """Make this worker end with the driver, even by SIGKILL, and interrupt its cell at SIGTERM."""
    if _following:
        return
    _following.append(driver)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ctrl-C reaches the driver, which tells workers
    signal.signal(signal.SIGTERM, _interrupt_cell)
    end_with(driver)


def _interrupt_cell(*_: Any) -> None:
    if _cell:
        _interrupts.append(_cell[-1])
        _raise_interrupt()


def _raise_interrupt() -> None:
    """Raise the cell's interrupt, the first of which a library's callback may have lost."""
    if _interrupts:
        raise KeyboardInterrupt
