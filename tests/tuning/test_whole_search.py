"""A whole search on Ray: statuses, failures, shared memory, and what it leaves in the store."""

from __future__ import annotations

import json
import logging
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
from mlflow.entities import Run as MlflowRun

from qmend.config.nested import flatten
from qmend.datasets.table import Dataset
from qmend.runs.reproduction import reproduce
from qmend.runs.scoring import Context
from qmend.runs.training import run_training
from qmend.tracking.store import Store, open_store
from qmend.training.checkpoint import checkpoint_folder, load_checkpoint
from qmend.training.config import TrainingConfig
from qmend.training.data import encode
from qmend.training.observer import TrainingObserver
from qmend.training.train import train
from qmend.tuning import ray_trials
from qmend.tuning.config import TuneConfig
from qmend.tuning.record import Trial
from qmend.tuning.running import CompleteSearch, run_search
from qmend.tuning.search import SearchPlan
from qmend.tuning.space import SECTIONS
from qmend.tuning.worker import Shared, train_trial
from qmend.types import QmendError

EPOCHS, TRIALS = 6, 8
CONFIG: dict[str, Any] = {
    "device": {"name": "algiers"},
    "dataset": {"name": "tiny"},
    "model": {"name": "blind_mlp", "encoding": "token", "width": 8},
    "loss": {"name": "l1"},
    "optimizer": {"name": "adamw", "lr": 3e-3, "weight_decay": 1e-4, "schedule": "constant"},
    "trainer": {
        "max_epochs": EPOCHS,
        "batch_size": 24,
        "threads": 1,
        "monitor": "val/l1rc_median",
        "save_every_seconds": 0.0,
    },
    "seed": 0,
}
SPACE = {
    "model.width": {"type": "int", "low": 4, "high": 16},
    "optimizer.lr": {"type": "float", "low": 1e-5, "high": 3e-2, "log": True},
    "loss": {"type": "categorical", "choices": ["l1", "kl"]},
}
#: Trials that the tests let fail: by an error in the training, and by the end of the process.
RAISES, DIES = 2, 3


def plan(trials: int, output: Path) -> SearchPlan:
    tune = {
        "trials": trials,
        "seed": 1,
        "parallel": 2,
        "asha": {"grace_period": 1, "reduction_factor": 2},
        "output": str(output),
        "space": SPACE,
    }

    def check(config: Any) -> TrainingConfig:
        return TrainingConfig.model_validate({name: config[name] for name in SECTIONS})

    return SearchPlan.of(CONFIG, TuneConfig.model_validate(tune), check)


def probed(seen: Path) -> Any:
    """A trial's training that writes where its tensors lie; one raises, one kills itself."""

    def train(config: dict[str, Any], shared: Shared) -> None:  # local: Ray sends it by value
        maps = [line.split(maxsplit=5) for line in Path("/proc/self/maps").read_text().splitlines()]
        tensors = []
        for part in (*shared.data.train, *shared.data.val):
            for tensor in part.tensors.values():
                address = tensor.data_ptr()
                files = [
                    words[-1]
                    for words in maps
                    if int(words[0].split("-")[0], 16) <= address < int(words[0].split("-")[1], 16)
                ]
                tensors.append({"bytes": tensor.nbytes, "file": files[0] if files else ""})
        (seen / f"{os.getpid()}-{config['number']}.json").write_text(json.dumps(tensors))
        if config["number"] == RAISES:
            config["resolved"]["optimizer"]["lr"] = "no number"
        if config["number"] == DIES:
            os.kill(os.getpid(), signal.SIGKILL)
        train_trial(config, shared)

    return train


@dataclass(frozen=True)
class Ran:
    """A search, and the same asked for again, then for more trials."""

    context: Context
    first: CompleteSearch
    again: CompleteSearch
    more: CompleteSearch
    said: list[str]
    seen: Path
    default_before: MlflowRun

    def runs(self) -> list[MlflowRun]:
        found = self.context.store.runs("tags.kind = 'trial'")
        return sorted(found, key=lambda run: int(run.data.tags["trial"]))


