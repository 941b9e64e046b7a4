"""``qmend evaluate``."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from mlflow.exceptions import MlflowException

from qmend.circuits.instructions import GATES
from qmend.cli.hydra_app import run_hydra
from qmend.cli.schema import EvaluateConfig
from qmend.cli.terminal import console, generate_with_progress
from qmend.datasets.circuits import fill_missing
from qmend.datasets.config import ImportedDatasetConfig, dataset_recipe
from qmend.datasets.table import Dataset, load_dataset
from qmend.devices.device import resolve
from qmend.evaluation.leaderboard import Leaderboard
from qmend.evaluation.tracked import Context, check_unseen, run_baseline, run_evaluation
from qmend.mitigation.base import Mitigator
from qmend.mitigation.baselines import BASELINES
from qmend.reporting.table import leaderboard_table, verdicts
from qmend.tracking.run import start_run
from qmend.tracking.store import Store, open_store
from qmend.training.checkpoint import load_checkpoint
from qmend.training.fit import TrainedModel
from qmend.types import QmendError


def main(arguments: list[str]) -> None:
    """Score a trained model."""
    run_hydra("evaluate", EvaluateConfig, _evaluate, arguments)


def _evaluate(config: EvaluateConfig, plain: dict[str, Any]) -> None:
    store = open_store(config.tracking.root)
    model, provenance = load_checkpoint(checkpoint_folder(store, config.checkpoint))
    if isinstance(config.dataset, ImportedDatasetConfig):
        check_unseen(model, provenance, {})
        dataset, notes = _imported(config.dataset_folder, model)
    else:
        recipe = dataset_recipe(config.simulated, resolve(config.device))["dataset"]
        check_unseen(model, provenance, recipe, config.scored_split)
        generate_with_progress(config)
        dataset, notes = load_dataset(config.dataset_folder), []
    name = f"evaluate {model.config.name} on {dataset.folder.name}"
    with start_run(store, name, {"kind": "evaluation"}, plain) as parent:
        context = Context(store, dataset, config.scored_split, parent.run_id)
        baselines = _baselines(dataset, notes)
        if config.scored_split != "test" and any(b.parameters for b in baselines):
            notes.append(
                "Baselines with parameters were fitted to the train split, which is among the "
                "scored circuits."
            )
        entries = [run_baseline(context, baseline, plain) for baseline in baselines]
        entries.append(run_evaluation(context, model, provenance, plain))
        board = Leaderboard.build(context.scored, entries, config.scored_split)
    console.print(leaderboard_table(board))
    for line in [*notes, *verdicts(board)]:
        console.print(f"  {line}")
    if provenance.get("dataset_sha") != dataset.manifest.dataset_sha:
        console.print(f"  The model was trained on other data: {provenance.get('dataset')}.")
    console.print(f"  Run {parent.run_id}")


def _imported(folder: Path, model: TrainedModel) -> tuple[Dataset, list[str]]:
    """The rows of an imported dataset that a model can take, and what to say about them."""
    dataset = load_dataset(folder, model.dimensions.n_qubits)
    gates = dataset.rows.circuits.instructions.count(*set(GATES) - set(model.encoding.gates))
    readable = np.flatnonzero(gates == 0)
    if not len(readable):
        raise QmendError(
            f"{folder} has no circuit on {model.dimensions.n_qubits} qubits whose gates the "
            f"{model.encoding.name} encoding of the model has a place for; score a model with "
            "encoding=token."
        )
    dataset = dataset.select(readable, f"gates that the {model.encoding.name} encoding lacks")
    notes = [f"Skipped {count:,} rows: {reason}." for reason, count in dataset.skipped.items()]
    filled = fill_missing(dataset.rows.circuits, model.encoding.typical)
    if filled.rows:
        notes.append(
            f"{filled.values:,} calibration values of {filled.rows:,} of {len(dataset.rows):,} "
            "rows are not known: means of the model's training data stand in for them."
        )
    return replace(dataset, rows=replace(dataset.rows, circuits=filled.circuits)), notes


def _baselines(dataset: Dataset, notes: list[str]) -> list[Mitigator]:
    """Those that can be fitted: without training circuits, the ones that need no fit."""
    train = int(np.count_nonzero(dataset.split == "train"))
    baselines = [kind() for kind in BASELINES if train or not kind.parameters]
    if "imported" in dataset.manifest.recipe:
        notes.append(
            f"Baselines with parameters were fitted to the {train:,} measured circuits of the "
            "train split."
            if train
            else "No measured circuit is left to fit a baseline to: those with parameters are "
            "missing."
        )
    return baselines


def checkpoint_folder(store: Store, model: str) -> Path:
    """A folder as it is, or the model of the run with that id.

    Raises:
        QmendError: if it is neither.
    """
    if Path(model).is_dir():
        return Path(model)
    if not re.fullmatch(r"[0-9a-f]{32}", model):
        raise QmendError(
            f"checkpoint={model} is neither a folder nor the id of a run (32 hex digits); "
            "`qmend ui` lists the runs."
        )
    try:
        return Path(store.client.download_artifacts(model, "model"))
    except (MlflowException, OSError):
        raise QmendError(
            f"The store {store.root} has no run {model} with a model; `qmend ui` lists the runs."
        ) from None
