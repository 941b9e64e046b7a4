"""Reproduce a tracked run: its own config on its own data, as a new run."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mlflow.entities import Run as MlflowRun

from qmend.datasets.table import Dataset
from qmend.metrics import Interval
from qmend.mitigation.runnable import runnable_baselines
from qmend.runs.fine_tuning import Measurements, load_measurements
from qmend.runs.logged_dataset import logged_dataset
from qmend.runs.reading import read_config, read_scored
from qmend.runs.scoring import Context, run_baseline
from qmend.runs.training import run_training
from qmend.tracking.finding import kind_of, logged_figure, name_of, scored_split
from qmend.tracking.store import Store
from qmend.training.checkpoint import Checkpoint, checkpoint_folder, load_checkpoint
from qmend.training.config import TrainingConfig
from qmend.training.observer import TrainingObserver
from qmend.training.online import OnlineSource
from qmend.types import QmendError

#: Kinds of runs that can be run again.
TRAININGS, BASELINES = ("train", "cell", "trial"), ("baseline",)
#: Metrics that say how long it took.
_INCIDENTAL = ("cost/seconds",)
_PARTS = ("model", "loss", "optimizer", "trainer")

#: (name, epochs) -> context manager that yields a training's observer.
Watch = Callable[[str, int], AbstractContextManager[TrainingObserver]]


@dataclass(frozen=True)
class Reproduction:
    """Two runs of one config, with their figures.

    Attributes:
        figures: metric -> (before, again), of all that both logged.
        interval: of the median L1RC of the first run.
        differences: sentences on what else differs: commit, packages.
    """

    original: MlflowRun
    again: MlflowRun
    figures: dict[str, tuple[float, float]]
    interval: Interval
    differences: list[str]

    @property
    def equal(self) -> bool:
        """Every figure is the same to the last bit."""
        return all(_same(*pair) for pair in self.figures.values())

    @property
    def agrees(self) -> bool:
        """The median L1RC lies in the 95 % interval of the first run."""
        return self.equal or self.interval.lo <= self.median[1] <= self.interval.hi

    @property
    def median(self) -> tuple[float, float]:
        """Median L1RC before and again."""
        return self.figures[f"{scored_split(self.original)}/l1rc_median"]

    @property
    def verdict(self) -> str:
        """The comparison in one sentence."""
        if self.equal:
            return f"The metrics agree: all {len(self.figures)} are equal."
        before, again = self.median
        inside = "inside" if self.agrees else "outside"
        different = sum(not _same(*pair) for pair in self.figures.values())
        agree = "agree" if self.agrees else "do not agree"
        return (
            f"The metrics {agree}: {different} of {len(self.figures)} differ; median L1RC "
            f"{again:.4f} against {before:.4f}, a difference of {again - before:+.2g}, {inside} "
            f"the 95 % interval [{self.interval.lo:.4f}, {self.interval.hi:.4f}]."
        )


def _same(before: float, again: float) -> bool:
    return before == again or (math.isnan(before) and math.isnan(again))


def reproduce(store: Store, run: MlflowRun, roots: Sequence[Path], watch: Watch) -> Reproduction:
    """Run a training or a baseline again, as a new run tagged ``reproduces``.

    Of a search's trials those that were scored: the best, and the default config.

    Args:
        roots: folders that may hold the dataset, beside where it lay.

    Raises:
        QmendError: if it is no such run, has no figures, or its data are not there.
    """
    kind, split = kind_of(run), scored_split(run)
    if kind not in (*TRAININGS, *BASELINES):
        raise QmendError(
            f"run {run.info.run_id[:12]} ({name_of(run)}) is of kind {kind}: only trainings and "
            "baselines can be reproduced; `qmend runs list --kind train` shows some."
        )
    if split is None:
        raise QmendError(
            f"run {run.info.run_id[:12]} ({name_of(run)}) is {run.info.status} and has no figures "
            "to agree with; choose one that finished and was scored (of a search, its best trial)."
        )
    config = read_config(store, run)
    size = config.get("n_qubits")
    dataset = logged_dataset(store, run, roots, size if isinstance(size, int) else None)
    parent, measured = None, None
    if kind in TRAININGS and config.get("checkpoint") is not None:
        parent = load_checkpoint(checkpoint_folder(store, str(config["checkpoint"])))
    if parent is not None and dataset.manifest.origin == "imported":
        measured = _measurements(store, dataset, config, parent)
        dataset = measured.dataset
    else:
        dataset = dataset.shortened(config.get("train_circuits"), config.get("val_circuits"))
    context = Context(store, dataset, split, tags={"reproduces": run.info.run_id})  # type: ignore[arg-type]
    _check_circuits(store, run, context)
    if kind in BASELINES:
        again = _baseline(context, run, config)
    else:
        replay = None if measured is None else measured.replay
        again = _training(context, run, config, parent, replay, watch)
    return compare_runs(store, run, store.client.get_run(again))


def compare_runs(store: Store, original: MlflowRun, again: MlflowRun) -> Reproduction:
    """Compare the figures of two finished runs, and list their other differences."""
    before, after = original.data.metrics, again.data.metrics
    figures = {
        key: (before[key], after[key])
        for key in sorted(before)
        if key in after and key not in _INCIDENTAL
    }
    interval = logged_figure(original)
    assert interval is not None
    differences = list(_differences(store, original, again))
    return Reproduction(original, again, figures, interval, differences)


def _differences(store: Store, original: MlflowRun, again: MlflowRun) -> Iterator[str]:
    commits = [str(run.data.tags.get("git_sha", "none")) for run in (original, again)]
    if commits[0] != commits[1]:
        yield f"Commit {_commit(commits[0])} then, {_commit(commits[1])} now."
    elif commits[0].endswith("-dirty"):
        yield f"Both were run on changed files of commit {_commit(commits[0])}."
    then, now = (packages(store, run) for run in (original, again))
    if not then:
        yield "The packages of the first run were not logged."
        return
    changed = [
        f"{name} {then.get(name, 'absent')} -> {now.get(name, 'absent')}"
        for name in sorted({*then, *now})
        if then.get(name) != now.get(name)
    ]
    if changed:
        more = f" and {len(changed) - 8} more" if len(changed) > 8 else ""
        yield f"Packages differ: {', '.join(changed[:8])}{more}."


def _commit(sha: str) -> str:
    head, dash, dirty = sha.partition("-")
    return f"{head[:12]}{dash}{dirty}"


def packages(store: Store, run: MlflowRun) -> dict[str, str]:
    """Read the installed versions by name, the interpreter among them; empty if not logged."""
    try:
        lines = store.artifact(run, "environment.txt").read_text().splitlines()
    except OSError:
        return {}
    versions = dict(line.split("==", 1) for line in lines if "==" in line)
    python = [line.removeprefix("# python ") for line in lines if line.startswith("# python ")]
    return versions | {"python": python[0]} if python else versions


def _check_circuits(store: Store, run: MlflowRun, context: Context) -> None:
    """Refuse a run that scored other circuits than the dataset's own split."""
    scored = read_scored(store, run)
    if scored is None:
        return
    ids = scored.scores.circuit_id
    if not np.array_equal(np.sort(ids), np.sort(context.circuit_id)):
        raise QmendError(
            f"run {run.info.run_id[:12]} was scored on {len(ids):,} circuits chosen "
            f"from {context.dataset.folder}, by what its config does not say; it can't be "
            "reproduced alone."
        )


