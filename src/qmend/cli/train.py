"""``qmend train``."""

from __future__ import annotations

from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from joblib import cpu_count
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from qmend.cli.multirun import REUSED_TAG, Cell, Outcome, current_cell
from qmend.cli.terminal import console, epoch_progress, generate_with_progress
from qmend.datasets.config import dataset_recipe
from qmend.datasets.table import load_dataset
from qmend.devices.device import resolve
from qmend.reporting.numbers import interval_text
from qmend.runs.evaluation import check_unseen
from qmend.runs.scoring import Context
from qmend.runs.training import Parent, finished, run_training, unfinished
from qmend.tracking.run import Run, config_sha
from qmend.tracking.store import Store, open_store, reported
from qmend.training.checkpoint import checkpoint_folder, fixed_checkpoint, load_checkpoint
from qmend.training.online import chosen_noise
from qmend.types import QmendError
from qmend.workflows.configs import TrainConfig


def train(config: TrainConfig, plain: dict[str, Any]) -> Outcome:
    """Train one network, or one for each combination with -m."""
    store = open_store(config.tracking.root)
    cell = current_cell()
    if cell is not None and cell.threads is not None:
        config, plain = _with_threads(config, plain, cell.threads)
    parent = None
    if config.checkpoint is not None:
        config, plain, parent = _fine_tune(config, plain, store)
    if config.fresh is not None:
        chosen_noise(config.fresh, config.simulated, config.seed)  # refused before any work
    done = generate_with_progress(config, wait=cell is not None)
    name = f"{config.model.name} {config.loss.name} seed {config.seed}"
    if parent is not None:
        name += " fine-tuned"
    if cell is not None and cell.name:
        name = cell.name
    if config.resume:
        earlier = finished(store, _hashes(plain), done.manifest.dataset_sha)
        if earlier is not None:
            _reuse(store, earlier, cell)
            console.print(f"  {name}: run {earlier} has finished it", markup=False)
            return Outcome("reused", earlier)
    dataset = load_dataset(config.dataset_folder)
    context = Context(store, dataset, parent=None if cell is None else cell.parent)
    state = unfinished(store, plain, dataset.manifest.dataset_sha)
    with epoch_progress(name, config.trainer.max_epochs) as observer:
        entry = run_training(
            context, name, config, plain, parent=parent, state=state, observer=observer
        )
    figures = entry.summary.figures
    console.print(
        f"  {name}: test median L1RC {interval_text(figures['l1rc_median'])}, improved "
        f"{figures['improved_pct'].value:.1f} %, harmed {figures['harmed_pct'].value:.1f} %; "
        f"run {entry.run_id}",
        markup=False,
    )
    return Outcome("finished", entry.run_id)


def _with_threads(
    config: TrainConfig, plain: dict[str, Any], threads: int
) -> tuple[TrainConfig, dict[str, Any]]:
    trainer = config.trainer.model_copy(update={"threads": threads})
    changed = config.model_copy(update={"trainer": trainer})
    return changed, {**plain, "trainer": {**plain["trainer"], "threads": threads}}


def _hashes(plain: dict[str, Any]) -> list[str]:
    """Hashes of the configs that a finished run may have; any number of threads will do if the
    command line asks for none, as it then depends on how many trainings run at once."""
    shas = [config_sha(plain)]
    if "trainer.threads" not in _given_keys():
        every = range(1, cpu_count() + 1)
        shas += [
            config_sha({**plain, "trainer": {**plain["trainer"], "threads": n}}) for n in every
        ]
    return list(dict.fromkeys(shas))


def _reuse(store: Store, run_id: str, cell: Cell | None) -> None:
    """Tag a run that was made under another multirun with the one that takes it over.

    It stays the child of the multirun that made it: that one would lose it else.
    """
    if cell is None:
        return
    run = Run(store, run_id)
    with reported(store.root):
        tags = store.client.get_run(run_id).data.tags
    by = tags.get(REUSED_TAG, "").split()
    if tags.get(MLFLOW_PARENT_RUN_ID) != cell.parent and cell.parent not in by:
        run.tags({REUSED_TAG: " ".join([*by, cell.parent])})


def _fine_tune(
    config: TrainConfig, plain: dict[str, Any], store: Store
) -> tuple[TrainConfig, dict[str, Any], Parent]:
    """The config with the checkpoint's model and learning rate, and the checkpoint.

    Raises:
        QmendError: if the checkpoint can't be read, has seen the dataset's test split, does not
            fit the dataset, or is another model than the one that the command line asks for.
    """
    checkpoint = fixed_checkpoint(store, str(config.checkpoint))
    model, provenance = load_checkpoint(checkpoint_folder(store, checkpoint))
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
        "checkpoint": checkpoint,
        "model": model.config.model_dump(mode="json"),
        "optimizer": {**plain["optimizer"], "lr": optimizer.lr},
    }
    return changed, values, Parent(model, provenance)


def _given_keys() -> set[str]:
    """Keys and groups that the command line overrides."""
    parser = OverridesParser.create()
    overrides = parser.parse_overrides(list(HydraConfig.get().overrides.task))
    return {override.key_or_group for override in overrides}
