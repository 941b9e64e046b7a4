"""`qmend report` and `qmend runs`, as a user starts them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from commandline import Command

from qmend.mitigation.baselines.none import NoMitigation
from qmend.runs.scoring import Context, run_baseline
from qmend.tracking.run import start_run
from qmend.tracking.store import Store
from tracked_runs import blank_store, made_up_scores, scored_run


@pytest.fixture(scope="module")
def made(store, tiny, tmp_path_factory) -> tuple[Path, dict[str, str]]:
    """A folder with a store: a parent with two runs below it, a failed run, a baseline."""
    folder = tmp_path_factory.mktemp("runs")
    own = blank_store(store, folder / "mlruns")
    ids = {"baseline": run_baseline(Context(own, tiny), NoMitigation(), {}).run_id}
    with start_run(own, "failed", {"kind": "train"}, {}) as run:
        ids["failed"] = run.run_id
    own.client.set_terminated(run.run_id, "FAILED")
    with start_run(own, "parent", {"kind": "multirun"}, {}) as parent:
        ids["parent"] = parent.run_id
        for name, mean in (("good", -0.8), ("bad", -0.2)):
            config = {"model": {"name": name, "width": 8}}
            ids[name] = scored_run(own, name, made_up_scores(mean, 1), config=config,
                                   parent=parent.run_id, validation=[-0.1, mean])  # fmt: skip
    return folder, ids


def test_the_report_of_the_latest_runs(here: Command, made) -> None:
    folder, _ = made
    said = here("report", folder=folder).succeeded().out
    assert (
        "good is compared with the others: best on the validation split among the models." in said
    )
    assert "It beats bad." in said
    page = folder / "reports" / "report.html"
    assert f"Report: {page}" in said.replace("\n", "")
    assert "qmend report: parent" in page.read_text()
    assert (folder / "reports" / "report_figures" / "cost_1.png").exists()


@pytest.mark.parametrize("which", ["parent={parent}", "tag=kind:multirun"])
def test_every_way_to_name_runs(here: Command, made, tmp_path: Path, which: str) -> None:
    folder, ids = made
    chosen = which.format(**{name: run_id[:10] for name, run_id in ids.items()})
    page = tmp_path / "page.html"
    here("report", f"runs={chosen}", f"output={page}", folder=folder).succeeded()
    text = page.read_text()
    assert "good" in text
    assert "failed" not in text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("report", "runs=newest"), "is none of latest, parent=RUN"),
        (("report", "runs=tag=kind:trian"), "Did you mean"),
        (("report", "rnus=latest"), "rnus"),
        (("report", "output=/dev/null/x.html"), "choose another output="),
        (("runs",), "runs needs a second word"),
        (("runs", "lst"), "Did you mean 'runs list'"),
        (("runs", "list", "--kind", "trian"), "Did you mean 'train'"),
        (("runs", "list", "--knd", "train"), "Did you mean '--kind'"),
        (("runs", "list", "--limit", "0"), "--limit: must be at least 1"),
        (("runs", "list", "--limit", "many"), "invalid int value"),
        (("runs", "show"), "required: RUN"),
        (("runs", "show", "goood"), "Did you mean 'good'"),
        (("runs", "compare", "abc"), "required: OTHER"),
        (("runs", "prune", "--days", "-1"), "--days: must be at least 0"),
        (("runs", "reproduce", "parnet"), "Did you mean 'parent'"),
    ],
    ids=" ".join,
)
def test_what_is_impossible_is_one_sentence(here: Command, made, arguments, says) -> None:
    here(*arguments, folder=made[0]).refused(says)


def test_an_empty_store_is_one_sentence(here: Command, store: Store, tmp_path: Path) -> None:
    blank_store(store, tmp_path / "mlruns")
    here("report").refused("has no runs yet")
    assert "No runs yet" in here("runs", "list").succeeded().out


def test_the_list_shows_parents_with_their_children(here: Command, made) -> None:
    folder, ids = made
    lines = here("runs", "list", folder=folder).succeeded().out.splitlines()
    rows = {line.split()[0]: line for line in lines if line and line.split()[-1] in
            {run_id[:8] for run_id in ids.values()}}  # fmt: skip
    assert set(rows) == {"parent", "good", "bad", "failed", "none"}
    assert list(rows)[:3] == ["parent", "good", "bad"]
    assert rows["good"].startswith("  good")
    assert "-0.7" in rows["good"] or "-0.8" in rows["good"]
    assert max(map(len, lines)) <= 120
    only = here("runs", "list", "--status", "failed", folder=folder).succeeded().out
    assert "good" not in only
    assert ids["failed"][:8] in only


def test_a_run_is_shown_in_full(here: Command, made) -> None:
    folder, ids = made
    said = here("runs", "show", ids["good"][:10], folder=folder).succeeded().out
    for part in (ids["good"], ids["parent"], "model.width", "test/l1rc_median", "config_sha",
                 "scores/test.parquet", "config.yaml", "-0.1 █▁ -0.8"):  # fmt: skip
        assert part in said


def test_runs_are_compared(here: Command, made) -> None:
    folder, ids = made
    said = here("runs", "compare", ids["bad"][:8], ids["good"][:8], folder=folder).succeeded().out
    assert "model.name" in said
    assert "model.width" not in said
    assert said.rstrip().endswith("better")
    other = here("runs", "compare", ids["bad"][:8], ids["baseline"][:8], folder=folder)
    assert "no paired difference" in other.succeeded().out
    here("runs", "compare", ids["bad"], ids["bad"], folder=folder).refused("more than once")


def test_a_baseline_is_reproduced(here: Command, made) -> None:
    folder, ids = made
    said = here("runs", "reproduce", ids["baseline"][:8], folder=folder).succeeded().out
    assert "The metrics agree: all" in said
    assert "are equal." in said
    here("runs", "reproduce", ids["parent"], folder=folder).refused("is of kind multirun")
    here("runs", "reproduce", ids["good"], folder=folder).refused(
        "0123456789abcdef is not in data any more"
    )


def test_pruning_asks_first(here: Command, made, tmp_path: Path) -> None:
    folder, ids = made
    assert "Nothing to remove." in here("runs", "prune", folder=folder).succeeded().out
    plan = here("runs", "prune", "--days", "0", folder=folder).succeeded().out
    assert f"failed run: failed, {ids['failed'][:8]}" in plan
    assert "1 to remove, 0.0 MB; nothing is removed without --yes." in plan
    artifacts = folder / "mlruns" / "artifacts" / ids["failed"]
    assert artifacts.is_dir()
    shutil.copytree(artifacts, tmp_path / "kept")
    done = here("runs", "prune", "--days", "0", "--yes", folder=folder).succeeded().out
    assert "Removed 1, 0.0 MB." in done
    assert not artifacts.exists()
    assert ids["failed"][:8] not in here("runs", "list", folder=folder).succeeded().out
