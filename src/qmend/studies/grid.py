"""Networks and tests: each network is trained, some from another one, and scored by each test.

The common form of studies that compare trained networks. Trainings run several at once; finished
ones are taken from the store.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pydantic import Field, model_validator

from qmend.config.model import ConfigModel
from qmend.processes import end_with, process_identity
from qmend.runs.cells import Cell
from qmend.studies.base import (
    Study,
    compose_cell,
    compose_simulated,
    seeded,
)
from qmend.types import QmendError, nearest
from qmend.workflows.configs import EvaluateConfig, TrainConfig
from qmend.workflows.data_config import CommonConfig
from qmend.workflows.observer import Observer

if TYPE_CHECKING:  # torch, MLflow, matplotlib
    from qmend.runs.configurations import Configuration

#: Unit of resampling -> what it means for the intervals.
_NARROW = {
    "circuits": " They may be too narrow: circuits of a job share its hidden errors, but test jobs "
    "are too few to be resampled."
}


class ScaleConfig(ConfigModel):
    """``conf/scale``: the size of studies.

    Attributes:
        data: overrides that choose the data of each training and test.
        models: name of a model in the studies -> overrides of ``qmend train``.
    """

    name: str
    data: tuple[str, ...]
    models: dict[str, tuple[str, ...]] = Field(min_length=1)


class GridConfig(CommonConfig):
    """The config of a study of networks and tests.

    Attributes:
        source: name of data -> overrides that choose them, beside those of the scale.
        models: names of those of the scale that the study compares.
        seeds: every network is trained with each.
        workers: trainings at once.
        output: directory of tables and figures.
    """

    scale: ScaleConfig
    source: dict[str, tuple[str, ...]] = Field(min_length=1)
    models: tuple[str, ...] = Field(min_length=1)
    seeds: tuple[int, ...] = Field(min_length=1)
    workers: int = Field(ge=1)
    output: Path

    @model_validator(mode="after")
    def _models_exist(self) -> Self:
        self.check_models("models", self.models)
        return self

    def check_models(self, key: str, names: Iterable[str]) -> None:
        """Raise QmendError, naming the key, unless the scale has all models."""
        for name in names:
            if name not in self.scale.models:
                raise QmendError(
                    f"{key}: {name!r} is none of scale={self.scale.name}. "
                    f"{nearest(name, self.scale.models)}"
                )


@dataclass(frozen=True)
class Network:
    """A network of a study.

    Attributes:
        parent: name of the network that it is fine-tuned from; None: it is trained from scratch.
        seeds: that it is trained with; None: all of the study's. Those of a fine-tuned one are
            its parent's.
    """

    training: TrainConfig
    parent: str | None = None
    seeds: tuple[int, ...] | None = None


def compose_network(
    config: GridConfig,
    name: str,
    source: str,
    overrides: Sequence[str],
    seeds: tuple[int, ...] | None = None,
) -> Network:
    """Compose the training of a network from scratch.

    Args:
        name: of the network, for messages.
        source: name of the data that it is trained on.
        overrides: of ``qmend train``.

    Raises:
        QmendError: naming the network, and the key or value that is wrong.
    """
    texts = [*_data_overrides(config, source), *overrides]
    return Network(compose_simulated(config, name, texts), seeds=seeds)


def compose_fine_tuned(
    config: GridConfig,
    name: str,
    source: str,
    parent: str,
    network: Network,
    overrides: Sequence[str] = (),
) -> Network:
    """Compose a training that goes on from a network with its recipe, at a part of its rate.

    Args:
        name: of the fine-tuned network, for messages.
        source: name of the data that it is trained on.
        parent: name of the network that it starts from.
        network: that network.
        overrides: of ``qmend train``, such as ``train_circuits=10``; not of the recipe.

    Raises:
        QmendError: naming the network, and the key or value that is wrong.
    """
    texts = [*_data_overrides(config, source), "checkpoint=later", *overrides]
    recipe = {
        key: getattr(network.training, key) for key in ("model", "loss", "optimizer", "trainer")
    }
    own = compose_simulated(config, name, texts).model_copy(update=recipe)
    return Network(own, parent)


def compose_test(
    config: GridConfig, name: str, source: str, overrides: Sequence[str]
) -> EvaluateConfig:
    """Compose an evaluation, whose networks are given later.

    Args:
        source: name of the data whose test split is scored.

    Raises:
        QmendError: naming the test, and the key or value that is wrong.
    """
    texts = [*_data_overrides(config, source), "checkpoint=[later]", *overrides]
    test: EvaluateConfig = compose_cell(config, name, "evaluate", texts)
    return test


def _data_overrides(config: GridConfig, source: str) -> list[str]:
    """List the overrides that choose data; their directory's name tells the scale."""
    own = config.source[source]
    return [*config.scale.data, *own, f"dataset.name={config.scale.name}_{source}"]


