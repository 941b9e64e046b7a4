"""Tracked runs hold what the run contract says, and it can all be computed again."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from qmend.encodings import ENCODINGS
from qmend.metrics import interval_text
from qmend.models.base import Dimensions, build_model, model_config
from qmend.models.trained import TrainedModel
from qmend.runs.evaluation import check_unseen, run_evaluation
from qmend.runs.scoring import Context, dataset_tags
from qmend.runs.training import run_training
from qmend.tracking.display import axis_metrics
from qmend.tracking.run import start_run
from qmend.training.checkpoint import load_checkpoint
from qmend.training.config import TrainingConfig
from qmend.training.observer import TrainingObserver
from qmend.types import QmendError

FIGURES = ("l1rc_median", "improved_pct", "harmed_pct", "tv", "hellinger", "kl")


def artifacts(store, run_id: str):
    return store.root / "artifacts" / run_id / "artifacts"


def by_name(board, name: str):
    return next(e for e in board.runs if e.name == name)


def test_every_entry_has_a_finished_run_with_its_figures(board, store):
    parents = set()
    for entry in board.runs:
        run = store.client.get_run(entry.run_id)
        assert run.info.status == "FINISHED"
        parents.add(run.data.tags["mlflow.parentRunId"])
        for name in FIGURES:
            interval = entry.summary.figures[name]
            found = [run.data.metrics[f"test/{name}{end}"] for end in ("", "_lo", "_hi")]
            assert found == pytest.approx([interval.value, interval.lo, interval.hi])
        assert run.data.metrics["test/excluded"] == 0
        assert run.data.metrics["cost/seconds"] == pytest.approx(entry.seconds)
        assert run.data.metrics["cost/parameters"] == entry.parameters
    assert len(parents) == 1


def test_figures_are_tags_too_rounded_and_axes_for_mlflow_metrics(board, store):
    for entry in board.runs:
        logged = store.client.get_run(entry.run_id).data
        figures = entry.summary.figures
        assert logged.tags["L1RC"] == interval_text(figures["l1rc_median"])
        for name in ("improved", "harmed"):
            assert logged.tags[name] == f"{figures[f'{name}_pct'].value:.2f} %"
        assert logged.metrics["minus/test/l1rc_median"] == -logged.metrics["test/l1rc_median"]
    rates = {"optimizer.lr": "0.001", "optimizer.weight_decay": "0.0"}
    axes = axis_metrics(rates, "tune/best", -0.5)
    assert axes == {"log10/lr": pytest.approx(-3), "minus/tune/best": 0.5}


def test_tags_name_data_method_and_seed(board, store, tiny):
    data = {
        "family": "pauli",
        "device": "ibm_algiers",
        "source": "simulated",
        "dataset": "tiny",
        "dataset_sha": tiny.manifest.dataset_sha,
    }
    assert dataset_tags(tiny) == data
    expected = {
        "depolarizing_inversion": {
            "kind": "baseline",
            "architecture": "depolarizing_inversion",
            "head": "none",
            "loss": "none",
            "encoding": "none",
            "seed": "none",
        },
        "physics_perceiver": {
            "kind": "train",
            "architecture": "physics_perceiver",
            "head": "residual",
            "loss": "l1",
            "encoding": "token",
            "seed": "0",
        },
    }
    for name, tags in expected.items():
        found = store.client.get_run(by_name(board, name).run_id).data.tags
        for key, value in {**data, **tags, "bootstrap_unit": "circuits"}.items():
            assert found[key] == value
        assert {"config_sha", "git_sha"} <= set(found)


def test_the_dataset_is_an_input_of_every_run(board, store, tiny):
    for entry in board.runs:
        inputs = store.client.get_run(entry.run_id).inputs.dataset_inputs
        assert {i.dataset.digest for i in inputs} == {tiny.manifest.dataset_sha}
        # One name a split: MLflow keeps one entry, and one context, for each name and digest.
        assert {i.dataset.name for i in inputs} == {"tiny/train", "tiny/test"}


def test_per_circuit_scores_give_the_logged_median(board, store, tiny):
    for entry in board.runs:
        table = pq.read_table(artifacts(store, entry.run_id) / "scores" / "test.parquet")
        assert table["circuit_id"].to_pylist() == tiny.part("test").circuit_id.tolist()
        median = np.median(table["l1rc"].to_numpy())
        run = store.client.get_run(entry.run_id)
        assert run.data.metrics["test/l1rc_median"] == pytest.approx(median)


@pytest.mark.parametrize("name", ["blind_mlp", "physics_perceiver"])
def test_training_curves_are_logged_for_each_epoch(board, store, name):
    entry = by_name(board, name)
    for metric in ("train/loss", "val/loss", "val/l1rc_median"):
        logged = store.client.get_metric_history(entry.run_id, metric)
        values = [m.value for m in sorted(logged, key=lambda m: m.step)]
        assert values == pytest.approx(entry.history[metric])
        assert len(values) == 3


@pytest.mark.parametrize("name", ["blind_mlp", "physics_perceiver"])
def test_the_logged_model_mitigates_as_scored(board, store, tiny, name):
    entry = by_name(board, name)
    model, provenance = load_checkpoint(artifacts(store, entry.run_id) / "model")
    np.testing.assert_array_equal(model.mitigate(tiny.part("test").circuits), entry.mitigated)
    assert provenance["run_id"] == entry.run_id
    assert provenance["dataset_sha"] == tiny.manifest.dataset_sha
    assert (provenance["loss"], provenance["seed"]) == ("l1", 0)
    median = entry.summary.figures["l1rc_median"].value
    assert provenance["metrics"]["test/l1rc_median"] == pytest.approx(median)
    json.dumps(provenance)


def test_the_same_config_gives_the_same_numbers(board, store, tiny, trainings):
    entry = by_name(board, "physics_perceiver")
    again = run_training(Context(store, tiny), "again", trainings["physics_perceiver"], {})
    np.testing.assert_array_equal(again.mitigated, entry.mitigated)
    assert again.summary == entry.summary
    assert again.history == entry.history


def test_an_evaluation_gives_the_figures_of_the_training(board, store, tiny):
    entry = by_name(board, "blind_mlp")
    model, provenance = load_checkpoint(artifacts(store, entry.run_id) / "model")
    found = run_evaluation(Context(store, tiny), model, provenance, {})
    assert found.summary == entry.summary
    tags = store.client.get_run(found.run_id).data.tags
    assert tags["kind"] == "evaluation"
    assert tags["checkpoint_run"] == entry.run_id
    assert "mlflow.parentRunId" not in tags


def test_another_split_is_scored_under_its_own_name(board, store, tiny):
    entry = by_name(board, "blind_mlp")
    model, provenance = load_checkpoint(artifacts(store, entry.run_id) / "model")
    found = run_evaluation(Context(store, tiny, split="val"), model, provenance, {})
    metrics = store.client.get_run(found.run_id).data.metrics
    assert "val/l1rc_median" in metrics
    assert not [name for name in metrics if name.startswith("test/")]
    assert len(found.scores.l1rc) == len(tiny.part("val"))


def test_a_training_that_breaks_is_failed_with_the_reason(store, tiny, trainings):
    parents = []

    def progress(done, total, values) -> None:
        raise QmendError("out of patience")

    def broken() -> None:
        with start_run(store, "parent", {"kind": "demo"}, {}) as parent:
            parents.append(parent.run_id)
            context = Context(store, tiny, parent=parent.run_id)
            observer = TrainingObserver(epoch=progress)
            run_training(context, "broken", trainings["blind_mlp"], {}, observer=observer)

    with pytest.raises(QmendError, match="out of patience"):
        broken()
    children = store.runs(f"tags.mlflow.parentRunId = '{parents[0]}'")
    assert [c.info.status for c in children] == ["FAILED"]
    assert children[0].data.tags["error"] == "QmendError: out of patience"


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"loss": {"name": "l2"}}, QmendError, "unknown loss 'l2'"),
        ({"model": {"name": "mpl"}}, QmendError, "unknown architecture 'mpl'"),
        ({"model": {"name": "blind_mlp", "wdth": 1}}, ValidationError, "wdth"),
        ({"optimizer": {"lr": -1}}, ValidationError, "optimizer.lr"),
        ({"trainer": {"max_epochs": 0}}, ValidationError, "trainer.max_epochs"),
    ],
)
def test_a_training_config_is_checked_as_a_whole(change, error, message):
    good = {
        "model": {"name": "blind_mlp"},
        "loss": {"name": "kl"},
        "optimizer": {},
        "trainer": {},
    }
    assert TrainingConfig(**good).model.width == 512
    with pytest.raises(error, match=message):
        TrainingConfig(**{**good, **change})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, None),
        ({"seed": 8, "circuits": 40}, None),
        ({"circuits": 40}, "another dataset.circuits, so that the test split holds circuits"),
        ({"job_size": 8}, "another dataset.job_size"),
        ({"split": {"train": 0.5, "val": 0.1, "test": 0.4}}, "another dataset.split"),
        (
            {"family": {"name": "pauli", "n_qubits": 4}},
            "all measured, the dataset has 4; choose",
        ),
    ],
)
def test_circuits_that_a_model_has_seen_are_no_test(tiny, tiny_config, change, message):
    """Equal seeds give equal circuits: only equal splits keep the test split unseen."""
    recipe = tiny.manifest.recipe["dataset"]
    encoding = ENCODINGS["token"]().fit(tiny.part("train").circuits)
    config = model_config({"name": "blind_mlp", "width": 4})
    dimensions = Dimensions(n_qubits=5, token=1, context=1)
    model = TrainedModel(build_model(config, dimensions), config, dimensions, encoding)
    dataset = {**recipe, **change}
    if message is None:
        check_unseen(model, {"recipe": recipe}, dataset)
    else:
        with pytest.raises(QmendError, match=message):
            check_unseen(model, {"recipe": recipe}, dataset)
