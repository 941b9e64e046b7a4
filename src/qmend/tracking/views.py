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
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from mlflow.entities import Run as MlflowRun
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from qmend.tracking.finding import SCORED_SPLITS, parent_of, parents_of, scored_split
from qmend.tracking.store import Store, explain_errors

_TAG = "mlflow.sharedViewState."
#: Begins the key of every view that is made here.
_OURS = "qmend-"
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
#: Beside the figures of the scored split.
_COSTS = ("cost/parameters", "cost/seconds")
_CURVES = ("val/l1rc_median", "val/loss")
#: Tags that say what a scored run is.
_METHOD = ("kind", "architecture", "head", "loss", "seed", "simulates")
#: Param that every training has, and no other run.
_IS_TRAINING = "model.name"
_NAME_COLUMN = "attributes.`Run Name`"
_AXES = 10
#: Groups of params in the order of their axes; others come between these and the seed.
_PARAM_GROUPS = ("model.", "loss.", "optimizer.", "trainer.", "online.")
_NO_PARAMS = ("tracking.", "data.", "report", "output", "resume", "hydra.")


@dataclass(frozen=True)
class View:
    """One saved view.

    Attributes:
        key: names it in links, never changes.
        title: what a person reads in the menu `Views`.
        state: of table and charts, as MLflow serialises it.
        charts: open the charts, not the table.
    """

    key: str
    title: str
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
        for view in (*_leaderboards(runs), *_families(runs)):
            envelope = _envelope(view, len(views))
            if len(envelope) <= _LONGEST:
                wanted[_TAG + view.key] = envelope
                views.append(view)
        for key, value in wanted.items():
            if tags.get(key) != value:
                store.client.set_experiment_tag(store.experiment_id, key, value)
        for key in tags:
            if key.startswith(_TAG + _OURS) and key not in wanted:
                store.client.delete_experiment_tag(store.experiment_id, key)
    return views


