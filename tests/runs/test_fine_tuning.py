"""Fine-tuned on imported measurements: replayed among simulated circuits, refused on few."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from imported_dataset import import_records, measured_records
from qmend.datasets.table import Dataset, load_dataset
from qmend.encodings import Batch
from qmend.generation.generate import generate
from qmend.metrics import l1
from qmend.mitigation.learned import LearnedMitigator
from qmend.models.trained import TrainedModel
from qmend.noise.config import (
    AerNoiseConfig,
    FittedConfig,
    NoiseConfig,
    RandomizedNoise,
    SurrogateConfig,
)
from qmend.runs.evaluation import check_unseen_measurements
from qmend.runs.fine_tuning import Measurements, load_measurements, replay_source
from qmend.runs.scoring import Context
from qmend.runs.training import run_training
from qmend.training.checkpoint import Checkpoint, load_checkpoint
from qmend.training.config import TrainingConfig
from qmend.training.data import encode
from qmend.training.observer import TrainingObserver
from qmend.training.online import OnlineBatches
from qmend.training.train import train
from qmend.types import QmendError

OPERATOR = {"name": "walsh_operator", "encoding": "device_paths", "channels": 4, "blocks": 1}


def config(epochs: int, lr: float) -> TrainingConfig:
    return TrainingConfig(
        model=OPERATOR,
        loss={"name": "l1"},
        optimizer={"lr": lr},
        trainer={"max_epochs": epochs, "batch_size": 32, "threads": 1, "save_every_seconds": 0.0},
    )


def saved(store, run_id: str) -> Checkpoint:
    return load_checkpoint(Path(store.client.download_artifacts(run_id, "model")))


@pytest.fixture(scope="module")
def parent(tiny, store) -> Checkpoint:
    """An operator trained on the tiny dataset."""
    entry = run_training(Context(store, tiny), "parent", config(12, 0.01), {})
    return saved(store, entry.run_id)


@pytest.fixture(scope="module")
def records(tiny_config, device_config, tmp_path_factory) -> list[dict]:
    """Measurements of a device that is far noisier than its calibration says."""
    folder = tmp_path_factory.mktemp("device") / "mine"
    noise = SurrogateConfig(name="surrogate_hardware", strength=4.0)
    other = {"seed": 8, "name": "mine", "noise": noise}
    generate(tiny_config.model_copy(update=other), device_config, folder)
    return measured_records(load_dataset(folder))


@pytest.fixture(scope="module")
def mine(records, tmp_path_factory) -> Path:
    return import_records(records, tmp_path_factory.mktemp("imported") / "mine")


def measurements(store, folder: Path, parent: Checkpoint, **changes) -> Measurements:
    """With the replayed circuits simulated in this process."""
    asked = {"train_circuits": None, "replay": 3, "seed": 0, "force": False, **changes}
    loaded = load_measurements(store, folder, parent, **asked)
    if loaded.replay is None:
        return loaded
    options = loaded.replay.options.model_copy(update={"workers": 0})
    return replace(loaded, replay=replace(loaded.replay, options=options))


def rows(noisy: torch.Tensor) -> set[tuple[float, ...]]:
    return {tuple(row.tolist()) for row in noisy}


# What takes part


def test_an_epoch_has_three_replayed_circuits_for_each_measured_one(store, tiny, mine, parent):
    """Without noise of its own, they are the stored circuits that the parent was trained on."""
    loaded = measurements(store, mine, parent)
    data = encode(config(3, 1e-3), loaded.dataset, parent.model, loaded.replay)
    measured = rows(torch.cat([part.noisy for part in data.train]))
    stored = rows(torch.from_numpy(tiny.part("train").circuits.noisy).float())
    with OnlineBatches(data.online, data.encoding, True, data.train, 32, 3, 0) as batches:
        epochs = [list(batches.epoch(number)) for number in (0, 1)]
        assert all(len(epoch) == len(batches) for epoch in epochs)
    count = sum(map(len, data.train))
    for epoch in epochs:
        noisy = Batch.join(epoch).noisy
        assert len(noisy) == 4 * count
        own = [tuple(row.tolist()) in measured for row in noisy]
        assert sum(own) == count
        assert rows(noisy) - measured <= stored
    mixed = [{tuple(row.tolist()) in measured for row in part.noisy} for part in epochs[0]]
    assert {True, False} in mixed


def test_none_are_replayed_where_none_are_asked_for(store, mine, parent):
    loaded = measurements(store, mine, parent, replay=0)
    assert loaded.replay is None
    assert encode(config(1, 1e-3), loaded.dataset, parent.model, loaded.replay).online is None


def test_missing_calibrations_get_the_means_of_the_parent(store, records, tmp_path, parent):
    bare = [{k: v for k, v in record.items() if k != "calibration"} for record in records]
    loaded = measurements(store, import_records(bare, tmp_path / "bare"), parent)
    assert "calibration values" in loaded.notes[0]
    data = encode(config(1, 1e-3), loaded.dataset, parent.model, loaded.replay)
    assert all(torch.isfinite(part.device).all() for part in data.train)
    error = parent.model.encoding.mean_calibration.to_json()["readout_error"]
    torch.testing.assert_close(data.train[0].readout, torch.full_like(data.train[0].readout, error))


# What is refused


def test_few_source_circuits_are_refused_unless_forced(store, records, tmp_path, parent):
    """Repeats of a circuit are no further circuits."""
    repeated = [{**r, "id": f"{r['id']}-{k}"} for r in records[:36] for k in range(3)]
    folder = import_records(repeated, tmp_path / "few")
    dataset = load_dataset(folder)
    train = len(np.unique(dataset.part("train").circuit_id))
    assert train < 30 < len(dataset.part("train"))
    with pytest.raises(QmendError, match=f"has {train} different circuits.*force=true"):
        measurements(store, folder, parent)
    assert len(measurements(store, folder, parent, force=True).dataset) == len(dataset)
    shortened = {"train_circuits": 20, "force": True}
    assert len(measurements(store, folder, parent, **shortened).dataset.part("train")) == 20


def test_a_checkpoint_without_a_recipe_is_refused(store, parent):
    provenance = {k: v for k, v in parent.provenance.items() if k != "recipe"}
    with pytest.raises(QmendError, match=r"by which recipe.*fine_tune\.replay=0"):
        replay_source(store, provenance, 12, 0)


def test_the_device_of_an_older_checkpoint_is_read_from_its_run(tiny, store, device_config, parent):
    older = {k: v for k, v in parent.provenance.items() if k != "device"}
    with pytest.raises(QmendError, match=r"on which device.*is not in the store"):
        replay_source(store, older, 12, 0)
    logged = {"device": device_config.model_dump(mode="json")}
    entry = run_training(Context(store, tiny), "older", config(1, 1e-3), logged)
    source = replay_source(store, {**older, "run_id": entry.run_id}, 12, 0)
    assert source == replay_source(store, parent.provenance, 12, 0)
    assert source.recipe_sha == tiny.manifest.recipe_sha


def test_the_noise_is_that_of_the_parents_training(store, parent):
    """Drawn anew where it was drawn; fitted noise as it was, wherever its file may be."""

    def noise(**fresh) -> NoiseConfig:
        seen = {"fresh": fresh} if fresh else {}
        return replay_source(store, {**parent.provenance, **seen}, 12, 3).circuits.noise

    assert noise() == AerNoiseConfig()
    for spelling in ("randomized", "worlds"):  # the present one and the first
        drawn = noise(options={"noise": spelling, "strength": [0.5, 1.5]}, noise={})
        assert isinstance(drawn, RandomizedNoise)
        assert drawn.strength == (0.5, 1.5)
    fitted = FittedConfig(name="surrogate_fitted", idle_relaxation=2.5)
    options = {"noise": "gone.yaml", "strength": [0.5, 1.5]}
    assert noise(options=options, noise=fitted.model_dump(mode="json")) == fitted


def test_rows_that_were_trained_on_are_not_scored(records, mine, tmp_path):
    manifest = load_dataset(mine).manifest
    seen = {
        "imported": manifest.recipe["imported"]["input"]["sha256"],
        "dataset": "mine",
        "dataset_sha": manifest.dataset_sha,
    }
    for provenance in (seen, {"ancestors": [seen]}):
        check_unseen_measurements(provenance, manifest)
        with pytest.raises(QmendError, match="scored_split=test"):
            check_unseen_measurements(provenance, manifest, "all")
    again = load_dataset(import_records(records, tmp_path / "mine", seed=1)).manifest
    with pytest.raises(QmendError, match="another import of the records"):
        check_unseen_measurements(seen, again)
    check_unseen_measurements({"dataset_sha": "other"}, manifest, "all")


# The training


def tuned(store, measured: Measurements, parent: Checkpoint, name: str, **more):
    return run_training(
        Context(store, measured.dataset),
        name,
        config(3, 1e-3),
        {},
        parent=parent,
        replay=measured.replay,
        **more,
    )


def test_a_run_says_what_was_replayed_and_resumes(store, tiny, mine, parent, tmp_path):
    measured = measurements(store, mine, parent, train_circuits=24, force=True)
    state = tmp_path / "state"

    def stop(done: int, total: int, values: dict[str, float]) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tuned(store, measured, parent, "tuned", state=state, observer=TrainingObserver(stop))
    entry = tuned(store, measured, parent, "tuned", state=state)
    whole = tuned(store, measured, parent, "whole")
    assert entry.history == whole.history
    run = store.client.get_run(entry.run_id)
    assert run.data.tags["qmend.resumed"] == "1"
    assert run.data.tags["replayed"] == tiny.manifest.recipe_sha
    assert run.data.tags["checkpoint_run"] == parent.provenance["run_id"]
    assert run.data.metrics["cost/fresh_circuits"] == 3 * 3 * 24

    child = saved(store, entry.run_id)
    assert child.provenance["fresh"]["recipe_sha"] == tiny.manifest.recipe_sha
    assert "recipe" not in child.provenance
    # A second fine-tuning replays what the first one did.
    assert replay_source(store, child.provenance, 12, 0) == replay_source(
        store, parent.provenance, 12, 0
    )


def error(model: TrainedModel, data: Dataset, split: str) -> float:
    part = data.part(split)
    return float(l1(LearnedMitigator(model).mitigate(part.circuits), part.ideal).mean())


def test_replay_keeps_what_the_parent_has_learned(store, tiny, mine, parent):
    """Both improve on the measurements; without replay the parent's own test gets worse."""
    after = {}
    for replay in (3, 0):
        measured = measurements(store, mine, parent, replay=replay, train_circuits=40)
        asked = config(8, 0.02)
        data = encode(asked, measured.dataset, parent.model, measured.replay)
        model = train(asked, data, start=parent.model).model
        after[replay] = error(model, measured.dataset, "val"), error(model, tiny, "test")
    start = error(parent.model, measured.dataset, "val"), error(parent.model, tiny, "test")
    assert after[3][0] < 0.95 * start[0]
    assert after[0][0] < 0.95 * start[0]
    assert after[3][1] < 1.5 * start[1]
    assert after[0][1] > 2 * start[1]
