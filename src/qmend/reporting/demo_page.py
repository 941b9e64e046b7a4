"""Write the page of the demo: one dataset, its baselines and networks."""

from __future__ import annotations

from pathlib import Path

from qmend.datasets.table import Dataset
from qmend.reporting import figures
from qmend.reporting.html import inline, write_page
from qmend.reporting.leaderboard import leaderboard_table, verdicts
from qmend.runs.leaderboard import Leaderboard


def write_demo_page(path: Path, title: str, board: Leaderboard, dataset: Dataset) -> None:
    """Write the page of a leaderboard that was just scored on a test split."""
    data = dataset.part("test")
    runs = {run.name: run for run in board.runs}
    example = board.best or board.configurations[-1]
    # The two that change nothing or everything would only stretch the axis.
    colour_of = figures.colours([name for name in runs if name not in ("none", "uniform")])
    trainings = [figures.Curves(r.name, r.history) for r in board.runs if r.kind != "baseline"]
    plots = {
        "curves": figures.training_curves(trainings, colour_of),
        "gates": figures.by_two_qubit_gates(data, board.runs, colour_of),
        "examples": figures.example_circuits(data, runs[example.name]),
    }
    write_page(
        path,
        "demo_page",
        title=title,
        facts=dataset_facts(dataset),
        table=leaderboard_table(board, ranked=False),
        example=example.name,
        verdicts=verdicts(board),
        plots={name: inline(figure, name) for name, figure in plots.items()},
    )


def dataset_facts(dataset: Dataset) -> list[tuple[str, str]]:
    """List device, calibration, circuits and dataset as labels and values."""
    circuits = dataset.rows.circuits
    chains = {f"{c.device}, physical qubits {list(layout)}": None for c, layout in circuits.chains}
    times = sorted(c.time for c in circuits.calibrations)
    calibration = f"{times[0]:%Y-%m-%d %H:%M} UTC ({circuits.calibrations[0].calibration_id})"
    if len(times) > 1:
        calibration = f"{len(times)} snapshots, {times[0]:%Y-%m-%d} to {times[-1]:%Y-%m-%d}"
    return [
        ("device", "; ".join(chains)),
        ("calibration", calibration),
        (
            "circuits",
            f"{len(dataset.rows):,} of the {dataset.family} family, {circuits.shots[0]:,} shots, "
            f"{dataset.source}",
        ),
        ("dataset", f"{dataset.manifest.name}, hash {dataset.manifest.dataset_sha}"),
    ]
