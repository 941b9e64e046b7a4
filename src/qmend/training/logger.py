"""Lightning's MLflow logger on a run that another object ends."""

from __future__ import annotations

from collections.abc import Mapping

from pytorch_lightning.loggers import MLFlowLogger

from qmend.tracking.interrupts import held_back
from qmend.tracking.run import Run


class OwnedRunLogger(MLFlowLogger):
    """Log epoch metrics to an open run without ending it.

    The owner of the run ends it with the true status. A value that the run holds is not logged
    again: a resumed training repeats the epochs since its last state, and Lightning logs ``epoch``
    twice in each.
    """

    def __init__(self, run: Run) -> None:
        super().__init__(
            experiment_name=run.store.experiment,
            tracking_uri=run.store.uri,
            run_id=run.run_id,
        )
        client = run.store.client
        self._logged = {
            (name, metric.step): metric.value
            for name in client.get_run(run.run_id).data.metrics
            for metric in client.get_metric_history(run.run_id, name)
        }

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        new = {
            name: float(value)
            for name, value in metrics.items()
            if self._logged.get((name, step or 0)) != float(value)
        }
        if new:
            self._logged |= {(name, step or 0): value for name, value in new.items()}
            with held_back():  # Lightning writes by a client of its own
                super().log_metrics(new, step)

    def finalize(self, status: str = "success") -> None:
        """Do nothing: the run is scored next."""
