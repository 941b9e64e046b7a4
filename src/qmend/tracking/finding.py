"""Find runs in the store: by id, the latest, below a parent, by tag."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from mlflow.entities import Run as MlflowRun
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from qmend.metrics import Interval
from qmend.tracking.store import Store, explain_errors
from qmend.types import QmendError

#: More runs than any store of this kind holds.
_EVERY = 50_000
_SHOWN = 5
#: Tag of a finished run that later commands reused: the ids of those commands' runs.
REUSED_TAG = "reused_by"
#: Splits that a run can have been scored on, the one that counts first.
SCORED_SPLITS = ("test", "all", "val", "train")
#: Forms of a selection, for messages and help.
SELECTIONS = "latest, parent=RUN, tag=KEY:VALUE or a list of runs [RUN,RUN]"


def name_of(run: MlflowRun) -> str:
    """Return the run's name in the list of runs."""
    return str(run.info.run_name)


def kind_of(run: MlflowRun) -> str:
    """Return the kind, such as ``train`` or ``baseline``; ``-`` without one."""
    return str(run.data.tags.get("kind", "-"))


def status_of(run: MlflowRun) -> str:
    """Return ``finished``, ``running``, ``failed``, ``killed`` or ``pruned``."""
    outcome = run.data.tags.get("outcome")
    return "pruned" if outcome == "pruned" else str(run.info.status).lower()


def parent_of(run: MlflowRun) -> str | None:
    """Return the id of the parent run, or None."""
    parent = run.data.tags.get(MLFLOW_PARENT_RUN_ID)
    return None if parent is None else str(parent)


def parents_of(run: MlflowRun) -> list[str]:
    """List the ids of all runs that a run belongs to: its parent, and those that reused it."""
    own = parent_of(run)
    return [*([] if own is None else [own]), *run.data.tags.get(REUSED_TAG, "").split()]


def scored_split(run: MlflowRun) -> str | None:
    """Return the split that a run was scored on, or None."""
    splits = (s for s in SCORED_SPLITS if Interval.read(run.data.metrics, f"{s}/l1rc_median"))
    return next(splits, None)


def logged_figure(run: MlflowRun, name: str = "l1rc_median") -> Interval | None:
    """Read a figure of the scored split; None where the run did not log it."""
    return Interval.read(run.data.metrics, f"{scored_split(run)}/{name}")


def all_runs(store: Store) -> list[MlflowRun]:
    """Load all runs that are not deleted, newest first."""
    with explain_errors(store.root):
        return store.runs(limit=_EVERY)


def find_run(runs: Sequence[MlflowRun], text: str) -> MlflowRun:
    """Find the run whose id begins with ``text``.

    Raises:
        QmendError: if there is none, or more than one.
    """
    lowered = text.strip().lower()
    matches = [r for r in runs if r.info.run_id.startswith(lowered)] if lowered else []
    if len(matches) == 1:
        return matches[0]
    if matches:
        some = ", ".join(f"{r.info.run_id[:12]} ({name_of(r)})" for r in matches[:_SHOWN])
        more = ", ..." if len(matches) > _SHOWN else ""
        raise QmendError(
            f"{len(matches)} runs begin with {text!r}: {some}{more}; give more digits."
        )
    if re.fullmatch(r"[0-9a-f]{32}", lowered):
        raise QmendError(f"the store has no run {lowered}; `qmend runs list` shows those it has.")
    by_name = {name_of(run): run for run in reversed(runs)}
    candidates = [*by_name, *(run.info.run_id[: max(len(lowered), 4)] for run in runs)]
    close = difflib.get_close_matches(text.strip(), candidates, n=1, cutoff=0.6)
    close = close or [name for name in by_name if lowered and lowered in name.lower()][-1:]
    hint = "`qmend runs list` shows the runs and their ids."
    if close and close[0] in by_name:
        named = by_name[close[0]]
        hint = f"Did you mean {close[0]!r}, run {named.info.run_id[:12]}?"
    elif close:
        hint = f"Did you mean {close[0]!r}?"
    raise QmendError(f"no run's id begins with {text!r}. {hint}")


def children_of(runs: Sequence[MlflowRun], parent: str) -> list[MlflowRun]:
    """Collect the runs below a parent at any depth, those it reused among them, oldest first."""
    by_parent: dict[str, list[MlflowRun]] = {}
    for run in runs:
        for above in parents_of(run):
            by_parent.setdefault(above, []).append(run)
    below: dict[str, MlflowRun] = {}
    waiting = [parent]
    while waiting:
        children = by_parent.pop(waiting.pop(), [])
        below |= {run.info.run_id: run for run in children}
        waiting += [run.info.run_id for run in children]
    return sorted(below.values(), key=lambda run: (run.info.start_time, run.info.run_id))


