"""Fit the strength of a surrogate's noise to statistics of measured circuits."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.optimize import minimize_scalar

from qmend import metrics
from qmend.circuits.statevector import to_bit_order
from qmend.datasets.config import DatasetConfig
from qmend.devices.device import DeviceConfig, resolve
from qmend.generation.job import DrawnJob, draw_job
from qmend.generation.setup import GenerationSetup, generation_setup
from qmend.noise.readout import apply_readout
from qmend.simulation.sampling import sample_counts
from qmend.studies.published_noise import Hypothesis, Statistics
from qmend.types import FloatArray

#: The statistics compared: means over circuits.
STATISTICS = ("tv", "hellinger", "rmse")


def statistics(ideal: FloatArray, noisy: FloatArray, mitigated: FloatArray) -> Statistics:
    """Compute the statistics of mitigated distributions (N, K)."""
    better = metrics.kl_divergence(ideal, mitigated) < metrics.kl_divergence(ideal, noisy)
    return Statistics(
        tv=float(metrics.total_variation(ideal, mitigated).mean()),
        hellinger=float(metrics.hellinger(ideal, mitigated).mean()),
        rmse=float(metrics.rmse(ideal, mitigated).mean()),
        improved_pct=float(100.0 * better.mean()),
    )


def deviation(ours: Statistics, published: Statistics) -> float:
    """Return the RMS of the relative deviations of TV, Hellinger and RMSE."""
    parts = [getattr(ours, name) / getattr(published, name) - 1 for name in STATISTICS]
    return float(np.sqrt(np.mean(np.square(parts))))


def fit_value(
    published: Statistics,
    dataset: DatasetConfig,
    device: DeviceConfig,
    hypothesis: Hypothesis,
    fit_jobs: int,
    largest: float,
) -> float:
    """Find the value whose unmitigated statistics deviate least from the published ones.

    Args:
        fit_jobs: jobs whose circuits are simulated.
        largest: upper end of the search.
    """
    setup = generation_setup(dataset, resolve(device))
    jobs = np.unique(np.linspace(0, dataset.jobs - 1, fit_jobs).astype(int)).tolist()
    drawn = {job: draw_job(setup, job, {}) for job in jobs}

    def off(value: float) -> float:
        return deviation(_unmitigated(setup, drawn, hypothesis, value), published) ** 2

    best = minimize_scalar(off, bounds=(0.0, largest), method="bounded", options={"xatol": 0.02})
    return round(float(best.x), 2)


def _unmitigated(
    setup: GenerationSetup, drawn: Mapping[int, DrawnJob], hypothesis: Hypothesis, value: float
) -> Statistics:
    dataset = with_value(setup.dataset, hypothesis.scale, value)
    layout = setup.device.layout
    shots = dataset.fixed_shots()
    ideal, noisy = [], []
    for job, circuits in drawn.items():
        executor = dataset.noise.executor(dataset.simulator, setup.calibration(job), layout)
        exact = apply_readout(executor.probabilities(circuits.table, job), executor.readout)
        if not hypothesis.permuted:
            exact = to_bit_order(exact, circuits.measured)
        seeds = [np.random.SeedSequence([seed, 1]) for seed in circuits.seeds]
        noisy.append(sample_counts(exact, shots, seeds) / shots)
        ideal.append(circuits.ideal)
    p, q = np.concatenate(ideal), np.concatenate(noisy)
    return statistics(p, q, q)


def with_value(dataset: DatasetConfig, scale: str, value: float) -> DatasetConfig:
    """Set a value of the dataset's noise."""
    noise = dataset.noise.model_copy(update={scale: value})
    return dataset.model_copy(update={"noise": noise})
