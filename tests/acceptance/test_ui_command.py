"""`qmend ui` serves the store, and leaves nothing behind."""

from __future__ import annotations

import re
import socket
import urllib.request
from collections.abc import Iterator

import psutil
import pytest
from commandline import (
    DEADLINE,
    Command,
    Tracked,
    end_tree,
    free_port,
    start,
    wait_until,
)


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which somebody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def answer(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=10) as response:
            return str(response.read().decode())
    except OSError:
        return ""


def test_it_serves_and_ends_with_all_that_it_started(demo: Tracked) -> None:
    port = free_port()
    process = start("ui", "--port", str(port), folder=demo.folder)
    family: list[psutil.Process] = []
    try:
        url = f"http://127.0.0.1:{port}"
        assert wait_until(lambda: answer(f"{url}/health"), "the UI answers", process) == "OK"
        assert "<html" in answer(f"{url}/")
        family = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        out, err = process.communicate(timeout=DEADLINE)
        assert url in out
        assert err == ""  # no warnings
        assert not re.search(r"GET /|HTTP/1|INFO|\[MLflow\]", out)
        _, left = psutil.wait_procs(family, timeout=DEADLINE)
        assert left == []
    finally:
        for member in family:
            if member.is_running():
                member.kill()
        end_tree(process)


def test_a_port_that_is_taken(here: Command, taken: int) -> None:
    here("ui", "--port", str(taken)).refused(str(taken), "--port")


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--port", "99999"], "99999"),
        (["--port", "high"], "high"),
        (["--prot", "5000"], "--prot"),
    ],
)
def test_bad_options(here: Command, arguments: list[str], part: str) -> None:
    here("ui", *arguments).refused(part)


def test_a_store_that_can_not_be(here: Command) -> None:
    here("ui", "--port", str(free_port()), "--root", "/dev/null/x").refused("/dev/null/x")
