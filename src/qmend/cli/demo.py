"""``qmend demo``."""

from __future__ import annotations

import time

from qmend.cli.terminal import TerminalObserver, console
from qmend.reporting.leaderboard import leaderboard_table, verdicts
from qmend.tracking.location import store_root
from qmend.workflows.configs import DemoConfig
from qmend.workflows.demo import demo


def run_demo(config: DemoConfig) -> None:
    """Run the demo and print its table."""
    started = time.perf_counter()
    board = demo(config, TerminalObserver()).leaderboard
    console.print()
    console.print(leaderboard_table(board, ranked=False).terminal())
    for line in verdicts(board):
        console.print(f"  {line}")
    root = config.tracking.root
    option = "" if root == store_root() else f" --root {root}"
    console.print()
    console.print(f"Report: {config.output.resolve()}")
    console.print(f"Runs:   qmend ui{option}  (in a checkout: make ui)")
    console.print(f"Took {time.perf_counter() - started:.0f} s.")
