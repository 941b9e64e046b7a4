"""A Hydra multirun as its driver sees it: one parent run over all cells."""

from __future__ import annotations

import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
from joblib import effective_n_jobs
from joblib.externals.loky.process_executor import BrokenProcessPool
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from qmend.cli.multirun import STOP, Sweep, varying_overrides
from qmend.cli.multirun_board import Board, CellState
from qmend.cli.swept_data import expand_cells
from qmend.cli.terminal import TerminalObserver, console
from qmend.processes import is_gone, process_identity, terminate
from qmend.reporting.run_tables import cells_table
from qmend.runs.cells import FailedCellsError, Outcome, failure
from qmend.runs.sweeps import log_cells, open_parent, read_record
from qmend.tracking.location import store_root
from qmend.tracking.owner import PROCESS_TAG
from qmend.tracking.run import Run
from qmend.tracking.store import Store, explain_errors, open_store, reconcile
from qmend.types import QmendError
from qmend.workflows.observer import announce_new

#: Seconds that interrupted cells get to save their state, and between two looks at them.
_PATIENCE, _CHECK_SECONDS = 20.0, 0.1


class Multirun:
    """The open parent run, from the first cell to the table at the end."""

    def __init__(self, config: DictConfig) -> None:
        root = store_root(config.tracking.root)
        self.cells, swept = expand_cells(config)
        varying = tuple(text.partition("=")[0] for text in swept)
        processes = _limit_processes(config, len(self.cells))
        at_once = "one after the other" if processes is None else f"{processes} at once"
        counted = "1 cell" if len(self.cells) == 1 else f"{len(self.cells)} cells, {at_once}"
        console.print(f"{counted}: {' '.join(swept)}", style="bold")
        announce_new(TerminalObserver(), "Runs", root)
        self.store = open_store(root)
        # Hydra's relative directories are relative to the directory that the command runs in.
        sweep_dir = Path(config.hydra.sweep.dir).resolve()
        sweep_dir.mkdir(parents=True, exist_ok=True)
        # Another multirun may have had the same directory, or have it now.
        folder = Path(tempfile.mkdtemp(prefix="cells-", dir=sweep_dir))
        plain = OmegaConf.to_container(config, resolve=True)
        assert isinstance(plain, dict)
        shared = {str(key): value for key, value in plain.items() if key != "hydra"}
        shared["sweep"] = sorted(swept)
        name, resume = f"multirun {' '.join(swept)}", bool(shared.get("resume"))
        parent = open_parent(self.store, name, {"kind": "multirun"}, shared, resume=resume)
        self.stack = ExitStack()
        self.run: Run = self.stack.enter_context(parent)
        self.sweep = Sweep(self.run.run_id, folder, varying, process_identity())
        names = [" ".join(varying_overrides(cell, varying)) for cell in self.cells]
        elsewhere = not str(config.hydra.launcher._target_).endswith("BasicLauncher")
        self.board = Board(folder, names, watching=elsewhere)
        if elsewhere:
            self.stack.enter_context(self._stopping_at_signals())

    @contextmanager
    def _stopping_at_signals(self) -> Iterator[None]:
        """Let cells in other processes save their state when this one is interrupted."""
        signals = (signal.SIGINT, signal.SIGTERM)
        handlers = [signal.getsignal(number) for number in signals]

        def stop(*_: Any) -> None:
            for number, handler in zip(signals, handlers, strict=True):
                signal.signal(number, handler)  # a second one ends the command at once
            running = len(self.board.running())
            console.print(f"  Interrupted: {running} running cells save their state.")
            self._stop_cells()
            raise KeyboardInterrupt

        for number in signals:
            signal.signal(number, stop)
        try:
            yield
        finally:
            for number, handler in zip(signals, handlers, strict=True):
                signal.signal(number, handler)

    def _stop_cells(self) -> None:
        """Start no further cell, interrupt those that run, and wait until they have saved."""
        (self.sweep.folder / STOP).touch()
        told: set[int] = set()
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end:
            running = [cell for cell in self.board.running() if not is_gone(cell.process)]
            if not running:
                return
            for cell in running:
                if cell.number not in told:
                    terminate(cell.process)
                    told.add(cell.number)
            time.sleep(_CHECK_SECONDS)

    def end(self, error: BaseException | None) -> None:
        """End the run with the status that belongs to the error and the outcomes."""
        _end_workers(self.store, self.run.run_id)
        self.board.close()
        if all(cell.outcome is not None for cell in self.board.cells):
            # Else a process may still look for STOP before it starts a cell.
            shutil.rmtree(self.sweep.folder, ignore_errors=True)
        interrupted = isinstance(error, KeyboardInterrupt | SystemExit)
        records = [
            read_record(
                self.store,
                varying_overrides(overrides, self.sweep.varying),
                ended_as(state, interrupted),
            )
            for overrides, state in zip(self.cells, self.board.cells, strict=True)
        ]
        if isinstance(error, BrokenProcessPool):
            error = None  # the rows of cells that failed show it
        error = error or failure(records, "The same command with resume=true tries those again.")
        with suppress(QmendError):  # the store's error must not hide the cells'
            log_cells(self.run, records)
        if any(record.status != "not started" for record in records):
            console.print(cells_table(records, "multirun", self.run.run_id).terminal())
        if interrupted:
            console.print(
                "  With resume=true the same command skips finished cells and resumes the others."
            )
        # Marked here; the error itself is raised by the command.
        with suppress(QmendError, KeyboardInterrupt, SystemExit):
            self.stack.__exit__(type(error) if error else None, error, None)
        if isinstance(error, FailedCellsError):
            raise error from None


def ended_as(cell: CellState, interrupted: bool) -> Outcome:
    """Return how a cell ended, which it may not have been able to report."""
    if cell.outcome is not None:
        return cell.outcome
    if not cell.process:
        return Outcome("not started")
    if interrupted:
        return Outcome("interrupted")
    return Outcome("failed", error="its process ended before it did.")


def _limit_processes(config: DictConfig, cells: int) -> int | None:
    """Limit the launcher's processes to the number of cells, and return it; None without any.

    Raises:
        QmendError: if the number of processes is none.
    """
    launcher = config.hydra.launcher
    asked = OmegaConf.select(launcher, "n_jobs")
    if asked is None:
        return None
    if not isinstance(asked, int) or isinstance(asked, bool) or asked == 0:
        raise QmendError(
            f"hydra.launcher.n_jobs is {asked!r}; give a number of processes, or -1 for one a "
            "processor."
        )
    processes = min(int(effective_n_jobs(asked)), cells)
    with read_write(config), open_dict(config):
        launcher.n_jobs = processes
        launcher.batch_size, launcher.pre_dispatch = "1", "n_jobs"  # none waits behind a long one
    return processes


def _end_workers(store: Store, parent: str) -> None:
    """End the cells that still run, so that no run of theirs stays RUNNING."""
    query = f"attributes.status = 'RUNNING' and tags.mlflow.parentRunId = '{parent}'"
    mine = {child.pid: child for child in psutil.Process().children(recursive=True)}
    with suppress(QmendError), explain_errors(store.root):
        for run in store.runs(query):
            pid = int(run.data.tags[PROCESS_TAG].rsplit(":", 2)[1])
            if pid in mine:
                with suppress(psutil.NoSuchProcess):
                    mine[pid].kill()
                    mine[pid].wait(30)
        reconcile(store)
