"""Connect to a Ray cluster, or start one."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from qmend.types import QmendError

_CONNECT_SECONDS = 5.0


def cluster_address(asked: str | None) -> str:
    """Choose the cluster that is asked for, else the one RAY_ADDRESS names, else ``local``."""
    return asked or os.environ.get("RAY_ADDRESS") or "local"


@contextmanager
def ray_cluster(address: str, way_out: str, **started_with: Any) -> Iterator[None]:
    """Connect to Ray for the block; end a cluster that was started for it.

    Nothing happens where this process is connected already.

    Args:
        address: ``local``: one of this machine's own; ``auto``: one that runs on it; else
            host:port or ray://host:port.
        way_out: what to do when no cluster answers, as the end of a sentence.
        started_with: arguments of ``ray.init`` for a cluster that is started here.

    Raises:
        QmendError: if none answers.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    if ray.is_initialized():
        yield
        return
    if address not in ("local", "auto"):
        _check_reachable(address, way_out)
    options = {"include_dashboard": False, **started_with} if address == "local" else {}
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise _unreachable(address, str(error).strip().splitlines()[0], way_out) from None
    try:
        yield
    finally:
        ray.shutdown()


def _check_reachable(address: str, way_out: str) -> None:
    """Fail at once where nothing listens: Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=_CONNECT_SECONDS):
            pass
    except (OSError, ValueError, OverflowError) as error:
        raise _unreachable(address, str(error), way_out) from None


def _unreachable(address: str, reason: str, way_out: str) -> QmendError:
    return QmendError(f"No Ray cluster answers at {address} ({reason}); {way_out}.")
