"""How much better could a network be that knows the noise exactly, and simulates no circuit?

The network's sampled Pauli paths give way to the exact factor of every parity, and to the exact
size of what the noise adds to it. What such a network reaches bounds what can be gained by learning
the device: embeddings, reference circuits, fits of the noise. The exact factor is an average over
all initial states; the survival of paths that end on the circuit's own may pass it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from qmend.files import check_writable
from qmend.models.config import ModelConfig
from qmend.runs.cells import Cell, Outcome
from qmend.studies.base import (
    Study,
    StudyResult,
    compose_training,
    open_study,
    seeded,
    write_leaderboard,
)
from qmend.types import QmendError
from qmend.workflows.configs import TrainConfig
from qmend.workflows.data_config import CommonConfig
from qmend.workflows.observer import Observer

if TYPE_CHECKING:  # torch, MLflow
    from qmend.datasets.table import Dataset
    from qmend.runs.configurations import Configuration
    from qmend.runs.reading import ScoredRun
    from qmend.runs.scoring import Context
    from qmend.training.data import TrainingData


class Config(CommonConfig):
    """``conf/study/known_noise.yaml``.

    Attributes:
        seeds: both networks are trained with each.
        train_circuits: of the training split; null: all.
        network: overrides of ``qmend train`` that choose it.
        output: directory of the table.
    """

    seeds: tuple[int, ...] = Field(min_length=1)
    train_circuits: int | None = Field(ge=1)
    network: tuple[str, ...]
    output: Path


def run(config: Config, observer: Observer) -> StudyResult:
    """Train a network twice: on sampled paths, and on the exact noise.

    Raises:
        QmendError: before any work, if the network reads no Pauli paths, or the dataset was
            measured, or by randomized compiling.
    """
    training = compose_training(config, "network", config.train_circuits, config.network)
    check_network(training.model)

    from qmend.datasets.table import load_dataset
    from qmend.evaluation.scores import reference
    from qmend.reporting.leaderboard import leaderboard_table
    from qmend.runs.leaderboard import Leaderboard
    from qmend.runs.scoring import dataset_tags
    from qmend.studies.exact_noise import check_as_compiled
    from qmend.workflows.generate import generate

    check_as_compiled(training.simulated)
    check_writable(config.output / "table.md")
    generate(training, observer)
    dataset = load_dataset(training.dataset_folder).shortened(training.train_circuits)
    title, name = f"study known_noise on {dataset.folder.name}", training.model.name
    with open_study(config, title, dataset_tags(dataset), observer) as study:
        rows = [
            study.train(name, seeded(training, config.seeds)),
            train_knowing(study, name, training, config.seeds, dataset),
        ]
        complete = tuple(row for row in rows if row is not None)
        tables = []
        if complete:
            board = Leaderboard(complete, reference(dataset.parts("test")))
            write_leaderboard(study, board, config.output, dataset.folder.name)
            tables.append(leaderboard_table(board, title=title))
    notes = (f"Tables: {config.output}",)
    return StudyResult(study.run.run_id, tuple(tables), notes, study.failure)


def check_network(model: ModelConfig) -> None:
    """Refuse an architecture that does not read Pauli paths.

    Raises:
        QmendError: if it reads another encoding.
    """
    from qmend.encodings.paths import PathsEncoding

    if model.encoding != PathsEncoding.name:
        raise QmendError(
            f"network: {model.name} reads the encoding {model.encoding}, which has no token for a "
            "parity; choose model=walsh_operator."
        )


def train_knowing(
    study: Study, name: str, config: TrainConfig, seeds: Sequence[int], dataset: Dataset
) -> Configuration | None:
    """Train a network that knows the noise, with every seed that has no finished run.

    The noise is computed only if there is something to train.
    """
    encode = cache(lambda: _encode(config.model, dataset, study.observer))

    def work(seed: int, cell: Cell) -> tuple[ScoredRun, Outcome]:
        own = config.model_copy(update={"seed": seed})
        plain = {**own.plain(), "known_noise": True}

        def train(context: Context) -> ScoredRun:
            return _train_encoded(study, context, encode(), own, plain, cell.name)

        return study.score_on(dataset, plain, cell, train, kind="reference")

    return study.row(f"{name} that knows the noise", seeds, work)


def _encode(model: ModelConfig, dataset: Dataset, observer: Observer) -> TrainingData:
    """Encode the training and validation splits with the exact noise of each circuit."""
    from qmend.studies.exact_noise import KnownNoiseEncoding, known_noise
    from qmend.training.data import encode_splits

    with observer.circuits("error maps") as progress:
        noise = known_noise(dataset, progress)
    train = [part.circuits for part in dataset.parts("train")]
    encoding = KnownNoiseEncoding(noise).fit(*train)
    return encode_splits(model, dataset.parts("train"), dataset.parts("val"), encoding)


def _train_encoded(
    study: Study,
    context: Context,
    encoded: TrainingData,
    config: TrainConfig,
    plain: dict[str, object],
    name: str,
) -> ScoredRun:
    """Train and score, as one run of kind ``reference``: no practical method."""
    from qmend.mitigation.learned import LearnedMitigator
    from qmend.runs.scoring import open_run, score_run
    from qmend.runs.training import training_tags
    from qmend.studies.exact_noise import KnownNoiseEncoding
    from qmend.training.logger import OwnedRunLogger
    from qmend.training.train import train

    encoding = KnownNoiseEncoding.name
    tags = {"kind": "reference", **training_tags(config), "encoding": encoding}
    with (
        open_run(context, name, tags, plain) as run,
        study.observer.training(name, config.trainer.max_epochs) as watching,
    ):
        logged = replace(watching, loggers=(OwnedRunLogger(run),))
        trained = train(config, encoded, observer=logged)
        mitigator = LearnedMitigator(trained.model)
        return score_run(run, context, name, mitigator, trained.seconds, trained.history)
