"""``qmend study ...``: the tables of any study."""

from __future__ import annotations

import json
from typing import Any

from qmend.cli.terminal import TerminalObserver, console
from qmend.studies import run_study


def show_study(name: str, config: Any) -> None:
    """Run a study and print its tables; last, its figures, if any, as one JSON object.

    Raises:
        FailedCellsError: if cells failed; the others are in the tables.
    """
    result = run_study(name, config, TerminalObserver())
    for table in result.tables:
        console.print(table.terminal())
    for note in result.notes:
        console.print(f"  {note}")
    console.print(f"  Run {result.run_id}")
    if result.figures is not None:
        print(json.dumps(result.figures))
    if result.failure is not None:
        raise result.failure
