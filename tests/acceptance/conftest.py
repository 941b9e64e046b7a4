"""Fixtures that start commands, and one demo that many tests look at."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from commandline import Command, Outcome, Tracked, end_tree, outcome, start, tracked
from hydra.core.global_hydra import GlobalHydra

from qmend.cli.main import run


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Command]:
    """Runs the real command in a process of its own, in an empty folder unless told."""
    started: list[subprocess.Popen[str]] = []

    def call(*arguments: str, folder: Path = tmp_path, limit: int = 0) -> Outcome:
        started.append(start(*arguments, folder=folder, limit=limit))
        return outcome(started[-1])

    yield call
    for process in started:
        end_tree(process)


@pytest.fixture
def here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Command]:
    """As ``shell``, but in this process, which saves the start."""

    def no_exec(*_: object) -> None:
        raise AssertionError("this command would have replaced the process")

    def call(*arguments: str, folder: Path = tmp_path) -> Outcome:
        with monkeypatch.context() as patch:
            patch.chdir(folder)
            patch.setattr(sys, "argv", ["qmend"])
            patch.setattr(os, "execv", no_exec)
            patch.setenv("HYDRA_FULL_ERROR", "0")
            patch.delenv("QMEND_DEBUG", raising=False)
            capfd.readouterr()
            code = run(list(arguments))
        out, err = capfd.readouterr()
        return Outcome(code, out, err)

    GlobalHydra.instance().clear()
    yield call
    GlobalHydra.instance().clear()


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Tracked:
    """``qmend demo`` at its smallest, run once in an empty folder."""
    folder = tmp_path_factory.mktemp("demo")
    process = start("demo", "experiment=demo_tiny", folder=folder)
    try:
        return tracked(folder, outcome(process))
    finally:
        end_tree(process)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset ``tiny``; read only."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["qmend"])
        assert run(["data", "generate", "dataset=tiny", "data.workers=1"]) == 0
    GlobalHydra.instance().clear()
    return folder / "data" / "tiny_algiers"


@pytest.fixture
def data(made: Path, tmp_path: Path) -> Path:
    """A copy of the dataset below ``data/``, free to be damaged."""
    return Path(shutil.copytree(made, tmp_path / "data" / made.name))
