"""Identity of a process, and workers that end with the process that needs them."""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.context import BaseContext
from pathlib import Path

import psutil

#: Seconds between two checks that another process is alive.
_CHECK_SECONDS = 0.2


def process_identity() -> str:
    """Return host:pid:start time of this process, which no other ever has.

    A pid alone is used again.
    """
    return f"{_host()}:{os.getpid()}:{_started(os.getpid()):.2f}"


@functools.cache
def _host() -> str:
    """Return a name for all processes that see each other.

    Computers and containers may have equal host names: the system's start and the table of
    processes are part of it, where the system tells them.
    """
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
        table = "".join(filter(str.isdigit, os.readlink("/proc/self/ns/pid")))
        return f"{socket.gethostname()}-{boot}-{table}"
    return socket.gethostname()


def _started(pid: int) -> float:
    """Return a process's start, by a clock that nobody sets where the system has one.

    Raises:
        psutil.NoSuchProcess: if there is none.
    """
    try:
        # Linux: field 22, ticks since boot; the name in field 2 may hold spaces.
        return float(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return float(psutil.Process(pid).create_time())


def same_host(identity: str) -> bool:
    """Tell whether a process is or was one of this host."""
    return identity.rsplit(":", 2)[0] == _host()


def is_gone(identity: str) -> bool:
    """Tell whether a process has ended; False on another host, where it is unknown."""
    _, pid, started = identity.rsplit(":", 2)
    if not same_host(identity):
        return False
    try:
        other = abs(_started(int(pid)) - float(started)) > 0.05
        return other or psutil.Process(int(pid)).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def terminate(identity: str) -> None:
    """Send SIGTERM to a process, if it is still there and on this host."""
    if same_host(identity) and not is_gone(identity):
        with suppress(ProcessLookupError):
            os.kill(int(identity.rsplit(":", 2)[1]), signal.SIGTERM)


def fork_server(*modules: str) -> BaseContext:
    """Return a context whose workers fork from one server, which starts no threads.

    Args:
        modules: that the server imports, once for all workers.
    """
    context = multiprocessing.get_context("forkserver")
    # A cell of a joblib multirun hands on its own way to start processes, which workers must know.
    loky = multiprocessing.get_start_method(allow_none=True) == "loky"
    context.set_forkserver_preload([*modules, *(["joblib.externals.loky"] if loky else [])])
    return context


@functools.cache
def end_with(identity: str) -> None:
    """End this process soon after another one has ended, even by SIGKILL."""

    def watch() -> None:
        while not is_gone(identity):
            time.sleep(_CHECK_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def without_main_module() -> Iterator[None]:
    """Let processes that are started inside not import the running script again.

    A worker of :mod:`multiprocessing` does, so that a script without ``if __name__ ==
    "__main__"`` would run once more in each.
    """
    main = sys.modules["__main__"]
    hidden = {key: main.__dict__.pop(key) for key in ("__file__",) if key in main.__dict__}
    spec, main.__spec__ = main.__spec__, None
    try:
        yield
    finally:
        main.__dict__.update(hidden)
        main.__spec__ = spec
