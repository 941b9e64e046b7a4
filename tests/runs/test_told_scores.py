"""References that were collected in a job tell a network of its other circuits' device."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qmend.datasets.config import CollectionConfig, DatasetConfig
from qmend.datasets.table import Dataset, load_dataset
from qmend.devices.device import DeviceConfig
from qmend.encodings import ENCODINGS
from qmend.encodings.device_paths import known_numbers, references_of
from qmend.hardware.collector import collect
from qmend.mitigation.guard import Guard, HarmScore
from qmend.mitigation.guard_signals import log_gain
from qmend.models.base import Dimensions, build_model, model_config
from qmend.models.trained import TrainedModel
from qmend.noise.device_numbers import EXECUTED
from qmend.noise.paths import FEATURES
from qmend.runs.evaluation import run_evaluation
from qmend.runs.scoring import Context, prepare_data
from qmend.tracking.store import Store

COUNT = 8  # the column of log(1 + K)


@pytest.fixture(scope="module")
def collected(device_config: DeviceConfig, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """3 jobs of 3 circuits and 4 references, with the noise of the snapshot."""
    folder = tmp_path_factory.mktemp("told") / "small"
    family = {"name": "pauli", "gadgets_min": 1, "gadgets_max": 3}
    sizes = {"circuits": 9, "job_size": 3, "shots": 4000, "seed": 5}
    dataset = DatasetConfig(name="small", family=family, **sizes)
    local = CollectionConfig(execution="local", poll_seconds=0.02, references=4)
    collect(dataset, device_config, folder, local)
    return load_dataset(folder)


def network(tiny: Dataset, encoding: str, numbers: int) -> TrainedModel:
    sizes = {"name": "walsh_operator", "channels": 4, "blocks": 1, "encoding": encoding}
    config, dimensions = model_config(sizes), Dimensions(5, len(FEATURES), 3, numbers)
    fitted = ENCODINGS[encoding]().fit(tiny.rows.circuits)
    return TrainedModel(build_model(config, dimensions), config, dimensions, fitted)


def test_each_circuit_is_told_by_the_references_of_its_job(
    collected: Dataset, tiny: Dataset, store: Store
) -> None:
    model = network(tiny, "device_paths", 10)
    prepared = prepare_data(Context(store, collected), model).dataset.rows.circuits
    assert prepared.numbers is not None
    np.testing.assert_allclose(np.expm1(prepared.numbers[:, COUNT]), 4)
    assert (prepared.numbers[:, 4:8] < EXECUTED.known.deviation).all()
    (told,) = collected.references
    losses = model.encoding.losses(told.circuits)
    for row, job in enumerate(collected.rows.job_id.tolist()):
        own = references_of(told.circuits, losses, told.ideal, np.flatnonzero(told.job_id == job))
        expected = known_numbers(collected.rows.circuits.select(np.array([row])), [own])
        np.testing.assert_allclose(prepared.numbers[[row]], expected, rtol=1e-9)


def test_a_guard_is_told_how_the_network_mitigates_the_references(
    collected: Dataset, tiny: Dataset, store: Store
) -> None:
    model = network(tiny, "device_paths", 10)
    score = HarmScore((), np.empty(0), np.empty(0), (), np.empty(0), 0.0)
    guard = Guard(score, 0.5, "", {})
    prepared = prepare_data(Context(store, collected), model, guard).dataset.rows
    (told,) = collected.references
    for job in np.unique(prepared.job_id):
        own = told.select(np.flatnonzero(told.job_id == job))
        rows = np.flatnonzero(prepared.job_id == job)
        numbers = np.tile(prepared.circuits.numbers[rows[0]], (len(own), 1))
        mitigated = model.mitigate(replace(own.circuits, numbers=numbers))
        gain = log_gain(own.ideal, own.circuits.noisy, mitigated).mean()
        np.testing.assert_allclose(prepared.circuits.gains[rows], gain, rtol=1e-6)


def test_a_network_without_numbers_leaves_them_aside(
    collected: Dataset, tiny: Dataset, store: Store
) -> None:
    model = network(tiny, "paths", 0)
    assert prepare_data(Context(store, collected), model).dataset.rows.circuits.numbers is None


def test_an_evaluation_counts_no_reference(collected: Dataset, tiny: Dataset, store: Store) -> None:
    model = network(tiny, "device_paths", 10)
    found = run_evaluation(Context(store, collected, split="all"), model, {}, {})
    assert sorted(found.scores.circuit_id) == sorted(collected.rows.circuit_id)
    assert found.scores.median < 0
