"""One parent run for all jobs of a Hydra multirun."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from qmend.cli.hydra_app import FailedJob
from qmend.cli.terminal import console
from qmend.tracking.run import Run, start_run
from qmend.tracking.store import open_store
from qmend.types import QmendError

#: Environment variable that tells a job, in whatever process, its parent run.
PARENT_VARIABLE = "QMEND_PARENT_RUN"


class ParentRun(Callback):
    """Opens the parent run before the first job and ends it after the last.

    FINISHED if every job did, else FAILED with how many did not.
    """

    def __init__(self) -> None:
        self.stack = ExitStack()
        self.run: Run | None = None
        self.failed = 0
        self.jobs = 0

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        store = open_store(Path(config.tracking.root))
        overrides = list(config.hydra.overrides.task)
        name = "multirun " + " ".join(overrides)
        self.run = self.stack.enter_context(
            start_run(store, name[:200], {"kind": "multirun"}, {"overrides": overrides})
        )
        os.environ[PARENT_VARIABLE] = self.run.run_id

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **_: Any) -> None:
        if self.run is None:
            return
        self.jobs += 1
        result = job_return._return_value
        if isinstance(result, FailedJob):
            self.failed += 1
            console.print(f"  job {self.jobs} failed: {result.error}", markup=False)

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        os.environ.pop(PARENT_VARIABLE, None)
        if self.run is None:
            return
        self.run.metrics({"jobs": float(self.jobs), "jobs_failed": float(self.failed)})
        error = QmendError(f"{self.failed} of {self.jobs} jobs failed") if self.failed else None
        try:
            self.stack.__exit__(type(error) if error else None, error, None)
        except QmendError:
            return  # the run is marked; the command raises the first job's error
