"""The trials of a search as a table and as lines."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from qmend.metrics import interval_text
from qmend.reporting.numbers import seconds_text
from qmend.reporting.table import Column, Row, Table
from qmend.tuning.record import OUTCOMES, Trial
from qmend.tuning.result import ScoredTrial, SearchResult
from qmend.tuning.search import Search, values_text

#: Number of trials in the table of a result.
_TOP = 10
#: Number of ended trials in the table of a search that runs.
_TOP_RUNNING = 5
_COLUMNS = (
    Column.number("trial"),
    Column.text("state"),
    *(Column.number(heading) for heading in ("epoch", "best", "s")),
    Column.text("values", long="fold"),
)


def result_table(search: Search, result: SearchResult) -> Table:
    """Tabulate the top trials, with the test score of the best and of the default config."""
    scored = {each.trial.number: interval_text(each.test) for each in result.scored}
    top = ranked(search.trials)[:_TOP]
    top += [each.trial for each in result.scored if each.trial not in top]
    rows = [
        Row.of(
            [*trial_cells(trial, search.plan.max_epochs), scored.get(trial.number, "")],
            "best" if trial is result.best.trial else "",
        )
        for trial in top
    ]
    score = Column.number("test median L1RC [95 %]")
    title = f"{search.plan.options.metric}, lowest of all epochs"
    return Table((*_COLUMNS, score), (tuple(rows),), title)


def running_table(trials: Sequence[Trial], epochs: int) -> Table:
    """Tabulate running trials, then the best of those that ended."""
    running = sorted((t for t in trials if t.outcome is None), key=lambda t: t.number)
    ended = ranked([t for t in trials if t.outcome is not None])[:_TOP_RUNNING]
    rows = (
        tuple(Row.of(trial_cells(trial, epochs), trial.outcome or "running") for trial in part)
        for part in (running, ended)
    )
    return Table(_COLUMNS, tuple(rows))


def trial_cells(trial: Trial, epochs: int) -> list[str]:
    """Write number, state, epochs, best value, seconds and sampled values."""
    return [
        str(trial.number),
        trial.outcome or "running",
        f"{trial.epochs}/{epochs}",
        f"{trial.best:+.4f}" if math.isfinite(trial.best) else "",
        seconds_text(trial.seconds) if trial.seconds else "",
        trial.error
        or ("default config" if trial.source == "default" else "")
        or values_text(trial.values),
    ]


def trial_line(trial: Trial, epochs: int) -> str:
    """Write a trial that starts or has ended as a line, for an output that is no terminal."""
    number, state, epoch, best, seconds, values = trial_cells(trial, epochs)
    if trial.outcome is None:
        after = f" after epoch {trial.epochs}" if trial.epochs else ""
        return f"trial {number} {'resumes' if trial.epochs else 'starts'}{after}: {values}"
    return f"trial {number} {state} at epoch {epoch}, best {best or 'none'}, {seconds} s: {values}"


def ranked(trials: Sequence[Trial]) -> list[Trial]:
    """Order trials: finished ones first, each kind by its best value."""
    return sorted(trials, key=lambda t: (t.outcome != "finished", t.best, t.number))


def outcomes_text(trials: Sequence[Trial]) -> str:
    """Count trials by outcome: ``4 finished, 6 pruned, 1 unfinished``."""
    counts = Counter(str(trial.outcome or "unfinished") for trial in trials)
    order = (*OUTCOMES, "unfinished")
    return ", ".join(f"{counts[outcome]} {outcome}" for outcome in order if counts[outcome])


def score_text(scored: ScoredTrial) -> str:
    """Write a trial's figures on the test split with its run."""
    return (
        f"test median L1RC {interval_text(scored.test)}, improved {scored.improved_pct:.1f} %, "
        f"harmed {scored.harmed_pct:.1f} %; run {scored.trial.run_id}"
    )
