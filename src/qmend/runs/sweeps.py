"""The run above many cells, and the finished run of a cell: for multiruns and studies alike.

A cell is identified by the hash of its config and the hash of its data.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from typing import Any

from mlflow.entities import Run as MlflowRun

from qmend.runs.cells import CellRecord, Outcome
from qmend.tracking.finding import REUSED_TAG, parents_of
from qmend.tracking.run import Run, config_sha, start_run
from qmend.tracking.store import Store, explain_errors
from qmend.types import QmendError

_MAX_NAME = 200
#: First words of the metrics that a record keeps.
_KEPT = ("test/l1rc_median", "test/improved_pct", "test/harmed_pct", "cost/seconds")


def find_finished(
    store: Store, shas: Collection[str], dataset_sha: str, **tags: str
) -> MlflowRun | None:
    """Find the newest finished run of a config on a dataset, or None.

    Args:
        shas: hashes that the config may have.
        tags: further tags of the run, its ``kind`` among them.

    Raises:
        QmendError: if the store can't be used.
    """
    wanted = {**tags, "dataset_sha": dataset_sha}
    query = " and ".join(f"tags.{key} = '{value}'" for key, value in wanted.items())
    with explain_errors(store.root):
        for sha in shas:
            for run in store.runs(
                f"{query} and attributes.status = 'FINISHED' and tags.config_sha = '{sha}'",
                limit=1,
            ):
                return run
    return None


def mark_reused(store: Store, run_id: str, parent: str) -> None:
    """Tag a finished run with the run of another command that takes it over.

    It stays the child of the run that made it, which would lose it else.
    """
    with explain_errors(store.root):
        run = store.client.get_run(run_id)
    if parent not in parents_of(run):
        reused_by = f"{run.data.tags.get(REUSED_TAG, '')} {parent}".strip()
        Run(store, run_id).tags({REUSED_TAG: reused_by})


def take_over(
    store: Store, shas: Collection[str], dataset_sha: str, parent: str | None, **tags: str
) -> MlflowRun | None:
    """Find a finished run as :func:`find_finished`, and tag it with the run that reuses it."""
    run = find_finished(store, shas, dataset_sha, **tags)
    if run is not None and parent is not None:
        mark_reused(store, run.info.run_id, parent)
    return run


@contextmanager
def open_parent(
    store: Store, name: str, tags: Mapping[str, str], config: Mapping[str, Any], *, resume: bool
) -> Iterator[Run]:
    """Open the run above many cells.

    Args:
        tags: ``kind`` among them.
        config: the whole config that the cells share.
        resume: take the newest run of the same kind and config, unless it is running.
    """
    unfinished = _earlier(store, tags["kind"], config) if resume else None
    with start_run(store, name[:_MAX_NAME], tags, config, unfinished=unfinished) as run:
        yield run


def _earlier(store: Store, kind: str, config: Mapping[str, Any]) -> str | None:
    query = f"tags.kind = '{kind}' and tags.config_sha = '{config_sha(config)}'"
    ended = [run for run in store.runs(query) if run.info.status != "RUNNING"]
    return str(ended[0].info.run_id) if ended else None


def read_record(store: Store, overrides: Sequence[str], outcome: Outcome) -> CellRecord:
    """Read the metrics of a cell's run, and record it with its outcome."""
    metrics: dict[str, float] = {}
    if outcome.run_id is not None:
        with suppress(QmendError), explain_errors(store.root):
            metrics = dict(store.client.get_run(outcome.run_id).data.metrics)
    kept = {key: value for key, value in metrics.items() if key.startswith(_KEPT)}
    return CellRecord(tuple(overrides), outcome.status, outcome.run_id, outcome.error, kept)


def log_cells(run: Run, records: Sequence[CellRecord]) -> None:
    """Log the number of cells and their records to their parent run."""
    count = Counter(record.status for record in records)
    run.metrics(
        {
            "jobs": float(len(records)),
            "jobs_failed": float(sum(record.failed for record in records)),
            "jobs_reused": float(count["reused"]),
        }
    )
    run.text(json.dumps([asdict(record) for record in records], indent=1) + "\n", "cells.json")
