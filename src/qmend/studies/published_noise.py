"""What noise would give the published statistics of real hardware (arXiv 2601.14226)?

The authors' real test sets, rescored by a third party, are far noisier than the calibration
explains, and a circuit-blind network removes only a quarter of the error. Each hypothesis (how
many gadgets, which noise, labels that belong to the counts or not) gets the strength of its
noise fitted to the unmitigated statistics; then a circuit-blind network is trained on it, and
its statistics are set beside the published ones, to which nothing was fitted.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial

import numpy as np
from pydantic import Field

from qmend.config.model import ConfigModel
from qmend.datasets.config import DatasetConfig
from qmend.reporting.table import Column, Row, Table
from qmend.runs.cells import Cell, Outcome
from qmend.studies.base import Study, StudyResult, open_study
from qmend.studies.labels import mislabelled, permuted_pct
from qmend.training.config import FitConfig
from qmend.types import QmendError
from qmend.workflows.data_config import CommonConfig
from qmend.workflows.observer import Observer


class Statistics(ConfigModel):
    """Means over circuits; ``improved_pct``: share with a lower KL than unmitigated."""

    tv: float
    hellinger: float
    rmse: float
    improved_pct: float | None = None


class Hypothesis(ConfigModel):
    """One possible origin of the published data.

    Attributes:
        gadgets: at most T of them (``max``) or ``exact``.
        permuted: the labels are in the source's bit order and the counts in that of the
            physical wires, as after compiling first and measuring afterwards.
        strength, idle_relaxation: of the surrogate, where that is not what is fitted.
        scale: the value of the surrogate's config that is fitted.
        value: take this value instead of fitting it.
    """

    gadgets: str = Field(pattern="^(max|exact)$")
    permuted: bool = False
    strength: float = Field(1.0, ge=0)
    idle_relaxation: float = Field(1.0, ge=0)
    scale: str = Field("strength", pattern="^(strength|idle_relaxation)$")
    value: float | None = Field(None, ge=0)


class Config(CommonConfig, FitConfig):
    """``conf/study/published_noise.yaml``.

    Attributes:
        hypotheses: by name.
        unmitigated, blind: the published statistics, before and after the blind network.
        fit_jobs: jobs whose circuits the strength is fitted on.
        largest: upper end of the search.
    """

    seed: int = Field(ge=0)
    hypotheses: dict[str, Hypothesis] = Field(min_length=1)
    unmitigated: Statistics
    blind: Statistics
    fit_jobs: int = Field(ge=1)
    largest: float = Field(gt=0)


@dataclass(frozen=True)
class Finding:
    """One hypothesis, fitted and tested.

    Attributes:
        value: of the fitted scale.
        unmitigated, blind: its statistics on the test split.
        deviation: root mean square of the relative deviations of the three unmitigated ones.
        entropy: mean entropy of the ideal distributions, nats.
        permuted_pct: share of circuits whose wires end permuted.
    """

    name: str
    value: float
    unmitigated: Statistics
    blind: Statistics
    deviation: float
    entropy: float
    permuted_pct: float


def run(config: Config, observer: Observer) -> StudyResult:
    """Fit and test each hypothesis in turn; each is a cell, whose training is a tracked run.

    Raises:
        QmendError: if the dataset's noise is not the surrogate.
    """
    if config.simulated.noise.constants != "seed":
        raise QmendError(
            "study published_noise fits the surrogate's strength; use "
            "dataset/noise=surrogate_hardware."
        )
    findings: list[Finding] = []
    with open_study(config, "study published_noise", {}, observer) as study:
        for name, hypothesis in config.hypotheses.items():
            work = partial(examine_hypothesis, study, config, name, hypothesis)
            finding = study.cell(name, work, config.seed)
            if finding is not None:
                findings.append(finding)
                study.run.metrics({f"{name}/deviation": finding.deviation})
        plain = [
            {k: v.plain() if isinstance(v, Statistics) else v for k, v in vars(finding).items()}
            for finding in findings
        ]
        study.run.text(json.dumps(plain, indent=1), "findings.json")
    return StudyResult(study.run.run_id, (findings_table(config, findings),), (), study.failure)


def examine_hypothesis(
    study: Study, config: Config, name: str, hypothesis: Hypothesis, cell: Cell
) -> tuple[Finding, Outcome]:
    """Fit a hypothesis, make its dataset, train the network on it, compute the statistics."""
    from qmend.datasets.table import load_dataset
    from qmend.generation.generate import generate
    from qmend.mitigation.learned import LearnedMitigator
    from qmend.studies.strength_fit import deviation, fit_value, statistics, with_value
    from qmend.training.checkpoint import checkpoint_folder, load_checkpoint

    family = {**config.simulated.family.model_dump(), "gadgets": hypothesis.gadgets}
    plain = {**config.simulated.model_dump(), "family": family}
    dataset = DatasetConfig.model_validate({**plain, "name": f"{config.simulated.name}_{name}"})
    for field in ("strength", "idle_relaxation"):
        dataset = with_value(dataset, field, getattr(hypothesis, field))
    value = hypothesis.value
    if value is None:
        value = fit_value(
            config.unmitigated,
            dataset,
            config.device,
            hypothesis,
            config.fit_jobs,
            config.largest,
        )
    dataset = with_value(dataset, hypothesis.scale, value)
    folder = config.data.root / f"{dataset.name}_{config.device.name}"
    with study.observer.circuits() as progress:
        generate(dataset, config.device, folder, config.data.workers, progress, replace=True)
    data = load_dataset(folder)
    if hypothesis.permuted:
        data = mislabelled(data)
    recipe = {**config.plain(), "hypothesis": {"name": name, **hypothesis.plain()}}
    recipe["dataset"] = dataset.model_dump(mode="json") | {"family": family}
    scored, outcome = study.train_on(data, config.training(config.seed), recipe, cell)
    test = data.part("test")
    mitigated = scored.mitigated
    if mitigated is None:  # of an earlier command's run
        model, _ = load_checkpoint(checkpoint_folder(study.store, scored.run_id))
        mitigated = LearnedMitigator(model).mitigate(test.circuits)
    noisy = test.circuits.noisy
    before = statistics(test.ideal, noisy, noisy)
    logarithm = np.log(np.where(test.ideal > 0, test.ideal, 1.0))
    finding = Finding(
        name=name,
        value=value,
        unmitigated=before,
        blind=statistics(test.ideal, noisy, mitigated),
        deviation=deviation(before, config.unmitigated),
        entropy=float(-(test.ideal * logarithm).sum(axis=1).mean()),
        permuted_pct=permuted_pct(test),
    )
    return finding, outcome


def findings_table(config: Config, findings: list[Finding]) -> Table:
    """Tabulate the statistics of each hypothesis below the published ones."""
    numbers = ("value", "TV", "Hell.", "RMSE", "off %", "nats", "perm. %")
    after = ("| TV", "Hell.", "RMSE", "impr. %")
    columns = (Column.text("hypothesis"), *map(Column.number, (*numbers, *after)))
    published = _three(config.unmitigated), _four(config.blind)
    rows = [Row.of(["published", "", *published[0], "", "", "", *published[1]])]
    for finding in findings:
        rows.append(
            Row.of(
                [
                    finding.name,
                    f"{finding.value:.2f}",
                    *_three(finding.unmitigated),
                    f"{100 * finding.deviation:.1f}",
                    f"{finding.entropy:.2f}",
                    f"{finding.permuted_pct:.0f}",
                    *_four(finding.blind),
                ]
            )
        )
    title = "Noise that would give the published statistics: unmitigated | after a blind network"
    return Table(columns, (tuple(rows),), title)


def _three(values: Statistics) -> list[str]:
    return [f"{values.tv:.3f}", f"{values.hellinger:.3f}", f"{values.rmse:.4f}"]


def _four(values: Statistics) -> list[str]:
    improved = "" if values.improved_pct is None else f"{values.improved_pct:.1f}"
    return [*_three(values), improved]
