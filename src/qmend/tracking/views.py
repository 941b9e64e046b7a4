"""Prepared views for MLflow's UI: the columns, the order and the charts that matter first.

MLflow keeps a saved view of an experiment's runs as one tag of the experiment: an envelope with
the view's name around the state of the table and the charts, both JSON. Views made here lie beside
those that people save; ``qmend ui`` makes them anew each time it starts. An MLflow that reads them
no longer leaves them out and opens as it always does.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from mlflow.entities import Run as MlflowRun
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from qmend.tracking.finding import parent_of, parents_of, scored_split
from qmend.tracking.store import Store, explain_errors
from qmend.tracking.view_state import OURS, list_columns, make_state

_TAG = "mlflow.sharedViewState."
#: MLflow takes at most 40 views of an experiment, people's own among them.
_LEADERBOARDS, _FAMILIES = 4, 6
#: Runs that a view can name one by one.
_MOST_IDS = 300
#: Characters that an experiment's tag may have.
_LONGEST = 20_000
#: Kind of the experiment in MLflow's words; else it opens as one of generative AI.
_SETTINGS = {
    "mlflow.experimentKind": "custom_model_development",
    "mlflow.experiment.primaryMetric.name": "test/l1rc_median",
}
#: Metrics to compare runs of one parent by: the first that most of them have.
_OBJECTIVES = ("tune/best", "test/l1rc_median", "all/l1rc_median", "val/l1rc_median")
#: Param that every training has, and no other run.
_IS_TRAINING = "model.name"
#: Groups of params in the order of their axes; others come between these and the seed.
_PARAM_GROUPS = ("model.", "loss.", "optimizer.", "trainer.", "online.")
_NO_PARAMS = ("tracking.", "data.", "report", "output", "resume", "hydra.")


@dataclass(frozen=True)
class View:
    """One saved view.

    Attributes:
        key: names it in links, never changes.
        title: what a person reads in the menu `Views`.
        mark: tells it from others of that title.
        state: of table and charts, as MLflow serialises it.
        charts: open the charts, not the table.
    """

    key: str
    title: str
    mark: str
    state: Mapping[str, Any]
    charts: bool = False

    def link(self, address: str, experiment_id: str) -> str:
        """Return the URL of the view; ``address`` is the server's."""
        values = {"viewStateShareKey": self.key, "workflowType": "machine_learning"}
        if self.charts:
            values["compareRunsMode"] = "CHART"
        return f"{address}/#/experiments/{experiment_id}/runs?{urlencode(values)}"


def prepare_views(store: Store, most: int = 1000) -> list[View]:
    """Write the views of the newest runs to the experiment, and remove those out of use.

    One leaderboard for each dataset that runs were scored on, and one view for each search,
    multirun or study whose runs differ in params; the newest first.

    Args:
        most: runs that are looked at.

    Raises:
        QmendError: if the store can't be used.
    """
    with explain_errors(store.root):
        runs = store.runs(limit=most)
        tags = store.client.get_experiment(store.experiment_id).tags
        wanted = {key: value for key, value in _SETTINGS.items() if key not in tags}
        views: list[View] = []
        for view in _distinct([*_leaderboards(runs), *_families(runs)]):
            envelope = _envelope(view, len(views))
            if len(envelope) <= _LONGEST:
                wanted[_TAG + view.key] = envelope
                views.append(view)
        for key, value in wanted.items():
            if tags.get(key) != value:
                store.client.set_experiment_tag(store.experiment_id, key, value)
        for key in tags:
            if key.startswith(_TAG + OURS) and key not in wanted:
                store.client.delete_experiment_tag(store.experiment_id, key)
    return views


def _envelope(view: View, place: int) -> str:
    # The menu sorts by this time, latest first; a fixed one leaves an unchanged view as it is.
    time = 1_000_000 - place
    state = json.dumps(view.state, separators=(",", ":"))
    return json.dumps({"name": view.title, "createdAt": time, "updatedAt": time, "state": state})


def _distinct(views: Sequence[View]) -> list[View]:
    """Give views of one title their marks."""
    counts = Counter(view.title for view in views)
    return [
        replace(view, title=f"{view.title}, {view.mark}") if counts[view.title] > 1 else view
        for view in views
    ]


# Which runs belong together


