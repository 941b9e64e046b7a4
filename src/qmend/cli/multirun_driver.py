"""A Hydra multirun as its driver sees it: one parent run over all cells."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from joblib import cpu_count, effective_n_jobs
from joblib.externals.loky.process_executor import BrokenProcessPool
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from qmend.cli.multirun import Outcome, Sweep, varying_overrides
from qmend.cli.terminal import console
from qmend.reporting.run_tables import MultirunCell, multirun_table
from qmend.tracking.run import Run, config_sha, start_run
from qmend.tracking.store import PROCESS_TAG, Store, open_store, reconcile, reported
from qmend.types import QmendError

_MAX_NAME = 200


class FailedCellsError(QmendError):
    """Cells of a multirun failed; the others finished."""

    status = 3


class Multirun:
    """The open parent run, from the first cell to the table at the end."""

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
        self.sweep = Sweep(self.run.run_id, folder, varying, threads, os.getpid())

    def _earlier(self, shared: dict[str, Any]) -> str | None:
        """Return the newest run of the same multirun, unless it is running."""
        query = f"tags.kind = 'multirun' and tags.config_sha = '{config_sha(shared)}'"
        ended = [run for run in self.store.runs(query) if run.info.status != "RUNNING"]
        return str(ended[0].info.run_id) if ended else None

    def end(self, error: BaseException | None) -> None:
        """End the run with the status that belongs to the error and the outcomes."""
        _end_workers(self.store, self.run.run_id)
        rows = [self._row(number) for number in range(len(self.cells))]
        failed = [row for row in rows if row.status not in ("finished", "reused")]
        if isinstance(error, BrokenProcessPool):
            error = None  # the rows of unfinished cells show it
        if failed and error is None:
            error = FailedCellsError(
                f"{len(failed)} of {len(rows)} cells failed, the first ({failed[0].name}): "
                f"{failed[0].error} The same command with resume=true tries the failed ones again."
            )
        with suppress(QmendError):  # the store's error must not hide the cells'
            self._log(rows)
        if any(row.status != "not finished" for row in rows):
            console.print(multirun_table(rows, self.run.run_id).terminal())
        if isinstance(error, KeyboardInterrupt):
            console.print("  With resume=true the same command skips finished cells.")
        # Marked here; the error itself is raised by the command.
        with suppress(QmendError, KeyboardInterrupt, SystemExit):
            self.stack.__exit__(type(error) if error else None, error, None)
        if isinstance(error, FailedCellsError):
            raise error from None

    def _log(self, rows: Sequence[MultirunCell]) -> None:
        count = Counter(row.status for row in rows)
        self.run.metrics(
            {
                "jobs": float(len(rows)),
                "jobs_failed": float(count["failed"] + count["not finished"]),
                "jobs_reused": float(count["reused"]),
            }
        )
        self.run.text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", "cells.json")

    def _row(self, number: int) -> MultirunCell:
        overrides = varying_overrides(self.cells[number], self.sweep.varying)
        outcome = self._outcome(number)
        figures: dict[str, float] = {}
        if outcome.run_id is not None:
            with suppress(QmendError), reported(self.store.root):
                figures = dict(self.store.client.get_run(outcome.run_id).data.metrics)
        names = ("test/l1rc_median", "test/improved_pct", "test/harmed_pct", "cost/seconds")
        kept = {key: value for key, value in figures.items() if key.startswith(names)}
        return MultirunCell(tuple(overrides), outcome.status, outcome.run_id, outcome.error, kept)

    def _outcome(self, number: int) -> Outcome:
        try:
            return Outcome(**json.loads((self.sweep.folder / f"{number}.json").read_text()))
        except (OSError, ValueError, TypeError):
            return Outcome("not finished", error="its process ended before it did.")


def _cells(config: DictConfig) -> tuple[list[list[str]], list[str]]:
    """List the overrides of each cell in the sweeper's order, and those that vary."""
    params = OmegaConf.select(config, "hydra.sweeper.params") or {}
    texts = [f"{key}={value}" for key, value in params.items()]
    texts += list(config.hydra.overrides.task)
    parsed = OverridesParser.create().parse_overrides(texts)
    (cells,) = BasicSweeper.split_arguments(parsed, None)
    return cells, [str(o.input_line) for o in parsed if o.is_sweep_override()]


def _share_processors(config: DictConfig, cells: Sequence[Sequence[str]]) -> int | None:
    """Limit processes to cells; return the threads of each, None where its config decides.

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
    """End the cells that still run, so that no run of theirs stays RUNNING."""
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
