"""Find leftovers of a store and remove them."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlflow.entities import Run as MlflowRun
from mlflow.entities import ViewType

from qmend.runs.training import RUN_FILE, UNFINISHED
from qmend.tracking.finding import all_runs, kind_of, name_of, parent_of, parents_of
from qmend.tracking.store import Store, artifact_folder, explain_errors
from qmend.training.state import claim, read_state

_DAY = 24 * 3600 * 1000
_ENDED_BADLY = ("FAILED", "KILLED")


@dataclass(frozen=True)
class Leftover:
    """One thing to remove.

    Attributes:
        what: ``failed run``, ``killed run``, ``unfinished training``, ``artifacts of a deleted
            run``.
        run_id: of a run that is to be deleted; None: only the folder goes.
        folder: None where there is none, or it lies outside the store.
    """

    what: str
    name: str
    run_id: str | None
    folder: Path | None

    @property
    def size(self) -> int:
        """Bytes of its files."""
        if self.folder is None:
            return 0
        return sum(p.lstat().st_size for p in self.folder.rglob("*") if not p.is_dir())


@dataclass(frozen=True)
class Pruning:
    """The leftovers, and why other runs that ended badly are kept.

    Attributes:
        kept: reason -> how many runs.
    """

    leftovers: list[Leftover]
    kept: dict[str, int]


def plan_pruning(store: Store, days: float, now: int) -> Pruning:
    """Find what is safe to remove.

    Failed and killed runs that ended more than ``days`` ago, states of trainings whose run is
    gone, and artifacts of deleted runs. Never a run that finished or runs, one below which any
    run is kept, one that a registered model comes from, a training that can resume, nor a trial of
    a search that is kept.

    Args:
        now: milliseconds since the epoch.
    """
    runs = all_runs(store)
    states = _states(store)
    resumable = {owner for folder, owner in states if owner and read_state(folder).state}
    registered = _registered(store)
    children: dict[str, list[MlflowRun]] = {}
    for run in runs:
        for parent in parents_of(run):
            children.setdefault(parent, []).append(run)
    kept: Counter[str] = Counter()
    reasons = {run.info.run_id: _reason(run, days, now, registered, resumable) for run in runs}

    def goes(run: MlflowRun) -> bool:
        below = children.get(run.info.run_id, [])
        return not reasons[run.info.run_id] and all(goes(child) for child in below)

    by_id = {run.info.run_id: run for run in runs}
    removed = []
    for run in runs:
        search = by_id.get(parent_of(run) or "")
        if run.info.status not in _ENDED_BADLY:
            continue
        if reasons[run.info.run_id]:
            kept[reasons[run.info.run_id]] += 1
        elif not goes(run):
            kept["has runs below it that are kept"] += 1
        elif kind_of(run) == "trial" and search is not None and not goes(search):
            kept["belongs to a search that is kept"] += 1
        else:
            removed.append(run)
    gone = {run.info.run_id for run in removed}
    active = {run.info.run_id for run in runs if run.info.status != "FINISHED"} - gone
    leftovers = [
        Leftover(f"{run.info.status.lower()} run", name_of(run), run.info.run_id, _own(store, run))
        for run in removed
    ]
    leftovers += [
        Leftover("unfinished training", folder.name, None, folder)
        for folder, owner in states
        if owner not in active and _free(folder)
    ]
    leftovers += [
        Leftover("artifacts of a deleted run", name_of(run), None, folder)
        for run in _deleted(store)
        if run.info.run_id not in registered and (folder := _own(store, run)) is not None
    ]
    return Pruning(leftovers, dict(kept))


def prune(store: Store, leftovers: Sequence[Leftover]) -> Iterator[Leftover]:
    """Remove leftovers one by one; yield each after its removal."""
    for leftover in leftovers:
        if leftover.run_id is not None:
            with explain_errors(store.root):
                store.client.delete_run(leftover.run_id)
        if leftover.folder is None:
            yield leftover
        elif leftover.folder.parent.name == UNFINISHED:
            with claim(leftover.folder) as held:
                if held is not None:
                    shutil.rmtree(held, ignore_errors=True)
                    yield leftover
        else:
            shutil.rmtree(leftover.folder, ignore_errors=True)
            yield leftover


def _reason(
    run: MlflowRun, days: float, now: int, registered: set[str], resumable: set[str]
) -> str:
    """Give the reason to keep a run, apart from its children; empty: none."""
    if run.info.status not in _ENDED_BADLY:
        return "has not ended badly"
    if run.info.run_id in registered:
        return "a registered model comes from it"
    if run.info.run_id in resumable:
        return "can go on: the same command resumes it"
    ended = run.info.end_time or run.info.start_time
    return f"is not {days:g} days old" if now - ended < days * _DAY else ""


def _registered(store: Store) -> set[str]:
    """Collect ids of runs that registered models name."""
    with explain_errors(store.root):
        versions = list(store.client.search_model_versions(max_results=10_000))
    ids = {str(version.run_id) for version in versions if version.run_id}
    for version in versions:
        ids |= set(re.findall(r"[0-9a-f]{32}", str(version.source)))
    return ids


def _deleted(store: Store) -> list[MlflowRun]:
    with explain_errors(store.root):
        runs = store.client.search_runs(
            [store.experiment_id], run_view_type=ViewType.DELETED_ONLY, max_results=50_000
        )
    return list(runs)


def _own(store: Store, run: MlflowRun) -> Path | None:
    """Find the run's directory of artifacts, if it exists inside this very store.

    A server removes its own: ``mlflow gc``.
    """
    artifacts = artifact_folder(run)
    if artifacts is None or isinstance(store.root, str):
        return None
    folder = artifacts.parent
    inside = folder.parent == store.root / "artifacts" and folder.name == run.info.run_id
    real = inside and folder.is_dir() and folder.resolve() == folder
    return folder if real else None


def _states(store: Store) -> list[tuple[Path, str]]:
    """List directories of unfinished trainings with their runs' ids, or ""."""
    root = store.folder / UNFINISHED
    folders = [p for p in sorted(root.glob("*")) if re.fullmatch(r"[0-9a-f]{16}-\w+", p.name)]
    return [(folder, _owner(folder)) for folder in folders if folder.is_dir()]


def _owner(folder: Path) -> str:
    try:
        return (folder / RUN_FILE).read_text().strip()
    except OSError:
        return ""


def _free(folder: Path) -> bool:
    """Tell whether no process works on the training."""
    with claim(folder) as held:
        return held is not None
