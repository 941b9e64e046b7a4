"""Read the contents of a report of tracked runs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mlflow.entities import Run as MlflowRun

from qmend.metrics import Interval
from qmend.reporting.figures import Curves
from qmend.reporting.leaderboard import board_title, uneven_seeds
from qmend.reporting.numbers import seconds_text
from qmend.reporting.search_table import outcomes_text
from qmend.reporting.study_page import PAGE
from qmend.runs.cells import STUDY_FILES
from qmend.runs.configurations import compared_params, differing
from qmend.runs.leaderboard import Leaderboard, leaderboards
from qmend.runs.reading import history, read_scored
from qmend.tracking.finding import Selection, kind_of, name_of, scored_split
from qmend.tracking.store import Store
from qmend.tuning.importance import Importance, importances
from qmend.tuning.record import SearchRecord, is_search, read_search
from qmend.types import QmendError

#: Fewer trained runs make no parallel coordinates worth drawing.
_LINES = 4


def training_curves(board: Leaderboard) -> list[Curves]:
    """Collect the histories of all trainings of a leaderboard."""
    return [
        Curves(c.name, run.history)
        for c in board.configurations
        for run in c.runs
        if len(run.history.get("train/loss", ())) > 1
    ]


def varied_params(board: Leaderboard) -> tuple[list[dict[str, str]], list[str], list[float]]:
    """Collect the params of each training, the keys that differ, and its median L1RC."""
    trainings = [run for run in board.runs if run.kind in ("train", "trial", "cell")]
    keys = differing([run.params for run in trainings])
    if len(trainings) < _LINES or not keys:
        return [], [], []
    params = [compared_params(run.params) for run in trainings]
    return params, keys, [run.median for run in trainings]


def _reference(board: Leaderboard, parents: Sequence[MlflowRun]) -> Interval | None:
    """Find the shot-noise reference, which a parent logs for its own data."""
    for run in parents:
        if run.data.tags.get("dataset_sha") == board.dataset_sha:
            reference = Interval.read(run.data.metrics, "reference/l1rc_median")
            if reference is not None:
                return reference
    return None


@dataclass(frozen=True)
class SearchPart:
    """The part of a report on one search.

    Attributes:
        curves: of its trials, the best under a name of its own.
        importances: empty where ``sentence`` says why there are none.
    """

    search: SearchRecord
    curves: list[Curves]
    importances: list[Importance]
    sentence: str

    @staticmethod
    def of(store: Store, search: SearchRecord, runs: Sequence[MlflowRun]) -> SearchPart:
        """Read the curves of the trials, and importances where there are enough."""
        by_id = {run.info.run_id: run for run in runs}
        curves = [
            Curves(
                f"best, trial {trial.number}" if trial is search.best else "other trials",
                history(store, by_id[trial.run_id]),
            )
            for trial in search.trials
        ]
        try:
            return SearchPart(search, curves, importances(search), "")
        except QmendError as error:
            return SearchPart(search, curves, [], str(error))

    @property
    def caption(self) -> str:
        """Count the trials by outcome, and name the best."""
        search = self.search
        outcomes = outcomes_text(search.trials)
        seconds = sum(trial.seconds for trial in search.trials)
        text = f"{len(search.trials)} trials ({outcomes}), {seconds_text(seconds)} s in all"
        if search.best is not None:
            text += (
                f"; best {search.objective} {search.best.best:.4f}, trial {search.best.number}, "
                f"run {search.best.run_id[:12]}"
            )
        return text


@dataclass(frozen=True)
class StudyPart:
    """The part of a report on one study.

    Attributes:
        page: Markdown.
        figures: path in the page -> SVG.
    """

    run: MlflowRun
    page: str
    figures: dict[str, str]

    @staticmethod
    def of(store: Store, run: MlflowRun) -> StudyPart | None:
        """Read the page of a run; None where it has none."""
        page = store.artifact(run, PAGE)
        if not page.exists():
            return None
        text = page.read_text()
        paths = re.findall(r"^!\[.*\]\((.+)\)$", text, flags=re.MULTILINE)
        files = {path: store.artifact(run, f"{STUDY_FILES}/{path}") for path in paths}
        figures = {path: file.read_text() for path, file in files.items() if file.exists()}
        return StudyPart(run, text, figures)


@dataclass(frozen=True)
class RunsReport:
    """Contents of the page.

    Attributes:
        studies: those of the runs that have a page of their own.
        boards: one for each set of comparable runs.
        notes: sentences on the runs that were left out.
    """

    selection: Selection
    studies: list[StudyPart]
    boards: list[Leaderboard]
    searches: list[SearchPart]
    notes: list[str]

    @property
    def title(self) -> str:
        return f"qmend report: {self.selection.title}"


def read_report(store: Store, selection: Selection, every: Sequence[MlflowRun]) -> RunsReport:
    """Read a selection of runs from the store and their artifacts.

    Args:
        every: all runs of the store, among them the trainings that evaluations name.

    Raises:
        QmendError: if there is nothing to compare.
    """
    finished = [run for run in selection.all if run.info.status == "FINISHED"]
    notes = []
    others = Counter(run.info.status for run in selection.runs if run.info.status != "FINISHED")
    pruned = sum(run.data.tags.get("outcome") == "pruned" for run in selection.runs)
    others["KILLED"] -= pruned
    counts = [f"{count} {status}" for status, count in sorted(others.items()) if count > 0]
    if counts:
        left_out = ", ".join(counts)
        notes.append(f"Runs that have not finished are left out of the tables: {left_out}.")
    scored = []
    unreadable = []
    for run in finished:
        if scored_split(run) is None or is_search(run):  # a search repeats its best trial's
            continue
        read = read_scored(store, run)
        if read is None:
            unreadable.append(name_of(run))
        else:
            scored.append(read)
    if unreadable:
        names = ", ".join(unreadable[:5]) + (", ..." if len(unreadable) > 5 else "")
        notes.append(
            f"Scores of single circuits are missing for {len(unreadable)} runs ({names}), "
            "which can't be compared in pairs and are left out."
        )
    searches = [
        SearchPart.of(store, read_search(store, run, selection.all), selection.all)
        for run in selection.all
        if is_search(run)
    ]
    own = (StudyPart.of(store, run) for run in selection.all if kind_of(run) == "study")
    studies = [part for part in own if part is not None]
    if not scored and not studies and not any(part.search.trials for part in searches):
        raise QmendError(
            f"{selection.title}: none of the {len(selection.all)} runs has finished with scores of "
            "single circuits, there is nothing to report; `qmend runs list` shows what there is."
        )
    boards = [
        replace(board, reference=_reference(board, selection.all))
        for board in leaderboards(scored, {run.info.run_id: run for run in every})
    ]
    repeats = sum(len(c.repeats) for board in boards for c in board.configurations)
    if repeats:
        notes.append(
            "Of runs of the same configuration and seed the newest counts: older ones are left "
            f"out of the tables, {repeats} in all."
        )
    for board in boards:
        if uneven := uneven_seeds(board):
            notes.append(f"{board_title(board)}: {uneven}.")
    if len(boards) > 1:
        notes.append("Only runs that were scored on the same circuits share a table.")
    return RunsReport(selection, studies, boards, searches, notes)
