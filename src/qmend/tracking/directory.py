"""The database of a store that is a directory: made, checked, and moved with it."""

from __future__ import annotations

import contextlib
import shlex
import shutil
import sqlite3
from pathlib import Path

import mlflow
from alembic.script import ScriptDirectory

from qmend.tracking.interrupts import SteadyClient
from qmend.tracking.owner import why_dead
from qmend.types import QmendError

#: Where MLflow keeps addresses of artifacts: absolute ones.
_ADDRESSES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


def database_uri(root: Path) -> str:
    """Return MLflow's tracking URI of a directory."""
    return f"sqlite:///{root / 'mlflow.db'}"


def prepare_directory(root: Path, experiment: str) -> None:
    """Make a directory's database, or check that it can be used where it lies now.

    Nobody else may use the directory meanwhile.

    Raises:
        QmendError: if it was written by another MLflow.
        sqlite3.Error: if it is damaged or locked.
    """
    database = root / "mlflow.db"
    if not database.exists():
        make_database(database)
    _check_database(database)
    _check_schema(database)
    _readdress(database, experiment, str(root / "artifacts"))


def make_database(path: Path) -> None:
    """Make a database beside its place, then move it there.

    A kill leaves none half made.
    """
    beside = path.with_name(".making")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir()
    SteadyClient(database_uri(beside)).search_experiments()
    (beside / path.name).rename(path)
    shutil.rmtree(beside)


def _check_database(path: Path) -> None:
    """Take the write lock for a moment, to fail at once without it."""
    with contextlib.closing(sqlite3.connect(path, timeout=5)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.rollback()


def _check_schema(path: Path) -> None:
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
    uri = shlex.quote(database_uri(path.parent))
    if found <= {script.revision for script in migrations.walk_revisions()}:
        age, way_out = "an older", f"copy the file, then run `mlflow db upgrade {uri}`"
    else:
        age, way_out = "a newer", "install that with `pip install --upgrade mlflow`"
    raise QmendError(
        f"The tracking store {path} was written by {age} MLflow than the installed "
        f"{mlflow.__version__}; {way_out}, or choose another tracking.root."
    )


def _readdress(database: Path, experiment: str, artifacts: str) -> None:
    """Let all artifacts lie in ``artifacts``, where the directory was moved or copied.

    MLflow keeps absolute addresses: a copy would go on reading and writing the original's files.

    Raises:
        QmendError: if the same directory may be in use under its other path.
    """
    with contextlib.closing(sqlite3.connect(database, timeout=5)) as connection, connection:
        query = "SELECT artifact_location FROM experiments WHERE name = ?"
        (before,) = connection.execute(query, (experiment,)).fetchone() or (artifacts,)
        if before == artifacts or "://" in before:
            return
        original = Path(before).parent / database.name
        if original.exists():
            if original.samefile(database):
                return  # one directory under two paths
        elif _is_in_use(connection):
            raise QmendError(
                f"A run that goes on logs to the tracking store {database.parent} as "
                f"{original.parent}; wait until it has ended, or use the same path. A server "
                "serves several computers."
            )
        for table, column in _ADDRESSES:
            connection.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?) "
                f"WHERE {column} = ? OR substr({column}, 1, ?) = ?",
                (artifacts, len(before) + 1, before, len(before) + 1, f"{before}/"),
            )


def _is_in_use(connection: sqlite3.Connection) -> bool:
    """Tell whether a run has an owner that may still work on it."""
    running: dict[str, tuple[float, dict[str, str]]] = {}
    query = (
        "SELECT runs.run_uuid, start_time, key, value FROM runs JOIN tags "
        "ON tags.run_uuid = runs.run_uuid WHERE status = 'RUNNING' AND key LIKE 'qmend.%'"
    )
    for run_id, started, key, value in connection.execute(query):
        running.setdefault(run_id, (started / 1000, {}))[1][key] = value
    return any(not why_dead(tags, started) for started, tags in running.values())