@dataclass(frozen=True)
class Selection:
    """Runs that a person has named, with those below them.

    Attributes:
        title: of a report on them.
        parents: those that have others of them below.
        runs: the others, oldest first.
    """

    title: str
    parents: list[MlflowRun]
    runs: list[MlflowRun]

    @property
    def all(self) -> list[MlflowRun]:
        return [*self.parents, *self.runs]


def select(store: Store, which: str | Sequence[str]) -> Selection:
    """Select the runs that a person names.

    Args:
        which: ``latest``: the newest run that has children, with them, or that has figures of
            its own, a search or a single run beside all others scored on the same data;
            ``parent=RUN``; ``tag=KEY:VALUE``, with the children of those that have any; or runs
            by the heads of their ids.

    Raises:
        QmendError: if that names no run.
    """
    runs = all_runs(store)
    if not runs:
        raise QmendError(f"The store {store.root} has no runs yet; `qmend train` makes one.")
    if not isinstance(which, str):
        chosen = [find_run(runs, text) for text in which]
        names = ", ".join(dict.fromkeys(name_of(run) for run in chosen))
        return _selection(names if len(chosen) <= 3 else f"{len(chosen)} runs", chosen, runs)
    word, _, rest = which.partition("=")
    if which == "latest":
        newest = _latest(runs)
        others = _beside(newest, runs)
        beside = f", beside {len(others)} runs on the same data" if others else ""
        return _selection(name_of(newest) + beside, [newest, *others], runs)
    if word == "parent" and rest:
        parent = find_run(runs, rest)
        return _selection(name_of(parent), [parent], runs)
    if word == "tag" and ":" in rest:
        key, _, value = rest.partition(":")
        tagged = [run for run in runs if run.data.tags.get(key) == value]
        if not tagged:
            raise QmendError(_no_such_tag(runs, key, value))
        return _selection(f"runs with {key} {value}", tagged, runs)
    if re.fullmatch(r"[0-9a-f]{4,32}", which):
        run = find_run(runs, which)
        return _selection(name_of(run), [run], runs)
    raise QmendError(f"runs={which} is none of {SELECTIONS}.")


def _no_such_tag(runs: Sequence[MlflowRun], key: str, value: str) -> str:
    values = {str(run.data.tags[key]) for run in runs if key in run.data.tags}
    if values:
        close = difflib.get_close_matches(value, values, n=1, cutoff=0.5)
        some = sorted(values)[:8]
        hint = f"Did you mean {close[0]!r}?" if close else f"It is one of {', '.join(some)}."
        return f"no run has the tag {key} with the value {value!r}. {hint}"
    keys = {k for run in runs for k in run.data.tags if not k.startswith("mlflow.")}
    close = difflib.get_close_matches(key, keys, n=1, cutoff=0.5)
    hint = f"Did you mean {close[0]!r}?" if close else f"Tags: {', '.join(sorted(keys))}."
    return f"no run has a tag {key!r}. {hint}"


def _latest(runs: Sequence[MlflowRun]) -> MlflowRun:
    """Return the newest top-level run with children or figures, else the newest."""
    ids = {run.info.run_id for run in runs}
    parents = {parent for run in runs for parent in parents_of(run)}
    top = [run for run in runs if parent_of(run) not in ids]
    informative = (run for run in top if run.info.run_id in parents or run.data.metrics)
    return next(informative, top[0])


def _beside(newest: MlflowRun, runs: Sequence[MlflowRun]) -> list[MlflowRun]:
    """Collect what a search or a single run, which say little alone, can be compared with."""
    own = {newest.info.run_id} | {r.info.run_id for r in children_of(runs, newest.info.run_id)}
    sha = newest.data.tags.get("dataset_sha")
    if sha is None or (len(own) > 1 and kind_of(newest) != "tune"):
        return []
    return [
        run
        for run in runs
        if run.data.tags.get("dataset_sha") == sha
        and run.info.run_id not in own
        and kind_of(run) != "tune"
        and scored_split(run) is not None
    ]


def _selection(title: str, chosen: list[MlflowRun], runs: Sequence[MlflowRun]) -> Selection:
    members = {run.info.run_id: run for run in chosen}
    for run in chosen:
        members |= {child.info.run_id: child for child in children_of(runs, run.info.run_id)}
    above = {parent for run in members.values() for parent in parents_of(run)}
    order = sorted(members.values(), key=lambda run: (run.info.start_time, run.info.run_id))
    return Selection(
        title,
        [run for run in order if run.info.run_id in above],
        [run for run in order if run.info.run_id not in above],
    )