@pytest.fixture(scope="module")
def ran(tiny: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("search")
    seen = folder / "seen"
    seen.mkdir()
    store = open_store(folder / "mlruns")
    context = Context(store, tiny)
    # An earlier run of the same architecture on the same data, to start from.
    earlier = {**CONFIG, "optimizer": {**CONFIG["optimizer"], "lr": 1.0}}
    training = TrainingConfig.model_validate({name: earlier[name] for name in SECTIONS})
    entry = run_training(context, "earlier", training, earlier)
    said: list[str] = []
    watched: list[tuple[int, int]] = []

    def write(search: Any, result: Any) -> str:
        return f"trial: {result.best.trial.number}\n"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ray_trials, "train_trial", probed(seen))
        lock = threading.RLock()  # as a terminal's display has, and no pickle takes

        def watch(trial: Trial) -> None:
            with lock:
                watched.append((trial.number, trial.epochs))

        first = run_search(context, plan(TRIALS, folder), write, watch, said.append)
        again = run_search(context, plan(TRIALS, folder), write, say=said.append)
        more = run_search(context, plan(TRIALS + 2, folder), write, say=said.append)
    assert not ray.is_initialized()
    assert {(0, EPOCHS)} | {(n, 0) for n in range(TRIALS)} <= set(watched)
    return Ran(context, first, again, more, said, seen, store.client.get_run(entry.run_id))


def test_every_trial_has_a_run_with_its_true_end(ran: Ran) -> None:
    runs = ran.runs()
    assert [run.data.tags["trial"] for run in runs] == [str(n) for n in range(TRIALS + 2)]
    for run in runs:
        tags = run.data.tags
        assert tags["mlflow.parentRunId"] == ran.first.search.parent
        assert tags["kind"] == "trial"
        assert tags["dataset_sha"] == ran.context.dataset.manifest.dataset_sha
        status = {"finished": "FINISHED", "pruned": "KILLED", "failed": "FAILED"}[tags["outcome"]]
        assert run.info.status == status
        assert ("error" in tags) == (status == "FAILED")
    outcomes = [run.data.tags["outcome"] for run in runs]
    assert outcomes.count("failed") == 2
    assert outcomes.count("pruned") >= 1
    assert outcomes.count("finished") >= 2
    assert runs[RAISES].data.tags["error"].startswith("ValidationError: ")
    assert "process died" in runs[DIES].data.tags["error"]
    assert not ran.context.store.runs("attributes.status = 'RUNNING'")


def test_each_epoch_of_a_trial_is_logged_and_the_test_split_is_not(ran: Ran) -> None:
    client = ran.context.store.client
    scored = {ran.more.result.best.trial.run_id, ran.first.result.best.trial.run_id}
    assert ran.more.result.default is not None
    scored.add(ran.more.result.default.trial.run_id)
    for run in ran.runs():
        if run.data.tags["outcome"] == "failed":
            continue
        tags, metrics = run.data.tags, run.data.metrics
        epochs = int(metrics["tune/epochs"])
        assert epochs == EPOCHS if tags["outcome"] == "finished" else 1 <= epochs < EPOCHS
        for name in ("train/loss", "val/loss", "val/l1rc_median"):
            history = client.get_metric_history(run.info.run_id, name)
            assert len(history) == epochs, (name, tags)
        values = [m.value for m in client.get_metric_history(run.info.run_id, "val/l1rc_median")]
        assert metrics["tune/best"] == min(values)
        tested = {name for name in metrics if name.startswith("test/")}
        assert bool(tested) == (run.info.run_id in scored)
        contexts = {d.dataset.name.split("/")[1] for d in run.inputs.dataset_inputs}
        assert ("test" in contexts) == (run.info.run_id in scored)


def test_params_are_the_resolved_config_and_names_say_what_was_sampled(ran: Ran) -> None:
    for run, trial in zip(ran.runs(), ran.more.search.trials, strict=True):
        expected = {k: str(v) for k, v in flatten(ran.more.search.resolved(trial)).items()}
        assert run.data.params == expected
        for key, value in trial.values.items():
            assert run.data.params["loss.name" if key == "loss" else key] == str(value)
        assert run.info.run_name.startswith(f"blind_mlp trial {trial.number} ")
        if trial.source == "tpe":
            assert set(trial.values) == set(SPACE)
            assert f"width={trial.values['model.width']}" in run.info.run_name


def test_it_starts_from_the_default_config_and_the_best_earlier_run(ran: Ran) -> None:
    first, second = ran.more.search.trials[:2]
    assert first.source == "default"
    assert first.values == {"model.width": 8, "optimizer.lr": 3e-3, "loss": "l1"}
    assert first.outcome == "finished"
    assert second.source == f"run {ran.default_before.info.run_id}"
    assert second.values["optimizer.lr"] == 3e-2  # 1.0, at the end of the range


