"""Signs of life of the runs that this process has open, for processes of other hosts."""

from __future__ import annotations

import contextlib
import threading

from qmend.tracking.owner import ALIVE_TAG, is_own, sign_of_life
from qmend.tracking.store import Store

#: Seconds between two signs of life.
PERIOD = 30.0


class Heartbeat:
    """A thread that gives a sign of life for each open run, as long as there is one."""

    def __init__(self) -> None:
        self._open: dict[str, Store] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()

    def begin(self, store: Store, run_id: str) -> None:
        """Give signs for a run from now on."""
        with self._lock:
            self._open[run_id] = store
            if len(self._open) == 1:
                self._ended = threading.Event()
                threading.Thread(target=self._beat, args=(self._ended,), daemon=True).start()

    def end(self, run_id: str) -> None:
        """Give no more signs for a run."""
        with self._lock:
            if self._open.pop(run_id, None) is not None and not self._open:
                self._ended.set()

    def _beat(self, ended: threading.Event) -> None:
        while not ended.wait(PERIOD):
            with self._lock:
                runs = dict(self._open)
            for run_id, store in runs.items():
                # A sign that fails is followed by another.
                with contextlib.suppress(Exception):
                    if is_own(store.client.get_run(run_id).data.tags):
                        store.client.set_tag(run_id, ALIVE_TAG, sign_of_life())


heartbeat = Heartbeat()
