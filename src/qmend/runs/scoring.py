"""Score a mitigator on a split, as one tracked run."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from qmend.datasets.circuits import fill_missing
from qmend.datasets.table import Dataset, LabelledCircuits
from qmend.encodings.device_paths import DevicePathsEncoding
from qmend.evaluation.scores import score, summarise
from qmend.evaluation.simulation import Meter, simulates
from qmend.metrics import Bootstrap
from qmend.mitigation.base import KnownCircuits, Mitigator
from qmend.mitigation.guard import Guard
from qmend.mitigation.learned import GuardedMitigator, LearnedMitigator
from qmend.models.trained import TrainedModel
from qmend.plots.one_run import l1rc_of_circuits, learning_curves, png
from qmend.runs.reading import ScoredRun
from qmend.tracking.display import axis_metrics, figure_tags
from qmend.tracking.run import Run, start_run
from qmend.tracking.store import Store
from qmend.types import AnyArray, Split

#: ``all``: every row, of data that no model was trained on.
ScoredSplit = Split | Literal["all"]


@dataclass(frozen=True)
class Context:
    """Store, data, parent and tags that a set of runs has in common."""

    store: Store
    dataset: Dataset
    split: ScoredSplit = "test"
    parent: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def scored(self) -> tuple[LabelledCircuits, ...]:
        """The scored circuits by size."""
        return self.dataset.parts(self.split)

    @property
    def circuit_id(self) -> AnyArray:
        """Ids of the scored circuits, in the order of their scores."""
        return np.concatenate([part.circuit_id for part in self.scored])


def prepare_data(context: Context, model: TrainedModel, guard: Guard | None = None) -> Context:
    """Fill missing calibration values by a network's means; tell it of its jobs' references.

    Args:
        guard: of the network, which is told how it mitigates them.
    """
    dataset, mean = context.dataset, model.encoding.mean_calibration
    groups, references = (
        [replace(part, circuits=fill_missing(part.circuits, mean).circuits) for part in parts]
        for parts in (dataset.groups, dataset.references)
    )
    if references and isinstance(model.encoding, DevicePathsEncoding):
        network = LearnedMitigator(model)
        mitigator = network if guard is None else GuardedMitigator(network, guard)
        groups = [_told(group, references, mitigator) for group in groups]
    prepared = replace(dataset, groups=tuple(groups), references=tuple(references))
    return replace(context, dataset=prepared)


def _told(
    group: LabelledCircuits, references: Sequence[LabelledCircuits], mitigator: Mitigator
) -> LabelledCircuits:
    """Give circuits what the references of their jobs tell."""
    rows, numbers, gains = [], [], []
    for job in np.unique(group.job_id):
        rows.append(np.flatnonzero(group.job_id == job))
        own = [part.select(np.flatnonzero(part.job_id == job)) for part in references]
        known = [KnownCircuits(part.circuits, part.ideal) for part in own if len(part)]
        told = mitigator.with_references(group.circuits.select(rows[-1]), known)
        assert told.numbers is not None
        numbers.append(told.numbers)
        if told.gains is not None:
            gains.append(told.gains)
    order = np.argsort(np.concatenate(rows))
    circuits = replace(
        group.circuits,
        numbers=np.concatenate(numbers)[order],
        gains=np.concatenate(gains)[order] if gains else None,
    )
    return replace(group, circuits=circuits)


def run_baseline(context: Context, mitigator: Mitigator, config: Mapping[str, Any]) -> ScoredRun:
    """Fit a baseline that has parameters to the training split, and score it, as one run."""
    tags = {
        "kind": "baseline",
        "architecture": mitigator.name,
        "head": "none",
        "loss": "none",
        "encoding": "none",
        "seed": "none",
    }
    with open_run(context, mitigator.name, tags, config) as run:
        started = time.perf_counter()
        if mitigator.parameters:
            mitigator.fit(*context.dataset.parts("train"))
        seconds = round(time.perf_counter() - started, 3)
        return score_run(run, context, mitigator.name, mitigator, seconds)


def score_run(
    run: Run,
    context: Context,
    name: str,
    mitigator: Mitigator,
    seconds: float,
    history: Mapping[str, Sequence[float]] | None = None,
) -> ScoredRun:
    """Score a fitted mitigator, and log figures, scores and plots.

    Args:
        name: of its row in a table.
        seconds: of training or fitting.
        history: metric -> one value an epoch; None for a mitigator without epochs.
    """
    history = history or {}
    data = context.scored
    mitigated = [mitigator.mitigate(part.circuits) for part in data]
    scores = score(data, mitigated)
    summary = summarise(scores, Bootstrap.over(scores.job_id))
    exchanged = Meter.join([Meter.of(mitigator, part) for part in data]).figures
    summary = replace(summary, figures={**summary.figures, **exchanged})
    if mitigator.abstains:
        pairs = zip(data, mitigated, strict=True)
        applied = np.concatenate([(p.circuits.noisy != q).any(axis=1) for p, q in pairs])
        share = Bootstrap.over(scores.job_id).interval(lambda k: 100 * float(applied[k].mean()))
        summary = replace(summary, figures={**summary.figures, "applied_pct": share})
    change = summary.figures["l1rc_median"]
    params = context.store.client.get_run(run.run_id).data.params
    run.metrics(
        {
            **summary.metrics(f"{context.split}/"),
            **axis_metrics(params, f"{context.split}/l1rc_median", change.value),
            "cost/seconds": seconds,
            "cost/parameters": float(mitigator.parameters),
            "cost/shots_factor": mitigator.shots_factor,
        }
    )
    run.tags(
        {
            "bootstrap_unit": summary.unit,
            "simulates": str(simulates(exchanged)).lower(),
            **figure_tags(
                change,
                summary.figures["improved_pct"].value,
                summary.figures["harmed_pct"].value,
            ),
        }
    )
    with run.artifact_folder("scores") as folder:
        scores.write(folder / f"{context.split}.parquet", data)
    with run.artifact_folder("figures") as folder:
        scatter = l1rc_of_circuits(scores.l1rc, np.concatenate([part.n_two_qubit for part in data]))
        (folder / f"l1rc_{context.split}.png").write_bytes(png(scatter))
        if len(history.get("train/loss", ())) > 1:
            (folder / "learning.png").write_bytes(png(learning_curves(history)))
    logged = context.store.client.get_run(run.run_id)
    scored = ScoredRun.of(logged, context.split, scores, history)
    return replace(scored, name=name, mitigated=mitigated[0] if len(mitigated) == 1 else None)


@contextmanager
def open_run(
    context: Context,
    name: str,
    tags: Mapping[str, str],
    config: Mapping[str, Any],
    unfinished: str | None = None,
) -> Iterator[Run]:
    """Open a run, new or unfinished, and log its dataset."""
    dataset = context.dataset
    tags = {**dataset_tags(dataset), **context.tags, **tags}
    with start_run(context.store, name, tags, config, context.parent, unfinished) as run:
        log_dataset(run, dataset, "train", context.split)
        yield run


def log_dataset(run: Run, dataset: Dataset, *splits: str) -> None:
    """Log which splits of a dataset a run uses."""
    manifest = dataset.manifest
    for split in splits:
        run.dataset(manifest.name, manifest.dataset_sha, str(dataset.folder.resolve()), split)


def dataset_tags(dataset: Dataset) -> dict[str, str]:
    """List the tags of the run contract that the data decide."""
    return {
        "family": dataset.family,
        "device": dataset.device,
        "source": dataset.source,
        "dataset": dataset.manifest.name,
        "dataset_sha": dataset.manifest.dataset_sha,
    }
