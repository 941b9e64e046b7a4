"""A run's own config on its own data gives its own figures again, to the last bit."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from mlflow.entities import Run as MlflowRun

from qmend.mitigation.baselines.path_inversion import PathInversion
from qmend.runs.reproduction import compare_runs, reproduce
from qmend.runs.scoring import Context, run_baseline
from qmend.runs.training import run_training
from qmend.tracking.store import artifact_folder
from qmend.training.config import TrainingConfig
from qmend.training.observer import TrainingObserver
from qmend.types import QmendError

CONFIG = {
    "model": {"name": "blind_mlp", "width": 8},
    "loss": {"name": "l1"},
    "optimizer": {"lr": 3e-3},
    "trainer": {"max_epochs": 2, "batch_size": 24, "threads": 1},
    "seed": 5,
}


@contextmanager
def watch(name: str, epochs: int) -> Iterator[TrainingObserver]:
    yield TrainingObserver()


def trained(store, tiny, seed: int = 5, **changes) -> MlflowRun:
    config = {**CONFIG, **changes, "seed": seed}
    parts = {key: config[key] for key in ("model", "loss", "optimizer", "trainer")}
    context = Context(store, tiny)
    name = f"blind_mlp seed {seed}"
    entry = run_training(context, name, TrainingConfig(**parts, seed=seed), config)
    return store.client.get_run(entry.run_id)


@pytest.fixture(scope="module")
def original(store, tiny) -> MlflowRun:
    return trained(store, tiny)


def test_a_training_comes_out_the_same(store, original, tmp_path):
    found = reproduce(store, original, [tmp_path], watch)
    assert found.again.info.run_id != original.info.run_id
    assert found.again.data.tags["reproduces"] == original.info.run_id
    for tag in ("config_sha", "dataset_sha", "architecture", "seed", "kind"):
        assert found.again.data.tags[tag] == original.data.tags[tag]
    assert {"test/l1rc_median", "test/tv_lo", "val/loss", "train/loss"} <= set(found.figures)
    assert "cost/seconds" not in found.figures
    assert found.equal
    assert found.verdict == f"The metrics agree: all {len(found.figures)} are equal."
    assert found.differences == [] or "changed files" in found.differences[0]


def test_a_baseline_comes_out_the_same(store, tiny, tmp_path):
    entry = run_baseline(Context(store, tiny), PathInversion(), {"baseline": "path_inversion"})
    found = reproduce(store, store.client.get_run(entry.run_id), [tmp_path], watch)
    assert found.equal
    assert found.again.data.tags["kind"] == "baseline"


def test_another_seed_does_not_agree_to_the_bit(store, tiny, original):
    other = trained(store, tiny, seed=6)
    found = compare_runs(store, original, other)
    assert not found.equal
    low, high = (original.data.metrics[f"test/l1rc_median{end}"] for end in ("_lo", "_hi"))
    inside = low <= other.data.metrics["test/l1rc_median"] <= high
    assert found.agrees == inside
    assert ("inside" if inside else "outside") in found.verdict
    assert "0 of" not in found.verdict


def test_far_figures_do_not_agree(store, tiny, original):
    changed = trained(store, tiny, model={"name": "blind_mlp", "width": 2})
    store.client.log_metric(changed.info.run_id, "test/l1rc_median", 7.0)
    found = compare_runs(store, original, store.client.get_run(changed.info.run_id))
    assert not found.agrees
    assert "do not agree" in found.verdict


def test_other_packages_and_commits_are_told(store, tiny, original):
    other = trained(store, tiny)
    path = artifact_folder(other) / "environment.txt"
    text = path.read_text()
    version = next(line for line in text.splitlines() if line.startswith("numpy=="))
    path.write_text(text.replace(version, "numpy==0.1"))
    store.client.set_tag(other.info.run_id, "git_sha", "f" * 40)
    found = compare_runs(store, store.client.get_run(other.info.run_id), original)
    commit, packages = found.differences
    assert commit.startswith(f"Commit {'f' * 12} then")
    assert packages == f"Packages differ: numpy 0.1 -> {version.partition('==')[2]}."


def test_the_data_are_found_by_their_hash(store, tiny, tiny_folder, tmp_path):
    """Moved since: wherever it lies below the data folder; nowhere: one sentence."""
    run = trained(store, tiny)
    moved = tmp_path / "data" / "renamed"
    shutil.copytree(tiny_folder, moved)
    hidden = Path(shutil.move(tiny_folder, tmp_path / "hidden"))
    try:
        assert reproduce(store, run, [tmp_path / "data"], watch).equal
        shutil.rmtree(moved)
        sha = run.data.tags["dataset_sha"]
        with pytest.raises(QmendError, match=rf"hash {sha} is not in .*dvc repro.*data generate"):
            reproduce(store, run, [tmp_path / "data"], watch)
    finally:
        shutil.move(hidden, tiny_folder)


def test_what_is_no_training_or_baseline_is_refused(store, board, original, tmp_path):
    parent = store.runs("tags.kind = 'demo'")[0]
    with pytest.raises(QmendError, match="is of kind demo: only trainings and baselines"):
        reproduce(store, parent, [tmp_path], watch)
    path = artifact_folder(original) / "config.yaml"
    text = path.read_text()
    try:
        config = yaml.safe_load(text)
        path.write_text(yaml.safe_dump({k: v for k, v in config.items() if k != "loss"}))
        with pytest.raises(QmendError, match="lacks loss"):
            reproduce(store, original, [tmp_path], watch)
    finally:
        path.write_text(text)
