"""A busy machine: other processes that compete for every processor core."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

#: Competitors for each core: as many as made a demo twelve times as long.
PER_CORE = 3
#: Ends with the process that started it, even by SIGKILL.
_COMPETITOR = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: pass"


def competitors() -> int:
    """Return how many processes :func:`shared_cores` starts."""
    return PER_CORE * len(os.sched_getaffinity(0))


@contextmanager
def shared_cores() -> Iterator[None]:
    """Let busy processes compete for every core inside."""
    processes = [
        subprocess.Popen([sys.executable, "-S", "-c", _COMPETITOR]) for _ in range(competitors())
    ]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()
