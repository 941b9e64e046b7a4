"""Views that are written for MLflow's UI: of the right runs, by what differs, written once."""

import json
import shutil
from pathlib import Path

import pytest

from qmend.metrics import Interval
from qmend.runs.sweeps import mark_reused
from qmend.tracking.display import axis_metrics, figure_tags
from qmend.tracking.run import start_run
from qmend.tracking.store import open_store
from qmend.tracking.views import prepare_views

TAG = "mlflow.sharedViewState."
DATA = {"dataset": "tiny", "device": "ibm_algiers", "dataset_sha": "aa11"}


@pytest.fixture(scope="module")
def unused(tmp_path_factory):
    return open_store(tmp_path_factory.mktemp("tracking"))


@pytest.fixture
def empty(unused, tmp_path):
    """A store without runs: a copy, which saves making its database."""
    return open_store(Path(shutil.copytree(unused.root, tmp_path / "mlruns")))


def log(store, name, median, config, parent=None, split="test", **tags):
    """A run with a scored split, as evaluation logs it."""
    figures = {f"{split}/l1rc_median{end}": median for end in ("", "_lo", "_hi")}
    with start_run(store, name, {"kind": "train", **DATA, **tags}, config, parent) as run:
        run.metrics({**figures, "cost/seconds": 1.0})
    return run.run_id


def log_scored(store, name, median, config, parent=None, **tags):
    """A training as it is logged with what MLflow shows."""
    shown = figure_tags(Interval(median, median, median), 100.0, 0.0)
    run_id = log(store, name, median, config, parent, loss="l1", **shown, **tags)
    run = store.client.get_run(run_id)
    for key, value in axis_metrics(run.data.params, "test/l1rc_median", median).items():
        store.client.log_metric(run_id, key, value)
    return run_id


def log_family(store, configs, name="search", **tags):
    with start_run(store, name, {"kind": "tune"}, {}) as parent:
        for k, config in enumerate(configs):
            log(store, f"trial {k}", -0.1 * k, config, parent.run_id, **tags)
    return parent.run_id


def saved(store):
    """Key -> title and state of every view that the experiment has."""
    tags = store.client.get_experiment(store.experiment_id).tags
    envelopes = {k.removeprefix(TAG): json.loads(v) for k, v in tags.items() if k.startswith(TAG)}
    return {key: (e["name"], json.loads(e["state"])) for key, e in envelopes.items()}


def model(width, **more):
    return {"model": {"name": "mlp", "width": width, **more}, "seed": 0}


def charts(view, kind):
    return [chart for chart in view.state["compareRunCharts"] if chart["type"] == kind]


def test_a_store_without_runs_has_no_views_but_opens_as_training(empty):
    assert prepare_views(empty) == []
    tags = empty.client.get_experiment(empty.experiment_id).tags
    assert tags["mlflow.experimentKind"] == "custom_model_development"
    assert tags["mlflow.experiment.primaryMetric.name"] == "test/l1rc_median"


def test_a_leaderboard_for_each_dataset_and_split_the_newest_first(empty):
    log(empty, "old", -0.5, model(8))
    log(empty, "new", -0.4, model(8), dataset="small", dataset_sha="bb22")
    log(empty, "all", -0.4, model(8), split="all", dataset="measured", dataset_sha="cc33")
    with start_run(empty, "unscored", {"kind": "train", **DATA, "dataset_sha": "dd44"}, {}):
        pass
    views = prepare_views(empty)
    assert [view.title for view in views] == [
        "Leaderboard of measured on ibm_algiers, all",
        "Leaderboard of small on ibm_algiers",
        "Leaderboard of tiny on ibm_algiers",
    ]
    assert [view.state["orderByKey"] for view in views] == [
        "metrics.`all/l1rc_median`",
        "metrics.`test/l1rc_median`",
        "metrics.`test/l1rc_median`",
    ]


