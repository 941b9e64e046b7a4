"""An interrupted trial keeps every epoch that the search has taken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import qmend.training.state as state_module
from qmend.datasets.table import Dataset
from qmend.processes import process_identity
from qmend.tracking.run import start_run
from qmend.tracking.store import Store
from qmend.training.config import TrainingConfig
from qmend.training.data import encode
from qmend.training.module import MitigationModule
from qmend.training.state import read_state
from qmend.tuning import worker
from qmend.tuning.worker import INTERRUPTED, STOP, Shared, train_trial


@pytest.mark.parametrize(("stopped_at", "kept"), [("report", 3), ("batch", 3), ("end", 5)])
def test_a_stop_ends_a_trial_at_its_next_batch_and_no_epoch_is_repeated(
    tiny: Dataset,
    store: Store,
    trainings: dict[str, TrainingConfig],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stopped_at: str,
    kept: int,
) -> None:
    """While the third epoch is taken, in the fourth, or while the last is taken."""
    monkeypatch.setattr(state_module, "_COPY_PAUSE", 0)
    training = trainings["blind_mlp"]
    trainer = training.trainer.model_copy(update={"max_epochs": 5, "save_every_seconds": 1000.0})
    training = training.model_copy(update={"trainer": trainer})
    data = encode(training, tiny)
    shared = Shared(store, tiny.manifest, data, tmp_path, process_identity())
    reported: list[dict[str, Any]] = []

    def report(result: dict[str, Any]) -> None:
        """Take a result, as the search does behind Ray."""
        reported.append(result)
        if result.get("epoch") == {"report": 3, "end": 5}.get(stopped_at):
            (tmp_path / STOP).touch()

    step = MitigationModule.training_step

    def stepped(self: Any, *args: Any) -> Any:
        if stopped_at == "batch" and self.current_epoch == 3:
            (tmp_path / STOP).touch()
        return step(self, *args)

    monkeypatch.setattr(worker.tune, "report", report)
    monkeypatch.setattr(MitigationModule, "training_step", stepped)
    with start_run(store, "trial", {"kind": "trial"}, {}) as run:
        config = {"number": 0, "run_id": run.run_id, "seconds": 0.0}
        train_trial({**config, "resolved": training.model_dump()}, shared)
    assert [result["epoch"] for result in reported[:-1]] == list(range(1, kept + 1))
    state = read_state(tmp_path / run.run_id).state
    assert state is not None
    assert state["epochs"] == kept
    if stopped_at == "end":
        assert reported[-1]["outcome"] == "finished"
    else:
        assert reported[-1] == INTERRUPTED
