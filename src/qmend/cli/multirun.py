"""One parent run for all jobs of a Hydra multirun."""

from __future__ import annotations

import os
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from qmend.cli.terminal import console
from qmend.tracking.run import Run, start_run
from qmend.tracking.store import open_store
from qmend.types import QmendError

#: Environment variable that tells a job, in whatever process, its parent run.
PARENT_VARIABLE = "QMEND_PARENT_RUN"


@dataclass(frozen=True)
class FailedJob:
    """What a job returns in place of raising, so that the other jobs of a multirun go on."""

    error: Exception


_open: list[ParentRun] = []


def close_parent(error: BaseException | None) -> None:
    """End the parent run of a multirun that did not come to its own end."""
    while _open:
        _open.pop().end(error or QmendError("the multirun was not finished"))


class ParentRun(Callback):
    """Opens the parent run before the first job and ends it after the last.

    FINISHED if every job did, KILLED if the multirun was interrupted, else FAILED with how
    many jobs did.
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
        _open.append(self)

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **_: Any) -> None:
        if self.run is None:
            return
        self.jobs += 1
        result = job_return._return_value
        if isinstance(result, FailedJob):
            self.failed += 1
            console.print(f"  job {self.jobs} failed: {result.error}", markup=False)

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        if self.run is None:
            return
        _open.remove(self)
        self.run.metrics({"jobs": float(self.jobs), "jobs_failed": float(self.failed)})
        failed = f"{self.failed} of {self.jobs} jobs failed"
        self.end(QmendError(failed) if self.failed else None)

    def end(self, error: BaseException | None) -> None:
        """End the run with the status that belongs to the error."""
        os.environ.pop(PARENT_VARIABLE, None)
        # Marked here; the job's own error is raised by the command.
        with suppress(QmendError, KeyboardInterrupt, SystemExit):
            self.stack.__exit__(type(error) if error else None, error, None)