def train_networks(
    study: Study, networks: Mapping[str, Network], config: GridConfig
) -> dict[str, Configuration]:
    """Train networks with each seed, parents before those that are fine-tuned from them.

    Returns:
        Those of which at least one seed was trained, by name.
    """
    rows: dict[str, Configuration] = {}
    waiting = dict(networks)
    while waiting:
        ready = {name: n for name, n in waiting.items() if n.parent not in waiting}
        waiting = {name: n for name, n in waiting.items() if name not in ready}
        trainings = {name: _trainings(n, rows, config.seeds) for name, n in ready.items()}
        together = [(name, each) for name, several in trainings.items() for each in several]
        _train_at_once(study, together, config.workers)
        for name, several in trainings.items():
            row = study.train(name, several) if several else None
            if row is not None:
                rows[name] = row
    return rows


def _trainings(
    network: Network, rows: Mapping[str, Configuration], seeds: Sequence[int]
) -> list[TrainConfig]:
    """Return a training for each seed; for none whose parent failed."""
    if network.parent is None:
        return seeded(network.training, network.seeds or seeds)
    parents = rows[network.parent].runs if network.parent in rows else ()
    return [
        network.training.model_copy(update={"seed": int(run.seed), "checkpoint": run.run_id})
        for run in parents
    ]


def _train_at_once(
    study: Study, trainings: Sequence[tuple[str, TrainConfig]], workers: int
) -> None:
    """Train in several processes; what fails there is tried again, and told, by the caller."""
    if workers == 1 or len(trainings) < 2:
        return
    from concurrent.futures.process import BrokenProcessPool

    from joblib import Parallel, cpu_count, delayed

    from qmend.workflows.generate import generate
    from qmend.workflows.train import with_threads

    for data in {training.dataset_folder: training for _, training in trainings}.values():
        with suppress(QmendError):
            generate(data, study.observer, wait=True)
    threads = max(1, cpu_count() // workers)
    tasks = []
    for name, training in trainings:
        cell = Cell(study.run.run_id, f"{name} seed {training.seed}")
        own = "trainer.threads" in training.overridden
        shared = training if own else with_threads(training, threads)
        tasks.append(delayed(_train_alone)(shared, cell, process_identity()))
    parallel = Parallel(n_jobs=workers, return_as="generator_unordered")
    with warnings.catch_warnings():  # a worker that has grown large is replaced
        warnings.filterwarnings("ignore", "A worker stopped while some jobs", UserWarning)
        try:
            for done, sentence in enumerate(parallel(tasks), start=1):
                study.observer.message(f"{done} of {len(tasks)} trainings: {sentence}")
        except BrokenProcessPool:
            study.observer.message(
                f"A training was killed, as for lack of memory with {workers} at once; "
                "the others follow one by one."
            )


def _train_alone(training: TrainConfig, cell: Cell, driver: str) -> str:
    """Train in a process of its own; return a sentence on what came of it."""
    from qmend.workflows.train import train

    end_with(driver)
    try:
        trained = train(training, Observer(), cell=cell)
    except Exception as error:  # no failed training keeps the others from their end
        return f"{cell.name}: {error}"
    median = "" if trained.scored is None else f", median L1RC {trained.scored.median:.3f}"
    return f"{cell.name}{', finished before' if trained.reused else ''}{median}"


def score_networks(
    study: Study,
    tests: Mapping[str, EvaluateConfig],
    rows: Mapping[str, Configuration],
    notes: dict[str, None],
    scored_by: Mapping[str, Collection[str]] | None = None,
) -> dict[str, dict[str, Configuration]]:
    """Score networks and baselines by each test.

    Args:
        notes: sentences on limits, units of intervals and shot noise are added.
        scored_by: test -> names of the networks that it scores; None: all.

    Returns:
        Test -> row -> its scored runs; a test that failed is not there.
    """
    from qmend.runs.configurations import Configuration
    from qmend.runs.evaluation import GUARD_TAG

    scored: dict[str, dict[str, Configuration]] = {}
    for name, test in tests.items():
        names = rows if scored_by is None else [row for row in rows if row in scored_by[name]]
        ids = tuple(run_id for row in names for run_id in rows[row].run_ids)
        if not ids and not test.baselines:
            continue
        evaluation = study.evaluate(name, test.model_copy(update={"checkpoint": ids}))
        if evaluation is None:
            continue
        notes.update(dict.fromkeys(n for n in evaluation.notes if "was trained on other" not in n))
        board = evaluation.leaderboard
        for unit in sorted({run.tags.get("bootstrap_unit", "circuits") for run in board.runs}):
            notes[f"95 % intervals resample {unit}.{_NARROW.get(unit, '')}"] = None
        if board.reference is not None:
            left = f"Shots alone would leave a median L1RC of {board.reference.value:.3f}"
            notes[f"{left} on {test.simulated.name}."] = None
        by_id = {
            run.tags.get("checkpoint_run"): run for run in board.runs if GUARD_TAG not in run.tags
        }
        scored[name] = {row.name: row for row in board.baselines}
        scored[name] |= {
            row: Configuration(row, tuple(by_id[run_id] for run_id in rows[row].run_ids))
            for row in names
        }
    return scored
