"""A tracked training against a bare PyTorch loop, and on a busy machine against a quiet one."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Group
from rich.table import Table

from qmend import metrics
from qmend.benchmarks.alternating import Timings, empty_table, one_core
from qmend.benchmarks.circuits import generate_pauli
from qmend.benchmarks.shared_cores import competitors, shared_cores
from qmend.datasets.table import Dataset, load_dataset
from qmend.encodings import BatchLoader
from qmend.models.base import Architecture, Dimensions, build_model, model_config
from qmend.models.trained import INFERENCE_BATCH
from qmend.tracking.run import start_run
from qmend.tracking.store import Store, open_store
from qmend.training.batches import ShuffledBatches
from qmend.training.config import LossConfig, OptimizerConfig, TrainerConfig, TrainingConfig
from qmend.training.data import encode
from qmend.training.logger import OwnedRunLogger
from qmend.training.losses import LOSSES
from qmend.training.observer import TrainingObserver
from qmend.training.train import train

#: ``conf/model/perceiver.yaml`` without dropout, which costs both the same.
_MODEL = model_config({"name": "perceiver", "dropout": 0.0})
_LOSS, _SEED, _CIRCUITS_A_JOB = "kl", 0, 10
_OPTIMIZER = OptimizerConfig.of(schedule="constant")
#: The first epoch is not counted: it warms both up.
_TRAINER = TrainerConfig.of(max_epochs=5, batch_size=256, threads=1)
_CONFIG = TrainingConfig(
    model=_MODEL, loss=LossConfig(name=_LOSS), optimizer=_OPTIMIZER, trainer=_TRAINER, seed=_SEED
)
_OURS, _BARE = "qmend, tracked", "bare loop"
_THREADS = (1, 2)
_QUIET, _SHARED = "quiet", "shared"


def bench_training(circuits: int, repeats: int) -> tuple[Group, dict[str, Any]]:
    """Measure seconds a training step, with each epoch's validation and logging.

    Ours is what ``qmend train`` does: Lightning, an MLflow run, the best weights kept, a folder
    for the state. The bare loop does the forward and backward passes, clips, steps and validates.
    Both start from the same weights, see the same batches and end with the same weights.

    Then CPU seconds of ours with one thread and with two, on all cores, alone and beside busy
    processes. Threads that wait for one another by spinning take several times as many there.
    """
    circuits = max(circuits // _CIRCUITS_A_JOB, 6) * _CIRCUITS_A_JOB
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        generate_pauli(folder / "bench", circuits, _CIRCUITS_A_JOB)
        data = load_dataset(folder / "bench")
        steps = -(-len(data.part("train")) // _TRAINER.batch_size) * (_TRAINER.max_epochs - 1)
        store = open_store(folder / "mlruns")
        seconds: dict[str, list[float]] = {_OURS: [], _BARE: []}
        difference = 0.0
        with one_core():
            for repeat in range(repeats + 1):
                ours, first = _tracked(store, data, folder / f"state {repeat}")
                bare, second = _bare(data)
                if repeat:  # the first pass warms up, uncounted
                    seconds[_OURS].append(ours / steps)
                    seconds[_BARE].append(bare / steps)
                difference = max(difference, _difference(first, second))
        cpu = Timings({_place(*each): [] for each in product(_THREADS, (_QUIET, _SHARED))})
        for repeat, threads, place in product(range(repeats), _THREADS, (_QUIET, _SHARED)):
            name = _place(threads, place)
            state = folder / f"state {repeat}, {name}"
            cpu.seconds[name].append(_cpu_seconds(store, data, state, threads, place) / steps)
    timings = Timings(seconds)
    summary = {
        "bench": "training",
        **timings.rounded_ratio("ratio", _OURS, _BARE, 3),
        "ms_a_step": round(1e3 * timings.median(_OURS), 2),
        "ms_a_step_bare": round(1e3 * timings.median(_BARE), 2),
        "steps_an_epoch": steps // (_TRAINER.max_epochs - 1),
        "max_abs_diff": difference,
        "load": round(os.getloadavg()[0], 2),
        "circuits": circuits,
        "competitors": competitors(),
    }
    for threads in _THREADS:
        name = "1_thread" if threads == 1 else f"{threads}_threads"
        quiet, shared = _place(threads, _QUIET), _place(threads, _SHARED)
        summary |= cpu.rounded_ratio(f"shared_ratio_{name}", shared, quiet, 3)
        summary[f"cpu_ms_a_step_{name}"] = round(1e3 * cpu.median(quiet), 2)
        summary[f"cpu_ms_a_step_{name}_shared"] = round(1e3 * cpu.median(shared), 2)
    return Group(_table(timings, circuits), _shared_table(cpu)), summary


def _place(threads: int, place: str) -> str:
    return f"{threads} {'thread' if threads == 1 else 'threads'}, {place}"


def _cpu_seconds(store: Store, dataset: Dataset, state: Path, threads: int, place: str) -> float:
    """Train with tracking; return the CPU seconds of all threads after the first epoch."""
    trainer = _TRAINER.model_copy(update={"threads": threads})
    config = _CONFIG.model_copy(update={"trainer": trainer})
    with shared_cores() if place == _SHARED else nullcontext():
        return _tracked(store, dataset, state, config, time.process_time)[0]


def _tracked(
    store: Store,
    dataset: Dataset,
    state: Path,
    config: TrainingConfig = _CONFIG,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[float, Architecture]:
    """Train with tracking; return seconds after the first epoch, and the network."""
    ends: list[float] = []
    state.mkdir()
    with start_run(store, "bench", {"kind": "bench"}, {}) as run:
        observer = TrainingObserver(
            epoch=lambda *_: ends.append(clock()), loggers=(OwnedRunLogger(run),)
        )
        trained = train(config, encode(config, dataset), state=state, observer=observer)
    return ends[-1] - ends[0], trained.model.network


def _bare(dataset: Dataset) -> tuple[float, Architecture]:
    """Train by hand; return seconds after the first epoch, and the network."""
    data = encode(_CONFIG, dataset)
    held_out = BatchLoader(*data.val, batch_size=INFERENCE_BATCH)
    torch.manual_seed(_SEED)
    network = build_model(_MODEL, Dimensions.of(data.train[0]))
    loss_of = LOSSES[_LOSS]
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=_OPTIMIZER.lr, weight_decay=_OPTIMIZER.weight_decay
    )
    batches = ShuffledBatches(data.train, _TRAINER.batch_size, _SEED)
    ends: list[float] = []
    best, weights = np.inf, network.state_dict()
    for epoch in range(_TRAINER.max_epochs):
        network.train()
        for batch in batches.epoch(epoch):
            optimizer.zero_grad()
            loss = loss_of(network(batch.unlabelled()), batch.labels, batch.noisy)
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(network.parameters(), _TRAINER.gradient_clip)
            optimizer.step()
        network.eval()
        total, changes = 0.0, []
        with torch.no_grad():
            for batch in held_out:
                mitigated = network(batch.unlabelled())
                rows = (batch.labels, batch.noisy, mitigated)
                total += len(mitigated) * loss_of(mitigated, *rows[:2]).item()
                changes.append(metrics.l1rc(*(r.double().numpy() for r in rows)))
        metrics.median_l1rc(np.concatenate(changes))
        if total < best:
            best, weights = total, {k: v.clone() for k, v in network.state_dict().items()}
        ends.append(time.perf_counter())
    network.load_state_dict(weights)
    return ends[-1] - ends[0], network


def _difference(first: Architecture, second: Architecture) -> float:
    """Compute the largest difference between two networks' weights."""
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    return max(float((a - b).detach().abs().max()) for a, b in pairs)


def _table(timings: Timings, circuits: int) -> Table:
    setting = f"{circuits} Pauli circuits, batches of {_TRAINER.batch_size}, one core"
    table = empty_table(f"Small Perceiver, {setting}", "program", "ms a step", "time")
    for name in timings.seconds:
        share = timings.median(name) / timings.median(_BARE)
        table.add_row(name, f"{1e3 * timings.median(name):.2f}", f"{share:.3f}x")
    return table


def _shared_table(cpu: Timings) -> Table:
    title = f"CPU time of its steps, quiet and beside {competitors()} busy processes"
    table = empty_table(title, "threads", "quiet, ms", "shared, ms", "shared / quiet")
    for threads in _THREADS:
        quiet, shared = _place(threads, _QUIET), _place(threads, _SHARED)
        ratio, low, high = cpu.ratio(shared, quiet)
        table.add_row(
            str(threads),
            f"{1e3 * cpu.median(quiet):.2f}",
            f"{1e3 * cpu.median(shared):.2f}",
            f"{ratio:.2f}x ({low:.2f} .. {high:.2f})",
        )
    return table
