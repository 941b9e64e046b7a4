"""Datasets that span several calibrations: drift, randomized devices, splits by time."""

import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest

from qmend.datasets.config import DatasetConfig
from qmend.datasets.table import load_dataset
from qmend.generation.generate import generate
from qmend.generation.setup import generation_setup
from qmend.generation.verify import verify_dataset
from qmend.noise.config import AerNoiseConfig
from qmend.noise.readout import readout_matrices
from qmend.types import QmendError
from reference import rewrite_shard, stored_rows


def with_calibrations(config: DatasetConfig, **changes) -> DatasetConfig:
    return DatasetConfig.model_validate(
        {**config.model_dump(), "family": config.family.model_dump(), **changes}
    )


@pytest.fixture(scope="module")
def drifting(tiny_config, device_config, tmp_path_factory):
    """24 jobs that go through 7 snapshots, split by time."""
    config = with_calibrations(
        tiny_config,
        name="drifting",
        calibrations={"name": "drift", "snapshots": 7, "interval_hours": 24},
        split={"by": "time"},
    )
    folder = tmp_path_factory.mktemp("data") / "drifting"
    generate(config, device_config, folder)
    return config, folder


def test_jobs_cycle_through_the_snapshots_in_order(drifting, algiers):
    config, folder = drifting
    snapshots = config.calibrations.draw(algiers.calibration, config.seed)
    for row in stored_rows(folder):
        job = row["job"]
        assert row["calibration_id"] == snapshots[job % 7].calibration_id
        assert row["executed_at"] == snapshots[job % 7].time
    assert len(pq.read_table(folder / "calibrations.parquet")) == 7


def test_the_future_is_never_trained_on(drifting):
    rows = stored_rows(drifting[1])
    times = {
        s: [r["executed_at"] for r in rows if r["split"] == s] for s in ("train", "val", "test")
    }
    assert max(times["train"]) < min(times["val"])
    assert max(times["val"]) < min(times["test"])


def test_each_job_runs_under_its_own_snapshot(drifting, algiers):
    """Noisy distributions equal an executor's that is built from the job's calibration alone."""
    _, folder = drifting
    data = load_dataset(folder)
    circuits = data.rows.circuits
    for k in (0, 3, 6):
        calibration = circuits.calibrations[k]
        executor = AerNoiseConfig().build(calibration, algiers.layout)
        rows = data.rows.select(np.flatnonzero(circuits.calibration_index == k))
        exact = executor.probabilities(rows.circuits.instructions, 0)
        readout = np.ones((1, 1))
        for matrix in readout_matrices(calibration, algiers.layout):
            readout = np.kron(matrix, readout)
        np.testing.assert_allclose(exact @ readout.T, rows.noisy_exact, rtol=0, atol=2**-24)
    assert verify_dataset(folder, sample=12).difference == 0


def test_a_calibration_of_another_job_is_noticed(drifting, tmp_path):
    """`verify` holds each job against the snapshot that its config gives it."""
    folder = tmp_path / "drifting"
    shutil.copytree(drifting[1], folder)
    ids = [row["calibration_id"] for row in stored_rows(folder)]
    rewrite_shard(folder, 0, {"calibration_id": ids[1:33]})
    with pytest.raises(QmendError, match="names another calibration than the job ran under"):
        verify_dataset(folder, sample=96)


def test_randomized_devices_have_coherent_errors_of_their_own(tiny_config, device_config):
    config = with_calibrations(
        tiny_config,
        calibrations={"name": "randomized", "devices": 3},
        noise={"name": "surrogate_hardware", "drift": 0.0},
    )
    shared = generation_setup(config, device_config)
    constants = [shared.executor(job).constants(job).zz for job in range(4)]
    np.testing.assert_array_equal(constants[0], constants[3])
    assert np.abs(constants[0] - constants[1]).min() > 1e-4
    assert np.abs(constants[1] - constants[2]).min() > 1e-4
    drift = with_calibrations(config, calibrations={"name": "drift", "snapshots": 3})
    same = generation_setup(drift, device_config)
    today, tomorrow = (same.executor(job).constants(job).zz for job in (0, 1))
    np.testing.assert_array_equal(today, tomorrow)
