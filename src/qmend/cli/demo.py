"""``qmend demo``: the main job once through, on a real device's calibration."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from qmend.cli.terminal import console, epoch_progress, generate_with_progress
from qmend.datasets.table import Dataset, load_dataset
from qmend.devices.device import load_device
from qmend.devices.vector import VECTOR_SIZE, calibration_vector
from qmend.evaluation.scores import reference
from qmend.mitigation.baselines import STANDARD_BASELINES
from qmend.reporting.html import ReportFacts, check_writable, dataset_facts, write_report
from qmend.reporting.leaderboard import leaderboard_table, verdicts
from qmend.runs.leaderboard import Leaderboard
from qmend.runs.reading import ScoredRun
from qmend.runs.scoring import Context, dataset_tags, run_baseline
from qmend.runs.training import run_training
from qmend.tracking.run import Run, start_run
from qmend.tracking.store import open_store
from qmend.workflows.configs import DemoConfig


def run_demo(config: DemoConfig, plain: dict[str, Any]) -> None:
    """Dataset, trainings, baselines, table, report."""
    started = time.perf_counter()
    check_writable(config.output)
    store = open_store(config.tracking.root)
    device = load_device(config.device)
    console.print(
        f"[bold]1/5[/] Calibration of {device.name}, {device.calibration.time:%Y-%m-%d %H:%M} UTC, "
        f"qubits {list(device.layout)}"
    )
    if device.n_qubits == 5 and "cx" in device.native_gates:
        vector = calibration_vector(device.calibration, device.layout)
        console.print(
            f"  {VECTOR_SIZE} values: CX errors {100 * vector[45:53].min():.2f} to "
            f"{100 * vector[45:53].max():.2f} %, readout errors {100 * vector[26:45:4].min():.2f} "
            f"to {100 * vector[26:45:4].max():.2f} %"
        )
    console.print("[bold]2/5[/] Circuits: drawn, compiled, simulated, sampled, labels proven")
    generate_with_progress(config)
    dataset = load_dataset(config.dataset_folder)
    tags = {"kind": "demo", **dataset_tags(dataset)}
    with start_run(store, f"demo {dataset.folder.name}", tags, plain) as parent:
        context = Context(store, dataset, parent=parent.run_id)
        board = _compare(config, plain, context, parent)
        console.print("[bold]5/5[/] Report")
        facts = ReportFacts(f"qmend demo: {device.name}", dataset_facts(dataset))
        write_report(config.output, board, context.scored, facts)
        with parent.artifact_folder("report") as folder:
            (folder / config.output.name).write_text(config.output.read_text())
    console.print()
    console.print(leaderboard_table(board, ranked=False).terminal())
    for line in verdicts(board):
        console.print(f"  {line}")
    console.print()
    console.print(f"Report: {config.output.resolve()}")
    console.print(f"Runs:   qmend ui{_root_option(config.tracking.root)}  (in a checkout: make ui)")
    console.print(f"Took {time.perf_counter() - started:.0f} s.")


def _compare(
    config: DemoConfig, plain: dict[str, Any], context: Context, parent: Run
) -> Leaderboard:
    console.print(f"[bold]3/5[/] Training {len(config.trainings)} networks")
    models: list[ScoredRun] = []
    for name, fitted in config.trainings.items():
        training = fitted.training(config.seed)
        own = {
            **{k: v for k, v in plain.items() if k not in ("trainings", "output")},
            **plain["trainings"][name],
        }
        with epoch_progress(name, training.trainer.max_epochs) as observer:
            models.append(run_training(context, name, training, own, observer=observer))
    console.print(f"[bold]4/5[/] Fitting {len(STANDARD_BASELINES)} baselines")
    shared = {k: v for k, v in plain.items() if k not in ("trainings", "output")}
    baselines = [run_baseline(context, kind(), shared) for kind in STANDARD_BASELINES]
    board = Leaderboard.of([*baselines, *models], reference(context.scored))
    _log(board, context.dataset, parent)
    return board


def _log(board: Leaderboard, dataset: Dataset, parent: Run) -> None:
    """Log the reference and the best model's figures to the parent run."""
    best = board.best
    figures = best.runs[0].summary.metrics("best/") if best else {}
    if board.reference:
        figures |= board.reference.logged("reference/l1rc_median")
    parent.metrics(figures)
    parent.tags({"best": best.name if best else "none"})
    parent.dataset(
        dataset.manifest.name,
        dataset.manifest.dataset_sha,
        str(dataset.folder.resolve()),
        "test",
    )


def _root_option(root: Path) -> str:
    return "" if root == Path("mlruns") else f" --root {root}"
