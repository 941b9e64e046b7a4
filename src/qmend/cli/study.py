"""``qmend study ...``: one function a study."""

from __future__ import annotations

import json
from typing import Any

import yaml
from rich import box
from rich.table import Table

from qmend.cli.terminal import TerminalObserver, console
from qmend.datasets.expectations import load_expectations
from qmend.devices.device import load_device
from qmend.noise.fitting import FitSettings
from qmend.reporting.fidelity import fidelity_table, save_fidelity_figure
from qmend.reporting.html import check_writable
from qmend.studies import noise_fidelity
from qmend.studies.config import PublishedNoiseConfig, Statistics
from qmend.studies.fidelity import BINS, MEASURED, FitReport
from qmend.studies.published_noise import Finding, run_study
from qmend.tracking.run import start_run
from qmend.tracking.store import open_store
from qmend.workflows.configs import NoiseFidelityStudyConfig, PublishedNoiseStudyConfig


def study_noise_fidelity(config: NoiseFidelityStudyConfig) -> None:
    """How faithful noise models are to a device."""
    check_writable(config.output / "report.md")
    store = open_store(config.tracking.root)
    data, device = load_expectations(config.dataset_folder), load_device(config.device)
    tags = {
        "kind": "study",
        "device": device.name,
        "source": "hardware",
        "dataset": data.manifest.name,
        "dataset_sha": data.manifest.dataset_sha,
        "seed": str(config.seed),
    }
    settings = FitSettings(iterations=config.iterations)
    with start_run(store, "study noise_fidelity", tags, config.plain()) as run:
        run.dataset(data.manifest.name, data.manifest.dataset_sha, str(data.folder), "fit")
        console.print(f"  Fitting to a third of {len(data):,} circuits of {device.name}")
        report = noise_fidelity.run_study(data, device, settings, config.seed, config.replicates)
        for row in report.rows:
            name = "_".join(row.name.replace(",", "").replace("'", "").split())
            run.metrics(
                {
                    f"test/{name}/slope": row.slope.value,
                    f"test/{name}/mean_error": row.mean_error.value,
                    f"test/{name}/correlation": row.correlation.value,
                    f"test/{name}/error_to_measured": row.error_to_measured.value,
                }
            )
        config.output.mkdir(parents=True, exist_ok=True)
        (config.output / "report.md").write_text(fidelity_table(report.rows) + "\n")
        (config.output / "noise.yaml").write_text(
            yaml.safe_dump(report.fit.config.model_dump(mode="json"), sort_keys=False)
        )
        save_fidelity_figure(report, config.output / "fidelity")
        run.files(config.output, "report")
    console.print(_fidelity(report))
    console.print(f"  Tables, figure and noise config: {config.output}")
    console.print(f"  Run {run.run_id}")


def _fidelity(report: FitReport) -> Table:
    table = Table(
        title=f"<Z> of {len(report.test):,} circuits that no fit saw",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column("", no_wrap=True)
    bins = [f"{low}-{high} CX" for low, high in BINS]
    for name in ("slope", "MAE", "corr.", *bins, "RMSE"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in report.rows:
        own = (row.slope, row.mean_error, row.correlation, *row.slopes)
        to_measured = "" if row.name == MEASURED else f"{row.error_to_measured.value:.3f}"
        table.add_row(row.name, *(f"{i.value:.3f}" for i in own), to_measured)
    table.caption = "slope, MAE, correlation: to the ideal values; RMSE: to the measured ones"
    return table


def study_published_noise(config: PublishedNoiseStudyConfig) -> None:
    """Which noise gives the published statistics."""
    store = open_store(config.tracking.root)
    fields = PublishedNoiseConfig.model_fields
    study = PublishedNoiseConfig(**{name: getattr(config, name) for name in fields})
    findings: list[Finding] = []
    with start_run(store, "study published_noise", {"kind": "study"}, config.plain()) as parent:
        with TerminalObserver().circuits() as progress:
            for finding in run_study(
                study,
                config.simulated,
                config.device,
                config.training(config.seed),
                store,
                parent.run_id,
                config.plain(),
                config.data.root,
                config.data.workers,
                progress,
            ):
                findings.append(finding)
                parent.metrics({f"{finding.name}/deviation": finding.deviation})
        text = json.dumps([_plain(f) for f in findings], indent=1)
        parent.text(text, "findings.json")
    console.print(_table(study, findings))
    console.print(f"  Run {parent.run_id}")


def _plain(finding: Finding) -> dict[str, Any]:
    out = dict(vars(finding))
    return {k: v.model_dump() if isinstance(v, Statistics) else v for k, v in out.items()}


def _table(study: PublishedNoiseConfig, findings: list[Finding]) -> Table:
    table = Table(
        title="Noise that would give the published statistics: unmitigated | after a blind network",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column("hypothesis", no_wrap=True)
    for name in ("value", "TV", "Hell.", "RMSE", "off %", "nats", "perm. %", "| TV", "Hell."):
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("RMSE", "impr. %"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_row("published", "", *_three(study.unmitigated), "", "", "", *_four(study.blind))
    for finding in findings:
        table.add_row(
            finding.name,
            f"{finding.value:.2f}",
            *_three(finding.unmitigated),
            f"{100 * finding.deviation:.1f}",
            f"{finding.entropy:.2f}",
            f"{finding.permuted_pct:.0f}",
            *_four(finding.blind),
        )
    return table


def _three(values: Statistics) -> list[str]:
    return [f"{values.tv:.3f}", f"{values.hellinger:.3f}", f"{values.rmse:.4f}"]


def _four(values: Statistics) -> list[str]:
    improved = "" if values.improved_pct is None else f"{values.improved_pct:.1f}"
    return [*_three(values), improved]
