"""The trials of a search while it runs."""

from __future__ import annotations

import time

from rich.console import Group
from rich.live import Live

from qmend.cli.terminal import console
from qmend.reporting.search_table import outcomes_text, running_table, trial_line
from qmend.tuning.record import Trial


class TrialBoard:
    """Trials as they run: a table in a terminal, else a line for each that starts or ends."""

    def __init__(self, wanted: int, epochs: int) -> None:
        self.wanted, self.epochs = wanted, epochs
        self.trials: dict[int, Trial] = {}
        self.ended: set[int] = set()
        self.started = time.monotonic()
        self.live: Live | None = None

    def watch(self, trial: Trial) -> None:
        new = trial.number not in self.trials
        self.trials[trial.number] = trial
        if self.live is not None:
            self.live.update(self.table())
            return
        ended = trial.outcome is not None and trial.number not in self.ended
        if ended:
            self.ended.add(trial.number)
        if new or ended:
            running = len(self.trials) - len(self.ended)
            counts = f"{len(self.ended)} of {self.wanted} ended"
            counts += f", {running} running" if running else ""
            console.print(f"  {trial_line(trial, self.epochs)} ({counts})", soft_wrap=True)

    def table(self) -> Group:
        """Tabulate running trials, the best that ended, and the search's progress."""
        trials = list(self.trials.values())
        counts = outcomes_text([trial for trial in trials if trial.outcome])
        minutes, seconds = divmod(int(time.monotonic() - self.started), 60)
        return Group(
            running_table(trials, self.epochs).terminal(),
            f"  {max(self.trials, default=-1) + 1} of {self.wanted} trials started"
            f"{f', {counts}' if counts else ''}; {minutes}:{seconds:02} minutes",
        )
