"""One tracked training: resumed if it was stopped, scored, its model an artifact."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow.exceptions import MlflowException
from pydantic import Field, field_validator

from qmend.config.model import ConfigModel
from qmend.datasets.manifest import Manifest
from qmend.mitigation.learned import LearnedMitigator
from qmend.models.base import ARCHITECTURES, ModelConfig, model_config
from qmend.runs.reading import ScoredRun
from qmend.runs.scoring import Context, open_run, score_run
from qmend.tracking.run import Run, config_sha
from qmend.tracking.store import Store, reported
from qmend.training.best import EpochProgress
from qmend.training.checkpoint import save_checkpoint
from qmend.training.config import LossConfig, OptimizerConfig, TrainerConfig
from qmend.training.fit import TrainedModel, fit
from qmend.training.logger import OwnedRunLogger
from qmend.training.online import Fresh
from qmend.training.state import Say, claimed, discard, read_state


class TrainingConfig(ConfigModel):
    """What one training needs beside data."""

    model: ModelConfig = Field()
    loss: LossConfig
    optimizer: OptimizerConfig
    trainer: TrainerConfig

    @field_validator("model", mode="before")
    @classmethod
    def _architecture(cls, value: Any) -> ModelConfig:
        return value if isinstance(value, ModelConfig) else model_config(value)


@dataclass(frozen=True)
class Parent:
    """A trained network that a training goes on from, and where it comes from."""

    model: TrainedModel
    provenance: Mapping[str, Any]


def run_training(
    context: Context,
    name: str,
    training: TrainingConfig,
    config: Mapping[str, Any],
    seed: int,
    progress: EpochProgress = lambda done, total, values: None,
    parent: Parent | None = None,
    state: Path | None = None,
    say: Say = lambda sentence: None,
    fresh: Fresh | None = None,
) -> ScoredRun:
    """Train a network and score it, as one run with its model as an artifact.

    Args:
        parent: a network to fine-tune.
        state: folder of this very training's state, while it is unfinished. If one was left
            there, training goes on from it, in the same run. While another process holds the
            folder, the training runs without.
        say: told in one sentence what becomes of a state.
        fresh: draws circuits to train on, by the recipe of the context's dataset.
    """
    model = training.model
    tags = {"kind": "train", **training_tags(training, seed)}
    if parent is not None:
        tags["checkpoint_run"] = str(parent.provenance.get("run_id", "unknown"))
    if fresh is not None:
        tags["fresh"] = str(fresh.options.noise)
    with _claimed(state, say) as folder:
        unfinished = None if folder is None else _unfinished_run(context.store, folder, say)
        with open_run(context, name, tags, config, unfinished) as run:
            if folder is not None:
                (folder / RUN_FILE).write_text(run.run_id)
            trained = fit(
                model,
                training.loss,
                training.optimizer,
                training.trainer,
                context.dataset.part("train"),
                context.dataset.part("val"),
                seed,
                loggers=[OwnedRunLogger(run)],
                progress=progress,
                start=None if parent is None else parent.model,
                state=folder,
                say=say,
                fresh=fresh,
            )
            seen = None if fresh is None else fresh.describe(len(trained.history["train/loss"]))
            if seen is not None:
                run.metrics({"cost/fresh_circuits": seen["circuits"]})
            mitigator = LearnedMitigator(trained)
            entry = score_run(run, context, name, mitigator, trained.seconds, trained.history)
            figures = entry.summary.metrics(f"{context.split}/")
            log_model(run, context.dataset.manifest, trained, training, seed, figures, parent, seen)
        if folder is not None:
            discard(folder)
    return entry


#: Folder in the store with one folder for each training that has not finished.
UNFINISHED = "unfinished"
#: Beside the state: the id of the run that the training belongs to.
RUN_FILE = "run_id"


def unfinished(store: Store, config: Mapping[str, Any], dataset_sha: str) -> Path:
    """Where the state of a training lies until it is finished."""
    return store.root / UNFINISHED / f"{config_sha(config)}-{dataset_sha}"


def finished(store: Store, shas: Collection[str], dataset_sha: str) -> str | None:
    """The newest finished training on a dataset whose config has one of these hashes.

    Raises:
        QmendError: if the store can't be used.
    """
    query = (
        f"tags.kind = 'train' and attributes.status = 'FINISHED' "
        f"and tags.dataset_sha = '{dataset_sha}'"
    )
    with reported(store.root):
        for sha in shas:
            for run in store.runs(f"{query} and tags.config_sha = '{sha}'", limit=1):
                return str(run.info.run_id)
    return None


@contextmanager
def _claimed(state: Path | None, say: Say) -> Iterator[Path | None]:
    if state is None:
        yield None
        return
    with claimed(state) as folder:
        if folder is None:
            say("Another process is at the same training: this one can't be resumed if stopped.")
        yield folder


def _unfinished_run(store: Store, folder: Path, say: Say) -> str | None:
    """The run that a state belongs to; a state without its run is removed."""
    if read_state(folder).state is None:
        return None  # fit says why
    try:
        run_id = (folder / RUN_FILE).read_text()
        run = store.client.get_run(run_id).info
        if run.lifecycle_stage == "active" and run.status != "FINISHED":
            return run_id
        gone = run.lifecycle_stage != "active"
    except (OSError, MlflowException):
        gone = True
    if gone:
        say("The run of the unfinished training is not in the store any more: starts anew.")
    for file in folder.iterdir():
        file.unlink()
    return None


def training_tags(training: TrainingConfig, seed: int) -> dict[str, str]:
    """Tags of the run contract that a training's config decides."""
    return {
        "architecture": training.model.name,
        "head": head(training.model),
        "loss": training.loss.name,
        "encoding": training.model.encoding,
        "seed": str(seed),
    }


def log_model(
    run: Run,
    manifest: Manifest,
    trained: TrainedModel,
    training: TrainingConfig,
    seed: int,
    figures: Mapping[str, float],
    parent: Parent | None = None,
    fresh: Mapping[str, Any] | None = None,
) -> None:
    """Log a trained network with where it comes from.

    Args:
        manifest: of the data it was trained on.
        figures: what it reaches.
        fresh: which circuits were drawn for it.
    """
    provenance = {
        "run_id": run.run_id,
        "dataset": manifest.name,
        "dataset_sha": manifest.dataset_sha,
        "loss": training.loss.name,
        "optimizer": training.optimizer.model_dump(mode="json"),
        "seed": seed,
        "recipe": manifest.recipe["dataset"],
        "metrics": dict(figures),
        **({} if fresh is None else {"fresh": dict(fresh)}),
        "ancestors": [] if parent is None else _ancestors(parent.provenance),
    }
    with run.artifact_folder("model") as folder:
        save_checkpoint(folder, trained, provenance)


def _ancestors(provenance: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A parent and its own ancestors: which run each is, and what it was trained on."""
    keys = ("run_id", "dataset", "dataset_sha", "recipe", "fresh")
    own = {key: provenance[key] for key in keys if key in provenance}
    return [own, *provenance.get("ancestors", ())]


def head(config: ModelConfig) -> str:
    """The head that the config chooses where the architecture has several, else its own."""
    return str(getattr(config, "output", ARCHITECTURES[config.name].head))