def test_the_best_trial_is_tagged_registered_and_trained_as_fit_trains_it(ran: Ran) -> None:
    best = ran.more.result.best
    tagged = [run.info.run_id for run in ran.runs() if run.data.tags.get("best") == "true"]
    assert tagged == [best.trial.run_id]
    finished = [t for t in ran.more.search.trials if t.outcome == "finished"]
    assert best.trial.best == min(t.best for t in finished)
    store = ran.context.store
    (version,) = store.client.search_model_versions(f"run_id = '{best.trial.run_id}'")
    assert version.tags["candidate"] == ran.first.search.parent

    resolved = ran.more.search.resolved(best.trial)
    training = TrainingConfig.model_validate({name: resolved[name] for name in SECTIONS})
    dataset = ran.context.dataset
    alone = train(training, encode(training, dataset))
    kept, provenance = load_checkpoint(checkpoint_folder(store, best.trial.run_id))
    assert min(alone.history["val/l1rc_median"]) == best.trial.best
    assert provenance["metrics"] == {"val/l1rc_median": best.trial.best}
    circuits = dataset.part("test").circuits
    np.testing.assert_array_equal(kept.mitigate(circuits), alone.model.mitigate(circuits))


def test_the_best_trial_comes_out_the_same_and_one_that_was_not_scored_is_refused(
    ran: Ran, tmp_path: Path
) -> None:
    store, best = ran.context.store, ran.more.result.best
    (original,) = [run for run in ran.runs() if run.info.run_id == best.trial.run_id]
    found = reproduce(store, original, [tmp_path], quiet)
    assert found.equal
    assert {"test/l1rc_median", "val/l1rc_median", "train/loss"} <= set(found.figures)
    store.client.delete_run(found.again.info.run_id)
    unscored = [run for run in ran.runs() if "test/l1rc_median" not in run.data.metrics]
    with pytest.raises(QmendError, match=r"no figures to agree with; .* its best trial"):
        reproduce(store, unscored[0], [tmp_path], quiet)


@contextmanager
def quiet(name: str, epochs: int) -> Iterator[TrainingObserver]:
    yield TrainingObserver()


def test_the_parent_says_what_was_searched_and_what_came_out(ran: Ran) -> None:
    (parent,) = ran.context.store.runs("tags.kind = 'tune'")
    assert parent.info.run_id == ran.first.search.parent
    assert parent.info.status == "FINISHED"
    tags, metrics = parent.data.tags, parent.data.metrics
    assert tags["objective"] == "val/l1rc_median"
    assert metrics["tune/trials"] == TRIALS + 2
    outcomes = [metrics[f"tune/{name}"] for name in ("finished", "pruned", "failed")]
    assert sum(outcomes) == TRIALS + 2
    assert metrics["tune/best"] == ran.more.result.best.trial.best
    # Its best trial has them, and is a row of the tables itself.
    assert not any(key.startswith("test/") for key in metrics)
    space = ran.context.store.client.download_artifacts(parent.info.run_id, "search_space.json")
    read = json.loads(Path(space).read_text())
    assert set(read) == set(SPACE)
    assert read["model.width"] | {"low": 4, "high": 16, "type": "int"} == read["model.width"]


def test_a_finished_search_trains_nothing_and_a_longer_one_goes_on(ran: Ran) -> None:
    assert (ran.first.new, ran.again.new, ran.more.new) == (TRIALS, 0, 2)
    assert ran.again.result == ran.first.result
    assert any("nothing to train" in sentence for sentence in ran.said)
    assert len({done.search.parent for done in (ran.first, ran.again, ran.more)}) == 1
    folder = ran.more.search.folder
    assert not list(folder.iterdir())


def test_a_run_that_was_ended_for_a_killed_process_is_put_right(ran: Ran, tmp_path: Path) -> None:
    """As a kill between the outcome and the run's end leaves it."""
    client = ran.context.store.client
    ended = {run.data.tags["outcome"]: run.info.run_id for run in ran.runs()}
    assert set(ended) == {"finished", "pruned", "failed"}
    for outcome, run_id in ended.items():
        if outcome != "failed":
            client.set_tag(run_id, "error", "the process was killed")
        client.set_terminated(run_id, "KILLED")
    again = run_search(ran.context, plan(TRIALS + 2, tmp_path), lambda *_: "")
    assert again.new == 0
    test_every_trial_has_a_run_with_its_true_end(ran)
    for run in ran.runs():
        best = client.get_metric_history(run.info.run_id, "tune/best")
        assert len(best) == ("tune/best" in run.data.metrics)


