"""The process that owns a RUNNING run, and signs that it still works on it."""

from __future__ import annotations

import time
from collections.abc import Mapping

from qmend.processes import is_gone, process_identity, same_host

#: Tag that names the process which owns a run: whether it was killed can be checked on its host.
PROCESS_TAG = "qmend.process"
#: Tag with the time of the owner's last sign of life, seconds since the epoch.
ALIVE_TAG = "qmend.alive"
#: Seconds of silence after which the owner of a run on another host is taken for dead.
SILENCE = 600.0


def sign_of_life() -> str:
    """Return the value of :data:`ALIVE_TAG` of this moment."""
    return f"{time.time():.0f}"


def is_own(tags: Mapping[str, str]) -> bool:
    """Tell whether a run is this process's, by its tags.

    Another one may have resumed it, after this one was taken for dead.
    """
    return tags.get(PROCESS_TAG) == process_identity()


def why_dead(tags: Mapping[str, str], started: float) -> str:
    """Say why a run's owner can't work on it any more; empty if it may.

    Args:
        tags: of the run; one without an owner is another program's, and left alone.
        started: when the run began, seconds since the epoch.
    """
    identity = tags.get(PROCESS_TAG)
    if not identity:
        return ""
    if same_host(identity):
        return "the process was killed" if is_gone(identity) else ""
    try:
        silent = time.time() - float(tags[ALIVE_TAG])
    except (KeyError, ValueError):
        silent = time.time() - started
    return f"no sign of life for {silent / 60:.0f} minutes" if silent > SILENCE else ""
