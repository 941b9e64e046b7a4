"""``qmend evaluate``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mlflow.exceptions import MlflowException

from qmend.cli.hydra_app import run_hydra
from qmend.cli.schema import EvaluateConfig
from qmend.cli.terminal import console, generate_with_progress
from qmend.datasets.config import dataset_recipe
from qmend.datasets.table import load_dataset
from qmend.devices.device import resolve
from qmend.evaluation.leaderboard import Leaderboard
from qmend.evaluation.tracked import Context, check_unseen, run_baseline, run_evaluation
from qmend.mitigation.baselines import BASELINES
from qmend.reporting.table import leaderboard_table, verdicts
from qmend.tracking.run import start_run
from qmend.tracking.store import Store, open_store
from qmend.training.checkpoint import load_checkpoint
from qmend.types import QmendError


def main(arguments: list[str]) -> None:
    """Score a trained model."""
    run_hydra("evaluate", EvaluateConfig, _evaluate, arguments)


def _evaluate(config: EvaluateConfig, plain: dict[str, Any]) -> None:
    store = open_store(config.tracking.root)
    model, provenance = load_checkpoint(checkpoint_folder(store, config.checkpoint))
    recipe = dataset_recipe(config.dataset, resolve(config.device))
    check_unseen(model, provenance, recipe["dataset"])
    generate_with_progress(config)
    dataset = load_dataset(config.dataset_folder)
    name = f"evaluate {model.config.name} on {dataset.folder.name}"
    with start_run(store, name, {"kind": "evaluation"}, plain) as parent:
        context = Context(store, dataset, parent=parent.run_id)
        entries = [run_baseline(context, kind(), plain) for kind in BASELINES]
        entries.append(run_evaluation(context, model, provenance, plain))
        board = Leaderboard.build(context.scored, entries)
    console.print(leaderboard_table(board))
    for line in verdicts(board):
        console.print(f"  {line}")
    if provenance.get("dataset_sha") != dataset.manifest.dataset_sha:
        console.print(f"  The model was trained on other data: {provenance.get('dataset')}.")
    console.print(f"  Run {parent.run_id}")


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
