"""Every architecture and loss with several seeds beside every baseline, and how far they carry.

Each training, baseline and evaluation is a run of its own. One that the store already holds, with
the same config on the same data, is not run again: a study that was stopped goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from mlflow.entities import Run as MlflowRun

from qmend.datasets.table import Dataset
from qmend.metrics import Interval
from qmend.mitigation.reruns import runnable_baselines
from qmend.runs.evaluation import run_ensemble, run_evaluation
from qmend.runs.leaderboard import Leaderboard
from qmend.runs.scoring import Context, run_baseline
from qmend.runs.training import TrainingConfig, run_training, unfinished
from qmend.tracking.run import config_sha
from qmend.training.checkpoint import checkpoint_folder, load_checkpoint
from qmend.training.online import Fresh
from qmend.types import QmendError

#: Figures that every run logs for the scored split.
FIGURES = ("l1rc_median", "improved_pct", "harmed_pct", "tv", "hellinger", "kl", "uniform_l1rc")


@dataclass(frozen=True)
class Cell:
    """One way to train, to be run with several seeds.

    Attributes:
        config: the whole config as plain values, without the seed.
        fresh: by seed, what draws circuits to train on; None: the stored ones only.
    """

    name: str
    training: TrainingConfig
    config: Mapping[str, Any]
    fresh: Callable[[int], Fresh] | None = None


@dataclass(frozen=True)
class Row:
    """One row of the study's table: a mitigator with all its seeds.

    Attributes:
        kind: ``baseline``, ``train``, ``evaluation`` or ``reference``.
        figures: mean over seeds; from the lowest lower to the highest upper end of their 95 %
            intervals.
        seeds: median L1RC of each.
        simulates: whether any seed is marked so.
        constant: ``uniform_l1rc`` of the best constant distribution.
        run_ids: one a seed.
    """

    name: str
    kind: str
    figures: dict[str, Interval]
    seeds: tuple[float, ...]
    parameters: int
    seconds: float
    shots_factor: float
    simulates: bool
    constant: float
    run_ids: tuple[str, ...]

    @staticmethod
    def of(name: str, runs: Sequence[MlflowRun], split: str = "test") -> Row:
        """From finished runs that differ in their seed only."""
        logged = [run.data.metrics for run in runs]

        def mean(key: str) -> float:
            return float(np.mean([m[key] for m in logged]))

        figures = {
            figure: Interval(
                mean(f"{split}/{figure}"),
                min(m[f"{split}/{figure}_lo"] for m in logged),
                max(m[f"{split}/{figure}_hi"] for m in logged),
            )
            for figure in FIGURES
        }
        return Row(
            name,
            runs[0].data.tags["kind"],
            figures,
            tuple(m[f"{split}/l1rc_median"] for m in logged),
            int(mean("cost/parameters")),
            mean("cost/seconds"),
            mean("cost/shots_factor"),
            any(run.data.tags["simulates"] == "true" for run in runs),
            mean(f"{split}/uniform_l1rc_constant"),
            tuple(run.info.run_id for run in runs),
        )


#: (what is under way, epochs) -> context manager that yields an epoch progress.
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
) -> Iterator[Row]:
    """One row for each baseline that can run on the dataset; None: all of them."""
    for mitigator in runnable_baselines(context.dataset, names).mitigators:
        plain = {"baseline": mitigator.name, **config}
        found = finished_run(context, plain)
        if found is None:
            found = _logged(context, run_baseline(context, mitigator, plain).run_id)
        yield Row.of(mitigator.name, [found])


def run_cell(context: Context, cell: Cell, seeds: Sequence[int], watch: Watch) -> Row:
    """Train with every seed that the store has no finished run of."""
    runs = []
    for seed in seeds:
        plain = {**cell.config, "seed": seed}
        found = finished_run(context, plain)
        if found is None:
            name = f"{cell.name} seed {seed}"
            state = unfinished(context.store, plain, context.dataset.manifest.dataset_sha)
            with watch(name, cell.training.trainer.max_epochs) as progress:
                entry = run_training(
                    context,
                    name,
                    cell.training,
                    plain,
                    seed,
                    progress,
                    state=state,
                    fresh=None if cell.fresh is None else cell.fresh(seed),
                )
            found = _logged(context, entry.run_id)
        runs.append(found)
    return Row.of(cell.name, runs)


def run_average(context: Context, row: Row, config: Mapping[str, Any]) -> Row:
    """The average of a row's networks, as one row more."""
    plain = {"ensemble_of": list(row.run_ids), **config}
    found = finished_run(context, plain)
    if found is None:
        members = [load_checkpoint(checkpoint_folder(context.store, r)) for r in row.run_ids]
        found = _logged(context, run_ensemble(context, members, plain).run_id)
    return Row.of(f"{row.name} average of {len(row.run_ids)}", [found])


def run_elsewhere(context: Context, row: Row, config: Mapping[str, Any]) -> Row:
    """A row's networks on other data, not trained again."""
    runs = []
    for run_id in row.run_ids:
        plain = {"checkpoint": run_id, **config}
        found = finished_run(context, plain)
        if found is None:
            model, provenance = load_checkpoint(checkpoint_folder(context.store, run_id))
            entry = run_evaluation(context, model, provenance, plain, row.name)
            found = _logged(context, entry.run_id)
        runs.append(found)
    return replace(Row.of(row.name, runs), seconds=row.seconds)


def finished_run(context: Context, plain: Mapping[str, Any]) -> MlflowRun | None:
    """The newest finished run of a config on the context's dataset."""
    query = (
        f"tags.config_sha = '{config_sha(plain)}' and tags.dataset_sha = "
        f"'{context.dataset.manifest.dataset_sha}' and attributes.status = 'FINISHED'"
    )
    found = context.store.runs(query, limit=1)
    return found[0] if found else None


def _logged(context: Context, run_id: str) -> MlflowRun:
    return context.store.client.get_run(run_id)


def shot_noise_reference(context: Context) -> Interval | None:
    """Median L1RC with all bias gone and the shot noise left; None for measured data."""
    return Leaderboard.build(context.scored, []).reference
