"""``qmend evaluate``."""

from __future__ import annotations

from qmend.cli.terminal import TerminalObserver, console
from qmend.reporting.leaderboard import leaderboard_table, verdicts
from qmend.workflows.configs import EvaluateConfig
from qmend.workflows.evaluate import evaluate


def evaluate_networks(config: EvaluateConfig) -> None:
    """Score trained networks beside the baselines."""
    evaluation = evaluate(config, TerminalObserver())
    board = evaluation.leaderboard
    console.print(leaderboard_table(board, ranked=False).terminal())
    for line in [*verdicts(board), *evaluation.notes]:
        console.print(f"  {line}")
    console.print(f"  Run {evaluation.run_id}")
