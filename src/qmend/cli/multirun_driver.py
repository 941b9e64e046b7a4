"""A Hydra multirun as its driver sees it: one parent run over all cells."""

from __future__ import annotations

import json
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil
from joblib import effective_n_jobs
from joblib.externals.loky.process_executor import BrokenProcessPool
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from qmend.cli.multirun import Sweep, varying_overrides
from qmend.cli.terminal import TerminalObserver, console
from qmend.config.compose import expand_sweep
from qmend.processes import process_identity
from qmend.reporting.run_tables import cells_table
from qmend.runs.cells import FailedCellsError, Outcome, failure
from qmend.runs.sweeps import log_cells, open_parent, read_record
from qmend.tracking.run import Run
from qmend.tracking.store import PROCESS_TAG, Store, explain_errors, open_store, reconcile
from qmend.types import QmendError
from qmend.workflows.observer import announce_new


class Multirun:
    """The open parent run, from the first cell to the table at the end."""

    def __init__(self, config: DictConfig) -> None:
        root = Path(config.tracking.root)
        announce_new(TerminalObserver(), "Runs", root)
        self.store = open_store(root)
        params = OmegaConf.select(config, "hydra.sweeper.params") or {}
        texts = [f"{key}={value}" for key, value in params.items()]
        self.cells, swept = expand_sweep([*texts, *config.hydra.overrides.task])
        varying = tuple(text.partition("=")[0] for text in swept)
        _limit_processes(config, len(self.cells))
        # Hydra's relative directories are relative to the directory that the command runs in.
        folder = Path(config.hydra.sweep.dir).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        plain = OmegaConf.to_container(config, resolve=True)
        assert isinstance(plain, dict)
        shared = {str(key): value for key, value in plain.items() if key != "hydra"}
        shared["sweep"] = sorted(swept)
        name, resume = f"multirun {' '.join(swept)}", bool(shared.get("resume"))
        parent = open_parent(self.store, name, {"kind": "multirun"}, shared, resume=resume)
        self.stack = ExitStack()
        self.run: Run = self.stack.enter_context(parent)
        self.sweep = Sweep(self.run.run_id, folder, varying, process_identity())

    def end(self, error: BaseException | None) -> None:
        """End the run with the status that belongs to the error and the outcomes."""
        _end_workers(self.store, self.run.run_id)
        records = [
            read_record(
                self.store,
                varying_overrides(overrides, self.sweep.varying),
                self._outcome(number),
            )
            for number, overrides in enumerate(self.cells)
        ]
        if isinstance(error, BrokenProcessPool):
            error = None  # the rows of unfinished cells show it
        error = error or failure(
            records, "The same command with resume=true tries the failed ones again."
        )
        with suppress(QmendError):  # the store's error must not hide the cells'
            log_cells(self.run, records)
        if any(record.status != "not finished" for record in records):
            console.print(cells_table(records, "multirun", self.run.run_id).terminal())
        if isinstance(error, KeyboardInterrupt):
            console.print("  With resume=true the same command skips finished cells.")
        # Marked here; the error itself is raised by the command.
        with suppress(QmendError, KeyboardInterrupt, SystemExit):
            self.stack.__exit__(type(error) if error else None, error, None)
        if isinstance(error, FailedCellsError):
            raise error from None

    def _outcome(self, number: int) -> Outcome:
        try:
            return Outcome(**json.loads((self.sweep.folder / f"{number}.json").read_text()))
        except (OSError, ValueError, TypeError):
            return Outcome("not finished", error="its process ended before it did.")


def _limit_processes(config: DictConfig, cells: int) -> None:
    """Limit the launcher's processes to the number of cells.

    Raises:
        QmendError: if the number of processes is none.
    """
    launcher = config.hydra.launcher
    asked = OmegaConf.select(launcher, "n_jobs")
    if asked is None:
        return
    if not isinstance(asked, int) or isinstance(asked, bool) or asked == 0:
        raise QmendError(
            f"hydra.launcher.n_jobs is {asked!r}; give a number of processes, or -1 for one a "
            "processor."
        )
    with read_write(config), open_dict(config):
        launcher.n_jobs = min(effective_n_jobs(asked), cells)
        launcher.batch_size, launcher.pre_dispatch = "1", "n_jobs"  # none waits behind a long one


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
