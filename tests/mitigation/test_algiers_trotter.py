"""The table of docs/datasets/algiers_trotter.md: baselines on expectation values of a device."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qmend.datasets.circuits import fill_missing
from qmend.datasets.expectations import load_expectations
from qmend.datasets.table import load_dataset
from qmend.devices.imputation import MeanCalibration
from qmend.devices.providers import fake_calibration
from qmend.metrics import Bootstrap, Interval, interval_text
from qmend.mitigation.baselines import BASELINES

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "data" / "algiers_trotter"
DOCUMENT = ROOT / "docs" / "datasets" / "algiers_trotter.md"
EXTRAPOLATION = "zero-noise extrapolation (source)"
#: Beside the measured values. The table has ``path_inversion`` and ``path_inversion_biased``, too,
#: which take a quarter of a minute more.
FITTED = ("path_inversion_readout",)
FOLDS = 5
Z = np.array([1.0, -1.0])


@pytest.fixture(scope="module")
def errors() -> tuple[dict[str, np.ndarray], np.ndarray]:
    """|error of <Z>| of each value by method, and the job of each.

    Each fold of jobs is mitigated by what was fitted to the other four.
    """
    circuits = load_dataset(FOLDER).rows
    calibration = fake_calibration("FakeAlgiers").restrict((0, 1, 2, 3))
    filled = fill_missing(circuits.circuits, MeanCalibration.of([calibration])).circuits
    circuits = replace(circuits, circuits=filled)
    jobs, job = np.unique(circuits.job, return_inverse=True)
    fold = (np.random.default_rng(0).permutation(len(jobs)) % FOLDS)[job]
    true = circuits.ideal @ Z
    extrapolated = load_expectations(FOLDER).extrapolated_values
    by_name = {EXTRAPOLATION: np.abs(extrapolated.reshape(-1) - true)}
    for name in ("none", *FITTED):
        mitigated = np.zeros(len(true))
        for k in range(FOLDS):
            baseline = BASELINES[name]().fit(circuits.select(np.flatnonzero(fold != k)))
            held_out = np.flatnonzero(fold == k)
            mitigated[held_out] = baseline.mitigate(circuits.select(held_out).circuits) @ Z
        by_name[name] = np.abs(mitigated - true)
    return by_name, job


def intervals(by_name: dict[str, np.ndarray], job: np.ndarray, name: str) -> tuple[Interval, ...]:
    """Mean absolute error, and its difference from the source's extrapolation in pairs."""
    draws = Bootstrap(job, "jobs")
    own, difference = by_name[name], by_name[name] - by_name[EXTRAPOLATION]
    return tuple(draws.interval(lambda k, v=v: float(v[k].mean())) for v in (own, difference))


def test_fitted_readout_errors_beat_the_extrapolation(errors):
    """Which took further shots."""
    mean, difference = intervals(*errors, "path_inversion_readout")
    assert mean.value < 0.067
    assert difference.hi < -0.005


def test_the_table_of_the_document(errors):
    rows = dict(re.findall(r"^\| ([^|]+) \| (0\.\d{4} .*) \|$", DOCUMENT.read_text(), re.M))
    for name in errors[0]:
        shown = " | ".join(interval_text(each, 4) for each in intervals(*errors, name))
        assert rows[name if name == EXTRAPOLATION else f"`{name}`"] == shown
