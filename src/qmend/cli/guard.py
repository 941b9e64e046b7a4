"""``qmend guard``."""

from __future__ import annotations

from qmend.cli.terminal import TerminalObserver, console
from qmend.reporting.guard import guard_table
from qmend.workflows.configs import GuardConfig
from qmend.workflows.guard import guard


def guard_network(config: GuardConfig) -> None:
    """Make a network's guard; print what it promises and what was measured."""
    result = guard(config, TerminalObserver())
    console.print(guard_table(result.rates).terminal())
    console.print(f"  {result.guard.sentence}")
    console.print(f"  Stored beside the network; run {result.run_id}")
