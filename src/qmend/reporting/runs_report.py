"""The report of any set of tracked runs: what it says, before it is a page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from mlflow.entities import Run as MlflowRun

from qmend.metrics import Interval
from qmend.reporting import results
from qmend.reporting.table import SIMULATES, interval_text, seconds_text
from qmend.runs.reading import (
    Configuration,
    Group,
    PairedDifference,
    compared_params,
    differing,
    groups,
    history,
    read_scored,
    scored_split,
)
from qmend.studies.architectures import Row
from qmend.tracking.finding import Selection, kind_of, name_of, status_of
from qmend.tracking.store import Store
from qmend.tuning.importance import Importance, importances
from qmend.tuning.record import SearchRecord, is_search, read_search
from qmend.types import QmendError

#: More configurations than this make no readable matrix.
_MATRIX = 12
#: Fewer trained runs make no parallel coordinates worth drawing.
_LINES = 4


@dataclass(frozen=True)
class Curves:
    """One training's history under the name of its configuration."""

    name: str
    history: Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Board:
    """The leaderboard of one group of comparable runs.

    Attributes:
        rows: lowest median L1RC first, one a configuration.
        reference: the shot-noise reference, where a run of the set logged it.
    """

    group: Group
    rows: tuple[Row, ...]
    reference: Interval | None

    @staticmethod
    def of(group: Group, parents: Sequence[MlflowRun]) -> Board:
        """The board of a group; parents may hold the shot-noise reference of its data."""
        rows = tuple(
            Row.of(c.name, [scored.run for scored in c.runs], group.split)
            for c in group.configurations
        )
        return Board(group, rows, _reference(group, parents))

    @property
    def title(self) -> str:
        split = "all rows" if self.group.split == "all" else f"{self.group.split} split"
        return f"{self.group.dataset}, {split}"

    @property
    def winner(self) -> Row | None:
        """The best row; one that simulates its circuits is none."""
        return next((row for row in self.rows if not row.simulates), None)

    def difference(self, row: Row) -> PairedDifference | None:
        """A row minus the judged one; None for that one itself."""
        judged = self.group.judged
        if judged is None or row.name == judged.name:
            return None
        return self.group.paired(self._configuration(row), judged)

    def _configuration(self, row: Row) -> Configuration:
        return next(c for c in self.group.configurations if c.name == row.name)

    @cached_property
    def shown(self) -> list[int]:
        """Columns of :data:`qmend.reporting.results.HEADINGS` that say something here."""
        shots = any(row.shots_factor != 1 for row in self.rows)
        seeds = any(len(row.seeds) > 1 for row in self.rows)
        hidden = {
            *([] if shots else ["shots"]),
            *([] if seeds else ["seeds"]),
        }
        shown = [k for k, heading in enumerate(results.HEADINGS) if k and heading not in hidden]
        # The widest column is the first to be out of sight on a narrow screen.
        return sorted(shown, key=lambda k: results.HEADINGS[k] == "seeds")

    @property
    def headings(self) -> list[str]:
        """After the number and the name."""
        judged = self.group.judged
        own = [results.HEADINGS[k] for k in self.shown]
        if judged is None:
            return own
        number = [row.name for row in self.rows].index(judged.name) + 1
        return [own[0], f"minus row {number} [95 %]", *own[1:]]

    def cells(self, row: Row) -> list[tuple[str, str]]:
        """(class, text) below each heading."""
        texts = results.cells(row)
        if row.kind == "evaluation":
            texts[results.HEADINGS.index("seconds")] = ""  # trained before
        cells = [("", texts[k]) for k in self.shown]
        if self.group.judged is None:
            return cells
        difference = self.difference(row)
        if difference is None:
            return [cells[0], ("", ""), *cells[1:]]
        return [cells[0], (difference.word, signed_text(difference.l1rc)), *cells[1:]]

    @property
    def matrix(self) -> tuple[list[str], list[tuple[str, list[tuple[str, str]]]]]:
        """Numbers of the best configurations, and for each its differences from the others."""
        best = [row for row in self.rows if not row.simulates][:_MATRIX]
        lines = []
        for row in best:
            ours = self._configuration(row)
            cells = [
                ("", "")
                if other is row
                else _matrix_cell(self.group.paired(ours, self._configuration(other)))
                for other in best
            ]
            lines.append((f"{self.rows.index(row) + 1} {row.name}", cells))
        return [str(self.rows.index(row) + 1) for row in best], lines

    @property
    def caption(self) -> str:
        """What the figures are of."""
        group = self.group
        text = (
            f"{len(group.first.job_id):,} circuits in {len(set(group.first.job_id.tolist())):,} "
            f"jobs, dataset hash {group.dataset_sha}; 95 % intervals from a bootstrap over "
            f"{group.bootstrap.unit}; harmed: L1RC > 0.05"
        )
        if any(len(row.seeds) > 1 for row in self.rows):
            text += (
                "; with several seeds: means, and the interval from the lowest lower to the "
                "highest upper end of theirs"
            )
        if any(row.simulates for row in self.rows):
            text += f"; {SIMULATES} simulates its circuits, can't win"
        return text

    @property
    def verdicts(self) -> list[str]:
        """What the judged configuration beats, in sentences."""
        judged = self.group.judged
        if judged is None:
            return ["All of them simulate their circuits: there is none to judge."]
        chosen = "best on the validation split" if judged.validation < 9 else "lowest median L1RC"
        others: dict[str, list[str]] = {"worse": [], "even": [], "better": []}
        for row in self.rows:
            difference = self.difference(row)
            if difference is not None and not row.simulates:
                others[difference.word].append(row.name)
        lines = [f"{judged.name} is judged: {chosen} among the models."]
        if others["worse"]:
            lines.append(f"It is better than {_listed(others['worse'])}.")
        if others["even"]:
            lines.append(f"It can't be told from {_listed(others['even'])}.")
        if others["better"]:
            lines.append(f"It is worse than {_listed(others['better'])}.")
        return lines

    @property
    def curves(self) -> list[Curves]:
        """Histories of all trainings of the board."""
        return [
            Curves(c.name, run.history)
            for c in self.group.configurations
            for run in c.runs
            if len(run.history.get("train/loss", ())) > 1
        ]

    @property
    def trained(self) -> list[Row]:
        """Rows whose seconds say what they cost: all but evaluations of what was trained before."""
        rows = [row for row in self.rows if row.kind != "evaluation"]
        return rows if any(row.kind != "baseline" for row in rows) else []

    @property
    def varied(self) -> tuple[list[dict[str, str]], list[str], list[float]]:
        """Params of each training, the keys that differ, and its median L1RC."""
        trained = [run for c in self.group.configurations for run in c.runs if c.kind != "baseline"]
        trained = [run for run in trained if kind_of(run.run) in ("train", "trial", "cell")]
        keys = differing([run.run for run in trained])
        if len(trained) < _LINES or not keys:
            return [], [], []
        params = [compared_params(run.run) for run in trained]
        return params, keys, [run.median for run in trained]


