"""How faithful are noise models to a device, and what does fitting their constants do?

Executed circuits with measured <Z>: a third is fitted to, the rest compares Aer's device model,
the surrogate with drawn constants and the fitted one, each against ideal and measured values.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import yaml
from pydantic import Field

from qmend.files import check_writable
from qmend.reporting.table import Table
from qmend.studies.base import StudyResult
from qmend.types import IntArray, QmendError
from qmend.workflows.data_config import CommonConfig
from qmend.workflows.observer import Observer, announce_new

if TYPE_CHECKING:  # numba, MLflow, matplotlib
    from qmend.datasets.expectations import Expectations
    from qmend.devices.device import Device
    from qmend.noise.fitting import FitSettings
    from qmend.studies.fidelity import Agreement, FitReport

#: Name of the source's own mitigation in the tables.
EXTRAPOLATED = "the source's zero-noise extrapolation"


class Config(CommonConfig):
    """``conf/study/noise_fidelity.yaml``.

    Attributes:
        iterations: of the fit, at most.
        replicates: of the bootstrap.
        output: directory of the tables, the figure and the fitted noise config.
    """

    seed: int = Field(ge=0)
    iterations: int = Field(ge=1)
    replicates: int = Field(ge=2)
    output: Path


def run(config: Config, observer: Observer) -> StudyResult:
    """Fit on a third of the measured circuits and compare on the rest, as one tracked run.

    Raises:
        QmendError: if the circuits ran on other qubits, or the values are not single-qubit <Z>.
    """
    from qmend.datasets.expectations import load_expectations
    from qmend.devices.device import load_device
    from qmend.noise.fitting import FitSettings
    from qmend.studies.fidelity_report import (
        agreement_table,
        fidelity_table,
        save_fidelity_figure,
    )
    from qmend.tracking.run import start_run
    from qmend.tracking.store import open_store

    check_writable(config.output / "report.md")
    announce_new(observer, "Runs", config.tracking.root)
    store = open_store(config.tracking.root)
    data, device = load_expectations(config.dataset_folder), load_device(config.device)
    manifest = data.manifest
    tags = {
        "kind": "study",
        "device": device.name,
        "source": "hardware",
        "dataset": manifest.name,
        "dataset_sha": manifest.dataset_sha,
        "seed": str(config.seed),
    }
    settings = FitSettings(iterations=config.iterations)
    with start_run(store, "study noise_fidelity", tags, config.plain()) as tracked:
        tracked.dataset(manifest.name, manifest.dataset_sha, str(data.folder), "fit")
        observer.message(f"Fitting to a third of {len(data):,} circuits of {device.name}")
        report = compare_models(data, device, settings, config.seed, config.replicates)
        for row in report.rows:
            tracked.metrics(_metrics(row))
        config.output.mkdir(parents=True, exist_ok=True)
        (config.output / "report.md").write_text(fidelity_table(report.rows) + "\n")
        noise = report.fit.config.plain()
        (config.output / "noise.yaml").write_text(yaml.safe_dump(noise, sort_keys=False))
        save_fidelity_figure(report, config.output / "fidelity")
        tracked.files(config.output, "tables")
    table: Table = agreement_table(report)
    notes = (f"Tables, figure and noise config: {config.output}",)
    return StudyResult(tracked.run_id, (table,), notes)


def _metrics(row: Agreement) -> dict[str, float]:
    name = "_".join(row.name.replace(",", "").replace("'", "").split())
    figures = ("slope", "mean_error", "correlation", "error_to_measured")
    return {f"test/{name}/{figure}": getattr(row, figure).value for figure in figures}


def compare_models(
    data: Expectations, device: Device, settings: FitSettings, seed: int, replicates: int
) -> FitReport:
    """Fit on a third and compare on the rest.

    Raises:
        QmendError: if the circuits ran on other qubits, or the values are not single-qubit <Z>.
    """
    from qmend.studies.fidelity import fit_report

    layouts = {tuple(row) for row in data.layouts.tolist()}
    if layouts != {device.layout}:
        raise QmendError(
            f"The circuits of {data.folder} ran on {sorted(layouts)}, device.layout is "
            f"{list(device.layout)}; make the two equal."
        )
    others = {}
    if data.extrapolated_values is not None:
        others[EXTRAPOLATED] = data.extrapolated_values
    return fit_report(
        data.instructions,
        data.measured[:, observed_bits(data.observables)],
        data.values,
        data.ideal_values,
        data.job_id,
        device.calibration,
        device.layout,
        seed=seed,
        shots=int(data.shots.min()),
        settings=settings,
        others=others,
        replicates=replicates,
    )


def observed_bits(observables: tuple[str, ...]) -> IntArray:
    """Read the classical bit of each single-qubit <Z>; bit 0 is the rightmost letter.

    Raises:
        QmendError: if an observable acts on another number of bits than one.
    """
    for label in observables:
        if label.count("Z") != 1:
            raise QmendError(f"The study compares single-qubit <Z>, the data hold {label!r}.")
    return np.array([len(label) - 1 - label.index("Z") for label in observables])
