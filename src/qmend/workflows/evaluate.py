"""Score trained networks beside the baselines on one dataset."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qmend.datasets.config import ImportedDatasetConfig, dataset_recipe
from qmend.datasets.table import Dataset, load_dataset
from qmend.devices.device import resolve
from qmend.evaluation.scores import reference
from qmend.mitigation.base import Mitigator
from qmend.mitigation.baselines import BASELINES
from qmend.mitigation.runnable import runnable_baselines
from qmend.runs.evaluation import check_unseen, run_ensemble, run_evaluation
from qmend.runs.leaderboard import Leaderboard
from qmend.runs.networks import load_networks, readable_rows
from qmend.runs.scoring import Context, run_baseline
from qmend.tracking.run import start_run
from qmend.tracking.store import open_store
from qmend.training.checkpoint import fixed_checkpoint
from qmend.workflows.configs import EvaluateConfig
from qmend.workflows.generate import generate
from qmend.workflows.observer import Observer


@dataclass(frozen=True)
class Evaluation:
    """Networks and baselines scored on the same circuits.

    Attributes:
        run_id: of the parent run.
        notes: one sentence on each thing that limits the comparison.
    """

    leaderboard: Leaderboard
    run_id: str
    notes: tuple[str, ...]


def evaluate(config: EvaluateConfig, observer: Observer | None = None) -> Evaluation:
    """Score trained networks, and the baselines beside them, as tracked runs under one parent.

    Args:
        config: composed by ``compose("evaluate", ...)``.

    Raises:
        QmendError: if a network can't be read, does not fit the data, or may have seen them.
    """
    store = open_store(config.tracking.root)
    checkpoints = tuple(fixed_checkpoint(store, name) for name in config.checkpoint)
    config = config.model_copy(update={"checkpoint": checkpoints})
    networks = load_networks(store, checkpoints)
    if isinstance(config.dataset, ImportedDatasetConfig):
        for network in networks:
            check_unseen(network.model, network.provenance, {})
        dataset, notes = readable_rows(config.dataset_folder, networks, config.n_qubits)
    else:
        recipe = dataset_recipe(config.simulated, resolve(config.device))["dataset"]
        for network in networks:
            check_unseen(network.model, network.provenance, recipe, config.scored_split)
        generate(config, observer)
        dataset, notes = load_dataset(config.dataset_folder), []
    plain = config.plain()
    name = f"evaluate {' + '.join(n.name for n in networks)} on {dataset.folder.name}"
    with start_run(store, name, {"kind": "evaluation"}, plain) as parent:
        context = Context(store, dataset, config.scored_split, parent.run_id)
        baselines = _baselines(config, dataset, notes)
        scored = [run_baseline(context, baseline, plain) for baseline in baselines]
        scored += [run_evaluation(context, n.model, n.provenance, plain, n.name) for n in networks]
        if config.ensemble:
            members = [(network.model, network.provenance) for network in networks]
            scored.append(run_ensemble(context, members, plain))
        leaderboard = Leaderboard.of(scored, reference(context.scored))
    for network in networks:
        if network.provenance.get("dataset_sha") != dataset.manifest.dataset_sha:
            which = network.name if len(networks) > 1 else "The model"
            trained_on = network.provenance.get("dataset")
            notes.append(f"{which} was trained on other data: {trained_on}.")
    return Evaluation(leaderboard, parent.run_id, tuple(notes))


def _baselines(config: EvaluateConfig, dataset: Dataset, notes: list[str]) -> list[Mitigator]:
    """Choose the baselines that can run; note the others, and what these are fitted to."""
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