def test_trials_share_one_copy_of_the_data(ran: Ran) -> None:
    """Every worker's tensors lie in one file of shared memory."""
    seen = [json.loads(path.read_text()) for path in ran.seen.iterdir()]
    assert len(seen) >= 2
    for tensors in seen:
        large = [tensor for tensor in tensors if tensor["bytes"] > 0]
        assert len(large) >= 8
        for tensor in large:
            assert "plasma" in tensor["file"] or "/dev/shm" in tensor["file"], tensor


def test_one_search_at_a_time(ran: Ran, tmp_path: Path) -> None:
    from qmend.training.state import claim

    with (
        claim(ran.first.search.folder),
        pytest.raises(QmendError, match="Another process runs this search"),
    ):
        run_search(ran.context, plan(99, tmp_path), lambda *_: "")


def test_what_no_machine_has_is_refused(ran: Ran, tmp_path: Path) -> None:
    wanted = plan(TRIALS + 4, tmp_path)
    resources = wanted.options.resources.model_copy(update={"gpu": 64.0})
    options = wanted.options.model_copy(update={"resources": resources})
    with pytest.raises(QmendError, match=r"tune.resources.gpu=64, but Ray has"):
        run_search(ran.context, replace(wanted, options=options), lambda *_: "")
    (parent,) = ran.context.store.runs("tags.kind = 'tune'")
    assert parent.info.status == "FAILED"
    assert not ran.context.store.runs("attributes.status = 'RUNNING'")


@pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::FutureWarning", "ignore::DeprecationWarning"
)
def test_a_cluster_that_is_already_there_trains_the_trials(tiny: Dataset, tmp_path: Path) -> None:
    """On its machines, and it is there for the next search as well."""
    from ray.cluster_utils import Cluster

    def located(config: dict[str, Any], shared: Shared) -> None:  # local: Ray sends it by value
        (tmp_path / "where").write_text(ray.get_runtime_context().gcs_address)
        train_trial(config, shared)

    memory = {"object_store_memory": 100 * 2**20, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, **memory})
    address = cluster.address
    try:
        wanted = plan(1, tmp_path)
        context = Context(open_store(tmp_path / "mlruns"), tiny)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ray_trials, "train_trial", located)
            done = run_search(context, replace(wanted, ray_address=address), lambda *_: "")
        assert not ray.is_initialized()
        ray.init(address=address, logging_level=logging.ERROR)
        assert ray.cluster_resources()["CPU"] == 1
        ray.shutdown()
    finally:
        cluster.shutdown()
    assert (tmp_path / "where").read_text() == address
    assert [t.outcome for t in done.search.trials] == ["finished"]
    assert done.result.best.test.value < 10


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nonsense", "ray://127.0.0.1:99999"])
def test_no_cluster_is_one_sentence_at_once(tiny: Dataset, tmp_path: Path, address: str) -> None:
    wanted = plan(1, tmp_path)
    context = Context(open_store(tmp_path / "mlruns"), tiny)
    with pytest.raises(QmendError, match=f"No Ray cluster answers at {address} .*ray.address"):
        run_search(context, replace(wanted, ray_address=address), lambda *_: "")
    assert {run.info.status for run in context.store.runs()} <= {"FAILED"}


_EIGHT = """\
import os, sys
from pathlib import Path
from qmend.tracking.run import begin_run, end_run
from qmend.tracking.store import Store, open_store

opened = open_store(Path(sys.argv[1]))
children = []
for writer in range(8):
    child = os.fork()
    if child == 0:
        run = begin_run(opened, f"writer {writer}", {"kind": "trial"}, {"writer": writer})
        for epoch in range(25):
            run.metrics({"val/loss": writer + epoch / 100}, epoch)
        end_run(run, "FINISHED")
        os._exit(0)
    children.append(child)
sys.exit(sum(os.waitpid(child, 0)[1] != 0 for child in children))
"""


def test_eight_processes_at_once_lose_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _EIGHT, str(tmp_path / "mlruns")],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    store: Store = open_store(tmp_path / "mlruns")
    runs = store.runs()
    assert sorted(run.data.params["writer"] for run in runs) == [str(n) for n in range(8)]
    assert {run.info.status for run in runs} == {"FINISHED"}
    query = "select count(*), count(distinct run_uuid || step) from metrics"
    with sqlite3.connect(tmp_path / "mlruns" / "mlflow.db") as connection:
        assert connection.execute(query).fetchone() == (200, 200)
    connection.close()
