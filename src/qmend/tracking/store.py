"""The project's MLflow store: a directory with a database, or a server that people share."""

from __future__ import annotations

import atexit
import contextlib
import functools
import logging
import os
import re
import shlex
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run as MlflowRun
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode
from mlflow.tracking._tracking_service.utils import _artifact_repos_cache
from mlflow.utils.file_utils import local_file_uri_to_path
from mlflow.utils.uri import is_local_uri
from sqlalchemy.exc import SQLAlchemyError

from qmend.files import lock
from qmend.tracking.directory import database_uri, prepare_directory
from qmend.tracking.interrupts import SteadyClient
from qmend.tracking.location import local_folder, store_root
from qmend.tracking.owner import PROCESS_TAG, is_own, why_dead
from qmend.tracking.server import check_artifacts, check_server
from qmend.types import QmendError

EXPERIMENT = "qmend"
#: Opened by this process.
_opened: dict[Path | str, Store] = {}


@dataclass(frozen=True)
class Store:
    """An opened store.

    Attributes:
        root: directory with ``mlflow.db`` and ``artifacts/``, or the address of a server.
        uri: MLflow's tracking URI.
        experiment, experiment_id: where all runs go.
    """

    root: Path | str
    uri: str
    experiment: str
    experiment_id: str

    @property
    def client(self) -> MlflowClient:
        return _client(self.uri)

    @property
    def folder(self) -> Path:
        """Directory of this machine's own files: states of what is unfinished, and locks."""
        return local_folder(self.root)

    def check(self) -> None:
        """Check that the store answers, in seconds where MLflow tries for minutes.

        Raises:
            QmendError: if it is a server that does not.
        """
        if isinstance(self.root, str):
            check_server(self.root)

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

    def artifacts(self, run: MlflowRun) -> list[tuple[str, int]]:
        """List a run's files with their sizes in bytes."""
        files: list[tuple[str, int]] = []
        waiting: list[str | None] = [None]
        with explain_errors(self.root):
            while waiting:
                for entry in self.client.list_artifacts(run.info.run_id, waiting.pop()):
                    if entry.is_dir:
                        waiting.append(entry.path)
                    else:
                        files.append((str(entry.path), int(entry.file_size or 0)))
        return sorted(files)

    def artifact(self, run: MlflowRun, name: str) -> Path:
        """Return the path of a run's file or directory, which is missing where it has none.

        A server's is downloaded; the copy goes with this process.

        Raises:
            QmendError: if the server does not give it.
        """
        folder = artifact_folder(run)
        if folder is not None:
            return folder / name
        path: Path = _downloads() / run.info.run_id
        with explain_errors(self.root):
            listed = self.client.list_artifacts(run.info.run_id, name.rpartition("/")[0] or None)
            if any(entry.path == name for entry in listed):
                path.mkdir(exist_ok=True)
                return Path(self.client.download_artifacts(run.info.run_id, name, str(path)))
        return path / name


def artifact_folder(run: MlflowRun) -> Path | None:
    """Return the directory of a run's files; None where a server has them."""
    uri = run.info.artifact_uri
    if not is_local_uri(uri):  # type: ignore[no-untyped-call]
        return None
    return Path(local_file_uri_to_path(uri))  # type: ignore[no-untyped-call]


@functools.cache
def _downloads() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="qmend-artifacts-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@functools.cache
def _client(uri: str) -> MlflowClient:
    # A server ends a write by itself, and one that is down would hold an interrupt for minutes.
    is_server = isinstance(store_root(uri), str)
    return MlflowClient(uri, registry_uri=uri) if is_server else SteadyClient(uri)


