"""An interrupt waits for the end of a write: in the middle, it would leave the database locked."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

from mlflow import MlflowClient


@contextmanager
def held_back() -> Iterator[None]:
    """Delay SIGINT and SIGTERM until the end of the block.

    Python runs signal handlers in the main thread alone; in another, this changes nothing.
    """
    interrupt, terminate = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    main = threading.current_thread() is threading.main_thread()
    # A handler that is not Python's own can't be put back.
    if not main or interrupt is None or terminate is None:
        yield
        return
    came: list[int] = []

    def collect(number: int, _: object) -> None:
        came.append(number)

    try:
        # One inside the other: an interrupt at the end of either still puts both back.
        try:
            signal.signal(signal.SIGINT, collect)
            signal.signal(signal.SIGTERM, collect)
            yield
        finally:
            signal.signal(signal.SIGTERM, terminate)
    finally:
        signal.signal(signal.SIGINT, interrupt)
        for number in dict.fromkeys(came):  # the first may be one that this process ignores
            signal.raise_signal(number)


class SteadyClient(MlflowClient):
    """MLflow's client, each call of which has ended before an interrupt takes effect.

    An interrupt in the middle of MLflow's write keeps the open transaction alive, for as long as
    the exception is handled: nobody, this process included, can write until it has ended.
    """

    def __init__(self, tracking_uri: str) -> None:
        with held_back():
            # Else MLFLOW_REGISTRY_URI would keep models in another store than their runs.
            super().__init__(tracking_uri=tracking_uri, registry_uri=tracking_uri)

    def __getattribute__(self, name: str) -> Any:
        value = super().__getattribute__(name)
        return value if name.startswith("_") or not callable(value) else _steady(value)


def _steady(call: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(call)
    def steady(*arguments: Any, **named: Any) -> Any:
        with held_back():
            return call(*arguments, **named)

    return steady
