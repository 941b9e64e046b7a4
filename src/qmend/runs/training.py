"""One tracked training: resumed if it was stopped, scored, its model an artifact."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlflow.exceptions import MlflowException

from qmend.datasets.manifest import Manifest
from qmend.mitigation.learned import LearnedMitigator
from qmend.models.base import ARCHITECTURES
from qmend.models.config import ModelConfig
from qmend.models.trained import TrainedModel
from qmend.runs.reading import ScoredRun
from qmend.runs.scoring import Context, open_run, prepare_data, score_run
from qmend.tracking.run import Run, config_sha
from qmend.tracking.store import Store
from qmend.training.checkpoint import Checkpoint, save_checkpoint
from qmend.training.config import TrainingConfig
from qmend.training.data import encode
from qmend.training.logger import OwnedRunLogger
from qmend.training.observer import Message, TrainingObserver
from qmend.training.online import OnlineSource
from qmend.training.state import claim, discard, read_state
from qmend.training.train import train


def run_training(
    context: Context,
    name: str,
    training: TrainingConfig,
    config: Mapping[str, Any],
    *,
    parent: Checkpoint | None = None,
    replay: OnlineSource | None = None,
    state: Path | None = None,
    observer: TrainingObserver | None = None,
) -> ScoredRun:
    """Train and score a network as one run, with the model as artifact.

    Args:
        config: what the run logs, and its hash.
        parent: a network to fine-tune.
        replay: source of simulated circuits among the measured ones.
        state: directory of this training's state while it is unfinished. If one was left there,
            the training resumes from it, in the same run. While another process holds the
            directory, the training runs without and can't be resumed.
    """
    observer = TrainingObserver() if observer is None else observer
    start = None if parent is None else parent.model
    tags = {"kind": "train", **training_tags(training)}
    if parent is not None:
        tags["checkpoint_run"] = str(parent.provenance.get("run_id", "unknown"))
    if training.online is not None:
        tags["online"] = str(training.online.noise)
    if replay is not None:
        tags["replayed"] = replay.recipe_sha
    with nullcontext() if state is None else claim(state) as folder:
        if state is not None and folder is None:
            observer.message(
                "Another process runs the same training: this one can't be resumed if stopped."
            )
        resumed = None
        if folder is not None:
            resumed = _unfinished_run(context.store, folder, observer.message)
        with open_run(context, name, tags, config, resumed) as run:
            if folder is not None:
                (folder / RUN_FILE).write_text(run.run_id)
            data = encode(training, context.dataset, start, replay)
            loggers = (*observer.loggers, OwnedRunLogger(run))
            watched = replace(observer, loggers=loggers)
            trained = train(training, data, start=start, state=folder, observer=watched)
            online = None
            if data.online is not None:
                online = data.online.describe(len(trained.history["train/loss"]))
                run.metrics({"cost/fresh_circuits": online["circuits"]})
            mitigator = LearnedMitigator(trained.model)
            filled = prepare_data(context, trained.model)
            entry = score_run(run, filled, name, mitigator, trained.seconds, trained.history)
            figures = entry.summary.metrics(f"{context.split}/")
            log_model(
                run, context.dataset.manifest, trained.model, training, figures, parent, online
            )
        if folder is not None:
            discard(folder)
    return entry


#: Folder in the store with one folder for each training that has not finished.
UNFINISHED = "unfinished"
#: Beside the state: the id of the run that the training belongs to.
RUN_FILE = "run_id"


def unfinished(store: Store, config: Mapping[str, Any], dataset_sha: str) -> Path:
    """Return the directory of a training's state until it is finished."""
    return store.folder / UNFINISHED / f"{config_sha(config)}-{dataset_sha}"


def _unfinished_run(store: Store, folder: Path, message: Message) -> str | None:
    """Return the run of a state; remove a state without its run."""
    if read_state(folder).state is None:
        return None  # the training says why
    try:
        run_id = (folder / RUN_FILE).read_text()
        run = store.client.get_run(run_id).info
        if run.lifecycle_stage == "active" and run.status != "FINISHED":
            return run_id
        gone = run.lifecycle_stage != "active"
    except (OSError, MlflowException):
        gone = True
    if gone:
        message("The run of the unfinished training is not in the store any more: starts again.")
    for file in folder.iterdir():
        file.unlink()
    return None


def training_tags(training: TrainingConfig) -> dict[str, str]:
    """Return the tags of the run contract that a training's config decides."""
    return {
        "architecture": training.model.name,
        "head": head(training.model),
        "loss": training.loss.name,
        "encoding": training.model.encoding,
        "seed": str(training.seed),
    }


def log_model(
    run: Run,
    manifest: Manifest,
    model: TrainedModel,
    training: TrainingConfig,
    figures: Mapping[str, float],
    parent: Checkpoint | None = None,
    online: Mapping[str, Any] | None = None,
) -> None:
    """Log a trained network with its provenance.

    Args:
        manifest: of the data it was trained on.
        figures: metrics of its scores.
        online: which circuits were simulated for it.
    """
    provenance = {
        "run_id": run.run_id,
        "dataset": manifest.name,
        "dataset_sha": manifest.dataset_sha,
        "loss": training.loss.name,
        "optimizer": training.optimizer.model_dump(mode="json"),
        "seed": training.seed,
        **_origin(manifest),
        "metrics": dict(figures),
        **({} if online is None else {"fresh": dict(online)}),
        "ancestors": [] if parent is None else _ancestors(parent.provenance),
    }
    with run.artifact_folder("model") as folder:
        save_checkpoint(folder, model, provenance)


def _origin(manifest: Manifest) -> dict[str, Any]:
    """Say how training data were made: by a recipe, or of which imported file."""
    recipe = manifest.recipe
    if manifest.origin == "imported":
        return {"imported": recipe["imported"]["input"]["sha256"]}
    return {"recipe": recipe["dataset"], "device": recipe["device"]}


def _ancestors(provenance: Mapping[str, Any]) -> list[dict[str, Any]]:
    """List runs and training data of a parent and its own ancestors."""
    keys = ("run_id", "dataset", "dataset_sha", "recipe", "device", "imported", "fresh")
    own = {key: provenance[key] for key in keys if key in provenance}
    return [own, *provenance.get("ancestors", ())]


def head(config: ModelConfig) -> str:
    """Return the head that a config chooses, else its architecture's only one."""
    return str(getattr(config, "head", ARCHITECTURES[config.name].head))