def _baseline(context: Context, run: MlflowRun, config: Mapping[str, Any]) -> str:
    name = str(run.data.tags["architecture"])
    runnable = runnable_baselines(context.dataset, [name])
    if not runnable.mitigators:
        raise QmendError(runnable.skipped[name])
    return run_baseline(context, runnable.mitigators[0], config).run_id


def _measurements(
    store: Store, dataset: Dataset, config: Mapping[str, Any], parent: Checkpoint
) -> Measurements:
    return load_measurements(
        store,
        dataset.folder,
        parent,
        train_circuits=config["train_circuits"],
        val_circuits=config.get("val_circuits"),
        replay=config["fine_tune"]["replay"],
        seed=config["seed"],
        force=True,  # as it was trained
    )


def _training(
    context: Context,
    run: MlflowRun,
    config: Mapping[str, Any],
    parent: Checkpoint | None,
    replay: OnlineSource | None,
    watch: Watch,
) -> str:
    missing = [key for key in (*_PARTS, "seed") if key not in config]
    if missing:
        raise QmendError(
            f"the config of run {run.info.run_id[:12]} lacks {' and '.join(missing)}: it can't be "
            "trained again."
        )
    keys = (*_PARTS, "seed", "online")
    training = TrainingConfig.model_validate({key: config[key] for key in keys if key in config})
    with watch(name_of(run), training.trainer.max_epochs) as observer:
        entry = run_training(
            context,
            name_of(run),
            training,
            config,
            parent=parent,
            replay=replay,
            observer=observer,
        )
    return entry.run_id
