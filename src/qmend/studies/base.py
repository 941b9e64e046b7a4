"""The parent run of a study, with the cells that it trains and evaluates one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from qmend.runs.cells import Cell, CellRecord, FailedCellsError, Outcome, failure
from qmend.types import QmendError
from qmend.workflows.compose import compose_as
from qmend.workflows.configs import CommonConfig, EvaluateConfig, TrainConfig
from qmend.workflows.observer import Observer

if TYPE_CHECKING:  # torch, MLflow, matplotlib
    from qmend.reporting.table import Table
    from qmend.runs.configurations import Configuration
    from qmend.runs.leaderboard import Leaderboard
    from qmend.runs.reading import ScoredRun
    from qmend.tracking.run import Run
    from qmend.tracking.store import Store
    from qmend.workflows.evaluate import Evaluation

Result = TypeVar("Result")


@dataclass(frozen=True)
class StudyResult:
    """What a study found.

    Attributes:
        notes: sentences below the tables.
        failure: tells the cells that failed; None if none did.
    """

    run_id: str
    tables: tuple[Table, ...]
    notes: tuple[str, ...] = ()
    failure: FailedCellsError | None = None


@dataclass
class Study:
    """The open parent run of a study.

    Attributes:
        records: of the cells, in the order in which they ended.
        failure: of cells, known when the run has ended.
    """

    store: Store
    run: Run
    observer: Observer
    records: list[CellRecord] = field(default_factory=list)
    failure: FailedCellsError | None = None

    def cell(
        self, overrides: Sequence[str], work: Callable[[Cell], tuple[Result, Outcome]]
    ) -> Result | None:
        """Do the work of a cell and record its outcome; None if it failed.

        Args:
            overrides: ``key=value`` of what tells the cell from others.
        """
        from qmend.runs.sweeps import read_record

        result = None
        try:
            result, outcome = work(Cell(self.run.run_id, " ".join(overrides)))
        except Exception as error:
            sentence = str(error)
            if not isinstance(error, QmendError):
                sentence = f"unexpected {type(error).__name__}: {sentence}"
            self.observer.message(f"{' '.join(overrides)}: {sentence}")
            outcome = Outcome("failed", error=sentence)
        self.records.append(read_record(self.store, overrides, outcome))
        return result

    def train(self, name: str, config: TrainConfig, seeds: Sequence[int]) -> Configuration | None:
        """Train with each seed, as ``qmend train`` does; None if all of them failed.

        Args:
            name: of the row.
        """
        from qmend.runs.configurations import Configuration

        scored = []
        for seed in seeds:
            run = self._train(name, config.model_copy(update={"seed": seed}))
            if run is not None:
                scored.append(run)
        if not scored:
            return None
        row = Configuration(name, tuple(scored))
        self.observer.message(f"{name}: median L1RC {row.median:.3f}")
        return row

    def _train(self, name: str, config: TrainConfig) -> ScoredRun | None:
        from qmend.workflows.train import train

        def work(cell: Cell) -> tuple[ScoredRun, Outcome]:
            training = train(config, self.observer, cell=cell)
            if training.scored is None:
                raise QmendError(
                    f"the scores of run {training.run_id} can't be read any more; delete the run."
                )
            return training.scored, Outcome(
                "reused" if training.reused else "finished", training.run_id
            )

        return self.cell((f"cell={name}", f"seed={config.seed}"), work)

    def evaluate(self, name: str, config: EvaluateConfig) -> Evaluation | None:
        """Score networks and baselines, as ``qmend evaluate`` does; None if it failed."""
        from qmend.workflows.evaluate import evaluate

        def work(cell: Cell) -> tuple[Evaluation, Outcome]:
            return evaluate(config, self.observer, cell=cell), Outcome("finished")

        return self.cell((f"cell={name}", "seed=-"), work)


@contextmanager
def open_study(
    config: CommonConfig, title: str, tags: Mapping[str, str], observer: Observer
) -> Iterator[Study]:
    """Open the run of a study, or go on in that of the same study.

    It ends as FAILED where cells failed, which :attr:`Study.failure` then tells.

    Args:
        title: name of the run.
        tags: further ones than its kind.
    """
    from qmend.runs.sweeps import log_cells, open_parent
    from qmend.tracking.store import open_store

    store = open_store(config.tracking.root)
    tags = {"kind": "study", **tags}
    parent = open_parent(store, title, tags, config.plain(), resume=True)
    with suppress(FailedCellsError), parent as run:
        study = Study(store, run, observer)
        try:
            yield study
        finally:
            if study.records:
                with suppress(QmendError):  # the store's error must not hide the study's
                    log_cells(run, study.records)
        study.failure = failure(study.records, "The same command tries the failed ones again.")
        if study.failure is not None:
            raise study.failure


def compose_cell(
    key: str, study: CommonConfig, kind: type[Any], command: str, overrides: Sequence[str]
) -> Any:
    """Compose the config of a cell, which resumes what finished runs have.

    Where a study has data of its own, the cell takes them: all of ``data`` and ``tracking``, and
    of ``dataset`` and ``device`` those that the overrides don't choose.

    Args:
        key: of the study's config that the overrides stand under.
        kind, command: type and name of the cell's config.

    Raises:
        QmendError: naming the cell, and the key or value that is wrong.
    """
    chosen = {text.partition("=")[0].partition("/")[0].partition(".")[0] for text in overrides}
    sections = {"data", "ray", "tracking", "device"} - chosen
    if "dataset" not in chosen:
        sections |= {"dataset"}
    plain = study.plain()
    try:
        return compose_as(
            kind, command, ["resume=true", *overrides], {name: plain[name] for name in sections}
        )
    except QmendError as error:
        raise QmendError(f"{key}: {error}") from None


def write_leaderboard(study: Study, board: Leaderboard, folder: Any, name: str) -> None:
    """Write a leaderboard as Markdown and JSON, and log it to the study's run."""
    import json

    from qmend.reporting.leaderboard import leaderboard_table

    table = leaderboard_table(board).markdown()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.md").write_text(table)
    records = [configuration.record for configuration in board.configurations]
    (folder / f"{name}.json").write_text(json.dumps(records, indent=1) + "\n")
    study.run.text(table, f"tables/{name}.md")
