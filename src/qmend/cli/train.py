"""``qmend train``."""

from __future__ import annotations

import os
from typing import Any

from qmend.cli.hydra_app import run_hydra
from qmend.cli.multirun import PARENT_VARIABLE
from qmend.cli.schema import TrainConfig
from qmend.cli.terminal import console, epoch_progress, generate_with_progress
from qmend.datasets.table import load_dataset
from qmend.evaluation.tracked import Context, run_training
from qmend.reporting.table import interval_text
from qmend.tracking.store import open_store


def main(arguments: list[str]) -> None:
    """Train one network, or one for each combination with -m."""
    run_hydra("train", TrainConfig, _train, arguments)


def _train(config: TrainConfig, plain: dict[str, Any]) -> float:
    store = open_store(config.tracking.root)
    generate_with_progress(config)
    dataset = load_dataset(config.dataset_folder)
    context = Context(store, dataset, parent=os.environ.get(PARENT_VARIABLE))
    name = f"{config.model.name} {config.loss.name} seed {config.seed}"
    with epoch_progress(name, config.trainer.max_epochs) as progress:
        entry = run_training(context, name, config, plain, config.seed, progress)
    figures = entry.summary.figures
    console.print(
        f"  {name}: test median L1RC {interval_text(figures['l1rc_median'])}, improved "
        f"{figures['improved_pct'].value:.1f} %, harmed {figures['harmed_pct'].value:.1f} %; "
        f"run {entry.run_id}"
    )
    return figures["l1rc_median"].value
