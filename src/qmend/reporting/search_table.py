"""The trials of a search as a rich table and as lines."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich import box
from rich.table import Table

from qmend.reporting.numbers import interval_text, seconds_text
from qmend.tuning.record import OUTCOMES, Trial
from qmend.tuning.result import ScoredTrial, SearchResult
from qmend.tuning.search import Search, values_text

#: Number of trials in the table of a result.
_TOP = 10


def result_table(search: Search, result: SearchResult) -> Table:
    """Tabulate the top trials, with the test score of the best and of the default config."""
    table = trial_table(f"{search.plan.options.metric}, lowest of all epochs")
    table.add_column("test median L1RC [95 %]", justify="right", no_wrap=True)
    scored = {each.trial.number: each for each in result.scored}
    top = ranked(search.trials)[:_TOP]
    top += [each.trial for each in result.scored if each.trial not in top]
    for trial in top:
        score = scored.get(trial.number)
        text = "" if score is None else interval_text(score.test)
        table.add_row(*cells(trial, search.plan.max_epochs), text)
    return table


def trial_table(title: str | None = None) -> Table:
    """Make an empty table whose rows are :func:`cells`."""
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("trial", justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for heading in ("epoch", "best", "s"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("values", overflow="fold")
    return table


def cells(trial: Trial, epochs: int) -> list[str]:
    """Number, state, epochs, best value, seconds, sampled values."""
    return [
        str(trial.number),
        trial.outcome or "running",
        f"{trial.epochs}/{epochs}",
        f"{trial.best:+.4f}" if math.isfinite(trial.best) else "",
        seconds_text(trial.seconds) if trial.seconds else "",
        trial.error or values_text(trial),
    ]


def trial_line(trial: Trial, epochs: int) -> str:
    """Write an ended trial as a line, for an output that is no terminal."""
    number, state, epoch, best, seconds, values = cells(trial, epochs)
    return f"trial {number} {state} at epoch {epoch}, best {best or 'none'}, {seconds} s: {values}"


def ranked(trials: Sequence[Trial]) -> list[Trial]:
    """Order trials: finished ones first, each kind by its best value."""
    return sorted(trials, key=lambda t: (t.outcome != "finished", t.best, t.number))


def outcomes_text(trials: Sequence[Trial]) -> str:
    """``4 finished, 6 pruned``."""
    counts = {outcome: sum(t.outcome == outcome for t in trials) for outcome in OUTCOMES}
    return ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count)


def score_text(scored: ScoredTrial) -> str:
    """Write a trial's figures on the test split with its run."""
    return (
        f"test median L1RC {interval_text(scored.test)}, improved {scored.improved_pct:.1f} %, "
        f"harmed {scored.harmed_pct:.1f} %; run {scored.trial.run_id}"
    )
