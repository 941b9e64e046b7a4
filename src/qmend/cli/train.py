"""``qmend train``."""

from __future__ import annotations

import os
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser

from qmend.cli.hydra_app import run_hydra
from qmend.cli.multirun import PARENT_VARIABLE
from qmend.cli.schema import TrainConfig
from qmend.cli.terminal import console, epoch_progress, generate_with_progress
from qmend.datasets.config import dataset_recipe
from qmend.datasets.table import load_dataset
from qmend.devices.device import resolve
from qmend.evaluation.checkpoints import check_unseen
from qmend.evaluation.tracked import Context
from qmend.evaluation.trainings import Parent, run_training, unfinished
from qmend.reporting.table import interval_text
from qmend.tracking.store import Store, open_store
from qmend.training.checkpoint import checkpoint_folder, load_checkpoint
from qmend.training.fresh import Fresh, chosen_noise
from qmend.types import QmendError


def main(arguments: list[str]) -> None:
    """Train one network, or one for each combination with -m."""
    run_hydra("train", TrainConfig, _train, arguments)


def _train(config: TrainConfig, plain: dict[str, Any]) -> float:
    store = open_store(config.tracking.root)
    parent = None
    if config.checkpoint is not None:
        config, plain, parent = _fine_tune(config, plain, store)
    if config.fresh is not None:
        chosen_noise(config.fresh, config.simulated, config.seed)  # refused before any work
    generate_with_progress(config)
    dataset = load_dataset(config.dataset_folder)
    fresh = None
    if config.fresh is not None:
        device = resolve(config.device)
        fresh = Fresh.like(dataset, config.simulated, device, config.fresh, config.seed)
    context = Context(store, dataset, parent=os.environ.get(PARENT_VARIABLE))
    name = f"{config.model.name} {config.loss.name} seed {config.seed}"
    if parent is not None:
        name += " fine-tuned"
    state = unfinished(store, plain, dataset.manifest.dataset_sha)
    with epoch_progress(name, config.trainer.max_epochs) as progress:
        entry = run_training(
            context,
            name,
            config,
            plain,
            config.seed,
            progress,
            parent,
            state,
            lambda sentence: console.print(f"  {sentence}", markup=False),
            fresh,
        )
    figures = entry.summary.figures
    console.print(
        f"  {name}: test median L1RC {interval_text(figures['l1rc_median'])}, improved "
        f"{figures['improved_pct'].value:.1f} %, harmed {figures['harmed_pct'].value:.1f} %; "
        f"run {entry.run_id}"
    )
    return figures["l1rc_median"].value


def _fine_tune(
    config: TrainConfig, plain: dict[str, Any], store: Store
) -> tuple[TrainConfig, dict[str, Any], Parent]:
    """The config with the checkpoint's model and learning rate, and the checkpoint.

    Raises:
        QmendError: if the checkpoint can't be read, has seen the dataset's test split, does not
            fit the dataset, or is another model than the one that the command line asks for.
    """
    model, provenance = load_checkpoint(checkpoint_folder(store, str(config.checkpoint)))
    recipe = dataset_recipe(config.simulated, resolve(config.device))["dataset"]
    check_unseen(model, provenance, recipe)
    given = _given_keys()
    if config.model != model.config and any(k.partition(".")[0] == "model" for k in given):
        raise QmendError(
            f"A fine-tuned network keeps the checkpoint's model ({model.config.name}), and the "
            "command line gives another; leave out model and model.*."
        )
    optimizer = config.optimizer
    if "optimizer.lr" not in given:
        trained_at = provenance.get("optimizer", {}).get("lr")
        if trained_at is None:
            raise QmendError(
                "The checkpoint does not say at which learning rate it was trained; give "
                "optimizer.lr=..."
            )
        optimizer = optimizer.model_copy(update={"lr": config.fine_tune.lr_factor * trained_at})
    changed = config.model_copy(update={"model": model.config, "optimizer": optimizer})
    values = {
        **plain,
        "model": model.config.model_dump(mode="json"),
        "optimizer": {**plain["optimizer"], "lr": optimizer.lr},
    }
    return changed, values, Parent(model, provenance)


def _given_keys() -> set[str]:
    """Keys and groups that the command line overrides."""
    parser = OverridesParser.create()
    overrides = parser.parse_overrides(list(HydraConfig.get().overrides.task))
    return {override.key_or_group for override in overrides}
