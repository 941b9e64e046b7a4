"""``qmend study ...``: one function a study."""

from __future__ import annotations

import json
from typing import Any

from rich import box
from rich.table import Table

from qmend.cli.hydra_app import run_hydra
from qmend.cli.schema import PublishedNoiseStudyConfig
from qmend.cli.terminal import circuits_progress, console
from qmend.studies.published_noise import Finding, PublishedNoiseConfig, Statistics, run_study
from qmend.tracking.run import start_run
from qmend.tracking.store import open_store


def published_noise_main(arguments: list[str]) -> None:
    """Which noise gives the published statistics."""
    run_hydra("study/published_noise", PublishedNoiseStudyConfig, _published_noise, arguments)


def _published_noise(config: PublishedNoiseStudyConfig, plain: dict[str, Any]) -> None:
    store = open_store(config.tracking.root)
    fields = PublishedNoiseConfig.model_fields
    study = PublishedNoiseConfig(**{name: getattr(config, name) for name in fields})
    findings: list[Finding] = []
    with start_run(store, "study published_noise", {"kind": "study"}, plain) as parent:
        with circuits_progress() as progress:
            for finding in run_study(
                study,
                config.simulated,
                config.device,
                config,
                store,
                parent.run_id,
                plain,
                config.data.root,
                config.data.workers,
                config.seed,
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
