"""What `qmend demo` leaves: a dataset, runs by the contract, a table and a report."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from commandline import Command, Tracked, tracked
from mlflow.entities import Run

from qmend.datasets.manifest import read_manifest

BASELINES = ["none", "uniform", "readout_inversion", "depolarizing_inversion", "path_inversion"]
MODELS = ["blind_mlp", "perceiver", "physics_perceiver", "walsh_operator"]
MITIGATORS = [*BASELINES, *MODELS]
EPOCHS = 2
FIGURES = ("l1rc_median", "improved_pct", "harmed_pct", "tv", "hellinger", "kl")
TAGS = {
    "kind",
    "family",
    "device",
    "source",
    "architecture",
    "head",
    "loss",
    "encoding",
    "dataset_sha",
    "config_sha",
    "git_sha",
    "seed",
}


def child(demo: Tracked, name: str) -> Run:
    (found,) = [r for r in demo.runs if r.info.run_name == name]
    return found


def test_it_ends_well_and_says_where_the_report_is(demo: Tracked) -> None:
    assert "Report:" in demo.result.succeeded().out
    assert str(demo.folder / "reports" / "demo.html") in demo.result.out.replace("\n", "")
    assert "qmend ui" in demo.result.out


def test_there_is_one_parent_and_one_finished_run_for_each_mitigator(demo: Tracked) -> None:
    (parent,) = demo.kind("demo")
    assert sorted(r.info.run_name for r in demo.kind("baseline")) == sorted(BASELINES)
    assert sorted(r.info.run_name for r in demo.kind("train")) == sorted(MODELS)
    assert len(demo.runs) == 1 + len(MITIGATORS)
    assert {r.info.status for r in demo.runs} == {"FINISHED"}
    parents = {r.data.tags.get("mlflow.parentRunId") for r in demo.runs if r is not parent}
    assert parents == {parent.info.run_id}


@pytest.mark.parametrize("name", MITIGATORS)
def test_a_run_has_the_tags_of_the_contract(demo: Tracked, name: str) -> None:
    tags = child(demo, name).data.tags
    assert tags.keys() >= TAGS
    assert all(tags[key] for key in TAGS)
    assert tags["architecture"] == name
    assert tags["device"] == "ibm_algiers"
    assert tags["family"] == "pauli"
    assert tags["source"] == "simulated"
    assert tags["dataset_sha"] == read_manifest(demo.dataset).dataset_sha
    assert "error" not in tags


@pytest.mark.parametrize("name", MITIGATORS)
def test_a_run_has_the_metrics_of_the_contract(demo: Tracked, name: str) -> None:
    metrics = child(demo, name).data.metrics
    for figure in FIGURES:
        value = metrics[f"test/{figure}"]
        low, high = metrics[f"test/{figure}_lo"], metrics[f"test/{figure}_hi"]
        assert low <= value <= high
    assert metrics["cost/seconds"] >= 0
    assert (metrics["cost/parameters"] > 100) == (name in MODELS)
    assert not [key for key in metrics if key.startswith("reference/")]


def test_what_does_nothing_has_the_figures_of_nothing(demo: Tracked) -> None:
    metrics = child(demo, "none").data.metrics
    assert metrics["test/l1rc_median"] == 0
    assert metrics["test/improved_pct"] == metrics["test/harmed_pct"] == 0


@pytest.mark.parametrize("name", MODELS)
def test_a_training_has_one_value_an_epoch(demo: Tracked, name: str) -> None:
    run_id = child(demo, name).info.run_id
    for metric in ("train/loss", "val/loss", "val/l1rc_median"):
        history = demo.client.get_metric_history(run_id, metric)
        assert len(history) == EPOCHS
        assert len({m.step for m in history}) == EPOCHS
        assert all(np.isfinite(m.value) for m in history)


def test_the_reference_stands_on_the_parent_alone(demo: Tracked) -> None:
    (parent,) = demo.kind("demo")
    metrics = parent.data.metrics
    assert -1 < metrics["reference/l1rc_median"] < 0
    assert metrics["reference/l1rc_median_lo"] <= metrics["reference/l1rc_median_hi"]
    best = min(MODELS, key=lambda name: child(demo, name).data.metrics["test/l1rc_median"])
    assert parent.data.tags["best"] == best
    assert parent.data.tags["dataset_sha"] == read_manifest(demo.dataset).dataset_sha
    assert {"config_sha", "git_sha"} <= parent.data.tags.keys()


@pytest.mark.parametrize("name", MITIGATORS)
def test_a_run_names_its_data_and_keeps_its_config(demo: Tracked, name: str) -> None:
    run = child(demo, name)
    inputs = run.inputs.dataset_inputs
    assert {i.dataset.digest for i in inputs} == {run.data.tags["dataset_sha"]}
    contexts = {tag.value for i in inputs for tag in i.tags if tag.key == "mlflow.data.context"}
    assert contexts == {"train", "test"}
    assert run.data.params["dataset.circuits"] == "300"
    assert run.data.params["device.backend"] == "FakeAlgiers"
    assert "circuits: 300" in demo.artifacts(run, "config.yaml").read_text()
    assert re.search(r"^torch==", demo.artifacts(run, "environment.txt").read_text(), re.MULTILINE)


@pytest.mark.parametrize("name", MITIGATORS)
def test_the_scores_of_a_run_give_its_figures_again(demo: Tracked, name: str) -> None:
    run = child(demo, name)
    scores = pq.read_table(demo.artifacts(run, "scores/test.parquet"))
    assert scores.num_rows == 60
    values = np.asarray(scores["l1rc"])
    assert np.nanmedian(values) == pytest.approx(run.data.metrics["test/l1rc_median"], abs=1e-12)
    harmed = 100 * (values > 0.05).mean()
    assert harmed == pytest.approx(run.data.metrics["test/harmed_pct"], abs=1e-9)
    assert set(scores["circuit_id"].to_pylist()) <= _circuits(demo, "test")


def _circuits(demo: Tracked, split: str) -> set[str]:
    found: set[str] = set()
    for shard in demo.dataset.glob("circuits-*.parquet"):
        table = pq.read_table(shard, columns=["circuit_id", "split"]).to_pylist()
        found |= {row["circuit_id"] for row in table if row["split"] == split}
    return found


@pytest.mark.parametrize("name", MODELS)
def test_a_training_keeps_its_model(demo: Tracked, name: str) -> None:
    folder = demo.artifacts(child(demo, name), "model")
    assert {p.name for p in folder.iterdir()} == {"model.safetensors", "model.json"}
    assert all(p.stat().st_size for p in folder.iterdir())


def test_the_table_has_every_mitigator_and_ends_with_the_reference(demo: Tracked) -> None:
    lines = demo.result.out.splitlines()
    first = next(k for k, line in enumerate(lines) if line.startswith("Mitigators on"))
    last = next(k for k, line in enumerate(lines) if "test circuits in" in line)
    rows = [line for line in lines[first:last] if line.strip()]
    for name in MITIGATORS:
        (row,) = [line for line in rows if line.split()[0] == name]
        metrics = child(demo, name).data.metrics
        assert f"{metrics['test/l1rc_median']:.3f} [{metrics['test/l1rc_median_lo']:.3f}" in row
    (parent,) = demo.kind("demo")
    assert rows[-1].startswith("shot-noise reference")
    assert f"{parent.data.metrics['reference/l1rc_median']:.3f}" in rows[-1]


def test_the_dataset_verifies(demo: Tracked, here: Command) -> None:
    result = here("data", "verify", "dataset=tiny", folder=demo.folder).succeeded()
    assert "300 labels proven" in result.out


def test_a_second_run_reuses_the_dataset_and_finds_the_same_figures(
    demo: Tracked, here: Command
) -> None:
    files = {p.name: p.stat().st_mtime_ns for p in demo.dataset.iterdir()}
    before = {r.info.run_id for r in tracked(demo.folder, demo.result).runs}
    own_report = "output=reports/again.html"
    result = here("demo", "experiment=demo_tiny", own_report, folder=demo.folder).succeeded()
    assert re.search(rf"reused; .* hash {read_manifest(demo.dataset).dataset_sha}", result.out)
    assert {p.name: p.stat().st_mtime_ns for p in demo.dataset.iterdir()} == files
    again = [r for r in tracked(demo.folder, result).runs if r.info.run_id not in before]
    assert len(again) == len(demo.runs)
    for run in again:
        if run.data.tags["kind"] == "demo":
            continue
        old = child(demo, run.info.run_name)
        for figure in FIGURES:
            assert run.data.metrics[f"test/{figure}"] == old.data.metrics[f"test/{figure}"]
        assert run.data.tags["config_sha"] == old.data.tags["config_sha"]


def test_the_report_is_one_page_with_all_that_was_compared(demo: Tracked) -> None:
    page = (demo.folder / "reports" / "demo.html").read_text()
    for name in [*MITIGATORS, "shot-noise reference"]:
        assert name in page
    assert page.count("<svg") == 3
    assert not re.search(r"<script|<iframe|<img|(src|href)=\"(?!data:|#)", page)
    (parent,) = demo.kind("demo")
    assert demo.artifacts(parent, "report/demo.html").read_text() == page


def test_the_report_opens_in_a_browser_without_an_error(demo: Tracked, tmp_path: Path) -> None:
    browser = shutil.which("chromium")
    if browser is None:
        assert not os.environ.get("CI"), "chromium is missing; install it"
        pytest.skip("chromium is not installed; the report was not opened in a browser")
    picture = tmp_path / "report.png"
    done = subprocess.run(
        [
            browser,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--enable-logging=stderr",
            "--v=0",
            "--virtual-time-budget=3000",
            "--window-size=1100,1600",
            f"--user-data-dir={tmp_path / 'profile'}",
            f"--screenshot={picture}",
            (demo.folder / "reports" / "demo.html").as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stderr.splitlines() if ":CONSOLE" in line or "Uncaught" in line]
    assert said == []
    assert picture.stat().st_size > 20_000
