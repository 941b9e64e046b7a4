"""``qmend tune``."""

from __future__ import annotations

from qmend.cli.terminal import TerminalObserver, console
from qmend.reporting.numbers import seconds_text
from qmend.reporting.search_table import outcomes_text, result_table, score_text
from qmend.workflows.configs import TuneCommandConfig
from qmend.workflows.tune import tune


def tune_network(config: TuneCommandConfig) -> float:
    """Search for the best config of an architecture, or resume a search."""
    tuning = tune(config, TerminalObserver())
    trials, result = tuning.search.trials, tuning.result
    console.print(result_table(tuning.search, result).terminal())
    seconds = seconds_text(sum(trial.seconds for trial in trials))
    console.print(f"  {len(trials)} trials ({outcomes_text(trials)}), {seconds} s of training")
    console.print(f"  Best: trial {result.best.trial.number}, {score_text(result.best)}")
    for default in result.scored[1:]:
        console.print(f"  Default config: {score_text(default)}")
    console.print(
        f"  Registered as version {result.version} of models:/qmend; "
        f"search run {tuning.search.parent}"
    )
    console.print(f"  Train it: {tuning.training_command}", soft_wrap=True)
    return result.best.trial.best