def _envelope(view: View, place: int) -> str:
    # The menu sorts by this time, latest first; a fixed one leaves an unchanged view as it is.
    time = 1_000_000 - place
    state = json.dumps(view.state, separators=(",", ":"))
    return json.dumps({"name": view.title, "createdAt": time, "updatedAt": time, "state": state})


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
            if run.data.tags.get("dataset_sha") == sha and objective in run.data.metrics
        ]
        tags = members[0].data.tags
        where = "" if split == "test" else f", {split}"
        yield View(
            f"{_OURS}leaderboard-{sha}-{split}",
            f"Leaderboard of {tags['dataset']} on {tags['device']}{where}",
            _state(
                search=f"tags.dataset_sha = '{sha}' and metrics.`{objective}` < 1000",
                objective=objective,
                columns=[
                    *_columns("metrics", (*_figures(split), *_COSTS)),
                    *_columns("tags", _METHOD),
                ],
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
        split = objective.partition("/")[0]
        figures = _figures(split) if split in SCORED_SPLITS else (objective,)
        outcome = ("outcome",) if any("outcome" in run.data.tags for run in members) else ()
        started = datetime.fromtimestamp(parent.info.start_time / 1000, UTC)
        yield View(
            f"{_OURS}family-{parent.info.run_id}",
            f"{(parent.info.run_name or parent.info.run_id)[:100]}, {started:%Y-%m-%d %H:%M}",
            _state(
                search=_family_search(parent, members, sha, objective),
                objective=objective,
                columns=[
                    *_columns("metrics", (*figures, *_COSTS)),
                    *_columns("tags", outcome),
                    *_columns("params", params),
                ],
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


def _figures(split: str) -> tuple[str, ...]:
    names = ("l1rc_median", "l1rc_median_lo", "l1rc_median_hi", "improved_pct", "harmed_pct")
    return tuple(f"{split}/{name}" for name in (*names, "tv", "kl"))


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


def _is_axis(values: Sequence[str | None]) -> bool:
    """Tell whether every run has a place on an axis.

    MLflow leaves out runs without a value, and those with a word among numbers.
    """
    return None not in values and len({_is_number(value) for value in values}) == 1


def _is_number(value: str | None) -> bool:
    try:
        return isinstance(float(value or ""), float)
    except ValueError:
        return False


# What MLflow shows of them


def _columns(kind: str, names: Sequence[str]) -> list[str]:
    return [f"{kind}.`{name}`" for name in names]


def _width(column: str) -> int:
    """Compute the width in pixels of a column whose title is readable."""
    return max(90, 6 * len(column.split("`")[1]) + 22)


def _state(
    search: str,
    objective: str,
    columns: Sequence[str],
    members: Sequence[MlflowRun],
    params: Sequence[str],
) -> dict[str, Any]:
    """Make the state of a list of runs, lowest objective first, and their charts."""
    sections: list[dict[str, Any]] = []
    charts: list[dict[str, Any]] = []

    def begin(name: str, **more: object) -> str:
        key = f"{_OURS}{len(sections)}"
        sections.append({"uuid": key, "name": name, "isReordered": True, "deleted": False, **more})
        return key

    for name, across, height, drawn in _sections(objective, members, params):
        section = begin(name, isGenerated=False, display=True, columns=across, cardHeight=height)
        for chart in drawn:
            charts.append(
                {
                    "uuid": f"{_OURS}chart-{len(charts)}",
                    "metricSectionId": section,
                    "deleted": False,
                    "isGenerated": False,
                    "runsCountToCompare": len(members),
                    **chart,
                }
            )
    # MLflow adds a chart of every metric: closed, below.
    for prefix in sorted({n.rpartition("/")[0] for run in members for n in run.data.metrics}):
        begin(prefix or "Model metrics", isGenerated=True, display=False)
    return {
        "searchFilter": search,
        "orderByKey": f"metrics.`{objective}`",
        "orderByAsc": True,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "modelVersionFilter": "All Runs",
        "datasetsFilter": [],
        "selectedColumns": list(columns),
        "columnOrder": [_NAME_COLUMN, *columns, "runDateAndNestInfo", "duration"],
        "columnWidths": {_NAME_COLUMN: 270, **{column: _width(column) for column in columns}},
        "runsHiddenMode": "SHOW_ALL",
        "compareRunCharts": charts,
        "compareRunSections": sections,
        "isAccordionReordered": True,
        "hideEmptyCharts": True,
    }


def _sections(
    objective: str, members: Sequence[MlflowRun], params: Sequence[str]
) -> Iterator[tuple[str, int, int, list[dict[str, Any]]]]:
    """List sections: name, charts side by side, their height, the charts."""
    logged = {name for run in members for name in run.data.metrics}
    axes = [name for name in params if _is_axis([run.data.params.get(name) for run in members])]
    if axes:
        parallel = {
            "type": "PARALLEL",
            "displayName": f"Params and {objective}",
            "selectedParams": axes[:_AXES],
            "selectedMetrics": [objective],
            "showAllRuns": True,
        }
        yield "Parallel coordinates", 1, 420, [parallel]
    bars = {"type": "BAR", "displayName": objective, "metricKey": objective}
    scatters = [
        {
            "type": "SCATTER",
            "displayName": f"{objective} against {cost}",
            "xaxis": {"key": cost, "type": "METRIC"},
            "yaxis": {"key": objective, "type": "METRIC"},
        }
        for cost in _COSTS
        if cost in logged
    ]
    curves = [
        {"type": "LINE", "displayName": f"{curve} by epoch", "metricKey": curve}
        for curve in _CURVES
        if curve in logged
    ]
    yield "Quality, cost and learning", 2, 380, [bars, *curves, *scatters]
    difference = {
        "type": "DIFFERENCE",
        "displayName": "What differs",
        "chartName": "What differs",
        "compareGroups": ["Parameters", "Model metrics"],
        "showDifferencesOnly": True,
        "showChangeFromBaseline": True,
        "baselineColumnUuid": "",
    }
    yield "What differs", 1, 600, [difference]
