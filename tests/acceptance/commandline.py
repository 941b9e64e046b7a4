"""Starts the command as a user would, and reads what it leaves."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import psutil
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

T = TypeVar("T")

COMMAND = Path(sys.executable).with_name("qmend")
#: Generous: a loaded machine may be slow, but nothing may hang.
DEADLINE = 240.0
#: Starts the command with Ctrl-C answered as in a terminal, whatever started the tests.
_AS_IN_A_TERMINAL = """\
import os, resource, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
limit = int(sys.argv[1])
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
os.execv(sys.argv[2], sys.argv[2:])
"""


@dataclass(frozen=True)
class Outcome:
    """What a command left in the terminal."""

    code: int
    out: str
    err: str

    def refused(self, *parts: str, code: int = 2) -> str:
        """Assert one clear sentence on stderr that holds all ``parts``; the sentence."""
        assert self.code == code, self
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("qmend: ")
        assert "unexpected" not in lines[0]
        assert "Traceback" not in self.out + self.err
        for part in parts:
            assert part in lines[0]
        return lines[0]

    def succeeded(self) -> Outcome:
        """Assert exit status 0 and a silent stderr."""
        assert self.code == 0, self
        assert self.err == ""
        return self


#: (arguments of qmend, working directory) -> outcome.
Command = Callable[..., Outcome]


def environment(**more: str) -> dict[str, str]:
    """This process's environment without what would change the command's answers."""
    left_out = ("QMEND_", "HYDRA_", "PYTHONWARNINGS", "MLFLOW_TRACKING", "MLFLOW_RUN")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(left_out)}
    return {**kept, **more}


def start(*arguments: str, folder: Path, limit: int = 0) -> subprocess.Popen[str]:
    """Start the real command.

    Args:
        limit: bytes that it may write to one file; 0 for any number.
    """
    launcher = [sys.executable, "-c", _AS_IN_A_TERMINAL, str(limit)]
    return subprocess.Popen(
        [*launcher, str(COMMAND), *arguments],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )


def outcome(process: subprocess.Popen[str]) -> Outcome:
    """Wait for a started command."""
    out, err = process.communicate(timeout=DEADLINE)
    return Outcome(process.returncode, out, err)


def wait_until(
    found: Callable[[], T], what: str, process: subprocess.Popen[str] | None = None
) -> T:
    """The first true result of ``found``; fails if time, or the process, ends before."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        result = found()
        if result:
            return result
        if process is not None and process.poll() is not None:
            pytest.fail(f"{what}: the command ended before: {outcome(process)}")
        time.sleep(0.02)
    pytest.fail(f"{what}: not within {DEADLINE:.0f} s")


def end_tree(process: subprocess.Popen[str]) -> None:
    """Kill a started command and whatever it started."""
    with suppress(psutil.NoSuchProcess):
        family = psutil.Process(process.pid).children(recursive=True)
        for member in family:
            with suppress(psutil.NoSuchProcess):
                member.kill()
    if process.poll() is None:
        process.kill()
    process.communicate()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Tracked:
    """A folder in which a command was run, and the runs that it left."""

    folder: Path
    result: Outcome
    runs: list[Run]
    client: MlflowClient = field(repr=False)

    def kind(self, kind: str) -> list[Run]:
        """Runs of one kind, oldest first."""
        found = [r for r in self.runs if r.data.tags["kind"] == kind]
        return sorted(found, key=lambda r: r.info.start_time)

    @property
    def dataset(self) -> Path:
        return self.folder / "data" / "tiny_algiers"

    def artifacts(self, run: Run, name: str) -> Path:
        return Path(self.client.download_artifacts(run.info.run_id, name))


def tracked(folder: Path, result: Outcome) -> Tracked:
    """Read the store of a folder."""
    client = MlflowClient(f"sqlite:///{folder / 'mlruns' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("qmend")
    runs = list(client.search_runs([experiment.experiment_id])) if experiment else []
    return Tracked(folder, result, runs, client)
