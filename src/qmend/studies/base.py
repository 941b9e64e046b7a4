"""The parent run of a study, with the cells that it trains and evaluates one after the other."""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeVar

from qmend.runs.cells import STUDY_FILES, Cell, CellRecord, FailedCellsError, Outcome, failure
from qmend.types import QmendError
from qmend.workflows.compose import COMMAND_CONFIGS, compose_as
from qmend.workflows.configs import EvaluateConfig, TrainConfig
from qmend.workflows.data_config import CommonConfig
from qmend.workflows.observer import Observer, announce_new

if TYPE_CHECKING:  # torch, MLflow, matplotlib
    from qmend.datasets.table import Dataset
    from qmend.metrics import Interval
    from qmend.reporting.table import Table
    from qmend.runs.configurations import Configuration
    from qmend.runs.leaderboard import Leaderboard
    from qmend.runs.reading import ScoredRun
    from qmend.runs.scoring import Context
    from qmend.tracking.run import Run
    from qmend.tracking.store import Store
    from qmend.training.config import TrainingConfig
    from qmend.workflows.evaluate import Evaluation

Result = TypeVar("Result")

#: Ends the sentence of a study with failed cells.
ADVICE = "The same command tries the failed ones again."


@dataclass(frozen=True)
class StudyResult:
    """The result of a study.

    Attributes:
        notes: sentences below the tables.
        failure: tells the cells that failed; None if none did.
        figures: of the rows by name, for programs; None: the tables are all.
        opening: Markdown that the study's page starts with.
    """

    run_id: str
    tables: tuple[Table, ...]
    notes: tuple[str, ...] = ()
    failure: FailedCellsError | None = None
    figures: Mapping[str, Any] | None = None
    opening: str = ""


