"""Make a dataset, train networks, fit baselines, compare them, write a report."""

from __future__ import annotations

from dataclasses import dataclass

from qmend.datasets.table import Dataset, load_dataset
from qmend.devices.device import Device, load_device
from qmend.devices.vector import SLOTS, VECTOR_SIZE, calibration_vector
from qmend.evaluation.scores import reference
from qmend.files import check_writable
from qmend.mitigation.baselines import STANDARD_BASELINES
from qmend.reporting.demo_page import write_demo_page
from qmend.runs.leaderboard import Leaderboard
from qmend.runs.reading import ScoredRun
from qmend.runs.scoring import Context, dataset_tags, log_dataset, run_baseline
from qmend.runs.training import run_training
from qmend.tracking.run import Run, start_run
from qmend.tracking.store import open_store
from qmend.training.environment import choose_accelerator
from qmend.types import QmendError
from qmend.workflows.configs import DemoConfig
from qmend.workflows.generate import generate
from qmend.workflows.observer import Observer, announce_new


@dataclass(frozen=True)
class Demo:
    """Networks and baselines compared on one dataset, with the id of the parent run."""

    leaderboard: Leaderboard
    run_id: str


def demo(config: DemoConfig, observer: Observer | None = None) -> Demo:
    """Make a dataset, train the networks, fit the baselines, compare all, write the report.

    Args:
        config: composed by ``compose("demo", ...)``.

    Raises:
        QmendError: before any work, for circuits that leave qubits unmeasured.
    """
    observer = observer or Observer()
    if config.simulated.measured_sizes != [config.simulated.family.n_qubits]:
        raise QmendError(
            "The demo compares networks that take fully measured circuits alone; choose "
            "dataset.measured_qubits=null."
        )
    for parts in config.trainings.values():
        choose_accelerator(parts.trainer)  # refused before any work
    check_writable(config.output)
    announce_new(observer, "Runs", config.tracking.root)
    store = open_store(config.tracking.root)
    device = load_device(config.device)
    _describe(device, observer)
    observer.step("2/5 Circuits: drawn, compiled, simulated, sampled, labels proven")
    generate(config, observer)
    dataset = load_dataset(config.dataset_folder)
    tags = {"kind": "demo", **dataset_tags(dataset)}
    with start_run(store, f"demo {dataset.folder.name}", tags, config.plain()) as parent:
        context = Context(store, dataset, parent=parent.run_id)
        board = _compare(config, context, observer)
        _log(board, dataset, parent)
        observer.step("5/5 Report")
        write_demo_page(config.output, f"qmend demo: {device.name}", board, dataset)
        with parent.artifact_folder("report") as folder:
            (folder / config.output.name).write_text(config.output.read_text())
    return Demo(board, parent.run_id)


def _describe(device: Device, observer: Observer) -> None:
    time = f"{device.calibration.time:%Y-%m-%d %H:%M} UTC"
    observer.step(f"1/5 Calibration of {device.name}, {time}, qubits {list(device.layout)}")
    if device.n_qubits == 5 and "cx" in device.native_gates:
        vector = calibration_vector(device.calibration, device.layout)
        gates = 100 * vector[SLOTS["two_qubit_error"]]
        readout = 100 * vector[SLOTS["readout"]][1::4]  # 1-e, e, e, 1-e of each qubit
        observer.message(
            f"{VECTOR_SIZE} values: CX errors {gates.min():.2f} to {gates.max():.2f} %, readout "
            f"errors {readout.min():.2f} to {readout.max():.2f} %"
        )


def _compare(config: DemoConfig, context: Context, observer: Observer) -> Leaderboard:
    shared = {k: v for k, v in config.plain().items() if k not in ("trainings", "output")}
    observer.step(f"3/5 Training {len(config.trainings)} networks")
    models: list[ScoredRun] = []
    for name, parts in config.trainings.items():
        training = parts.training(config.seed)
        with observer.training(name, training.trainer.max_epochs) as watching:
            own = {**shared, **parts.plain()}
            models.append(run_training(context, name, training, own, observer=watching))
    observer.step(f"4/5 Fitting {len(STANDARD_BASELINES)} baselines")
    baselines = [run_baseline(context, kind(), shared) for kind in STANDARD_BASELINES]
    return Leaderboard.of([*baselines, *models], reference(context.scored))


def _log(board: Leaderboard, dataset: Dataset, parent: Run) -> None:
    """Log the reference and the best model's figures to the parent run."""
    best = board.best
    figures = best.runs[0].summary.metrics("best/") if best else {}
    if board.reference:
        figures |= board.reference.logged("reference/l1rc_median")
    parent.metrics(figures)
    parent.tags({"best": best.name if best else "none"})
    log_dataset(parent, dataset, "test")
