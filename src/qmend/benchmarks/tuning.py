"""A search against its own trials, trained one after the other in one process."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.table import Table

from qmend.benchmarks.alternating import Timings, empty_table, one_core
from qmend.benchmarks.circuits import generate_pauli
from qmend.datasets.table import Dataset, load_dataset
from qmend.runs.scoring import Context
from qmend.tracking.store import open_store
from qmend.training.config import TrainingConfig
from qmend.training.data import encode
from qmend.training.train import train
from qmend.tuning.config import TuneConfig
from qmend.tuning.record import Trial
from qmend.tuning.running import CompleteSearch, run_search
from qmend.tuning.search import SearchPlan
from qmend.tuning.space import SECTIONS

_TRIALS, _EPOCHS, _CIRCUITS_A_JOB = 6, 6, 10
#: ``conf/model/physics_perceiver.yaml``, ``conf/trainer`` on one core.
_CONFIG: dict[str, Any] = {
    "device": {"name": "algiers"},
    "dataset": {"name": "bench"},
    "model": {
        "name": "physics_perceiver",
        "encoding": "token",
        "basis": "parity",
        "latents": 8,
        "width": 32,
        "depth": 1,
        "cross_heads": 4,
        "self_heads": 4,
        "dropout": 0.0,
    },
    "loss": {"name": "l1"},
    "optimizer": {"lr": 1e-3, "weight_decay": 1e-4, "schedule": "one_cycle"},
    "trainer": {
        "max_epochs": _EPOCHS,
        "batch_size": 128,
        "threads": 1,
        "monitor": "val/l1rc_median",
    },
    "seed": 0,
}
_SPACE = {
    "model.latents": {"type": "int", "low": 4, "high": 12},
    "optimizer.lr": {"type": "float", "low": 3e-4, "high": 1e-2, "log": True},
    "trainer.batch_size": {"type": "categorical", "choices": [64, 128]},
}
_SEARCH, _BARE, _INSIDE = "the whole search", "its trials alone", "from first to last trial"


def bench_tuning(circuits: int, repeats: int) -> tuple[Table, dict[str, Any]]:
    """Measure a search, one trial at a time, none pruned, against its trials alone.

    The search is all of ``qmend tune`` after the data are there: Ray's start and end, the encoding,
    a run for each trial with every epoch, the best one's score. The trials alone are
    ``training.train`` with the same configs, without tracking, one after the other in a warm
    process. Ray starts once a search of any length: the second ratio leaves that out.
    """
    circuits = max(circuits // _CIRCUITS_A_JOB, 6) * _CIRCUITS_A_JOB
    seconds: dict[str, list[float]] = {_SEARCH: [], _INSIDE: [], _BARE: []}
    difference = 0.0
    with tempfile.TemporaryDirectory() as scratch, one_core():
        folder = Path(scratch)
        generate_pauli(folder / "bench", circuits, _CIRCUITS_A_JOB)
        dataset = load_dataset(folder / "bench")
        _alone(dataset, [_CONFIG])  # warms up, uncounted
        for repeat in range(repeats):
            whole, inside, done = _search(dataset, folder / f"mlruns {repeat}")
            trials = done.search.trials
            alone, values = _alone(dataset, [done.search.resolved(trial) for trial in trials])
            seconds[_SEARCH].append(whole)
            seconds[_INSIDE].append(inside)
            seconds[_BARE].append(alone)
            pairs = zip(values, trials, strict=True)
            difference = max(difference, *(abs(v - trial.best) for v, trial in pairs))
    timings = Timings(seconds)
    summary = {
        "bench": "tuning",
        **timings.rounded_ratio("ratio", _SEARCH, _BARE, 3),
        **timings.rounded_ratio("ratio_trials", _INSIDE, _BARE, 3),
        "overhead_s": round(timings.median(_SEARCH) - timings.median(_BARE), 2),
        "overhead_s_a_trial": round((timings.median(_INSIDE) - timings.median(_BARE)) / _TRIALS, 3),
        "trials": _TRIALS,
        "max_abs_diff": difference,
        "load": round(os.getloadavg()[0], 2),
        "circuits": circuits,
    }
    return _table(timings, circuits), summary


def _search(dataset: Dataset, root: Path) -> tuple[float, float, CompleteSearch]:
    """Search; return seconds of it all, and from first epoch to last trial's end."""
    events: list[float] = []
    first: list[float] = []
    context = Context(open_store(root), dataset)
    started = time.perf_counter()

    def watch(trial: Trial) -> None:
        events.append(time.perf_counter())
        if trial.epochs:
            first.append(trial.seconds)

    done = run_search(context, _plan(root), lambda *_: "", watch)
    whole = time.perf_counter() - started
    # The first event is a trial's start, which waits for the worker; the next its first epoch.
    return whole, events[-1] - events[1] + first[0], done


def _alone(dataset: Dataset, configs: list[Mapping[str, Any]]) -> tuple[float, list[float]]:
    """Train without tracking; return the seconds, and the best value of each."""
    started = time.perf_counter()
    values = []
    for config in configs:
        training = _training(config)
        trained = train(training, encode(training, dataset))
        values.append(min(trained.history["val/l1rc_median"]))
    return time.perf_counter() - started, values


def _plan(root: Path) -> SearchPlan:
    tune = {
        "trials": _TRIALS,
        "parallel": 1,
        "asha": {"enabled": False},
        "output": str(root),
        "space": _SPACE,
    }
    return SearchPlan.of({**_CONFIG, "seed": 0}, TuneConfig.model_validate(tune), _training)


def _training(config: Mapping[str, Any]) -> TrainingConfig:
    return TrainingConfig.model_validate({name: config[name] for name in SECTIONS})


def _table(timings: Timings, circuits: int) -> Table:
    network = "small physics-informed Perceiver"
    setting = f"{_TRIALS} trials of {_EPOCHS} epochs, {network}, {circuits} Pauli circuits"
    table = empty_table(f"{setting}, one core", "program", "s", "time")
    for name in timings.seconds:
        share = timings.median(name) / timings.median(_BARE)
        table.add_row(name, f"{timings.median(name):.2f}", f"{share:.2f}x")
    return table
