"""Worker processes that end with the process that needs them."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

_SECONDS = 0.2


def end_with(pid: int) -> None:
    """End this process soon after another one has ended, even by SIGKILL."""

    def watch() -> None:
        try:
            other = psutil.Process(pid)
            while other.is_running() and other.status() != psutil.STATUS_ZOMBIE:
                time.sleep(_SECONDS)
        except psutil.NoSuchProcess:
            pass
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