def test_a_view_finds_its_runs_and_no_others(empty):
    """Its filter, given to the store, lists the members in order."""
    parent = log_family(empty, [model(8), model(16), model(32)])
    log(empty, "none", 0.3, {"baseline": "none"}, parent, kind="baseline")
    log(empty, "elsewhere", -0.9, model(8), parent, dataset_sha="bb22", dataset="other")
    found = {
        view.title.partition(",")[0]: [
            run.info.run_name
            for run in empty.client.search_runs(
                [empty.experiment_id],
                view.state["searchFilter"],
                order_by=[f"{view.state['orderByKey']} ASC"],
            )
        ]
        for view in prepare_views(empty)
    }
    assert found == {
        "Leaderboard of tiny on ibm_algiers": ["trial 2", "trial 1", "trial 0", "none"],
        "Leaderboard of other on ibm_algiers": ["elsewhere"],
        "search": ["trial 2", "trial 1", "trial 0"],
    }


def test_a_view_finds_the_runs_that_its_sweep_reused(empty):
    first = log_family(empty, [model(8), model(16)], "first")
    with start_run(empty, "second", {"kind": "multirun"}, {}) as second:
        log(empty, "new", -0.5, model(32), second.run_id)
        log(empty, "none", 0.3, {"baseline": "none"}, second.run_id, kind="baseline")
    (reused,) = empty.runs(f"tags.mlflow.parentRunId = '{first}' and params.`model.width` = '8'")
    mark_reused(empty, reused.info.run_id, second.run_id)
    found = {}
    for view in prepare_views(empty):
        runs = empty.runs(view.state["searchFilter"])
        found[view.title.partition(",")[0]] = {run.info.run_name for run in runs}
    assert found["second"] == {"new", "trial 0"}
    assert found["first"] == {"trial 0", "trial 1"}


def test_axes_are_params_that_differ_and_that_every_run_has_a_place_on(empty):
    """MLflow leaves out runs without a value, or with a word where others have numbers."""
    same = {"dropout": 0.1}
    log_family(
        empty,
        [
            {**model(8, depth=1, patience=None, **same), "loss": {"name": "kl"}},
            {**model(16, patience=3, **same), "loss": {"name": "l1"}, "tracking": {"root": "b"}},
        ],
    )
    (_, family) = prepare_views(empty)
    (parallel,) = charts(family, "PARALLEL")
    assert parallel["selectedParams"] == ["model.width", "loss.name"]
    assert parallel["selectedMetrics"] == ["test/l1rc_median"]
    columns = [c for c in family.state["selectedColumns"] if c.startswith("params.")]
    names = ("model.depth", "model.patience", "model.width", "loss.name")
    assert columns == [f"params.`{name}`" for name in names]


def test_rates_are_on_log_axes_and_more_is_better_on_the_last(empty):
    with start_run(empty, "multirun", {"kind": "multirun"}, {}) as parent:
        for k, lr in enumerate((1e-4, 1e-2)):
            config = {**model(8 + k), "optimizer": {"lr": lr, "weight_decay": k * 1e-3}}
            log_scored(empty, f"lr {lr}", -0.1 * k, config, parent.run_id)
    (parallel,) = charts(prepare_views(empty)[1], "PARALLEL")
    # A rate of zero has no logarithm.
    assert parallel["selectedParams"] == ["model.width", "optimizer.weight_decay"]
    assert parallel["selectedMetrics"] == ["log10/lr", "minus/test/l1rc_median"]


def test_columns_begin_with_the_rounded_objective_and_the_method(empty):
    log_scored(empty, "new", -0.5, model(8), architecture="mlp")
    method = [f"tags.`{name}`" for name in ("architecture", "loss", "seed")]
    (board,) = prepare_views(empty)
    columns = board.state["selectedColumns"]
    assert columns[:6] == ["tags.`L1RC`", *method, "tags.`improved`", "tags.`harmed`"]
    assert "metrics.`test/l1rc_median`" in columns
    assert len(set(columns)) == len(columns)
    log(empty, "of an older version", -0.4, model(8))
    (board,) = prepare_views(empty)
    columns = board.state["selectedColumns"]
    assert columns[:5] == ["metrics.`test/l1rc_median`", *method, "metrics.`test/improved_pct`"]
    assert board.state["columnWidths"][columns[0]] >= 19 * 7  # every digit


def test_a_search_is_no_row_beside_its_best_trial(empty):
    """One of an older version has its figures too."""
    with start_run(empty, "search", {**DATA, "kind": "tune"}, {}) as parent:
        log(empty, "trial 0", -0.5, model(8), parent.run_id, kind="trial")
        figures = {f"test/l1rc_median{end}": -0.5 for end in ("", "_lo", "_hi")}
        parent.metrics(figures)
    (board,) = prepare_views(empty)
    found = empty.client.search_runs([empty.experiment_id], board.state["searchFilter"])
    assert [run.info.run_name for run in found] == ["trial 0"]


