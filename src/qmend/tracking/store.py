"""The project's MLflow store: one SQLite file and one directory of artifacts."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import shlex
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
from alembic.script import ScriptDirectory
from mlflow import MlflowClient
from mlflow.entities import Run as MlflowRun
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from qmend.files import lock
from qmend.processes import is_gone, process_identity
from qmend.tracking.interrupts import SteadyClient
from qmend.types import QmendError

EXPERIMENT = "qmend"
#: Tag that names the process which owns a run: whether it was killed can be checked.
PROCESS_TAG = "qmend.process"
#: Opened by this process.
_opened: dict[Path, Store] = {}


@dataclass(frozen=True)
class Store:
    """An opened store.

    Attributes:
        root: directory with ``mlflow.db`` and ``artifacts/``.
        uri: MLflow's tracking URI.
        experiment, experiment_id: where all runs go.
    """

    root: Path
    uri: str
    experiment: str
    experiment_id: str

    @property
    def client(self) -> MlflowClient:
        return _client(self.uri)

    def runs(self, query: str = "", limit: int = 1000) -> list[MlflowRun]:
        """Search runs by an MLflow filter, newest first."""
        return list(
            self.client.search_runs(
                [self.experiment_id],
                filter_string=query,
                max_results=limit,
                order_by=["attributes.start_time DESC"],
            )
        )


@functools.cache
def _client(uri: str) -> SteadyClient:
    return SteadyClient(uri)


def open_store(root: Path) -> Store:
    """Open or make the store, and end runs whose process is gone.

    The database is migrated and the experiment made under a lock, before any other process
    may write.

    Raises:
        QmendError: if the directory can't be written, the database is locked, damaged or of
            another MLflow, or the experiment is deleted.
    """
    root = root.resolve()
    for name in ("alembic", "mlflow"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # Its errors are raised, and become one sentence.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    try:
        (root / "artifacts").mkdir(parents=True, exist_ok=True)
        (root / ".lock").touch()
    except OSError as error:
        raise QmendError(
            f"Can't write to the tracking store {root} ({error.strerror}); choose another "
            "tracking.root."
        ) from None
    uri = f"sqlite:///{root / 'mlflow.db'}"
    with lock(root / ".lock"), explain_errors(root):
        if not (root / "mlflow.db").exists():
            _make_database(root / "mlflow.db")
        _check_database(root / "mlflow.db")
        _check_schema(root / "mlflow.db", uri)
        client = SteadyClient(uri)
        experiment = client.get_experiment_by_name(EXPERIMENT)
        if experiment is not None and experiment.lifecycle_stage != "active":
            raise QmendError(
                f"The experiment {EXPERIMENT} of the tracking store {root} is deleted, and all its "
                f"runs with it; restore them with `MLFLOW_TRACKING_URI={shlex.quote(uri)} mlflow "
                f"experiments restore --experiment-id {experiment.experiment_id}`, or choose "
                "another tracking.root."
            )
        experiment_id = (
            experiment.experiment_id
            if experiment
            else client.create_experiment(EXPERIMENT, artifact_location=str(root / "artifacts"))
        )
        store = Store(root, uri, EXPERIMENT, str(experiment_id))
        reconcile(store)
    _opened[root] = store
    return store


def _make_database(path: Path) -> None:
    """Make a database beside its place, then move it there.

    A kill leaves none half made.
    """
    beside = path.with_name(".making")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir()
    SteadyClient(f"sqlite:///{beside / path.name}").search_experiments()
    (beside / path.name).rename(path)
    shutil.rmtree(beside)


def _check_database(path: Path) -> None:
    """Take the write lock for a moment, to fail at once without it."""
    with contextlib.closing(sqlite3.connect(path, timeout=5)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.rollback()


def _check_schema(path: Path, uri: str) -> None:
    """Refuse a database of an older or newer MLflow.

    MLflow itself brings some older ones up to date without a word, and calls newer ones older.

    Raises:
        QmendError: with the command that makes them fit each other.
    """
    with contextlib.closing(sqlite3.connect(path, timeout=5)) as connection:
        tables = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'")
        query = "SELECT version_num FROM alembic_version"
        rows = connection.execute(query).fetchall() if tables.fetchone() else []
    migrations = ScriptDirectory(str(Path(mlflow.__file__).parent / "store" / "db_migrations"))
    found = {str(revision) for (revision,) in rows}
    if not found or found == set(migrations.get_heads()):
        return
    if found <= {script.revision for script in migrations.walk_revisions()}:
        age, way_out = "an older", f"copy the file, then run `mlflow db upgrade {shlex.quote(uri)}`"
    else:
        age, way_out = "a newer", "install that with `pip install --upgrade mlflow`"
    raise QmendError(
        f"The tracking store {path} was written by {age} MLflow than the installed "
        f"{mlflow.__version__}; {way_out}, or choose another tracking.root."
    )


@contextlib.contextmanager
def explain_errors(root: Path) -> Iterator[None]:
    """Turn the database's errors into one sentence."""
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error, MlflowException, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        closing = "close the program that holds it, or " if "locked" in reason else ""
        raise QmendError(
            f"The tracking store {root / 'mlflow.db'} can't be used ({reason}); {closing}choose "
            "another tracking.root."
        ) from None


def reconcile(store: Store) -> list[str]:
    """End the RUNNING runs of processes that are gone; return their ids."""
    ended = []
    for run in store.runs("attributes.status = 'RUNNING'"):
        tags: dict[str, Any] = run.data.tags
        identity = tags.get(PROCESS_TAG)
        if identity and is_gone(identity):
            _kill(store, run, "the process was killed")
            ended.append(run.info.run_id)
    return ended


def end_own_runs(error: str) -> None:
    """End the runs that this process, about to end, has left RUNNING.

    A run ends itself, unless an interrupt came after MLflow made it and before it was opened here.
    """
    for store in _opened.values():
        with contextlib.suppress(MlflowException, SQLAlchemyError, OSError):
            for run in store.runs("attributes.status = 'RUNNING'"):
                if run.data.tags.get(PROCESS_TAG) == process_identity():
                    _kill(store, run, error)


def _kill(store: Store, run: MlflowRun, error: str) -> None:
    """End a run as KILLED; keep an error that it has."""
    if "error" not in run.data.tags:
        store.client.set_tag(run.info.run_id, "error", error)
    store.client.set_terminated(run.info.run_id, "KILLED")