@dataclass
class Study:
    """The open parent run of a study.

    Attributes:
        files: an empty directory for tables and figures; in the end the run logs them, and the
            study's ``output`` gets them.
        records: of the cells, in the order in which they ended.
        failure: tells the cells that failed, once the run has ended.
    """

    store: Store
    run: Run
    observer: Observer
    files: Path
    records: list[CellRecord] = field(default_factory=list)
    failure: FailedCellsError | None = None

    def cell(
        self,
        name: str,
        work: Callable[[Cell], tuple[Result, Outcome]],
        seed: int | None = None,
    ) -> Result | None:
        """Do the work of a cell and record its outcome; None if it failed."""
        from qmend.runs.sweeps import read_record

        title = name if seed is None else f"{name} seed {seed}"
        result = None
        try:
            result, outcome = work(Cell(self.run.run_id, title))
        except Exception as error:
            sentence = str(error)
            if not isinstance(error, QmendError):
                sentence = f"unexpected {type(error).__name__}: {sentence}"
            self.observer.message(f"{title}: {sentence}")
            outcome = Outcome("failed", error=sentence)
        settings = (f"cell={name}", f"seed={'-' if seed is None else seed}")
        self.records.append(read_record(self.store, settings, outcome))
        return result

    def row(
        self,
        name: str,
        seeds: Sequence[int],
        work: Callable[[int, Cell], tuple[ScoredRun, Outcome]],
    ) -> Configuration | None:
        """Run a cell for each seed, together a row of a table; None if all of them failed."""
        from qmend.runs.configurations import Configuration

        runs = [self.cell(name, partial(work, seed), seed) for seed in seeds]
        scored = tuple(run for run in runs if run is not None)
        if not scored:
            return None
        row = Configuration(name, scored)
        self.observer.message(f"{name}: median L1RC {row.median:.3f}")
        return row

    def train(self, name: str, trainings: Sequence[TrainConfig]) -> Configuration | None:
        """Train as ``qmend train`` does; None if all failed.

        Args:
            trainings: that differ in their seeds, and what follows from these.
        """
        from qmend.workflows.train import train

        by_seed = {training.seed: training for training in trainings}

        def work(seed: int, cell: Cell) -> tuple[ScoredRun, Outcome]:
            training = train(by_seed[seed], self.observer, cell=cell)
            if training.scored is None:
                raise QmendError(
                    f"the scores of run {training.run_id} can't be read any more; delete the run."
                )
            return training.scored, Outcome(
                "reused" if training.reused else "finished", training.run_id
            )

        return self.row(name, list(by_seed), work)

    def train_on(
        self, data: Dataset, training: TrainingConfig, config: Mapping[str, Any], cell: Cell
    ) -> tuple[ScoredRun, Outcome]:
        """Train on data that ``qmend train`` can't make, and score on their test split.

        A training that was stopped is resumed; a finished run of the same config and data is
        taken over.

        Args:
            config: logged by the run, and its hash.
        """
        from qmend.runs.training import run_training, unfinished

        def work(context: Context) -> ScoredRun:
            state = unfinished(self.store, config, data.manifest.dataset_sha)
            with self.observer.training(cell.name, training.trainer.max_epochs) as watching:
                return run_training(
                    context, cell.name, training, config, state=state, observer=watching
                )

        return self.score_on(data, config, cell, work, kind="train")

    def score_on(
        self,
        data: Dataset,
        config: Mapping[str, Any],
        cell: Cell,
        work: Callable[[Context], ScoredRun],
        **tags: str,
    ) -> tuple[ScoredRun, Outcome]:
        """Score a mitigator on data in memory, unless a finished run of the config has.

        Args:
            work: makes the run, with the config.
            tags: of such a run, its ``kind`` among them.
        """
        from qmend.runs.reading import read_scored
        from qmend.runs.scoring import Context
        from qmend.runs.sweeps import take_over
        from qmend.tracking.run import config_sha

        sha = data.manifest.dataset_sha
        earlier = take_over(self.store, [config_sha(config)], sha, cell.parent, **tags)
        scored = None if earlier is None else read_scored(self.store, earlier)
        if scored is not None:
            return scored, Outcome("reused", scored.run_id)
        scored = work(Context(self.store, data, parent=cell.parent))
        return scored, Outcome("finished", scored.run_id)

    def evaluate(self, name: str, config: EvaluateConfig) -> Evaluation | None:
        """Score networks and baselines, as ``qmend evaluate`` does; None if it failed."""
        from qmend.workflows.evaluate import evaluate

        return self.cell(
            name, lambda cell: (evaluate(config, self.observer, cell=cell), Outcome("finished"))
        )


@contextmanager
def open_study(
    config: CommonConfig, title: str, tags: Mapping[str, str], observer: Observer
) -> Iterator[Study]:
    """Open the run of a study, or resume that of an equal one.

    It ends as FAILED where cells failed, which :attr:`Study.failure` then tells.

    Args:
        title: name of the run.
        tags: further ones than its kind.
    """
    from qmend.runs.sweeps import log_cells, open_parent
    from qmend.tracking.store import open_store

    announce_new(observer, "Runs", config.tracking.root)
    store = open_store(config.tracking.root)
    tags = {"kind": "study", **tags}
    parent = open_parent(store, title, tags, config.plain(), resume=True)
    output: Path | None = getattr(config, "output", None)
    with suppress(FailedCellsError), parent as run, TemporaryDirectory() as files:
        study = Study(store, run, observer, Path(files))
        try:
            yield study
            if output is not None and any(study.files.iterdir()):
                run.files(study.files, STUDY_FILES)
                shutil.copytree(study.files, output, dirs_exist_ok=True)
        finally:
            if study.records:
                with suppress(QmendError):  # the store's error must not hide the study's
                    log_cells(run, study.records)
        study.failure = failure(study.records, ADVICE)
        if study.failure is not None:
            raise study.failure


def seeded(training: TrainConfig, seeds: Sequence[int]) -> list[TrainConfig]:
    """Return a training with each seed."""
    return [training.model_copy(update={"seed": seed}) for seed in seeds]


