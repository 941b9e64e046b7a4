"""The logger of epochs writes by a client of Lightning's, and is interrupted like ours."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from qmend.tracking.run import begin_run, end_run
from qmend.tracking.store import Store
from qmend.training.logger import OwnedRunLogger


def test_an_interrupt_waits_for_the_end_of_an_epoch_s_write(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begin_run(store, "epochs", {"kind": "train"}, {})
    logger = OwnedRunLogger(run)
    write = logger.experiment.log_batch

    def interrupted(**values: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        write(**values)

    monkeypatch.setattr(logger.experiment, "log_batch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        logger.log_metrics({"train/loss": 0.5}, step=0)
    assert store.client.get_run(run.run_id).data.metrics["train/loss"] == 0.5
    end_run(run, "KILLED", "interrupted")
