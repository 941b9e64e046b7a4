"""The cells of a multirun on the terminal while they run."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.progress import TaskID

from qmend.cli.multirun import report_file
from qmend.cli.terminal import console, progress_bars
from qmend.reporting.numbers import seconds_text
from qmend.runs.cells import Outcome

_CHECK_SECONDS = 0.2


@dataclass
class CellState:
    """State of a cell, from its reports.

    Attributes:
        process: identity of the process that runs it; empty before it starts.
        started: by this process's clock.
        share: of its training that is done.
        bytes_read: of its file.
        bar: in a terminal.
    """

    number: int
    name: str
    process: str = ""
    started: float = 0.0
    share: float = 0.0
    outcome: Outcome | None = None
    bytes_read: int = 0
    bar: TaskID | None = None

    @property
    def running(self) -> bool:
        return bool(self.process) and self.outcome is None


class Board:
    """Cells as they run: a line for each start, message and end, and bars in a terminal.

    Args:
        folder: where the cells report.
        names: of the cells.
        watching: cells run in other processes, and are watched in a thread; else whoever runs
            one calls :meth:`read`.
    """

    def __init__(self, folder: Path, names: Sequence[str], *, watching: bool) -> None:
        self.folder = folder
        self.cells = [CellState(number, name) for number, name in enumerate(names)]
        self._lock, self._closed = threading.RLock(), threading.Event()
        self._bars = None
        if watching and console.is_terminal:  # else each cell shows its own
            self._bars = progress_bars(transient=True)
            self._all = self._bars.add_task("cells", total=len(names), note="starting processes")
            self._bars.start()
        self._watcher = threading.Thread(target=self._watch, daemon=True) if watching else None
        if self._watcher is not None:
            self._watcher.start()

    def close(self) -> None:
        """Show what is still unread, and end the bars."""
        self._closed.set()
        if self._watcher is not None:
            self._watcher.join()
        self.read()
        if self._bars is not None:
            self._bars.stop()

    def running(self) -> list[CellState]:
        """List the cells that have started and not ended."""
        return [cell for cell in self.cells if cell.running]

    def read(self) -> None:
        """Read what cells have reported, and show it."""
        with self._lock:
            for cell in self.cells:
                if cell.outcome is None:
                    for event in self._unread(cell):
                        self._take(cell, **event)

    def _watch(self) -> None:
        while not self._closed.wait(_CHECK_SECONDS):
            self.read()

    def _unread(self, cell: CellState) -> list[dict[str, Any]]:
        """Read whole lines; a kill may have torn the last."""
        try:
            with report_file(self.folder, cell.number).open("rb") as file:
                file.seek(cell.bytes_read)
                text = file.read()
        except FileNotFoundError:
            return []
        whole = text[: text.rfind(b"\n") + 1]
        cell.bytes_read += len(whole)
        return [json.loads(line) for line in whole.splitlines()]

    def _take(self, cell: CellState, event: str, **values: Any) -> None:
        if event == "start":
            cell.process, cell.started = values["process"], time.monotonic()
            self._print(cell, f" starts: {cell.name} ({self._counts()})")
            if self._bars is not None:
                title = f"{cell.number + 1} {cell.name}"
                cell.bar = self._bars.add_task(title, total=None, note="starts")
        elif event == "message":
            self._print(cell, f": {values['text']}")
        elif event == "progress" and self._bars is not None and cell.bar is not None:
            note = f"{values['text']} {values['note']}".strip()
            self._bars.update(cell.bar, completed=values["done"], total=values["total"], note=note)
            cell.share = values["done"] / max(values["total"], 1) if values["main"] else 0.0
        elif event == "end":
            cell.outcome = Outcome(**values)
            self._print(cell, f" {self._end(cell, cell.outcome)}")
            if self._bars is not None and cell.bar is not None:
                self._bars.remove_task(cell.bar)
        if self._bars is not None:
            done = sum(c.share if c.outcome is None else 1.0 for c in self.cells)
            _, _, note = self._counts().partition(", ")
            self._bars.update(self._all, completed=done, note=note)

    def _end(self, cell: CellState, outcome: Outcome) -> str:
        facts = [outcome.result or outcome.error.rstrip(".")]
        if outcome.run_id is not None:
            facts.append(f"run {outcome.run_id}")
        text = "; ".join([cell.name, *(fact for fact in facts if fact)])
        seconds = seconds_text(time.monotonic() - cell.started)
        return f"{outcome.status}: {text} ({seconds} s; {self._counts()})"

    def _counts(self) -> str:
        """Count the cells that have ended, by their ends, and those that run."""
        ended = [cell.outcome.status for cell in self.cells if cell.outcome is not None]
        texts = [f"{len(ended)} of {len(self.cells)} ended"]
        texts += [f"{ended.count(status)} {status}" for status in ("failed",) if status in ended]
        if running := len(self.running()):
            texts.append(f"{running} running")
        return ", ".join(texts)

    def _print(self, cell: CellState, text: str) -> None:
        with suppress(OSError):  # a closed pipe must not end the multirun
            console.print(f"  cell {cell.number + 1}/{len(self.cells)}{text}", soft_wrap=True)
