"""`qmend train`: reproducible, and many at once under one parent."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from commandline import Command, Tracked, end_tree, outcome, start, tracked
from mlflow.entities import Run

QUICK = ("dataset=tiny", "trainer=tiny")


@pytest.fixture(scope="module")
def sweep(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Tracked:
    """Two models, two seeds."""
    folder = tmp_path_factory.mktemp("sweep")
    shutil.copytree(made, folder / "data" / made.name)
    cells = ("model=blind_mlp,physics_perceiver", "seed=0,1")
    process = start("train", "-m", *cells, *QUICK, folder=folder)
    try:
        return tracked(folder, outcome(process))
    finally:
        end_tree(process)


def cell(sweep: Tracked, model: str, seed: int) -> Run:
    (found,) = [
        r
        for r in sweep.kind("train")
        if (r.data.tags["architecture"], r.data.tags["seed"]) == (model, str(seed))
    ]
    return found


def results(run: Run) -> dict[str, float]:
    return {k: v for k, v in run.data.metrics.items() if k != "cost/seconds"}


def test_a_multirun_has_one_parent_and_a_run_for_each_cell(sweep: Tracked) -> None:
    sweep.result.succeeded()
    (parent,) = sweep.kind("multirun")
    cells = sweep.kind("train")
    assert len(sweep.runs) == 5
    assert {r.info.status for r in sweep.runs} == {"FINISHED"}
    assert {r.data.tags["mlflow.parentRunId"] for r in cells} == {parent.info.run_id}
    assert parent.data.metrics["jobs"] == 4
    assert parent.data.metrics["jobs_failed"] == 0
    assert "error" not in parent.data.tags
    names = {f"model={m} seed={s}" for m in ("blind_mlp", "physics_perceiver") for s in (0, 1)}
    assert {r.info.run_name for r in cells} == names
    table = sweep.result.out.partition(f"Cells of multirun {parent.info.run_id}")[2]
    for run in cells:
        assert re.search(rf"{run.data.tags['seed']} .* finished +{run.info.run_id[:8]}", table)
    assert len({r.data.tags["config_sha"] for r in cells}) == 4


def test_a_run_says_what_it_found(sweep: Tracked) -> None:
    said = sweep.result.out.replace("\n", " ")
    for run in sweep.kind("train"):
        assert f"{run.data.metrics['test/l1rc_median']:.3f} [" in said
        assert run.info.run_id in said


@pytest.mark.parametrize("model", ["blind_mlp", "physics_perceiver"])
def test_another_seed_gives_other_figures(sweep: Tracked, model: str) -> None:
    first, second = (results(cell(sweep, model, seed)) for seed in (0, 1))
    assert first.keys() == second.keys()
    assert first["val/loss"] != second["val/loss"]
    assert first["test/tv"] != second["test/tv"]


@pytest.mark.parametrize("model", ["blind_mlp", "physics_perceiver"])
def test_the_same_seed_gives_the_same_figures_in_another_process(
    sweep: Tracked, here: Command, data: Path, tmp_path: Path, model: str
) -> None:
    here("train", *QUICK, f"model={model}", "seed=0").succeeded()
    (again,) = tracked(tmp_path, sweep.result).runs
    first = cell(sweep, model, 0)
    assert results(again) == results(first)
    assert again.data.tags["config_sha"] == first.data.tags["config_sha"]


def test_a_failed_cell_stops_no_other_and_fails_the_parent(
    here: Command, data: Path, tmp_path: Path
) -> None:
    cells = ("model=blind_mlp", "model.width=-1,8")
    result = here("train", "-m", *cells, *QUICK)
    assert result.code == 3
    assert re.search(r"model\.width: .*greater than or equal to 1.*-1", result.err)
    assert all(line.startswith("qmend: ") for line in result.err.splitlines())
    assert "Traceback" not in result.out + result.err
    left = tracked(tmp_path, result)
    (parent,), (finished,) = left.kind("multirun"), left.kind("train")
    assert finished.info.status == "FINISHED"
    assert finished.data.params["model.width"] == "8"
    assert parent.info.status == "FAILED"
    assert "1 of 2 cells failed" in parent.data.tags["error"]
    assert parent.data.metrics["jobs_failed"] == 1
