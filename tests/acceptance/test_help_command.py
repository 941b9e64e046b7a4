"""Help, version, the composed config, the doctor, and tracebacks on request."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from commandline import COMMAND, Command, environment

from qmend.cli.command import Command as Described
from qmend.cli.commands import COMMANDS
from qmend.cli.main import run
from qmend.types import QmendError
from qmend.version import __version__


def test_version(shell: Command) -> None:
    assert shell("--version").succeeded().out == f"qmend {__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["--help"], ["help"], ["-h"]])
def test_the_overview_names_every_command(here: Command, arguments: list[str]) -> None:
    lines = here(*arguments).succeeded().out.splitlines()
    for command in COMMANDS:
        assert [line for line in lines if line.strip().startswith(f"{command.words} ")]


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"], ["train", "--cfg", "job"]])
def test_a_reader_that_has_seen_enough_is_no_error(words: list[str], tmp_path: Path) -> None:
    pipe, place = subprocess.PIPE, {"cwd": tmp_path, "env": environment()}
    with subprocess.Popen([COMMAND, *words], stdout=pipe, stderr=pipe, **place) as process:
        process.stdout.close()
        errors = process.stderr.read()
    assert (process.returncode, errors) == (0, b"")


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: c.words)
def test_every_command_has_help_with_an_example(here: Command, command: Described) -> None:
    out = here(*command.words.split(), "--help").succeeded().out
    assert out.startswith(f"qmend {command.words}: ")
    assert f"  {command.example}\n" in out + "\n"
    assert command.example.startswith(f"qmend {command.words}")


def test_only_experiments_that_fit_are_offered(here: Command) -> None:
    offered = {
        name: here(name, "--help").succeeded().out.partition("  experiment: ")[2].split("\n")[0]
        for name in ("demo", "train", "tune")
    }
    assert offered["demo"] == "demo_tiny"
    train, tune = (set(offered[name].split(", ")) for name in ("train", "tune"))
    assert train - tune == {"worlds_operator"}  # a search has no online simulation
    assert tune < train
    assert "walsh_operator" in tune
    assert "demo_tiny" not in offered["train"]


def test_the_composed_config_is_shown_and_nothing_is_done(here: Command, tmp_path: Path) -> None:
    out = here("train", "model=perceiver", "model.width=32", "--cfg", "job").succeeded().out
    assert "  name: perceiver\n" in out
    assert "  width: 32\n" in out
    assert list(tmp_path.iterdir()) == []


def test_the_doctor_finds_all_in_order_in_an_empty_folder(here: Command, tmp_path: Path) -> None:
    out = here("doctor").succeeded().out
    for word in ("torch", "qiskit", "configs", "tracking store", "snapshot algiers", "disk"):
        assert word in out
    assert "fail" not in out
    assert list(tmp_path.iterdir()) == []


def test_the_doctor_fails_where_the_store_can_not_be(here: Command, tmp_path: Path) -> None:
    (tmp_path / "mlruns").write_text("a file")
    result = here("doctor")
    result.refused("checks failed", "table")
    assert "can't write to" in result.out


def test_a_traceback_appears_on_request_alone(shell: Command, tmp_path: Path) -> None:
    shell("trian").refused("'trian'")
    done = subprocess.run(
        [COMMAND, "trian"],
        cwd=tmp_path,
        env=environment(QMEND_DEBUG="1"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "Traceback" in done.stderr
    assert "main.py" in done.stderr


def test_a_traceback_of_a_config_error_appears_on_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QMEND_DEBUG", "1")
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    monkeypatch.setattr("sys.argv", ["qmend"])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(QmendError, match=r"model\.widht"):
        run(["train", "model.widht=3"])