def compose_cell(study: CommonConfig, key: str, command: str, overrides: Sequence[str]) -> Any:
    """Compose the config of a cell, which resumes what finished runs have.

    The cell takes the study's stores, and its dataset and device where the overrides choose none.

    Args:
        key: of the study's config that the overrides stand under.
        command: of which the cell is a run.

    Raises:
        QmendError: naming the cell, and the key or value that is wrong.
    """
    chosen = {re.split(r"[=/.]", text)[0] for text in overrides}
    taken = {"data", "ray", "tracking", *({"dataset", "device"} - chosen)}
    sections = {name: value for name, value in study.plain().items() if name in taken}
    kind = COMMAND_CONFIGS[command]
    resume = ["resume=true"] if "resume" in kind.model_fields else []
    texts = [*resume, *overrides]
    choices = {name: study.choices[name] for name in sections if name in study.choices}
    try:
        cell = compose_as(kind, command, texts, sections)
        return cell.composed(texts, {**cell.choices, **choices})
    except QmendError as error:
        raise QmendError(f"{key}: {error}") from None


def compose_simulated(study: CommonConfig, key: str, overrides: Sequence[str]) -> TrainConfig:
    """Compose a training on simulated circuits, as :func:`compose_cell`.

    Raises:
        QmendError: also if the data are measured, or the noise of online simulation is refused.
    """
    training: TrainConfig = compose_cell(study, key, "train", overrides)
    try:
        dataset = training.simulated
        if training.online is not None:
            from qmend.training.online import choose_noise  # imports torch

            choose_noise(training.online, dataset, 0)
    except QmendError as error:
        raise QmendError(f"{key}: {error}") from None
    return training


def compose_training(
    study: CommonConfig, key: str, train_circuits: int | None, overrides: Sequence[str]
) -> TrainConfig:
    """Compose a training on the study's own data, as :func:`compose_cell`.

    Raises:
        QmendError: also if the overrides choose other data.
    """
    count = "null" if train_circuits is None else train_circuits
    texts = [f"train_circuits={count}", *overrides]
    training = compose_simulated(study, key, texts)
    if (training.dataset, training.device) != (study.dataset, study.device):
        raise QmendError(
            f"{key}: networks are trained on the study's own dataset and device; leave them out."
        )
    return training


def plain_number(number: float) -> float | None:
    """Round a number for JSON, which has no NaN: the figure of cells without noisy error."""
    return None if math.isnan(number) else round(float(number), 4)


def plain_interval(interval: Interval) -> list[float | None]:
    """Convert a figure to plain data: [value, lo, hi]."""
    return [plain_number(number) for number in (interval.value, interval.lo, interval.hi)]


def plain_figures(
    figures: Mapping[str, Mapping[str, Mapping[str, Interval]]], kept: Sequence[str]
) -> dict[str, dict[str, dict[str, list[float | None]]]]:
    """Convert the kept figures of each group and row to plain data: [value, lo, hi]."""
    return {
        group: {
            name: {key: plain_interval(row[key]) for key in kept if key in row}
            for name, row in rows.items()
        }
        for group, rows in figures.items()
    }


def write_table(table: Table, figures: Mapping[Any, Any], folder: Path) -> None:
    """Write a table as Markdown, and the figures in it as JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "table.md").write_text(table.markdown())
    (folder / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")


def write_leaderboard(study: Study, board: Leaderboard, folder: Path, name: str) -> None:
    """Write a leaderboard as Markdown and JSON, and log it to the study's run."""
    from qmend.reporting.leaderboard import leaderboard_table

    table = leaderboard_table(board).markdown()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.md").write_text(table)
    records = [configuration.record for configuration in board.configurations]
    (folder / f"{name}.json").write_text(json.dumps(records, indent=1) + "\n")
    study.run.text(table, f"tables/{name}.md")
