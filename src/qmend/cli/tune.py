"""``qmend tune``."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from rich.console import Group
from rich.live import Live

from qmend.cli.terminal import console, generate_with_progress
from qmend.datasets.table import load_dataset
from qmend.reporting.experiment import experiment_text
from qmend.reporting.html import check_writable
from qmend.reporting.numbers import seconds_text
from qmend.reporting.search_table import (
    outcomes_text,
    result_table,
    running_table,
    score_text,
    trial_line,
)
from qmend.runs.scoring import Context
from qmend.tracking.store import open_store
from qmend.tuning.record import Trial
from qmend.tuning.result import SearchResult
from qmend.tuning.running import CompleteSearch, run_search
from qmend.tuning.search import Plan, Search
from qmend.workflows.configs import TrainConfig, TuneCommandConfig


def tune(config: TuneCommandConfig, plain: dict[str, Any]) -> float:
    """Search for the best config of an architecture, or resume a search."""
    default = Path("reports/tune") / f"{config.model.name}_{config.dataset_folder.name}"
    output = config.tune.output or default
    best_file = output / "experiment" / "best.yaml"
    check_writable(best_file)
    train = {key: value for key, value in plain.items() if key not in ("tune", "hydra")}
    plan = Plan.of(train, config.tune, TrainConfig.model_validate)
    store = open_store(config.tracking.root)
    generate_with_progress(config)
    context = Context(store, load_dataset(config.dataset_folder))
    choices = dict(HydraConfig.get().runtime.choices)

    def write_best(search: Search, result: SearchResult) -> str:
        text = experiment_text(search, result, choices)
        best_file.parent.mkdir(parents=True, exist_ok=True)
        best_file.write_text(text)
        return text

    with _progress(config) as board:
        complete = run_search(context, plan, write_best, board.watch, board.say)
    console.print(result_table(complete.search, complete.result).terminal())
    _print_result(complete, output, choices)
    return complete.result.best.trial.best


class _Board:
    """Trials as they run: a table in a terminal, else a line for each that ended."""

    def __init__(self, config: TuneCommandConfig) -> None:
        self.wanted, self.epochs = config.tune.trials, config.trainer.max_epochs
        self.trials: dict[int, Trial] = {}
        self.printed: set[int] = set()
        self.started = time.monotonic()
        self.live: Live | None = None

    def watch(self, trial: Trial) -> None:
        self.trials[trial.number] = trial
        if self.live is not None:
            self.live.update(self.table())
        elif trial.outcome is not None and trial.number not in self.printed:
            self.printed.add(trial.number)
            console.print(f"  {trial_line(trial, self.epochs)}", markup=False)

    def say(self, sentence: str) -> None:
        console.print(f"  {sentence}", markup=False)

    def table(self) -> Group:
        """Running trials and the best of those that ended, with how far the search is."""
        trials = list(self.trials.values())
        counts = outcomes_text(trials)
        minutes, seconds = divmod(int(time.monotonic() - self.started), 60)
        return Group(
            running_table(trials, self.epochs).terminal(),
            f"  {max(self.trials, default=-1) + 1} of {self.wanted} trials started"
            f"{f', {counts}' if counts else ''}; {minutes}:{seconds:02} minutes",
        )


@contextmanager
def _progress(config: TuneCommandConfig) -> Iterator[_Board]:
    board = _Board(config)
    if not console.is_terminal:
        yield board
        return
    with Live(board.table(), console=console, refresh_per_second=4, transient=True) as live:
        board.live = live
        yield board


def _print_result(complete: CompleteSearch, output: Path, choices: Mapping[str, Any]) -> None:
    trials, result = complete.search.trials, complete.result
    seconds = seconds_text(sum(trial.seconds for trial in trials))
    console.print(f"  {len(trials)} trials ({outcomes_text(trials)}), {seconds} s of training")
    console.print(f"  Best: trial {result.best.trial.number}, {score_text(result.best)}")
    for default in result.scored[1:]:
        console.print(f"  Default config: {score_text(default)}")
    console.print(
        f"  Registered as version {result.version} of models:/qmend; "
        f"search run {complete.search.parent}"
    )
    data = " ".join(f"{name}={choices[name]}" for name in ("dataset", "device"))
    console.print(
        f"  Train it: qmend train --config-dir {output} experiment=best {data}", soft_wrap=True
    )
