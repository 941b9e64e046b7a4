"""Every architecture and loss with several seeds beside every baseline, and how far they carry.

Each training, baseline and evaluation is a run of its own. One that the store already holds, with
the same config on the same data, is not run again: a study that was stopped goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qmend.datasets.table import Dataset
from qmend.mitigation.runnable import runnable_baselines
from qmend.runs.configurations import Configuration
from qmend.runs.evaluation import run_ensemble, run_evaluation
from qmend.runs.reading import ScoredRun, read_scored
from qmend.runs.scoring import Context, run_baseline
from qmend.runs.training import run_training, unfinished
from qmend.tracking.run import config_sha
from qmend.training.checkpoint import checkpoint_folder, load_checkpoint
from qmend.training.config import TrainingConfig
from qmend.types import QmendError


@dataclass(frozen=True)
class Cell:
    """One way to train, to be run with several seeds.

    Attributes:
        training: with any seed.
        config: the whole config as plain values, without the seed.
    """

    name: str
    training: TrainingConfig
    config: Mapping[str, Any]

    def seeded(self, seed: int) -> TrainingConfig:
        """Return the training with one of the seeds."""
        return self.training.model_copy(update={"seed": seed})


#: (what is under way, epochs) -> context manager that yields a training's observer.
Watch = Callable[[str, int], Any]


def shortened(dataset: Dataset, train_circuits: int | None) -> Dataset:
    """The dataset with the first so many circuits of its training split, whole jobs.

    Raises:
        QmendError: if it has fewer.
    """
    if train_circuits is None:
        return dataset
    train = np.flatnonzero(dataset.split == "train")
    if train_circuits > len(train):
        raise QmendError(
            f"train_circuits={train_circuits:,} is more than the {len(train):,} training circuits "
            f"of {dataset.folder}; choose fewer."
        )
    kept = np.ones(len(dataset.rows), dtype=bool)
    kept[train[train_circuits:]] = False
    return dataset.select(np.flatnonzero(kept), "left out of the training split")


def run_baselines(
    context: Context, names: Sequence[str] | None, config: Mapping[str, Any]
) -> Iterator[Configuration]:
    """Run each baseline that can run on the dataset; None: all of them."""
    for mitigator in runnable_baselines(context.dataset, names).mitigators:
        plain = {"baseline": mitigator.name, **config}
        run = finished_run(context, plain) or run_baseline(context, mitigator, plain)
        yield Configuration(mitigator.name, (run,))


def run_cell(context: Context, cell: Cell, seeds: Sequence[int], watch: Watch) -> Configuration:
    """Train with every seed that the store has no finished run of."""
    runs = []
    for seed in seeds:
        plain = {**cell.config, "seed": seed}
        run = finished_run(context, plain)
        if run is None:
            name = f"{cell.name} seed {seed}"
            state = unfinished(context.store, plain, context.dataset.manifest.dataset_sha)
            with watch(name, cell.training.trainer.max_epochs) as observer:
                run = run_training(
                    context, name, cell.seeded(seed), plain, state=state, observer=observer
                )
        runs.append(run)
    return Configuration(cell.name, tuple(runs))


def run_average(
    context: Context, trained: Configuration, config: Mapping[str, Any]
) -> Configuration:
    """Score the average of the networks of all seeds."""
    ids = list(trained.run_ids)
    plain = {"ensemble_of": ids, **config}
    run = finished_run(context, plain)
    if run is None:
        members = [load_checkpoint(checkpoint_folder(context.store, run_id)) for run_id in ids]
        run = run_ensemble(context, members, plain)
    return Configuration(f"{trained.name} average of {len(ids)}", (run,))


def run_elsewhere(
    context: Context, trained: Configuration, config: Mapping[str, Any]
) -> Configuration:
    """Score trained networks on other data, at the cost of their training."""
    runs = []
    for run_id in trained.run_ids:
        plain = {"checkpoint": run_id, **config}
        run = finished_run(context, plain)
        if run is None:
            model, provenance = load_checkpoint(checkpoint_folder(context.store, run_id))
            run = run_evaluation(context, model, provenance, plain, trained.name)
        runs.append(replace(run, metrics={**run.metrics, "cost/seconds": trained.seconds}))
    return Configuration(trained.name, tuple(runs))


def finished_run(context: Context, plain: Mapping[str, Any]) -> ScoredRun | None:
    """Find the newest finished run of a config on the context's dataset."""
    query = (
        f"tags.config_sha = '{config_sha(plain)}' and tags.dataset_sha = "
        f"'{context.dataset.manifest.dataset_sha}' and attributes.status = 'FINISHED'"
    )
    runs = context.store.runs(query, limit=1)
    return read_scored(context.store, runs[0]) if runs else None