def _matrix_cell(difference: PairedDifference) -> tuple[str, str]:
    return difference.word, f"{difference.l1rc.value:+.3f}"


def signed_text(interval: Interval) -> str:
    """``+0.023 [+0.021, +0.026]``."""
    return f"{interval.value:+.3f} [{interval.lo:+.3f}, {interval.hi:+.3f}]"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _reference(group: Group, parents: Sequence[MlflowRun]) -> Interval | None:
    """The shot-noise reference, which a parent logs for its own data."""
    for run in parents:
        found, tags = run.data.metrics, run.data.tags
        keys = [f"reference/l1rc_median{end}" for end in ("", "_lo", "_hi")]
        if tags.get("dataset_sha") == group.dataset_sha and all(key in found for key in keys):
            return Interval(*(found[key] for key in keys))
    return None


@dataclass(frozen=True)
class SearchPart:
    """What is said of one search.

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
        """With importances where the trials tell any."""
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
        """How many trials of which outcome."""
        search = self.search
        counts = [f"{search.count(o)} {o}" for o in ("finished", "pruned", "failed", "unfinished")]
        told = ", ".join(c for c in counts if not c.startswith("0 "))
        seconds = sum(trial.seconds for trial in search.trials)
        text = f"{len(search.trials)} trials ({told}), {seconds_text(seconds)} s in all"
        if search.best is not None:
            text += (
                f"; best {search.objective} {search.best.best:.4f}, trial {search.best.number}, "
                f"run {search.best.run_id[:12]}"
            )
        return text


@dataclass(frozen=True)
class RunsReport:
    """Everything that the page shows.

    Attributes:
        boards: one a set of comparable runs.
        notes: what was left out, and why.
    """

    selection: Selection
    boards: list[Board]
    searches: list[SearchPart]
    notes: list[str]

    @property
    def title(self) -> str:
        return f"qmend report: {self.selection.title}"


def read_report(store: Store, selection: Selection, every: Sequence[MlflowRun]) -> RunsReport:
    """Read what the store and the artifacts hold of a selection.

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
    told = [f"{count} {status}" for status, count in sorted(others.items()) if count > 0]
    if told:
        notes.append(f"Runs that have not finished are left out of the tables: {', '.join(told)}.")
    scored = []
    unreadable = []
    for run in finished:
        if scored_split(run) is None or is_search(run):  # a search tells its best trial's
            continue
        found = read_scored(store, run)
        if found is None:
            unreadable.append(name_of(run))
        else:
            scored.append(found)
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
    if not scored and not any(part.search.trials for part in searches):
        raise QmendError(
            f"{selection.title}: none of the {len(selection.all)} runs has finished with scores of "
            "single circuits, there is nothing to report; `qmend runs list` shows what there is."
        )
    found_groups = groups(scored, {run.info.run_id: run for run in every})
    boards = [Board.of(group, selection.all) for group in found_groups]
    repeats = sum(len(c.repeats) for g in found_groups for c in g.configurations)
    if repeats:
        notes.append(
            f"{repeats} older runs of the same configuration and seed are left out of the tables: "
            "the newest counts."
        )
    if len(boards) > 1:
        notes.append("Only runs that were scored on the same circuits share a table.")
    return RunsReport(selection, boards, searches, notes)


#: Headings of the list of single runs.
RUN_HEADINGS = ("run", "kind", "status", "dataset", "seed", "median L1RC [95 %]", "seconds", "id")


def run_cells(run: MlflowRun) -> list[str]:
    """One text a heading of :data:`RUN_HEADINGS`."""
    tags, logged = run.data.tags, run.data.metrics
    split = scored_split(run)
    change = ""
    if split is not None:
        keys = [f"{split}/l1rc_median{end}" for end in ("", "_lo", "_hi")]
        change = interval_text(Interval(*(logged[key] for key in keys)))
        change += SIMULATES if tags.get("simulates") == "true" else ""
    seconds = logged.get("cost/seconds")
    return [
        name_of(run),
        kind_of(run),
        status_of(run),
        str(tags.get("dataset", "")),
        str(tags.get("seed", "")).replace("none", ""),
        change,
        "" if seconds is None else seconds_text(seconds),
        run.info.run_id[:12],
    ]
