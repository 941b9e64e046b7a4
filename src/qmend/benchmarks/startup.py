"""CPU seconds of each command's first word, against the imports that it can't do without."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.table import Table

from qmend.benchmarks.alternating import Timings, alternate
from qmend.types import QmendError

_QMEND = "from qmend.cli.main import main; main()"
#: Programs of one line that the commands are compared with.
_BARE = {
    "config": "import hydra, pydantic",
    "mlflow": "import mlflow",
    "store": "import mlflow.store.tracking.sqlalchemy_store",  # MLflow's own way to a database
    "torch": "import torch",
}
_MOST = 1.5
#: Over a bare import of MLflow or torch, where a command needs it.
_MOST_OVER_BARE = 0.7


@dataclass(frozen=True)
class FirstWord:
    """A command line that soon ends.

    Attributes:
        line: behind ``qmend``, words separated by blanks; a line of Python if ``python``.
        needs: the bare import it can't do without.
        goal: CPU seconds at most; over those of the bare import where that is MLflow or torch.
        status: exit status of the command.
    """

    line: str
    needs: str = "config"
    goal: float = _MOST
    status: int = 0
    python: bool = False

    @property
    def name(self) -> str:
        return self.line if self.python else f"qmend {self.line}"


FIRST_WORDS = (
    FirstWord("import qmend", goal=0.3, python=True),
    FirstWord("--help"),
    FirstWord("--version"),
    FirstWord("train --help"),
    FirstWord("train --cfg job"),
    FirstWord("train model.widht=3", status=2),
    FirstWord("train model=nope", status=2),
    FirstWord("train trainer.max_epochs=0", status=2),
    FirstWord("train dataset.shots=-1", status=2),
    FirstWord("train +model.widht=3", status=2),
    FirstWord("train model.width=-8", needs="torch", goal=_MOST_OVER_BARE, status=2),
    FirstWord("tune tune.trials=0", status=2),
    FirstWord("tune trainer.max_epochs=0", status=2),
    FirstWord("evaluate checkpoint=a baselines=[nine]", status=2),
    FirstWord("evaluate", status=2),
    FirstWord("data generate dataset.shots=-1", status=2),
    FirstWord("data generate dataset=nope", status=2),
    FirstWord("report reprot=3", status=2),
    FirstWord("doctor"),
    FirstWord("runs list --knd train", status=2),
    FirstWord("runs list", needs="mlflow", goal=_MOST_OVER_BARE),
    FirstWord("models list", needs="mlflow", goal=_MOST_OVER_BARE),
)


def bench_startup(repeats: int) -> tuple[Table, dict[str, Any]]:
    """Measure the CPU seconds, user and system, of fresh processes with one thread each."""
    with tempfile.TemporaryDirectory() as folder:
        cpu_seconds = partial(_cpu_seconds, Path(folder))
        programs = {line: partial(cpu_seconds, 0, line) for line in _BARE.values()}
        for each in FIRST_WORDS:
            program = [each.line] if each.python else [_QMEND, *each.line.split()]
            programs[each.name] = partial(cpu_seconds, each.status, *program)
        timings = alternate(programs, repeats, lambda program: float(program()))
    bare = {name: timings.median(line) for name, line in _BARE.items()}
    table = Table(
        title="CPU seconds to the first word, one thread",
        title_justify="left",
        caption="; ".join(f"{line}: {bare[name]:.2f}" for name, line in _BARE.items()),
    )
    table.add_column("command", overflow="fold")
    for heading in ("min", "median", "max", "goal"):
        table.add_column(heading, justify="right")
    missed = []
    for each in FIRST_WORDS:
        goal = each.goal + (0.0 if each.needs == "config" else bare[each.needs])
        low, middle, high = _spread(timings, each.name)
        if middle > goal:
            missed.append(each.name)
        style = "red" if middle > goal else ""
        table.add_row(
            each.name,
            f"{low:.2f}",
            f"{middle:.2f}",
            f"{high:.2f}",
            f"{goal:.2f}",
            style=style,
        )
    summary = {
        "bench": "startup",
        "repeats": repeats,
        "bare": {name: round(value, 3) for name, value in bare.items()},
        "seconds": {
            each.name: [round(value, 3) for value in _spread(timings, each.name)]
            for each in FIRST_WORDS
        },
        "missed": missed,
    }
    return table, summary


def _spread(timings: Timings, name: str) -> tuple[float, float, float]:
    seconds = timings.seconds[name]
    return min(seconds), timings.median(name), max(seconds)


def _cpu_seconds(folder: Path, status: int, program: str, *arguments: str) -> float:
    """Run a Python program in a directory; return the CPU seconds of it and its children.

    Raises:
        QmendError: if it ends with another status.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    said = process.stderr.read()
    process.stderr.close()
    _, waited, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(waited)
    if process.returncode != status:
        command = " ".join(["qmend", *arguments]) if arguments else program
        raise QmendError(
            f"{command} ended with status {process.returncode}, not {status}: {said[-300:]}"
        )
    return usage.ru_utime + usage.ru_stime
