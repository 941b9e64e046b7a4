"""One tracked run: train or fit a mitigator, score it on a split, log by the run contract."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from mlflow.exceptions import MlflowException
from pydantic import BaseModel, ConfigDict, Field, field_validator

from qmend.datasets.table import Dataset, LabelledCircuits
from qmend.evaluation.constant import best_constant
from qmend.evaluation.scores import Scores, Summary, score, simulates, summarise
from qmend.metrics import Bootstrap, l1rc, median_l1rc, uniform_l1rc
from qmend.mitigation.base import Mitigator
from qmend.mitigation.ensemble import Ensemble
from qmend.mitigation.learned import LearnedMitigator
from qmend.models.base import ModelConfig, architectures, model_config
from qmend.tracking.run import Run, config_sha, start_run
from qmend.tracking.store import Store
from qmend.training.best import EpochProgress
from qmend.training.checkpoint import save_checkpoint
from qmend.training.config import LossConfig, OptimizerConfig, TrainerConfig
from qmend.training.fit import TrainedModel, fit
from qmend.training.fresh import Fresh
from qmend.training.logger import OwnedRunLogger
from qmend.training.state import Say, claimed, discard, read_state
from qmend.types import FloatArray, QmendError, Split

#: ``all``: every row, of data that no model was trained on.
ScoredSplit = Split | Literal["all"]


class TrainingConfig(BaseModel):
    """What one training needs beside data."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    model: ModelConfig = Field()
    loss: LossConfig
    optimizer: OptimizerConfig
    trainer: TrainerConfig

    @field_validator("model", mode="before")
    @classmethod
    def _architecture(cls, value: Any) -> ModelConfig:
        return value if isinstance(value, ModelConfig) else model_config(value)


@dataclass(frozen=True)
class Entry:
    """A scored mitigator: one row of a table.

    Attributes:
        kind: ``baseline`` or ``train``.
        mitigated: (N, 2^n) its distributions for the scored circuits.
        seconds: of training or fitting.
        history: metric -> one value an epoch; empty for baselines.
        run_id: its MLflow run.
        shots_factor: shots that a circuit takes in all, over those that every mitigator gets.
        simulates: it simulates the circuits instead of mitigating them; it can't win.
        constant: median ``uniform_l1rc`` of the best constant distribution, below which (less a
            margin) a mitigator simulates.
    """

    name: str
    kind: str
    scores: Scores
    summary: Summary
    mitigated: FloatArray
    parameters: int
    seconds: float
    history: dict[str, list[float]]
    run_id: str
    shots_factor: float = 1.0
    simulates: bool = False
    constant: float = float("nan")


@dataclass(frozen=True)
class Context:
    """Where runs are logged, on which data, under which parent."""

    store: Store
    dataset: Dataset
    split: ScoredSplit = "test"
    parent: str | None = None

    @property
    def scored(self) -> LabelledCircuits:
        return self.dataset.part(self.split)

    @cached_property
    def constant(self) -> FloatArray:
        """(2^n,) the best constant distribution, fitted to the train split.

        Without one, to the scored circuits themselves: it then is as good as one can be.
        """
        train = self.dataset.split == "train"
        ideal = self.dataset.rows.ideal[train] if train.any() else self.scored.ideal
        return best_constant(ideal)


def run_baseline(context: Context, mitigator: Mitigator, config: Mapping[str, Any]) -> Entry:
    """Fit a baseline on the training split and score it, as one run."""
    tags = {
        "kind": "baseline",
        "architecture": mitigator.name,
        "head": "none",
        "loss": "none",
        "encoding": "none",
        "seed": "none",
    }
    with _open(context, mitigator.name, tags, config) as run:
        started = time.perf_counter()
        mitigator.fit(context.dataset.part("train"))
        seconds = time.perf_counter() - started
        return finish(run, context, mitigator.name, "baseline", mitigator, seconds, {})


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
) -> Entry:
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
    tags = {
        "kind": "train",
        "architecture": model.name,
        "head": _head(model),
        "loss": training.loss.name,
        "encoding": model.encoding,
        "seed": str(seed),
    }
    if parent is not None:
        tags["checkpoint_run"] = str(parent.provenance.get("run_id", "unknown"))
    if fresh is not None:
        tags["fresh"] = str(fresh.options.noise)
    with _claimed(state, say) as folder:
        unfinished = None if folder is None else _unfinished_run(context.store, folder, say)
        with _open(context, name, tags, config, unfinished) as run:
            if folder is not None:
                (folder / _RUN).write_text(run.run_id)
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
            entry = finish(run, context, name, "train", mitigator, trained.seconds, trained.history)
            _log_model(run, context, trained, training, seed, entry.summary, parent, seen)
        if folder is not None:
            discard(folder)
    return entry


