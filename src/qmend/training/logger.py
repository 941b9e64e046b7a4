"""Lightning's metrics, logged to a run that another object ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytorch_lightning.loggers import Logger

from qmend.tracking.run import Run


class OwnedRunLogger(Logger):
    """Log epoch metrics to an open run without ending it.

    The owner of the run ends it with the true status. A value that the run holds is not logged
    again: a resumed training repeats the epochs since its last state, and Lightning logs ``epoch``
    twice in each. Lightning's own MLflow logger would change the tracking URI of the whole process.
    """

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.run = run
        client = run.store.client
        self._logged = {
            (name, metric.step): metric.value
            for name in client.get_run(run.run_id).data.metrics
            for metric in client.get_metric_history(run.run_id, name)
        }

    @property
    def name(self) -> str:
        return self.run.store.experiment

    @property
    def version(self) -> str:
        return self.run.run_id

    def log_hyperparams(self, *_: Any, **__: Any) -> None:
        """Do nothing: the run has its whole config."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        new = {
            name: float(value)
            for name, value in metrics.items()
            if self._logged.get((name, step or 0)) != float(value)
        }
        if new:
            self.run.metrics(new, step or 0)
            self._logged |= {(name, step or 0): value for name, value in new.items()}
