"""One tracked run by the run contract, ended with its true status however it ends."""

from __future__ import annotations

import contextlib
import functools
import getpass
import hashlib
import json
import platform
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import yaml
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NAME, MLFLOW_USER
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from qmend.config.nested import flatten
from qmend.config.spellings import stable_form
from qmend.processes import process_identity
from qmend.tracking.heartbeat import heartbeat
from qmend.tracking.owner import ALIVE_TAG, PROCESS_TAG, is_own, sign_of_life
from qmend.tracking.store import Store, explain_errors
from qmend.types import QmendError

#: Keys that change where and how fast a result is made: left out of ``config_sha``.
_INCIDENTAL = ("tracking", "data", "ray", "report", "resume", "force", "output")
_MAX_PARAM = 500
#: Of a write that other processes may make at the same moment.
_ATTEMPTS = 10
#: Tag that counts how many times a run was resumed.
RESUMED_TAG = "qmend.resumed"


@dataclass(frozen=True)
class Run:
    """An open run."""

    store: Store
    run_id: str

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Log figures at one step."""
        now = int(time.time() * 1000)
        entries = [Metric(k, float(v), now, step) for k, v in values.items()]
        with explain_errors(self.store.root):
            self.store.client.log_batch(self.run_id, metrics=entries)

    def tags(self, values: Mapping[str, str]) -> None:
        """Set tags."""
        with explain_errors(self.store.root):
            self.store.client.log_batch(
                self.run_id, tags=[RunTag(k, str(v)) for k, v in values.items()]
            )

    def config(self, config: Mapping[str, Any]) -> None:
        """Log the resolved config: flattened as params, whole as ``config.yaml``."""
        params = [Param(k, str(v)[:_MAX_PARAM]) for k, v in flatten(config).items()]
        with explain_errors(self.store.root):
            self.store.client.log_batch(self.run_id, params=params)
            self.text(yaml.safe_dump(_plain(config), sort_keys=False), "config.yaml")

    def text(self, text: str, name: str) -> None:
        """Log a text file."""
        with explain_errors(self.store.root):
            self.store.client.log_text(self.run_id, text, name)

    def files(self, folder: Path, name: str = "") -> None:
        """Log a directory's files below the artifact directory ``name``."""
        with explain_errors(self.store.root):
            self.store.client.log_artifacts(self.run_id, str(folder), name or None)

    @contextlib.contextmanager
    def artifact_folder(self, name: str = "") -> Iterator[Path]:
        """Make a temporary directory; log its files when the block ends."""
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)
            self.files(Path(folder), name)

    def dataset(self, name: str, digest: str, source: str, context: str) -> None:
        """Log which data the run used, and for what."""
        # MLflow keeps one use of a (name, digest): the use is part of the name.
        entry = Dataset(f"{name}/{context}", digest, "local", json.dumps({"uri": source}))
        tag = InputTag("mlflow.data.context", context)
        with explain_errors(self.store.root):
            for left in reversed(range(_ATTEMPTS)):
                try:
                    self.store.client.log_inputs(self.run_id, datasets=[DatasetInput(entry, [tag])])
                    return
                except (MlflowException, IntegrityError) as error:
                    # Another process made the same new dataset between MLflow's look and insert.
                    if not left or "UNIQUE constraint" not in str(error):
                        raise


@contextlib.contextmanager
def start_run(
    store: Store,
    name: str,
    tags: Mapping[str, str],
    config: Mapping[str, Any],
    parent: str | None = None,
    unfinished: str | None = None,
) -> Iterator[Run]:
    """Open a run; FINISHED at the end of the block, FAILED with the error, or KILLED.

    Args:
        name: what a person reads in the list of runs.
        tags: by the run contract, ``kind`` among them; ``config_sha`` and ``git_sha`` are added.
        config: the resolved config, logged whole.
        parent: id of the parent run.
        unfinished: id of a run of the same config that was stopped, to resume in place of a
            new one.
    """
    run = begin_run(store, name, tags, config, parent, unfinished)
    with _ended_by_errors(run):
        yield run
        heartbeat.end(run.run_id)
        with explain_errors(store.root):
            tags = store.client.get_run(run.run_id).data.tags
            if is_own(tags):
                if "error" in tags:  # of another host, which took this one for dead: it was asleep
                    store.client.delete_tag(run.run_id, "error")
                store.client.set_terminated(run.run_id, "FINISHED")


