"""Tracked trainings: resumed in their own run, and fine-tuned from another's model."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from mlflow.entities import Run

from qmend.runs.evaluation import check_unseen
from qmend.runs.scoring import Context
from qmend.runs.training import run_training
from qmend.tracking.store import Store
from qmend.training.checkpoint import Checkpoint, load_checkpoint
from qmend.training.config import TrainingConfig
from qmend.training.observer import TrainingObserver
from qmend.training.state import claim
from qmend.types import QmendError

BLIND = {"name": "blind_mlp", "width": 8}


def config(lr: float = 3e-3, seed: int = 0, **trainer) -> TrainingConfig:
    fields = {"max_epochs": 5, "batch_size": 24, "threads": 1, "save_every_seconds": 0.0}
    return TrainingConfig(
        model=BLIND,
        loss={"name": "l1"},
        optimizer={"lr": lr},
        trainer={**fields, **trainer},
        seed=seed,
    )


def listener(said: list[str]) -> TrainingObserver:
    """Keep the messages."""
    return TrainingObserver(message=said.append)


@pytest.fixture
def name(tmp_path: Path) -> str:
    """Of the runs of one test, in a store that many share."""
    return tmp_path.name


def runs(store: Store, name: str) -> list[Run]:
    return store.runs(f"tags.mlflow.runName = '{name}'")


def interrupted(context, name, state: Path, after: int, error: type = KeyboardInterrupt) -> None:
    def progress(done, total, values) -> None:
        if done == after:
            raise error

    with pytest.raises(error):
        run_training(context, name, config(), {}, state=state, observer=TrainingObserver(progress))


def history(store: Store, run_id: str, name: str) -> list[tuple[int, float]]:
    found = store.client.get_metric_history(run_id, name)
    return sorted((m.step, m.value) for m in found)


@pytest.mark.parametrize(
    ("error", "status"), [(KeyboardInterrupt, "KILLED"), (ValueError, "FAILED")]
)
def test_a_stopped_training_goes_on_in_its_own_run(tiny, store, name, tmp_path, error, status):
    """The history of the one run is that of a training that was never stopped."""
    context, state = Context(store, tiny), tmp_path / "state"
    interrupted(context, name, state, 3, error)
    (stopped,) = runs(store, name)
    assert stopped.info.status == status
    assert "error" in stopped.data.tags
    said: list[str] = []
    entry = run_training(context, name, config(), {}, state=state, observer=listener(said))
    assert said == ["Resumes after epoch 2 of 5."]
    assert not state.exists()
    (run,) = runs(store, name)
    assert (run.info.run_id, run.info.status) == (entry.run_id, "FINISHED")
    assert run.info.run_id == stopped.info.run_id
    assert run.info.end_time >= stopped.info.end_time
    assert "error" not in run.data.tags
    assert run.data.tags["qmend.resumed"] == "1"

    whole = run_training(context, name, config(), {})
    assert entry.history == whole.history
    np.testing.assert_array_equal(entry.mitigated, whole.mitigated)
    for metric in ("train/loss", "val/loss", "val/l1rc_median", "epoch"):
        logged = history(store, entry.run_id, metric)
        assert logged == history(store, whole.run_id, metric)
        assert len(logged) == 5


def test_a_finished_training_begins_anew_in_a_new_run(tiny, store, name, tmp_path):
    context, state = Context(store, tiny), tmp_path / "state"
    first, second = (run_training(context, name, config(), {}, state=state) for _ in range(2))
    assert first.run_id != second.run_id
    assert {r.info.status for r in runs(store, name)} == {"FINISHED"}


@pytest.mark.parametrize("gone", ["run", "id", "deleted"])
def test_a_state_without_its_run_is_not_used(tiny, store, name, tmp_path, gone):
    context, state = Context(store, tiny), tmp_path / "state"
    interrupted(context, name, state, 3)
    (stopped,) = runs(store, name)
    if gone == "run":
        (state / "run_id").write_text("0" * 32)
    elif gone == "id":
        (state / "run_id").unlink()
    else:
        store.client.delete_run(stopped.info.run_id)
    said: list[str] = []
    entry = run_training(context, name, config(), {}, state=state, observer=listener(said))
    (sentence,) = said
    assert "is not in the store any more" in sentence
    assert entry.run_id != stopped.info.run_id
    assert len(entry.history["val/loss"]) == 5


def test_a_folder_that_another_process_holds_is_left_alone(tiny, store, name, tmp_path):
    state = tmp_path / "state"
    said: list[str] = []
    with claim(state):
        entry = run_training(
            Context(store, tiny), name, config(), {}, state=state, observer=listener(said)
        )
        assert list(state.iterdir()) == []
    (sentence,) = said
    assert "Another process runs the same training" in sentence
    assert len(entry.history["val/loss"]) == 5


# Fine-tuning


@pytest.fixture(scope="module")
def parent(tiny, store) -> Checkpoint:
    """A network trained on the tiny dataset, as its run left it."""
    entry = run_training(Context(store, tiny), "parent", config(max_epochs=12), {})
    folder = Path(store.client.download_artifacts(entry.run_id, "model"))
    return load_checkpoint(folder)


def tuned(context: Context, tmp_path: Path, parent: Checkpoint, lr: float) -> Checkpoint:
    entry = run_training(context, "tuned", config(lr, seed=1, max_epochs=1), {}, parent=parent)
    run = context.store.client.get_run(entry.run_id)
    assert run.data.tags["checkpoint_run"] == parent.provenance["run_id"]
    folder = Path(context.store.client.download_artifacts(entry.run_id, "model"))
    shutil.copytree(folder, tmp_path / entry.run_id)
    return load_checkpoint(tmp_path / entry.run_id)


def test_fine_tuning_starts_from_the_weights_and_the_encoding(tiny, store, tmp_path, parent):
    """At a learning rate of nearly nothing it is the parent still, on other calibrations too."""
    some = tiny.select([np.flatnonzero(np.arange(len(tiny)) % 3 > 0)], "a third less")
    child = tuned(Context(store, some), tmp_path, parent, lr=1e-12)
    circuits = tiny.part("test").circuits
    np.testing.assert_allclose(
        child.model.mitigate(circuits), parent.model.mitigate(circuits), atol=1e-6
    )
    assert child.model.encoding.to_json() == parent.model.encoding.to_json()
    far = tuned(Context(store, some), tmp_path, parent, lr=0.1)
    assert not np.allclose(far.model.mitigate(circuits), parent.model.mitigate(circuits), atol=1e-3)


def test_a_checkpoint_names_all_that_its_ancestors_were_trained_on(tiny, store, tmp_path, parent):
    context = Context(store, tiny)
    child = tuned(context, tmp_path, parent, 1e-3)
    grandchild = tuned(context, tmp_path, child, 1e-3)
    assert parent.provenance["ancestors"] == []
    names = [a["run_id"] for a in grandchild.provenance["ancestors"]]
    assert names == [child.provenance["run_id"], parent.provenance["run_id"]]
    for ancestor in grandchild.provenance["ancestors"]:
        assert ancestor["dataset_sha"] == tiny.manifest.dataset_sha
        assert ancestor["recipe"] == tiny.manifest.recipe["dataset"]
    assert parent.provenance["optimizer"]["lr"] == 3e-3


def test_what_an_ancestor_has_seen_is_no_test(tiny, parent):
    """A model fine-tuned on another seed still knows its parent's circuits."""
    recipe = tiny.manifest.recipe["dataset"]
    other = {**recipe, "seed": 99}
    provenance = {"recipe": other, "ancestors": [{"recipe": other}, {"recipe": recipe}]}
    check_unseen(parent.model, provenance, recipe)
    check_unseen(parent.model, {"recipe": other}, {**recipe, "circuits": 40})
    with pytest.raises(QmendError, match="the test split holds circuits it has seen"):
        check_unseen(parent.model, provenance, {**recipe, "circuits": 40})
    with pytest.raises(QmendError, match="holds circuits that the model was trained on"):
        check_unseen(parent.model, provenance, recipe, "all")


def test_another_model_than_the_checkpoint_s_is_refused(tiny, store, parent):
    wide = TrainingConfig(**{**dict(config()), "model": {"name": "blind_mlp", "width": 16}})
    with pytest.raises(QmendError, match="another config than model"):
        run_training(Context(store, tiny), "tuned", wide, {}, parent=parent)