def test_views_of_one_name_are_told_apart(empty):
    first = log_family(empty, [model(8), model(16)], dataset_sha="cc33dd44")
    second = log_family(empty, [model(8), model(16)], dataset_sha="ee55ff66")
    titles = [view.title for view in prepare_views(empty)]
    assert len(set(titles)) == 4
    marks = {title.rpartition(", ")[2] for title in titles}
    minutes = {title.rpartition(", ")[2] for title in titles if title.startswith("search")}
    assert {"cc33dd", "ee55ff"} <= marks
    assert minutes == {first[:6], second[:6]} or len(minutes) == 2  # begun in two minutes


def test_trials_that_were_not_scored_are_compared_by_the_search_s_own_figure(empty):
    with start_run(empty, "search", {"kind": "tune"}, {}) as parent:
        for width in (8, 16, 32):
            config = model(width)
            with start_run(empty, "trial", {**DATA, "kind": "trial"}, config, parent.run_id) as run:
                run.metrics({"tune/best": -0.1 * width})
    (family,) = prepare_views(empty)
    assert family.state["orderByKey"] == "metrics.`tune/best`"
    assert family.charts


def test_runs_that_do_not_differ_are_no_family(empty):
    log_family(empty, [model(8), model(8)])
    log_family(empty, [model(8)])
    assert [view.charts for view in prepare_views(empty)] == [False]


def test_every_chart_lies_in_a_section_and_names_what_was_logged(empty):
    log_family(empty, [model(8), model(16)])
    logged = {"test/l1rc_median", "test/l1rc_median_lo", "test/l1rc_median_hi", "cost/seconds"}
    for view in prepare_views(empty):
        sections = [section["uuid"] for section in view.state["compareRunSections"]]
        assert len(set(sections)) == len(sections)
        drawn = view.state["compareRunCharts"]
        assert {chart["metricSectionId"] for chart in drawn} <= set(sections)
        assert len({chart["uuid"] for chart in drawn}) == len(drawn)
        for chart in charts(view, "SCATTER"):
            assert {chart["xaxis"]["key"], chart["yaxis"]["key"]} <= logged
        assert not charts(view, "LINE")


def test_views_are_saved_as_mlflow_saves_them_and_only_when_they_change(empty, monkeypatch):
    log_family(empty, [model(8), model(16)])
    views = prepare_views(empty)
    assert saved(empty) == {view.key: (view.title, view.state) for view in views}
    written = []
    monkeypatch.setattr(
        type(empty.client), "set_experiment_tag", lambda *arguments: written.append(arguments)
    )
    assert prepare_views(empty) == views
    assert written == []


def test_what_people_set_stays_and_what_is_out_of_use_goes(empty):
    own = json.dumps({"name": "mine", "createdAt": 1, "updatedAt": 1, "state": "{}"})
    empty.client.set_experiment_tag(empty.experiment_id, f"{TAG}abc", own)
    empty.client.set_experiment_tag(empty.experiment_id, "mlflow.experimentKind", "regression")
    run_id = log(empty, "only", -0.5, model(8))
    (board,) = prepare_views(empty)
    assert set(saved(empty)) == {"abc", board.key}
    empty.client.delete_run(run_id)
    assert prepare_views(empty) == []
    assert set(saved(empty)) == {"abc"}
    tags = empty.client.get_experiment(empty.experiment_id).tags
    assert tags["mlflow.experimentKind"] == "regression"


def test_many_searches_stay_within_what_mlflow_takes(empty):
    """40 views of an experiment, 20,000 characters each."""
    for k in range(7):
        wide = {f"choice_{n}": f"value {n} {k}" for n in range(90)}
        log_family(empty, [model(8, **wide), model(16)], f"search {k}", dataset_sha=f"{k}")
    views = prepare_views(empty)
    assert len(views) < 40
    tags = empty.client.get_experiment(empty.experiment_id).tags
    assert all(len(value) <= 20_000 for value in tags.values())
    assert {view.key for view in views} == set(saved(empty))
