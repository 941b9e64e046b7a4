"""Circuits of a recipe's training split, drawn again without its dataset."""

from __future__ import annotations

import numpy as np
import pytest

from qmend.datasets.config import DatasetConfig
from qmend.datasets.table import LabelledCircuits, load_dataset
from qmend.devices.device import DeviceConfig
from qmend.generation.generate import generate
from qmend.generation.online import OnlineCircuits
from qmend.generation.online_noise import online_noise
from qmend.noise.config import RandomizedNoise

DEVICE = DeviceConfig(name="line", backend="FakeAlgiers", layout=(0, 1, 2))


def config(**changes) -> DatasetConfig:
    """48 circuits in 12 jobs, on devices that show their values exactly, roughly or not at all."""
    reported = {"exact": 0.4, "perturbed": 0.3, "stale": 0.0, "missing": 0.3}
    fields = {
        "name": "few",
        "family": {"name": "pauli", "n_qubits": 3},
        "circuits": 48,
        "job_size": 4,
        "jobs_per_shard": 12,
        "shots": 500,
        "seed": 4,
        "calibrations": {"name": "randomized", "devices": 12, "reported": reported},
    }
    return DatasetConfig(**{**fields, **changes})


WORLDS = {"noise": {"name": "worlds"}, "qubits": (2, 3), "measured_qubits": (1, 3)}


def stored_and_drawn(dataset: DatasetConfig, folder, noise):
    """The training jobs of a dataset, and the same drawn again."""
    generate(dataset, DEVICE, folder)
    stored = load_dataset(folder)
    parts = stored.parts("train")
    jobs = sorted({job for part in parts for job in part.job.tolist()})
    source = OnlineCircuits.of_recipe(dataset, DEVICE, noise, 0)
    assert source.again == tuple(jobs)
    pairs = []
    for number, job in enumerate(jobs):
        (part,) = [p.select(np.flatnonzero(p.job == job)) for p in parts if job in p.job]
        pairs.append((part, *source.job(number)))
    return source, pairs


def shown(part: LabelledCircuits) -> list:
    return [part.circuits.calibrations[k].qubits for k in part.circuits.calibration_index]


@pytest.mark.parametrize("noise", ["aer", "surrogate_hardware"])
def test_without_drawn_noise_they_are_the_stored_rows(tmp_path, noise):
    """Bit for bit, with what the calibrations show, and again when all have been drawn once."""
    dataset = config(noise={"name": noise}, measured_qubits=(1, 3))
    source, pairs = stored_and_drawn(dataset, tmp_path / "few", dataset.noise)
    for stored, drawn in pairs:
        assert drawn.circuit_id.tolist() == stored.circuit_id.tolist()
        np.testing.assert_array_equal(drawn.noisy_exact, stored.noisy_exact)
        np.testing.assert_array_equal(drawn.circuits.noisy, stored.circuits.noisy)
        assert shown(drawn) == shown(stored)
    assert len({stored.circuits.calibrations for stored, _ in pairs}) > 1
    (around,) = source.job(len(pairs))
    np.testing.assert_array_equal(around.circuits.noisy, pairs[0][1].circuits.noisy)


def test_in_worlds_the_circuits_are_stored_ones_on_devices_drawn_anew(tmp_path):
    dataset = config(**WORLDS)
    noise = online_noise("dataset", (0.0, 0.0), dataset, 0)
    source, pairs = stored_and_drawn(dataset, tmp_path / "worlds", noise)
    for stored, drawn in pairs:
        assert drawn.circuit_id.tolist() == stored.circuit_id.tolist()
        np.testing.assert_array_equal(drawn.ideal, stored.ideal)
        assert np.abs(drawn.noisy_exact - stored.noisy_exact).max() > 1e-4
    (around,) = source.job(len(pairs))
    first = pairs[0][1]
    assert around.circuit_id.tolist() == first.circuit_id.tolist()
    assert np.abs(around.noisy_exact - first.noisy_exact).max() > 1e-4
    other = OnlineCircuits.of_recipe(dataset, DEVICE, noise, 1).job(0)[0]
    assert np.abs(other.noisy_exact - first.noisy_exact).max() > 1e-4


def test_randomized_noise_differs_by_job(tmp_path):
    """Each turn of the circuits has another."""
    dataset = config(calibrations={"name": "snapshot"})
    noise = RandomizedNoise(strength=(1.0, 1.0), seed=3)
    source = OnlineCircuits.of_recipe(dataset, DEVICE, noise, 0)
    turns = [source.job(turn * len(source.again))[0] for turn in (0, 1)]
    assert turns[0].circuit_id.tolist() == turns[1].circuit_id.tolist()
    assert np.abs(turns[0].noisy_exact - turns[1].noisy_exact).max() > 1e-3