def _leaderboards(runs: Sequence[MlflowRun]) -> Iterator[View]:
    """Make a view for each dataset and scored split, the newest first."""
    places = dict.fromkeys(
        (run.data.tags["dataset_sha"], split)
        for run in runs
        if "dataset_sha" in run.data.tags and (split := scored_split(run)) is not None
    )
    for sha, split in list(places)[:_LEADERBOARDS]:
        objective = f"{split}/l1rc_median"
        members = [
            run
            for run in runs
            if run.data.tags.get("dataset_sha") == sha
            and run.data.tags.get("kind") != "tune"
            and objective in run.data.metrics
        ]
        tags = members[0].data.tags
        where = "" if split == "test" else f", {split}"
        yield View(
            f"{OURS}leaderboard-{sha}-{split}",
            f"Leaderboard of {tags['dataset']} on {tags['device']}{where}",
            sha[:6],
            make_state(
                # A search of an older version repeats the figures of its best trial.
                search=f"tags.dataset_sha = '{sha}' and tags.kind != 'tune' and "
                f"metrics.`{objective}` < 1000",
                objective=objective,
                columns=list(list_columns(objective, members)),
                members=members,
                params=_varying(members),
            ),
        )


def _families(runs: Sequence[MlflowRun]) -> Iterator[View]:
    """Make a view for each parent whose trainings differ in params."""
    children: dict[str, list[MlflowRun]] = {}
    for run in runs:
        # Baselines and evaluations elsewhere have no config of a model.
        if _IS_TRAINING in run.data.params and "dataset_sha" in run.data.tags:
            for parent_id in parents_of(run):
                children.setdefault(parent_id, []).append(run)
    shown = 0
    for parent in runs:
        family = children.get(parent.info.run_id, [])
        objective = _objective(family)
        if objective is None or shown == _FAMILIES:
            continue
        scored = [run for run in family if objective in run.data.metrics]
        sha = Counter(run.data.tags["dataset_sha"] for run in scored).most_common(1)[0][0]
        members = [run for run in scored if run.data.tags["dataset_sha"] == sha]
        params = _varying(members)
        if len(members) < 2 or not params:
            continue
        shown += 1
        started = datetime.fromtimestamp(parent.info.start_time / 1000, UTC)
        yield View(
            f"{OURS}family-{parent.info.run_id}",
            f"{(parent.info.run_name or parent.info.run_id)[:100]}, {started:%Y-%m-%d %H:%M}",
            parent.info.run_id[:6],
            make_state(
                search=_family_search(parent, members, sha, objective),
                objective=objective,
                columns=list(list_columns(objective, members, params)),
                members=members,
                params=params,
            ),
            charts=True,
        )


def _family_search(
    parent: MlflowRun, members: Sequence[MlflowRun], sha: str, objective: str
) -> str:
    """Write the filter for the members of a family, by id where it reused runs of others.

    MLflow's filters have no OR. More runs than a view has room for are found by their parent.
    """
    reused = any(parent_of(run) != parent.info.run_id for run in members)
    if reused and len(members) <= _MOST_IDS:
        return f"attributes.run_id IN ({', '.join(repr(run.info.run_id) for run in members)})"
    return (
        f"tags.{MLFLOW_PARENT_RUN_ID} = '{parent.info.run_id}' and tags.dataset_sha = '{sha}' and "
        f"params.`{_IS_TRAINING}` LIKE '%' and metrics.`{objective}` < 1000"
    )


def _objective(family: Sequence[MlflowRun]) -> str | None:
    """Choose the metric to compare a family by, or None."""
    counts = Counter(name for run in family for name in run.data.metrics)
    return next((name for name in _OBJECTIVES if 2 * counts[name] > len(family)), None)


def _varying(runs: Sequence[MlflowRun]) -> list[str]:
    """List params that differ or that only some runs have, the model's first."""
    values: dict[str, set[str | None]] = {}
    for name in {name for run in runs for name in run.data.params}:
        if not name.startswith(_NO_PARAMS):
            values[name] = {run.data.params.get(name) for run in runs}

    def place(name: str) -> tuple[int, bool, str]:
        groups = [k for k, group in enumerate(_PARAM_GROUPS) if name.startswith(group)]
        last = len(_PARAM_GROUPS) + (name == "seed")
        return (groups or [last])[0], not name.endswith(".name"), name

    return sorted((name for name, found in values.items() if len(found) > 1), key=place)
