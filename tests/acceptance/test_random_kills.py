"""SIGKILL at random moments of a generation and of `dvc repro`: the same bytes in the end.

QMEND_TEST_KILLS sets how many kills each gets; without it, one kill of `dvc repro` alone, as
test_interruption kills a generation.
"""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from commandline import COMMAND, environment

KILLS = int(os.environ.get("QMEND_TEST_KILLS", "0"))
GENERATE = [
    str(COMMAND),
    "data",
    "generate",
    "dataset=tiny",
    "dataset.circuits=600",
    "data.replace=true",
]
#: The stage depends on a file of its own, as the project's stages do on theirs.
STAGES = f"""\
stages:
  tiny:
    cmd: {" ".join(GENERATE)}
    deps: [recipe.yaml]
    outs:
      - data/tiny_algiers:
          persist: true
"""


def kill_tree(process: subprocess.Popen[bytes]) -> None:
    """As a power cut does: everything at once."""
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    for member in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
    psutil.wait_procs(family, timeout=60)
    process.wait()


def files(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=600
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bytes], float]:
    """The files of an uninterrupted generation, and how long it took."""
    folder = tmp_path_factory.mktemp("whole")
    started = time.monotonic()
    done = run(GENERATE, folder)
    assert done.returncode == 0, done.stderr
    return files(folder / "data" / "tiny_algiers"), time.monotonic() - started


@pytest.mark.parametrize("how", ["generate", "dvc repro"] if KILLS else ["dvc repro"])
def test_killed_at_random_moments_it_ends_with_the_same_bytes(how, whole, tmp_path):
    expected, seconds = whole
    command = GENERATE
    if how == "dvc repro":
        dvc = str(COMMAND.with_name("dvc"))
        (tmp_path / "dvc.yaml").write_text(STAGES)
        (tmp_path / "recipe.yaml").write_text("tiny\n")
        assert run([dvc, "init", "--no-scm", "-q"], tmp_path).returncode == 0
        command = [dvc, "repro", "-q"]
    generator = random.Random(how)
    for number in range(kills := max(KILLS, 1)):
        # A share of the whole duration each; later starts have less left to do.
        share = (number + generator.random()) / kills
        process = subprocess.Popen(
            command,
            cwd=tmp_path,
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            process.wait(timeout=share * seconds)
        except subprocess.TimeoutExpired:
            kill_tree(process)
    done = run(command, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert files(tmp_path / "data" / "tiny_algiers") == expected
    if how == "dvc repro":
        again = run([*command[:-1]], tmp_path)
        assert "didn't change, skipping" in again.stdout