def open_store(root: Path | str | None = None) -> Store:
    """Open or make the store, and end runs whose process is gone.

    A directory's database is made under a lock, before any other process may write, and is at home
    wherever the directory lies now.

    Args:
        root: see :func:`qmend.tracking.location.store_root`.

    Raises:
        QmendError: if the directory can't be written, the database is locked, damaged or of
            another MLflow, the server does not answer, or the experiment is deleted.
    """
    root = store_root(root)
    for name in ("alembic", "mlflow"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # Its errors are raised, and become one sentence.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    # MLflow keeps them by run; a copied store has the same runs.
    _artifact_repos_cache.clear()
    store = _open_server(root) if isinstance(root, str) else _open_directory(root.resolve())
    _opened[store.root] = store
    return store


def _open_directory(root: Path) -> Store:
    try:
        (root / "artifacts").mkdir(parents=True, exist_ok=True)
        (root / ".lock").touch()
    except OSError as error:
        raise QmendError(
            f"Can't write to the tracking store {root} ({error.strerror}); choose another "
            "tracking.root."
        ) from None
    with lock(root / ".lock"), explain_errors(root):
        prepare_directory(root, EXPERIMENT)
        store = _with_experiment(root, database_uri(root), str(root / "artifacts"))
        reconcile(store)
    return store


def _open_server(address: str) -> Store:
    check_server(address)
    with explain_errors(address):
        store = _with_experiment(address, address, None)
        location = store.client.get_experiment(store.experiment_id).artifact_location
        check_artifacts(address, location)
        reconcile(store)
    return store


def _with_experiment(root: Path | str, uri: str, artifacts: str | None) -> Store:
    """Find or make the experiment of all runs.

    Args:
        artifacts: where a new experiment keeps files; None: the server decides.

    Raises:
        QmendError: if it is deleted.
    """
    client = _client(uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        try:
            client.create_experiment(EXPERIMENT, artifact_location=artifacts)
        except MlflowException as error:
            if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
                raise  # else somebody else made it at the same moment
        experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    if experiment.lifecycle_stage != "active":
        raise QmendError(
            f"The experiment {EXPERIMENT} of the tracking store {root} is deleted, and all its "
            f"runs with it; restore them with `MLFLOW_TRACKING_URI={shlex.quote(uri)} mlflow "
            f"experiments restore --experiment-id {experiment.experiment_id}`, or choose "
            "another tracking.root."
        )
    return Store(root, uri, EXPERIMENT, str(experiment.experiment_id))


@contextlib.contextmanager
def explain_errors(root: Path | str) -> Iterator[None]:
    """Turn errors of the database or the server into one sentence."""
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error, MlflowException, OSError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        if isinstance(root, str):
            advice = "check it"
            if re.search(r"\b40[13]\b", reason):
                advice = (
                    "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or "
                    "MLFLOW_TRACKING_TOKEN, or let the server allow this address"
                )
            sentence = (
                f"The tracking server {root} fails ({reason[:200]}); {advice}, or choose another"
            )
        else:
            closing = "close the program that holds it, or " if "locked" in reason else ""
            sentence = (
                f"The tracking store {root / 'mlflow.db'} can't be used ({reason}); "
                f"{closing}choose another"
            )
        raise QmendError(f"{sentence} tracking.root.") from None


def reconcile(store: Store) -> list[str]:
    """End the RUNNING runs of processes that are gone; return their ids.

    A process of another host is gone if it has given no sign of life for ten minutes.
    """
    ended = []
    for run in store.runs("attributes.status = 'RUNNING'"):
        error = why_dead(run.data.tags, run.info.start_time / 1000)
        if error and _kill(store, run, error):
            ended.append(run.info.run_id)
    return ended


def end_own_runs(error: str) -> None:
    """End the runs that this process, about to end, has left RUNNING.

    A run ends itself, unless an interrupt came after MLflow made it and before it was opened here.
    """
    for store in _opened.values():
        with contextlib.suppress(QmendError, MlflowException, SQLAlchemyError, OSError):
            store.check()
            for run in store.runs("attributes.status = 'RUNNING'"):
                if is_own(run.data.tags):
                    _kill(store, run, error)


def _kill(store: Store, run: MlflowRun, error: str) -> bool:
    """End a run as KILLED, unless it has ended or changed its owner since; keep its error."""
    now = store.client.get_run(run.info.run_id)
    owner = run.data.tags.get(PROCESS_TAG)
    if now.info.status != "RUNNING" or now.data.tags.get(PROCESS_TAG) != owner:
        return False
    if "error" not in now.data.tags:
        store.client.set_tag(run.info.run_id, "error", error)
    store.client.set_terminated(run.info.run_id, "KILLED")
    return True
