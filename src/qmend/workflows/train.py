"""Train one network, tracked and scored."""

from __future__ import annotations

from dataclasses import dataclass

from joblib import cpu_count

from qmend.datasets.config import ImportedDatasetConfig, dataset_recipe
from qmend.datasets.table import load_dataset
from qmend.devices.device import resolve
from qmend.mitigation.guard import GUARD
from qmend.runs.cells import Cell
from qmend.runs.evaluation import check_unseen
from qmend.runs.fine_tuning import load_measurements
from qmend.runs.reading import ScoredRun, read_scored
from qmend.runs.scoring import Context
from qmend.runs.sweeps import take_over
from qmend.runs.training import run_training, unfinished
from qmend.tracking.run import config_sha
from qmend.tracking.store import Store, open_store
from qmend.training.checkpoint import (
    Checkpoint,
    checkpoint_folder,
    load_checkpoint,
    resolve_checkpoint,
)
from qmend.training.environment import choose_accelerator
from qmend.training.online import choose_noise
from qmend.types import QmendError
from qmend.workflows.configs import TrainConfig
from qmend.workflows.generate import generate
from qmend.workflows.observer import Observer, announce_new


@dataclass(frozen=True)
class Training:
    """A finished training.

    Attributes:
        name: of its run, in lists.
        run_id: of its MLflow run; ``qmend.load`` takes it.
        scored: figures and scores on the test split; None for a reused run whose scores are gone.
        reused: whether an earlier command finished it.
    """

    name: str
    run_id: str
    scored: ScoredRun | None
    reused: bool = False


def train(
    config: TrainConfig, observer: Observer | None = None, *, cell: Cell | None = None
) -> Training:
    """Train a network and score it on the test split, as one tracked run.

    The dataset is made if it is not there, unless it was imported: then a checkpoint is fine-tuned
    on it, with simulated circuits among the measured ones. A training of the same config that was
    stopped is resumed.

    Args:
        config: composed by ``compose("train", ...)``.
        cell: of a multirun or study that the run belongs to.

    Raises:
        QmendError: if a part can't be read, made, trained or stored, by its name.
    """
    observer = observer or Observer()
    if not config.resume:  # a finished run may come from another machine
        choose_accelerator(config.trainer)  # refused before any work
    announce_new(observer, "Runs", config.tracking.root)
    store = open_store(config.tracking.root)
    parent = None
    if config.checkpoint is not None:
        config, parent = fine_tuned(config, store)
        if (checkpoint_folder(store, str(config.checkpoint)) / GUARD).exists():
            observer.message(
                "The guard of the checkpoint does not hold for the fine-tuned network; `qmend "
                "guard` makes one."
            )
    if config.online is not None:
        choose_noise(config.online, config.simulated, config.seed)  # refused before any work
    measured = None
    if parent is not None and isinstance(config.dataset, ImportedDatasetConfig):
        measured = load_measurements(
            store,
            config.dataset_folder,
            parent,
            train_circuits=config.train_circuits,
            val_circuits=config.val_circuits,
            replay=config.fine_tune.replay,
            seed=config.seed,
            force=config.force,
        )
        for note in measured.notes:
            observer.message(note)
        manifest = measured.dataset.manifest
    else:
        manifest = generate(config, observer, wait=cell is not None).manifest
    name = f"{config.model.name} {config.loss.name} seed {config.seed}"
    if parent is not None:
        name += " fine-tuned"
    if cell is not None and cell.name:
        name = cell.name
    dataset_sha = manifest.dataset_sha
    if config.resume:
        above = None if cell is None else cell.parent
        earlier = take_over(store, equivalent_hashes(config), dataset_sha, above, kind="train")
        if earlier is not None:
            run_id = str(earlier.info.run_id)
            observer.message(f"{name}: run {run_id} has finished it")
            return Training(name, run_id, read_scored(store, earlier), reused=True)
    if measured is not None:
        dataset = measured.dataset
    else:
        dataset = load_dataset(config.dataset_folder).shortened(
            config.train_circuits, config.val_circuits
        )
    context = Context(store, dataset, parent=None if cell is None else cell.parent)
    plain = config.plain()
    with observer.training(name, config.trainer.max_epochs) as watching:
        scored = run_training(
            context,
            name,
            config,
            plain,
            parent=parent,
            replay=None if measured is None else measured.replay,
            state=unfinished(store, plain, dataset_sha),
            observer=watching,
        )
    return Training(name, scored.run_id, scored)


def with_threads(config: TrainConfig, threads: int) -> TrainConfig:
    """Return a config whose training uses so many processors."""
    trainer = config.trainer.model_copy(update={"threads": threads})
    return config.model_copy(update={"trainer": trainer})


def equivalent_hashes(config: TrainConfig) -> list[str]:
    """List the hashes of the configs that a finished run of this training may have.

    Where nobody asked for a number of threads, any will do: before it was one, it depended on how
    many trainings ran at once.
    """
    configs = [config]
    if "trainer.threads" not in config.overridden:
        configs += [with_threads(config, n) for n in range(1, cpu_count() + 1)]
    return list(dict.fromkeys(config_sha(each.plain()) for each in configs))


def fine_tuned(config: TrainConfig, store: Store) -> tuple[TrainConfig, Checkpoint]:
    """Return the config with its checkpoint's model and learning rate, and the checkpoint.

    Raises:
        QmendError: if the checkpoint can't be read, has seen the dataset's test split, does not
            fit the dataset, or is another model than the one asked for.
    """
    checkpoint = resolve_checkpoint(store, str(config.checkpoint))
    model, provenance = load_checkpoint(checkpoint_folder(store, checkpoint))
    if not isinstance(config.dataset, ImportedDatasetConfig):
        recipe = dataset_recipe(config.simulated, resolve(config.device))["dataset"]
        check_unseen(model, provenance, recipe)
    asked = any(key.partition(".")[0] == "model" for key in config.overridden)
    if asked and config.model != model.config:
        raise QmendError(
            f"A fine-tuned network keeps the checkpoint's model ({model.config.name}), and the "
            "config asks for another; leave out model and model.*."
        )
    optimizer = config.optimizer
    if "optimizer.lr" not in config.overridden:
        trained_at = provenance.get("optimizer", {}).get("lr")
        if trained_at is None:
            raise QmendError(
                "The checkpoint does not say at which learning rate it was trained; give "
                "optimizer.lr=..."
            )
        optimizer = optimizer.model_copy(update={"lr": config.fine_tune.lr_factor * trained_at})
    changes = {"model": model.config, "optimizer": optimizer, "checkpoint": checkpoint}
    return config.model_copy(update=changes), Checkpoint(model, provenance)
