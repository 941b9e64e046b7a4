"""``qmend evaluate``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from qmend.cli.terminal import console, generate_with_progress
from qmend.datasets.circuits import fill_missing
from qmend.datasets.config import ImportedDatasetConfig, dataset_recipe
from qmend.datasets.table import Dataset, load_dataset
from qmend.devices.device import resolve
from qmend.encodings import build_encoding
from qmend.evaluation.scores import reference
from qmend.gates import GATES
from qmend.mitigation.base import Mitigator
from qmend.mitigation.baselines import BASELINES
from qmend.mitigation.reruns import runnable_baselines
from qmend.models.trained import TrainedModel
from qmend.reporting.leaderboard import leaderboard_table, verdicts
from qmend.runs.evaluation import check_unseen, run_ensemble, run_evaluation
from qmend.runs.leaderboard import Leaderboard
from qmend.runs.scoring import Context, run_baseline
from qmend.tracking.run import start_run
from qmend.tracking.store import Store, open_store
from qmend.training.checkpoint import checkpoint_folder, fixed_checkpoint, load_checkpoint
from qmend.types import QmendError
from qmend.workflows.configs import EvaluateConfig

#: A network, where it comes from, and its name in tables.
Loaded = tuple[TrainedModel, dict[str, Any], str]


def evaluate(config: EvaluateConfig, plain: dict[str, Any]) -> None:
    """Score a trained model."""
    store = open_store(config.tracking.root)
    checkpoints = tuple(fixed_checkpoint(store, name) for name in config.checkpoint)
    if checkpoints != config.checkpoint:
        plain = {**plain, "checkpoint": list(checkpoints)}
    models = _models(store, checkpoints)
    if isinstance(config.dataset, ImportedDatasetConfig):
        for model, provenance, _ in models:
            check_unseen(model, provenance, {})
        dataset, notes = rows_for(config.dataset_folder, models, config.n_qubits)
    else:
        recipe = dataset_recipe(config.simulated, resolve(config.device))["dataset"]
        for model, provenance, _ in models:
            check_unseen(model, provenance, recipe, config.scored_split)
        generate_with_progress(config)
        dataset, notes = load_dataset(config.dataset_folder), []
    names = " + ".join(name for _, _, name in models)
    tags = {"kind": "evaluation"}
    with start_run(store, f"evaluate {names} on {dataset.folder.name}", tags, plain) as parent:
        context = Context(store, dataset, config.scored_split, parent.run_id)
        beside = _baselines(config, dataset, notes)
        entries = [run_baseline(context, baseline, plain) for baseline in beside]
        for model, provenance, name in models:
            entries.append(run_evaluation(context, model, provenance, plain, name))
        if config.ensemble:
            members = [(model, provenance) for model, provenance, _ in models]
            entries.append(run_ensemble(context, members, plain))
        board = Leaderboard.of(entries, reference(context.scored))
    console.print(leaderboard_table(board, ranked=False).terminal())
    for line in [*notes, *verdicts(board)]:
        console.print(f"  {line}")
    for _, provenance, name in models:
        if provenance.get("dataset_sha") != dataset.manifest.dataset_sha:
            which = name if len(models) > 1 else "The model"
            console.print(f"  {which} was trained on other data: {provenance.get('dataset')}.")
    console.print(f"  Run {parent.run_id}")


def _models(store: Store, checkpoints: Sequence[str]) -> list[Loaded]:
    """Each checkpoint with a name that no other has.

    Raises:
        QmendError: if one can't be read, or they can't be scored on the same circuits.
    """
    loaded = [load_checkpoint(checkpoint_folder(store, name)) for name in checkpoints]
    fixed = [model for model, _ in loaded if not model.network.any_size]
    sizes = sorted({model.dimensions.n_qubits for model in fixed})
    if len(sizes) > 1:
        raise QmendError(
            f"The checkpoints were trained on {' and '.join(map(str, sizes))} qubits and can't be "
            "scored on the same circuits; evaluate them apart."
        )
    kinds = [model.config.name for model, _ in loaded]
    names = [
        kind if kinds.count(kind) == 1 else f"{kind} #{kinds[: k + 1].count(kind)}"
        for k, kind in enumerate(kinds)
    ]
    return [(model, source, name) for (model, source), name in zip(loaded, names, strict=True)]


def rows_for(
    folder: Path, models: Sequence[Loaded], n_qubits: int | None
) -> tuple[Dataset, list[str]]:
    """The rows of an imported dataset that all models can take, and what to say about them.

    Args:
        n_qubits: of the rows; None: as many as the first model was trained on.

    Raises:
        QmendError: if a model can't take such rows.
    """
    first, _, name = models[0]
    n_qubits = n_qubits or first.dimensions.n_qubits
    for model, _, other in models:
        if not model.mitigates(n_qubits):
            raise QmendError(
                f"{other} was trained on {model.dimensions.n_qubits} qubits and can't take rows of "
                f"{n_qubits}; choose n_qubits={model.dimensions.n_qubits}, or another model."
            )
    dataset = load_dataset(folder, n_qubits)
    for encoding in dict.fromkeys(model.encoding.name for model, _, _ in models):
        taken = set(build_encoding(encoding).gates)
        gates = dataset.rows.circuits.instructions.count(*set(GATES) - taken)
        readable = np.flatnonzero(gates == 0)
        if not len(readable):
            raise QmendError(
                f"{folder} has no circuit on {n_qubits} qubits whose gates the "
                f"{encoding} encoding of the model has a place for; score a model with "
                "encoding=token."
            )
        dataset = dataset.select(readable, f"gates that the {encoding} encoding lacks")
    notes = [f"Skipped {count:,} rows: {reason}." for reason, count in dataset.skipped.items()]
    filled = fill_missing(dataset.rows.circuits, first.encoding.mean_calibration)
    if filled.rows:
        whose = "the model's" if len(models) == 1 else f"the {name}'s"
        notes.append(
            f"{filled.values:,} calibration values of {filled.rows:,} of {len(dataset.rows):,} "
            f"rows are not known: means of {whose} training data stand in for them."
        )
    return replace(dataset, rows=replace(dataset.rows, circuits=filled.circuits)), notes


def _baselines(config: EvaluateConfig, dataset: Dataset, notes: list[str]) -> list[Mitigator]:
    """Those asked for that can run; notes say which can't, and what they were fitted to."""
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