#: Folder in the store with one folder for each training that has not finished.
_UNFINISHED = "unfinished"
#: Beside the state: the id of the run that the training belongs to.
_RUN = "run_id"


def unfinished(store: Store, config: Mapping[str, Any], dataset_sha: str) -> Path:
    """Where the state of a training lies until it is finished."""
    return store.root / _UNFINISHED / f"{config_sha(config)}-{dataset_sha}"


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
        run_id = (folder / _RUN).read_text()
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


def check_unseen(
    model: TrainedModel,
    provenance: Mapping[str, Any],
    dataset: Mapping[str, Any],
    split: ScoredSplit = "test",
) -> None:
    """Refuse a dataset that the model does not fit, or whose scored split it may have seen.

    A circuit follows from its dataset's seed and its place in it: equal seeds give equal
    circuits, in equal splits only if size, jobs and shares are equal too. A fine-tuned model has
    also seen what its ancestors were trained on. Imported measurements are never trained on: no
    model has seen them.

    Circuits that were simulated during a training are no further case: their seeds derive from
    the dataset's and the training's, not as those of any dataset's circuits do, and what coincided
    with the validation and test splits of that dataset was redrawn.

    Args:
        dataset: the dataset's part of its recipe; empty for imported measurements.

    Raises:
        QmendError: naming what differs.
    """
    if not dataset:
        return
    if not model.mitigates(dataset["family"]["n_qubits"]):
        raise QmendError(
            f"The model was trained on {model.dimensions.n_qubits} qubits, the dataset has "
            f"{dataset['family']['n_qubits']}; choose a dataset and layout of the same size."
        )
    for known in (provenance, *provenance.get("ancestors", ())):
        if isinstance(known.get("recipe"), Mapping):
            _check_recipe(known["recipe"], dataset, split)


def _check_recipe(
    trained: Mapping[str, Any], dataset: Mapping[str, Any], split: ScoredSplit
) -> None:
    """Refuse a dataset whose scored split holds circuits that were trained on."""
    same = all(trained.get(key) == dataset.get(key) for key in ("family", "seed"))
    if same and split != "test":
        raise QmendError(
            f"scored_split={split} holds circuits that the model was trained on (the same "
            f"dataset.seed, {dataset['seed']}); choose scored_split=test, or another dataset.seed "
            "and dataset.name."
        )
    for key in ("circuits", "job_size", "split"):
        if same and trained.get(key) != dataset.get(key):
            raise QmendError(
                f"The model was trained on circuits of the same dataset.seed ({dataset['seed']}) "
                f"but another dataset.{key}, so that the test split holds circuits it has seen; "
                "choose another dataset.seed and dataset.name."
            )


def run_evaluation(
    context: Context,
    model: TrainedModel,
    provenance: Mapping[str, Any],
    config: Mapping[str, Any],
    name: str | None = None,
) -> Entry:
    """Score a network that was trained before, as one run that names where it comes from.

    Args:
        name: of the row; None: that of the architecture.
    """
    name = name or model.config.name
    tags = {"architecture": model.config.name, **_provenance_tags(model, provenance)}
    return _evaluate(context, name, LearnedMitigator(model), tags, config)


def run_ensemble(
    context: Context,
    members: Sequence[tuple[TrainedModel, Mapping[str, Any]]],
    config: Mapping[str, Any],
) -> Entry:
    """Score the average of networks that were trained before, as one run that names them all.

    Args:
        members: each network with its provenance.

    Raises:
        QmendError: if they can't be averaged.
    """
    ensemble = Ensemble([LearnedMitigator(model) for model, _ in members])
    each = [_provenance_tags(model, provenance) for model, provenance in members]
    tags = {key: "+".join(dict.fromkeys(tags[key] for tags in each)) for key in each[0]}
    name = f"ensemble of {len(members)}"
    return _evaluate(context, name, ensemble, {"architecture": ensemble.name, **tags}, config)