def begin_run(
    store: Store,
    name: str,
    tags: Mapping[str, str],
    config: Mapping[str, Any],
    parent: str | None = None,
    unfinished: str | None = None,
) -> Run:
    """Open a run, as :func:`start_run`, that :func:`end_run` ends."""
    extra = {
        MLFLOW_RUN_NAME: name,
        MLFLOW_USER: _user(),
        PROCESS_TAG: process_identity(),
        ALIVE_TAG: sign_of_life(),
        "config_sha": config_sha(config),
        "git_sha": git_sha(),
    }
    if parent:
        extra[MLFLOW_PARENT_RUN_ID] = parent
    if unfinished:
        run = _reopened(store, unfinished, {**tags, **extra})
        heartbeat.begin(store, run.run_id)
        with _ended_by_errors(run):
            run.text(_environment(), "environment.txt")
        return run
    with explain_errors(store.root):
        created = store.client.create_run(store.experiment_id, tags={**tags, **extra})
    run = Run(store, created.info.run_id)
    heartbeat.begin(store, run.run_id)
    with _ended_by_errors(run):
        run.config(config)
        run.text(_environment(), "environment.txt")
    return run


@contextlib.contextmanager
def _ended_by_errors(run: Run) -> Iterator[None]:
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        end_run(run, "KILLED", "interrupted")
        raise
    except BaseException as error:
        end_run(run, "FAILED", f"{type(error).__name__}: {error}")
        raise


def _reopened(store: Store, run_id: str, tags: Mapping[str, str]) -> Run:
    """Set a stopped run RUNNING again, owned by this process."""
    run = Run(store, run_id)
    with explain_errors(store.root):
        before = store.client.get_run(run_id).data.tags
        # The owner first: a run that says RUNNING must never name a process that is gone.
        run.tags({**tags, RESUMED_TAG: str(int(before.get(RESUMED_TAG, "0")) + 1)})
        store.client.update_run(run_id, status="RUNNING")
        if "error" in before:
            store.client.delete_tag(run_id, "error")
    return run


def end_run(run: Run, status: str, error: str = "") -> None:
    """End a run with its true status; ``error``: why, where it is not FINISHED."""
    heartbeat.end(run.run_id)
    # A store that can't be written must not hide the error itself; the next command ends the run.
    with contextlib.suppress(QmendError, MlflowException, SQLAlchemyError, OSError):
        run.store.check()
        if not is_own(run.store.client.get_run(run.run_id).data.tags):
            return
        if error:
            run.store.client.set_tag(run.run_id, "error", error[:1000])
        run.store.client.set_terminated(run.run_id, status)


def _user() -> str:
    """Return who runs this process; ``unknown`` where the system has no name for it."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def config_sha(config: Mapping[str, Any]) -> str:
    """Hash the part of a config that decides a result.

    SHA-256, first 16 hex digits.

    Keys that are renamed or added later leave it as it is: :mod:`qmend.config.spellings`.
    """
    relevant = stable_form({k: v for k, v in config.items() if k not in _INCIDENTAL})
    text = json.dumps(_plain(relevant), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value, default=str))


def git_sha() -> str:
    """Return the commit of the current directory's checkout.

    With ``-dirty`` where it has changes; ``none`` outside a checkout.
    """
    try:
        head = _git("rev-parse", "HEAD")
        return f"{head}-dirty" if _git("status", "--porcelain", "-uno") else head
    except (OSError, subprocess.SubprocessError):
        return "none"


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], capture_output=True, text=True, check=True, timeout=10
    )
    return done.stdout.strip()


@functools.cache
def _environment() -> str:
    """List interpreter, machine type and installed packages, one per line."""
    packages = sorted({f"{d.metadata['Name']}=={d.version}" for d in distributions()})
    head = [f"# python {platform.python_version()}", f"# {platform.platform()}"]
    return "\n".join([*head, *packages]) + "\n"
