"""Check what a tiny demo left in a folder: dataset, runs, report."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from mlflow import MlflowClient

from qmend.generation.verify import verify_dataset

FIGURES = ("l1rc_median", "improved_pct", "harmed_pct", "tv", "hellinger", "kl")
TAGS = (
    "kind architecture head loss encoding seed family device source dataset_sha config_sha git_sha"
)


def main(folder: Path) -> None:
    """Raise an AssertionError at the first thing that is wrong."""
    found = verify_dataset(folder / "data" / "tiny_algiers")
    print(f"dataset: {found.rows} labels proven, Aer within {found.difference_to_aer:.1g}")
    client = MlflowClient(f"sqlite:///{folder.resolve()}/mlruns/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("qmend").experiment_id])
    children = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    assert len(runs) - len(children) == 1, "one parent run"
    assert len(children) == 9, f"four trainings and five baselines, not {len(children)}"
    for run in runs:
        assert run.info.status == "FINISHED", f"{run.info.run_name} is {run.info.status}"
    for run in children:
        missing = [tag for tag in TAGS.split() if tag not in run.data.tags]
        names = [f"test/{f}{end}" for f in FIGURES for end in ("", "_lo", "_hi")]
        names += ["cost/seconds", "cost/parameters"]
        if run.data.tags["kind"] == "train":
            names += ["train/loss", "val/loss", "val/l1rc_median"]
        missing += [name for name in names if name not in run.data.metrics]
        assert not missing, f"{run.info.run_name} lacks {missing}"
        assert run.inputs.dataset_inputs, f"{run.info.run_name} names no dataset"
    parent = next(run for run in runs if run not in children)
    assert "reference/l1rc_median" in parent.data.metrics, "the shot-noise reference"
    print(f"runs: {len(runs)}, all FINISHED with the metrics of the contract")
    open_in_browser(folder / "reports" / "demo.html")


def open_in_browser(page: Path) -> None:
    """Open a page in headless Chromium; no console message may appear."""
    browser = shutil.which("chromium")
    assert browser, "chromium is not installed"
    with tempfile.TemporaryDirectory() as scratch:
        picture = Path(scratch) / "page.png"
        done = subprocess.run(
            [
                browser,
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--enable-logging=stderr",
                f"--user-data-dir={scratch}/profile",
                f"--screenshot={picture}",
                page.resolve().as_uri(),
            ],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        complaints = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
        assert not complaints, complaints
        assert picture.stat().st_size > 10_000, "the page is empty"
    print(f"report: {page.name} opens without a console message")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