def _provenance_tags(model: TrainedModel, provenance: Mapping[str, Any]) -> dict[str, str]:
    return {
        "head": _head(model.config),
        "loss": str(provenance.get("loss", "unknown")),
        "encoding": model.config.encoding,
        "seed": str(provenance.get("seed", "unknown")),
        "checkpoint_run": str(provenance.get("run_id", "unknown")),
    }


def _evaluate(
    context: Context,
    name: str,
    mitigator: Mitigator,
    tags: Mapping[str, str],
    config: Mapping[str, Any],
) -> Entry:
    """Where the test split is scored and there is a validation split, the figure by which the
    best of several models is chosen is that of the latter, as it is after a training."""
    history: dict[str, list[float]] = {}
    with _open(context, name, {"kind": "evaluation", **tags}, config) as run:
        if context.split == "test" and (context.dataset.split == "val").any():
            held_out = context.dataset.part("val")
            change = l1rc(
                held_out.ideal, held_out.circuits.noisy, mitigator.mitigate(held_out.circuits)
            )
            history["val/l1rc_median"] = [median_l1rc(change)]
            run.metrics({"val/l1rc_median": history["val/l1rc_median"][0]})
        return finish(run, context, name, "evaluation", mitigator, 0.0, history)


def finish(
    run: Run,
    context: Context,
    name: str,
    kind: str,
    mitigator: Mitigator,
    seconds: float,
    history: dict[str, list[float]],
) -> Entry:
    """Score a fitted mitigator and log figures, cost and per-circuit scores to its run."""
    data = context.scored
    mitigated = mitigator.mitigate(data.circuits)
    scores = score(data, mitigated, mitigator.mitigate_uniform(data.circuits))
    summary = summarise(scores, Bootstrap.over(data.job_id))
    constant = median_l1rc(uniform_l1rc(data.ideal, context.constant))
    simulating = mitigator.simulates or simulates(summary, constant)
    run.metrics(
        {
            **summary.metrics(f"{context.split}/"),
            f"{context.split}/uniform_l1rc_constant": constant,
            "cost/seconds": seconds,
            "cost/parameters": float(mitigator.parameters),
            "cost/shots_factor": mitigator.shots_factor,
        }
    )
    run.tags({"bootstrap_unit": summary.unit, "simulates": str(simulating).lower()})
    with run.artifact_folder("scores") as folder:
        scores.write(folder / f"{context.split}.parquet", data)
    return Entry(
        name,
        kind,
        scores,
        summary,
        mitigated,
        mitigator.parameters,
        seconds,
        history,
        run.run_id,
        mitigator.shots_factor,
        simulating,
        constant,
    )


def _log_model(
    run: Run,
    context: Context,
    trained: TrainedModel,
    training: TrainingConfig,
    seed: int,
    summary: Summary,
    parent: Parent | None,
    fresh: Mapping[str, Any] | None,
) -> None:
    provenance = {
        "run_id": run.run_id,
        "dataset": context.dataset.manifest.name,
        "dataset_sha": context.dataset.manifest.dataset_sha,
        "loss": training.loss.name,
        "optimizer": training.optimizer.model_dump(mode="json"),
        "seed": seed,
        "recipe": context.dataset.manifest.recipe["dataset"],
        "metrics": summary.metrics(f"{context.split}/"),
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


def _head(config: ModelConfig) -> str:
    """The head that the config chooses where the architecture has several, else its own."""
    return str(getattr(config, "output", architectures()[config.name].head))


@contextmanager
def _open(
    context: Context,
    name: str,
    tags: Mapping[str, str],
    config: Mapping[str, Any],
    unfinished: str | None = None,
) -> Iterator[Run]:
    """A run whose dataset is tagged and logged as soon as it is open; new, or one to go on with."""
    dataset = context.dataset
    tags = {**dataset_tags(dataset), **tags}
    with start_run(context.store, name, tags, config, context.parent, unfinished) as run:
        manifest = dataset.manifest
        for use in ("train", context.split):
            run.dataset(manifest.name, manifest.dataset_sha, str(dataset.folder.resolve()), use)
        yield run


def dataset_tags(dataset: Dataset) -> dict[str, str]:
    """Tags of the run contract that the data decide."""
    return {
        "family": dataset.family,
        "device": dataset.device,
        "source": dataset.source,
        "dataset": dataset.manifest.name,
        "dataset_sha": dataset.manifest.dataset_sha,
    }
