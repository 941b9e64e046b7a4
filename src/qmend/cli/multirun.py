"""A Hydra multirun: one parent run, a cell for each combination, in this process or in others.

The driver opens the parent run and tells each cell, through Hydra's callback, what it belongs
to; each cell leaves one small file that says what became of it. So it makes no difference
whether the launcher runs cells one after the other here or several at once elsewhere, nor
whether a worker lives to report.
"""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import psutil
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from joblib import cpu_count, effective_n_jobs
from joblib.externals.loky.process_executor import BrokenProcessPool
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from qmend.cli.terminal import console, without_bars
from qmend.processes import end_with
from qmend.reporting.multirun_table import Row, multirun_table
from qmend.tracking.run import Run, config_sha, start_run
from qmend.tracking.store import PROCESS_TAG, Store, open_store, reconcile, reported
from qmend.types import QmendError

#: Tag of a finished run that a later multirun took over: the ids of those multiruns' parents.
REUSED_TAG = "reused_by"
_MAX_NAME = 200


class FailedCellsError(QmendError):
    """Cells of a multirun failed, the others went on."""

    status = 3


@dataclass(frozen=True)
class Outcome:
    """What became of one job.

    Attributes:
        status: ``reused``: finished by an earlier command, whose run it is.
        error: one sentence where it failed.
    """

    status: Literal["finished", "reused", "failed", "not finished"]
    run_id: str | None = None
    error: str = ""


@dataclass(frozen=True)
class Cell:
    """What a job that belongs to a multirun has to know.

    Attributes:
        parent: id of the multirun's run.
        name: the overrides that vary, for a person.
        threads: its share of the processors; None where its config says how many.
    """

    parent: str
    name: str
    threads: int | None


@dataclass(frozen=True)
class _Sweep:
    """What travels to the cells.

    Attributes:
        folder: where each leaves its outcome.
        varying: keys of the overrides that vary.
        driver: the process that started the command.
    """

    parent: str
    folder: Path
    varying: tuple[str, ...]
    threads: int | None
    driver: int


class Refused(BaseException):
    """Carries an error past Hydra, which only warns of those in a callback."""

    def __init__(self, error: Exception) -> None:
        self.error = error


@contextmanager
def carried() -> Iterator[None]:
    """Raises what a :class:`Refused` carries."""
    try:
        yield
    except Refused as refused:
        raise refused.error from None


_cell: list[Cell] = []
_open: list[_Multirun] = []


def current_cell() -> Cell | None:
    """The cell that this process is at; None outside a multirun."""
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
        self.sweep: _Sweep | None = None

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        try:
            multirun = _Multirun(config)
        except Exception as error:
            raise Refused(error) from None
        _open.append(multirun)
        self.sweep = multirun.sweep

    def on_job_start(self, config: DictConfig, **_: Any) -> None:
        if self.sweep is None:
            return
        if os.getpid() != self.sweep.driver:
            _follow(self.sweep.driver)
        name = _varying(list(config.hydra.overrides.task), self.sweep.varying)
        _cell[:] = [Cell(self.sweep.parent, " ".join(name), self.sweep.threads)]

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **_: Any) -> None:
        _cell.clear()
        result = job_return._return_value
        if self.sweep is not None and isinstance(result, Outcome):
            part = self.sweep.folder / f".{config.hydra.job.num}.part"
            part.write_text(json.dumps(asdict(result)))
            part.rename(self.sweep.folder / f"{config.hydra.job.num}.json")


def _varying(overrides: Sequence[str], keys: Sequence[str]) -> list[str]:
    return [text for text in overrides if text.partition("=")[0] in keys]


_following: list[int] = []


def _follow(driver: int) -> None:
    """Make this worker end with the driver, even by SIGKILL, and leave the terminal to it."""
    if _following:
        return
    _following.append(driver)
    without_bars()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ctrl-C reaches the driver, which ends workers
    end_with(driver)


