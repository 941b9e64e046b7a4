"""Score trained networks beside the baselines on one dataset."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qmend.datasets.config import ImportedDatasetConfig, dataset_recipe
from qmend.datasets.manifest import read_manifest
from qmend.datasets.table import Dataset, load_dataset
from qmend.devices.device import resolve
from qmend.evaluation.scores import reference
from qmend.mitigation.base import Mitigator
from qmend.mitigation.baselines import BASELINES
from qmend.mitigation.runnable import runnable_baselines
from qmend.runs.cells import Cell
from qmend.runs.evaluation import (
    GUARD_TAG,
    check_unseen,
    check_unseen_measurements,
    run_ensemble,
    run_evaluation,
)
from qmend.runs.leaderboard import Leaderboard
from qmend.runs.networks import LoadedNetwork, load_networks, readable_rows
from qmend.runs.reading import ScoredRun, read_scored
from qmend.runs.scoring import Context, run_baseline
from qmend.runs.sweeps import find_finished, mark_reused
from qmend.tracking.run import config_sha, start_run
from qmend.tracking.store import Store, open_store
from qmend.training.checkpoint import resolve_checkpoint
from qmend.types import QmendError
from qmend.workflows.configs import EvaluateConfig, each_once
from qmend.workflows.generate import generate
from qmend.workflows.observer import Observer, announce_new


@dataclass(frozen=True)
class Evaluation:
    """Networks and baselines scored on the same circuits.

    Attributes:
        run_id: of the run above the scored ones.
        notes: a sentence on each limit of the comparison.
    """

    leaderboard: Leaderboard
    run_id: str
    notes: tuple[str, ...]


def evaluate(
    config: EvaluateConfig, observer: Observer | None = None, *, cell: Cell | None = None
) -> Evaluation:
    """Score trained networks, and the baselines beside them, as tracked runs under one parent.

    Args:
        config: composed by ``compose("evaluate", ...)``.
        cell: of a study that the runs belong to; None: a parent run of their own is made.

    Raises:
        QmendError: if a network can't be read, does not fit the data, or may have seen them; if
            there is no network, and no baseline can run.
    """
    observer = observer or Observer()
    announce_new(observer, "Runs", config.tracking.root)
    store = open_store(config.tracking.root)
    checkpoints = each_once(tuple(resolve_checkpoint(store, c) for c in config.checkpoint))
    config = config.model_copy(update={"checkpoint": checkpoints})
    networks = load_networks(store, checkpoints)
    if isinstance(config.dataset, ImportedDatasetConfig):
        manifest = read_manifest(config.dataset_folder)
        for network in networks:
            check_unseen_measurements(network.provenance, manifest, config.scored_split)
        dataset, notes = readable_rows(config.dataset_folder, networks, config.n_qubits)
    else:
        recipe = dataset_recipe(config.simulated, resolve(config.device))["dataset"]
        for network in networks:
            check_unseen(network.model, network.provenance, recipe, config.scored_split)
        generate(config, observer, wait=cell is not None)
        dataset, notes = load_dataset(config.dataset_folder), []
    dataset = dataset.shortened(config.train_circuits)
    mitigators = _baselines(config, dataset, notes)
    if not networks and not mitigators:
        raise QmendError(" ".join(["There is nothing to score.", *notes]))
    with _parent(store, config, networks, dataset, cell) as parent:
        context = Context(store, dataset, config.scored_split, parent)
        runs = list(_score(config, context, networks, mitigators, observer))
        leaderboard = Leaderboard.of(runs, reference(context.scored))
    for network in networks:
        if network.provenance.get("dataset_sha") != dataset.manifest.dataset_sha:
            which = network.name if len(networks) > 1 else "The model"
            trained_on = network.provenance.get("dataset")
            notes.append(f"{which} was trained on other data: {trained_on}.")
    return Evaluation(leaderboard, parent, tuple(notes))


@contextmanager
def _parent(
    store: Store,
    config: EvaluateConfig,
    networks: Sequence[LoadedNetwork],
    dataset: Dataset,
    cell: Cell | None,
) -> Iterator[str]:
    """Give the id of the run that the scored runs belong to, which is opened for them."""
    if cell is not None:
        yield cell.parent
        return
    scored = " + ".join(network.name for network in networks) or "baselines"
    name = f"evaluate {scored} on {dataset.folder.name}"
    with start_run(store, name, {"kind": "evaluation"}, config.plain()) as run:
        yield run.run_id


def _score(
    config: EvaluateConfig,
    context: Context,
    networks: Sequence[LoadedNetwork],
    baselines: Sequence[Mitigator],
    observer: Observer,
) -> Iterator[ScoredRun]:
    """Score each mitigator in a run whose config is that of its evaluation alone."""

    def alone(**changes: Any) -> dict[str, Any]:
        nothing = {"checkpoint": (), "baselines": (), "ensemble": False, "ablation": "standard"}
        nothing |= {"train_circuits": None}
        return config.model_copy(update=nothing | changes).plain()

    ablation = config.ablation

    # The first network says which values stand in for an imported calibration's missing ones.
    imported = isinstance(config.dataset, ImportedDatasetConfig)
    filling = config.checkpoint[:1] if imported else ()
    for baseline in baselines:
        observer.stage(f"scoring {baseline.name}")
        fitted = config.train_circuits if baseline.parameters else None
        plain = alone(baselines=(baseline.name,), checkpoint=filling, train_circuits=fitted)
        tags = {"kind": "baseline", "architecture": baseline.name}
        earlier = _earlier(config, context, plain, baseline.name, **tags)
        yield earlier or run_baseline(context, baseline, plain)
    for network, checkpoint in zip(networks, config.checkpoint, strict=True):
        observer.stage(f"scoring {network.name}")
        plain = alone(checkpoint=(checkpoint,), ablation=ablation)
        trained = str(network.provenance.get("run_id", "unknown"))
        tags = {"kind": "evaluation", "checkpoint_run": trained}
        earlier = _earlier(config, context, plain, network.name, **tags)
        yield earlier or run_evaluation(
            context, network.model, network.provenance, plain, network.name, ablation=ablation
        )
        if network.guard is not None:
            name, sha = f"{network.name}, guarded", network.guard.sha
            observer.stage(f"scoring {name}")
            plain |= {"guard": sha}
            earlier = _earlier(config, context, plain, name, **tags, **{GUARD_TAG: sha})
            yield earlier or run_evaluation(
                context,
                network.model,
                network.provenance,
                plain,
                name,
                network.guard,
                ablation=ablation,
            )
    if config.ensemble:
        plain = alone(checkpoint=config.checkpoint, ensemble=True, ablation=ablation)
        name = f"ensemble of {len(networks)}"
        observer.stage(f"scoring the {name}")
        members = [(network.model, network.provenance) for network in networks]
        earlier = _earlier(config, context, plain, name, kind="evaluation")
        yield earlier or run_ensemble(context, members, plain, ablation=ablation)


def _earlier(
    config: EvaluateConfig, context: Context, plain: Mapping[str, Any], name: str, **tags: str
) -> ScoredRun | None:
    """Read what an earlier command has scored, under the name of its row; None if nothing."""
    if not config.resume:
        return None
    store, dataset_sha = context.store, context.dataset.manifest.dataset_sha
    run = find_finished(store, [config_sha(plain)], dataset_sha, **tags)
    scored = None if run is None else read_scored(store, run)
    # Of an imported dataset, other networks may read other rows.
    if scored is None or not np.array_equal(scored.scores.circuit_id, context.circuit_id):
        return None
    if context.parent is not None:
        mark_reused(store, scored.run_id, context.parent)
    return replace(scored, name=name)


def _baselines(config: EvaluateConfig, dataset: Dataset, notes: list[str]) -> list[Mitigator]:
    """Choose the baselines that can run; note the others and the fits."""
    train = int(np.count_nonzero(dataset.split == "train"))
    wanted = None if config.baselines == "all" else config.baselines
    runnable = runnable_baselines(dataset, wanted)
    unfitted = [name for name in runnable.skipped if BASELINES[name].parameters and not train]
    fitted = any(baseline.parameters for baseline in runnable.mitigators)
    reasons: dict[str, list[str]] = {}
    for name, reason in runnable.skipped.items():
        if name not in unfitted:
            reasons.setdefault(reason, []).append(name)
    for reason, names in reasons.items():
        verb = "is" if len(names) == 1 else "are"
        notes.append(f"{', '.join(names)} {verb} missing: {reason}")
    if unfitted:
        notes.append(
            "No measured circuit is left to fit a baseline to: those with parameters are missing."
        )
    if fitted and dataset.manifest.origin == "imported":
        notes.append(
            f"Baselines with parameters were fitted to the {train:,} measured circuits of the "
            "train split."
        )
    if fitted and config.scored_split != "test":
        notes.append(
            "Baselines with parameters were fitted to the train split, which is among the "
            "scored circuits."
        )
    return runnable.mitigators
