"""The state of one view as MLflow serialises it: filter, order, columns, charts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mlflow.entities import Run as MlflowRun

from qmend.tracking.display import RATES, logarithm, opposite
from qmend.tracking.finding import SCORED_SPLITS

#: Begins the key of every view, section and chart that is made here.
OURS = "qmend-"
#: Beside the figures of the scored split.
_COSTS = ("cost/parameters", "cost/seconds")
_CURVES = ("val/l1rc_median", "val/loss")
#: Tags with an objective, rounded for the reader.
_SHOWN = {"tune/best": "reached", **{f"{split}/l1rc_median": "L1RC" for split in SCORED_SPLITS}}
#: Tags that say what a scored run is: those that are on every screen, then the others.
_METHOD, _MORE = ("architecture", "loss", "seed"), ("simulates", "head", "kind")
#: Figures of the scored split at the right end.
_SHOWN_WHOLE = ("tv", "kl", "own_slope", "own_gain_pct")
_NAME_COLUMN, _TIME_COLUMN = "attributes.`Run Name`", "runDateAndNestInfo"
#: In pixels. With name and time, objective and method fit into a window of 1600 pixels of which
#: MLflow gives its assistant a quarter.
_WIDTHS = {
    _NAME_COLUMN: 230,
    _TIME_COLUMN: 140,
    "tags.`L1RC`": 155,
    "tags.`architecture`": 125,
    "tags.`loss`": 105,
    "tags.`seed`": 55,
}
#: Least width of a column, and that of a metric, which MLflow shows with all its digits.
_NARROW, _DIGITS = 80, 180
_AXES = 10


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


def _column(kind: str, name: str) -> str:
    return f"{kind}.`{name}`"


def list_columns(
    objective: str, members: Sequence[MlflowRun], params: Sequence[str] = ()
) -> Iterator[str]:
    """List columns: the objective, the method, shares, costs, params, figures in full."""
    tags = {name for run in members for name in run.data.tags}
    shown = _SHOWN.get(objective)
    rounded = shown is not None and all(shown in run.data.tags for run in members)
    yield _column("tags", shown) if rounded and shown else _column("metrics", objective)
    yield from (_column("tags", name) for name in _METHOD)
    split = objective.partition("/")[0]
    ends, shares = ("l1rc_median_lo", "l1rc_median_hi"), ("improved", "harmed")
    if split in SCORED_SPLITS:
        for name in shares:
            yield _column("tags", name) if rounded else _column("metrics", f"{split}/{name}_pct")
    yield from (_column("tags", name) for name in ("outcome", *_MORE) if name in tags)
    yield from (_column("metrics", name) for name in _COSTS)
    yield from (_column("params", name) for name in params)
    if rounded:
        yield _column("metrics", objective)
    if split in SCORED_SPLITS:
        yield from (_column("metrics", f"{split}/{name}") for name in (*ends, *_SHOWN_WHOLE))


def _width(column: str) -> int:
    """Compute the width in pixels of a column whose title, or every digit, is readable."""
    kind, title, _ = column.split("`")
    least = _DIGITS if kind == "metrics." and title != "cost/parameters" else _NARROW
    return _WIDTHS.get(column, max(least, 6 * len(title) + 24))


def make_state(
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
        key = f"{OURS}{len(sections)}"
        sections.append({"uuid": key, "name": name, "isReordered": True, "deleted": False, **more})
        return key

    for name, across, height, drawn in _sections(objective, members, params):
        section = begin(name, isGenerated=False, display=True, columns=across, cardHeight=height)
        for chart in drawn:
            charts.append(
                {
                    "uuid": f"{OURS}chart-{len(charts)}",
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
        "columnOrder": [_NAME_COLUMN, *columns, _TIME_COLUMN, "duration"],
        "columnWidths": _WIDTHS | {column: _width(column) for column in columns},
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
        # Runs of an older version, and rates of zero, lack the metrics made for axes.
        by_all = {name for name in logged if all(name in run.data.metrics for run in members)}
        logarithms = {name: logarithm(name) for name in axes[:_AXES] if name in RATES}
        logarithms = {name: metric for name, metric in logarithms.items() if metric in by_all}
        better_up = opposite(objective)
        parallel = {
            "type": "PARALLEL",
            "displayName": f"Params and {objective}",
            "selectedParams": [name for name in axes[:_AXES] if name not in logarithms],
            "selectedMetrics": [
                *logarithms.values(),
                better_up if better_up in by_all else objective,
            ],
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