class _Multirun:
    """The driver's side: the open parent run."""

    def __init__(self, config: DictConfig) -> None:
        self.store = open_store(Path(config.tracking.root))
        self.cells, swept = _cells(config)
        varying = tuple(text.partition("=")[0] for text in swept)
        threads = _share_processors(config, self.cells)
        # What Hydra calls a relative folder is relative to the folder that the command runs in.
        folder = Path(config.hydra.sweep.dir).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        plain = OmegaConf.to_container(config, resolve=True)
        assert isinstance(plain, dict)
        shared = {str(key): value for key, value in plain.items() if key != "hydra"}
        shared["sweep"] = sorted(swept)
        self.stack = ExitStack()
        self.run: Run = self.stack.enter_context(
            start_run(
                self.store,
                f"multirun {' '.join(swept)}"[:_MAX_NAME],
                {"kind": "multirun"},
                shared,
                unfinished=self._earlier(shared) if shared.get("resume") else None,
            )
        )
        self.sweep = _Sweep(self.run.run_id, folder, varying, threads, os.getpid())

    def _earlier(self, shared: dict[str, Any]) -> str | None:
        """The newest run of the very same multirun, unless another process is at it."""
        query = f"tags.kind = 'multirun' and tags.config_sha = '{config_sha(shared)}'"
        ended = [run for run in self.store.runs(query) if run.info.status != "RUNNING"]
        return str(ended[0].info.run_id) if ended else None

    def end(self, error: BaseException | None) -> None:
        """End the run with the status that belongs to the error and the outcomes."""
        _end_workers(self.store, self.run.run_id)
        rows = [self._row(number) for number in range(len(self.cells))]
        failed = [row for row in rows if row.status not in ("finished", "reused")]
        if isinstance(error, BrokenProcessPool):
            error = None  # told by the rows of the cells that it left unfinished
        if failed and error is None:
            error = FailedCellsError(
                f"{len(failed)} of {len(rows)} cells failed, the first ({failed[0].name}): "
                f"{failed[0].error} The same command with resume=true tries the failed ones again."
            )
        with suppress(QmendError):  # the store's error must not hide the cells'
            self._log(rows)
        if any(row.status != "not finished" for row in rows):
            console.print(multirun_table(rows, self.run.run_id))
        if isinstance(error, KeyboardInterrupt):
            console.print("  With resume=true the same command skips what has finished.")
        # Marked here; the error itself is raised by the command.
        with suppress(QmendError, KeyboardInterrupt, SystemExit):
            self.stack.__exit__(type(error) if error else None, error, None)
        if isinstance(error, FailedCellsError):
            raise error from None

    def _log(self, rows: Sequence[Row]) -> None:
        count = Counter(row.status for row in rows)
        self.run.metrics(
            {
                "jobs": float(len(rows)),
                "jobs_failed": float(count["failed"] + count["not finished"]),
                "jobs_reused": float(count["reused"]),
            }
        )
        self.run.text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", "cells.json")

    def _row(self, number: int) -> Row:
        overrides = _varying(self.cells[number], self.sweep.varying)
        outcome = self._outcome(number)
        figures: dict[str, float] = {}
        if outcome.run_id is not None:
            with suppress(QmendError), reported(self.store.root):
                figures = dict(self.store.client.get_run(outcome.run_id).data.metrics)
        names = ("test/l1rc_median", "test/improved_pct", "test/harmed_pct", "cost/seconds")
        kept = {key: value for key, value in figures.items() if key.startswith(names)}
        return Row(tuple(overrides), outcome.status, outcome.run_id, outcome.error, kept)

    def _outcome(self, number: int) -> Outcome:
        try:
            return Outcome(**json.loads((self.sweep.folder / f"{number}.json").read_text()))
        except (OSError, ValueError, TypeError):
            return Outcome("not finished", error="its process ended before it did.")


def _cells(config: DictConfig) -> tuple[list[list[str]], list[str]]:
    """The overrides of each cell as Hydra's sweeper numbers them, and those that vary."""
    params = OmegaConf.select(config, "hydra.sweeper.params") or {}
    texts = [f"{key}={value}" for key, value in params.items()]
    texts += list(config.hydra.overrides.task)
    parsed = OverridesParser.create().parse_overrides(texts)
    (cells,) = BasicSweeper.split_arguments(parsed, None)
    return cells, [str(o.input_line) for o in parsed if o.is_sweep_override()]


def _share_processors(config: DictConfig, cells: Sequence[Sequence[str]]) -> int | None:
    """No more processes than cells; the threads of each, None where its config decides.

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
    jobs = min(effective_n_jobs(asked), len(cells))
    with read_write(config), open_dict(config):
        launcher.n_jobs = jobs
        launcher.batch_size, launcher.pre_dispatch = "1", "n_jobs"  # none waits behind a long one
    given = any(text.partition("=")[0].lstrip("+") == "trainer.threads" for text in cells[0])
    return None if jobs == 1 or given else max(1, cpu_count() // jobs)


def _end_workers(store: Store, parent: str) -> None:
    """No cell's run says RUNNING after this: one whose process still works is ended with it."""
    query = f"attributes.status = 'RUNNING' and tags.mlflow.parentRunId = '{parent}'"
    mine = {child.pid: child for child in psutil.Process().children(recursive=True)}
    with suppress(QmendError), reported(store.root):
        for run in store.runs(query):
            pid = int(run.data.tags[PROCESS_TAG].rsplit(":", 2)[1])
            if pid in mine:
                with suppress(psutil.NoSuchProcess):
                    mine[pid].kill()
                    mine[pid].wait(30)
        reconcile(store)
