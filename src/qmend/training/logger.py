"""Lightning's MLflow logger on a run that somebody else owns."""

from __future__ import annotations

from pytorch_lightning.loggers import MLFlowLogger

from qmend.tracking.run import Run


class OwnedRunLogger(MLFlowLogger):
    """Logs epoch metrics to an open run; the run's owner ends it, with its true status."""

    def __init__(self, run: Run) -> None:
        super().__init__(
            experiment_name=run.store.experiment,
            tracking_uri=run.store.uri,
            run_id=run.run_id,
        )

    def finalize(self, status: str = "success") -> None:
        """Nothing: evaluation still follows."""
