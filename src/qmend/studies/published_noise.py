"""What noise would give the published statistics of real hardware (arXiv 2601.14226)?

The authors' real test sets, rescored by a third party, are far noisier than the calibration
explains, and a circuit-blind network removes only a quarter of the error. Each hypothesis (how
many gadgets, which noise, labels that belong to the counts or not) gets the strength of its
noise fitted to the unmitigated statistics; then a circuit-blind network is trained on it, and
its statistics are set beside the published ones, to which nothing was fitted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar

from qmend import metrics
from qmend.circuits.statevector import to_bit_order
from qmend.datasets.config import DatasetConfig
from qmend.datasets.table import Dataset, load_dataset
from qmend.devices.device import DeviceConfig, resolve
from qmend.generation.generate import generate
from qmend.generation.job import DrawnJob, GenerationSetup, draw_job, generation_setup
from qmend.noise.readout import apply_readout
from qmend.runs.scoring import Context
from qmend.runs.training import run_training
from qmend.simulation.sampling import sample_counts
from qmend.studies.config import Hypothesis, PublishedNoiseConfig, Statistics
from qmend.tracking.store import Store
from qmend.training.config import TrainingConfig
from qmend.types import FloatArray, Progress, QmendError

#: The statistics compared: means over circuits.
STATISTICS = ("tv", "hellinger", "rmse")


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


def statistics(ideal: FloatArray, noisy: FloatArray, mitigated: FloatArray) -> Statistics:
    """Statistics of mitigated distributions (N, K)."""
    better = metrics.kl_divergence(ideal, mitigated) < metrics.kl_divergence(ideal, noisy)
    return Statistics(
        tv=float(metrics.total_variation(ideal, mitigated).mean()),
        hellinger=float(metrics.hellinger(ideal, mitigated).mean()),
        rmse=float(metrics.rmse(ideal, mitigated).mean()),
        improved_pct=float(100.0 * better.mean()),
    )


def deviation(found: Statistics, published: Statistics) -> float:
    """Root mean square of the relative deviations of TV, Hellinger and RMSE."""
    parts = [getattr(found, name) / getattr(published, name) - 1 for name in STATISTICS]
    return float(np.sqrt(np.mean(np.square(parts))))


def run_study(
    study: PublishedNoiseConfig,
    dataset: DatasetConfig,
    device: DeviceConfig,
    training: TrainingConfig,
    store: Store,
    parent: str,
    config: Mapping[str, Any],
    root: Path,
    workers: int,
    progress: Progress = lambda done, total: None,
) -> Iterator[Finding]:
    """Fit and test each hypothesis in turn; each training is a tracked run.

    Raises:
        QmendError: if the dataset's noise is not the surrogate.
    """
    if dataset.noise.constants != "seed":
        raise QmendError(
            "study published_noise fits the surrogate's strength; use "
            "dataset/noise=surrogate_hardware."
        )
    for name, hypothesis in study.hypotheses.items():
        family = {**dataset.family.model_dump(), "gadgets": hypothesis.gadgets}
        own = DatasetConfig.model_validate(
            {**dataset.model_dump(), "family": family, "name": f"{dataset.name}_{name}"}
        )
        for field in ("strength", "idle_relaxation"):
            own = _with_value(own, field, getattr(hypothesis, field))
        value = hypothesis.value
        if value is None:
            value = fit_value(study, own, device, hypothesis)
        own = _with_value(own, hypothesis.scale, value)
        folder = root / f"{own.name}_{device.name}"
        generate(own, device, folder, workers, progress, replace=True)
        data = load_dataset(folder)
        if hypothesis.permuted:
            data = _mislabelled(data)
        recipe = {**dict(config), "hypothesis": {"name": name, **hypothesis.model_dump()}}
        recipe["dataset"] = own.model_dump(mode="json") | {"family": family}
        entry = run_training(
            Context(store, data, parent=parent), f"published_noise {name}", training, recipe
        )
        assert entry.mitigated is not None
        test = data.part("test")
        noisy = test.circuits.noisy
        before = statistics(test.ideal, noisy, noisy)
        logarithm = np.log(np.where(test.ideal > 0, test.ideal, 1.0))
        in_place = np.arange(test.measured.shape[1])
        yield Finding(
            name=name,
            value=value,
            unmitigated=before,
            blind=statistics(test.ideal, noisy, entry.mitigated),
            deviation=deviation(before, study.unmitigated),
            entropy=float(-(test.ideal * logarithm).sum(axis=1).mean()),
            permuted_pct=float(100.0 * (test.measured != in_place).any(axis=1).mean()),
        )


def fit_value(
    study: PublishedNoiseConfig,
    dataset: DatasetConfig,
    device: DeviceConfig,
    hypothesis: Hypothesis,
) -> float:
    """The value whose unmitigated statistics deviate least from the published ones."""
    setup = generation_setup(dataset, resolve(device))
    jobs = np.unique(np.linspace(0, dataset.jobs - 1, study.fit_jobs).astype(int)).tolist()
    drawn = {job: draw_job(setup, job, {}) for job in jobs}

    def off(value: float) -> float:
        found = _unmitigated(setup, drawn, hypothesis, value)
        return deviation(found, study.unmitigated) ** 2

    best = minimize_scalar(
        off, bounds=(0.0, study.largest), method="bounded", options={"xatol": 0.02}
    )
    return round(float(best.x), 2)


def _unmitigated(
    setup: GenerationSetup, drawn: Mapping[int, DrawnJob], hypothesis: Hypothesis, value: float
) -> Statistics:
    dataset = _with_value(setup.dataset, hypothesis.scale, value)
    layout = setup.device.layout
    ideal, noisy = [], []
    for job, circuits in drawn.items():
        executor = dataset.noise.executor(dataset.simulator, setup.calibration(job), layout)
        exact = apply_readout(executor.probabilities(circuits.table, job), executor.readout)
        if not hypothesis.permuted:
            exact = to_bit_order(exact, circuits.measured)
        seeds = [np.random.SeedSequence([seed, 1]) for seed in circuits.seeds]
        noisy.append(sample_counts(exact, dataset.shots, seeds) / dataset.shots)
        ideal.append(circuits.ideal)
    p, q = np.concatenate(ideal), np.concatenate(noisy)
    return statistics(p, q, q)


def _with_value(dataset: DatasetConfig, scale: str, value: float) -> DatasetConfig:
    noise = dataset.noise.model_copy(update={scale: value})
    return dataset.model_copy(update={"noise": noise})


def _mislabelled(data: Dataset) -> Dataset:
    """The labels left in the source's bit order while the counts are in chain order."""
    rows = data.rows
    return replace(data, rows=replace(rows, ideal=to_bit_order(rows.ideal, rows.measured)))
