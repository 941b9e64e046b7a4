"""The store decides everything: what is proposed and pruned next follows from the runs alone."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from qmend.datasets.table import Dataset
from qmend.processes import process_identity
from qmend.runs.scoring import Context
from qmend.tracking.interrupts import SteadyClient
from qmend.tracking.owner import PROCESS_TAG
from qmend.tracking.run import start_run
from qmend.tracking.store import Store, open_store, reconcile
from qmend.training.config import TrainingConfig
from qmend.tuning.config import TuneConfig
from qmend.tuning.proposals import propose
from qmend.tuning.ray_trials import SearchScheduler
from qmend.tuning.record import Trial
from qmend.tuning.search import Search, SearchPlan
from qmend.tuning.space import SECTIONS, base_values

EPOCHS, TRIALS = 9, 14
CONFIG: dict[str, Any] = {
    "device": {"name": "algiers"},
    "dataset": {"name": "tiny"},
    "model": {"name": "blind_mlp", "encoding": "token", "width": 64, "depth": 1, "dropout": 0.0},
    "loss": {"name": "l1"},
    "optimizer": {"lr": 1e-3, "weight_decay": 1e-4, "schedule": "constant"},
    "trainer": {"max_epochs": EPOCHS, "batch_size": 24, "patience": None},
    "seed": 0,
}
SPACE: dict[str, Any] = {
    "model": {
        "width": {"type": "int", "low": 8, "high": 128, "log": True},
        "depth": {"type": "int", "low": 1, "high": 3},
        "dropout": {
            "type": "float",
            "low": 0.0,
            "high": 0.3,
            "condition": {"model.depth": [2, 3]},
        },
    },
    "loss": {"type": "categorical", "choices": ["l1", "kl"]},
    "optimizer.lr": {"type": "float", "low": 1e-5, "high": 1e-1, "log": True},
    "trainer.patience": {"type": "categorical", "choices": [None, 3]},
}


def check(config: Any) -> TrainingConfig:
    sections = {name: config[name] for name in SECTIONS}
    own = ("name", "encoding", "width")  # the others are of no real network
    sections["model"] = {key: sections["model"][key] for key in own}
    return TrainingConfig.model_validate(sections)


def plan(trials: int = TRIALS) -> SearchPlan:
    options = {
        "trials": trials,
        "parallel": 1,
        "asha": {"grace_period": 1, "reduction_factor": 3},
        "space": SPACE,
    }
    return SearchPlan.of(CONFIG, TuneConfig.model_validate(options), check)


def value_of(config: dict[str, Any], epoch: int) -> float:
    """A bowl in the logarithm of the learning rate, deeper with epochs; no number at its rim."""
    distance = abs(math.log10(config["optimizer"]["lr"]) + 3)
    return math.nan if distance > 1.9 else distance + 0.1 * config["model"]["depth"] - 0.02 * epoch


class Killed(BaseException):
    """SIGKILL, as far as the store can tell."""


@contextlib.contextmanager
def killed_after(writes: int) -> Iterator[None]:
    """Let the process end before its next write to the store but so many."""
    left = [writes]

    def counted(name: str) -> Any:
        write = getattr(SteadyClient, name)

        def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
            if not left[0]:
                raise Killed
            left[0] -= 1
            return write(self, *args, **kwargs)

        return wrapped

    with pytest.MonkeyPatch.context() as patch:
        for name in ("create_run", "log_batch", "set_terminated", "log_text", "delete_tag"):
            patch.setattr(SteadyClient, name, counted(name))
        yield


def run(context: Context, parent: str, folder: Path, trials: int = TRIALS) -> Search:
    """Run a search by hand, one trial at a time, from wherever the store says it is."""
    folder.mkdir(exist_ok=True)
    search = Search(context, plan(trials), folder, parent)
    scheduler = SearchScheduler(search)
    while (trial := search.next()) is not None:
        by_ray: Any = SimpleNamespace(config={"number": trial.number})
        for epoch in range(1, EPOCHS + 1):  # from the first: no state was left
            value = value_of(search.resolved(trial), epoch)
            if epoch > trial.epochs:
                search.run(trial).metrics({"val/l1rc_median": value}, 10 * epoch)
            result = {"epoch": epoch, "value": value, "seconds": 1.0}
            if scheduler.on_trial_result(None, by_ray, result) == "STOP":
                break
        else:
            failed = not math.isfinite(trial.best)
            search.end(trial, "failed" if failed else "finished", 1.0, 7, "none" if failed else "")
    return search


def new_search(store: Store) -> str:
    with start_run(store, "tune", {"kind": "tune"}, {}) as parent:
        pass
    return parent.run_id


@pytest.fixture(scope="module")
def context(tiny: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Context:
    return Context(open_store(tmp_path_factory.mktemp("resuming") / "mlruns"), tiny)


@pytest.fixture(scope="module")
def whole(context: Context, tmp_path_factory: pytest.TempPathFactory) -> Search:
    """A search that nothing stopped."""
    return run(context, new_search(context.store), tmp_path_factory.mktemp("whole"))


def plain(trials: list[Trial]) -> list[Any]:
    """All that is known of trials, but for their ids and times."""
    return [{**vars(trial), "run_id": "", "seconds": 0.0} for trial in trials]


def read_back(search: Search) -> list[Trial]:
    return Search(search.context, search.plan, search.folder, search.parent).trials


def test_the_search_finds_the_bowl_and_prunes(whole: Search) -> None:
    outcomes = [trial.outcome for trial in whole.trials]
    assert len(outcomes) == TRIALS
    assert outcomes.count("pruned") > 3
    assert outcomes.count("finished") > 1
    assert whole.best is not None
    assert whole.best.best < 1.0


def test_trials_are_read_back_as_they_were(whole: Search) -> None:
    assert plain(read_back(whole)) == plain(whole.trials)


def test_killed_at_every_kind_of_write_it_ends_as_if_nothing_had_been(
    whole: Search, context: Context, tmp_path: Path
) -> None:
    """Proposals, verdicts, values and statuses are the same."""
    client, parent, kills = context.store.client, new_search(context.store), 0
    host = process_identity().rsplit(":", 2)[0]
    while True:
        with contextlib.suppress(Killed), killed_after(9 + kills % 5):
            search = run(context, parent, tmp_path / "states")
            break
        kills += 1
        assert kills < 100
        for left in context.store.runs("attributes.status = 'RUNNING'"):
            client.set_tag(left.info.run_id, PROCESS_TAG, f"{host}:1:0.00")
        reconcile(context.store)
    assert kills > 10
    assert plain(read_back(search)) == plain(whole.trials)
    status = {"finished": "FINISHED", "pruned": "KILLED", "failed": "FAILED"}
    for trial in search.trials:
        stored = client.get_run(trial.run_id)
        assert stored.info.status == status[str(trial.outcome)]
        assert ("error" in stored.data.tags) == (trial.outcome == "failed")
        assert (Path(stored.info.artifact_uri) / "config.yaml").exists()


def test_more_trials_continue_the_same_search(
    whole: Search, context: Context, tmp_path: Path
) -> None:
    parent = new_search(context.store)
    run(context, parent, tmp_path / "states", 5)
    longer = run(context, parent, tmp_path / "states")
    assert plain(longer.trials) == plain(whole.trials)


def test_another_seed_proposes_otherwise(whole: Search) -> None:
    space, base = whole.plan.space, base_values(whole.plan.config)
    proposals = [propose(space, base, whole.trials, seed) for seed in (0, 0, 1)]
    assert proposals[0] == proposals[1] != proposals[2]


def test_proposals_after_the_random_ones_are_nearer_to_the_bottom(whole: Search) -> None:
    """The next trial of 24 seeds, against the first one of each, which is random."""
    space, base = whole.plan.space, base_values(whole.plan.config)

    def distance(trials: list[Trial]) -> float:
        rates = [propose(space, base, trials, seed)["optimizer.lr"] for seed in range(24)]
        return float(np.median(np.abs(np.log10(np.array(rates, dtype=float)) + 3)))

    assert distance(whole.trials) < distance([])
