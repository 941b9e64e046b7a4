"""Other circuits of the same job as references, on measured data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from qmend.datasets.circuits import fill_missing
from qmend.datasets.measured import MeasuredRows, load_measured
from qmend.encodings import ENCODINGS
from qmend.encodings.device_paths import DevicePathsEncoding, known_numbers
from qmend.mitigation.base import KnownCircuits
from qmend.mitigation.guard import Guard, HarmScore
from qmend.mitigation.learned import GuardedMitigator, LearnedMitigator
from qmend.models.base import Dimensions, build_model, model_config
from qmend.models.trained import TrainedModel
from qmend.noise.paths import FEATURES
from qmend.studies.references import with_references
from qmend.types import IntArray

DATA = Path(__file__).parents[2] / "data" / "hardware_public"
COUNT = 8  # the column of log(1 + K)


def take(group: MeasuredRows, index: IntArray) -> MeasuredRows:
    return MeasuredRows(
        group.rows.select(index), group.circuit[index], group.family[index], group.device[index]
    )


@pytest.fixture(scope="module")
def encoding(tiny) -> DevicePathsEncoding:
    fitted = ENCODINGS["device_paths"]().fit(tiny.rows.circuits)
    assert isinstance(fitted, DevicePathsEncoding)
    return fitted


@pytest.fixture(scope="module")
def groups(encoding) -> list[MeasuredRows]:
    """Two jobs of nine source circuits, their rows in two groups, and one job of one circuit.

    The first row is there twice.
    """
    _, measured = load_measured(DATA, 2, {})
    alone, many = (
        max((g for g in measured if (g.rows.circuits.n_qubits == n)), key=len) for n in (2, 4)
    )
    first, second = np.unique(many.rows.job_id)[:2]
    rows = np.flatnonzero(np.isin(many.rows.job_id, [first, second]))
    assert len(rows) == 18
    parts = [take(many, rows[:5]), take(many, rows[[*range(5, 18), 0]]), take(alone, np.arange(1))]
    return [
        replace(p, rows=replace(p.rows, circuits=filled.circuits))
        for p in parts
        for filled in [fill_missing(p.rows.circuits, encoding.mean_calibration)]
    ]


def numbers(encoding, groups, count: int, seed: int = 0) -> np.ndarray:
    told = with_references(encoding, groups, count, seed)
    return np.concatenate([circuits.numbers for circuits in told])


def joined(groups: list[MeasuredRows], name: str) -> np.ndarray:
    return np.concatenate([getattr(group, name) for group in groups])


def test_no_reference_gives_the_prior(encoding, groups):
    prior = np.concatenate([known_numbers(group.rows.circuits) for group in groups])
    np.testing.assert_array_equal(numbers(encoding, groups, 0), prior)
    for count in (1, 3, 9):
        np.testing.assert_array_equal(numbers(encoding, groups, count)[-1], prior[-1])


def test_each_row_is_told_by_as_many_other_circuits_as_its_job_has(encoding, groups):
    """Of all groups together; a circuit's rows count once."""
    before = numbers(encoding, groups, 0)[:, 4:8]
    for count, expected in ((1, 1), (3, 3), (9, 8)):
        ours = numbers(encoding, groups, count)
        np.testing.assert_allclose(np.expm1(ours[:-1, COUNT]), expected)
        assert (ours[:, 4:8] <= before + 1e-12).all()
        assert (ours[:-1, 4:8] < before[:-1] - 1e-6).any(axis=1).all()


def test_no_row_has_its_own_source_circuit_as_reference(encoding, groups):
    """Another label for one circuit: its own rows see nothing, all others of the job do."""
    ours = numbers(encoding, groups, 9)
    circuit, job = joined(groups, "circuit"), np.concatenate([g.rows.job_id for g in groups])
    name = circuit[0]
    own = circuit == name
    assert own.sum() == 3  # twice in the first job, once in the second
    changed = []
    for group in groups:
        ideal = group.rows.ideal.copy()
        here = group.circuit == name
        ideal[here] = np.roll(ideal[here], 1, axis=1)
        changed.append(replace(group, rows=replace(group.rows, ideal=ideal)))
    after = numbers(encoding, changed, 9)
    np.testing.assert_array_equal(after[own], ours[own])
    others = ~own & np.isin(job, job[own])
    assert others.sum() == 16
    assert (np.abs(after - ours)[others].max(axis=1) > 1e-4).all()


def test_rows_of_one_circuit_in_one_job_have_the_same_references(encoding, groups):
    """The draws follow from the seed."""
    ours = numbers(encoding, groups, 1)
    np.testing.assert_array_equal(ours[0], ours[-2])
    np.testing.assert_array_equal(numbers(encoding, groups, 1), ours)
    other = numbers(encoding, groups, 1, seed=1)
    assert (other[:-1] != ours[:-1]).any(axis=1).mean() > 0.5


def test_references_tell_how_a_network_mitigates_them(encoding, groups) -> None:
    """As :meth:`with_references` of a guarded network, a circuit at a time."""
    torch.manual_seed(0)
    sizes = {"name": "walsh_operator", "channels": 4, "blocks": 1, "encoding": "device_paths"}
    config, dimensions = model_config(sizes), Dimensions(5, len(FEATURES), 3, 10)
    model = TrainedModel(build_model(config, dimensions), config, dimensions, encoding)
    told = with_references(encoding, groups, 20, 0, model)
    row = 0  # whose eight references are all others of its job
    job, own = groups[0].rows.job_id[row], groups[0].circuit[row]
    known = []
    for group in groups:
        others = np.flatnonzero((group.rows.job_id == job) & (group.circuit != own))
        part = group.rows.select(others)
        known.append(KnownCircuits(part.circuits, part.ideal))
    known = [part for part in known if len(part.ideal)]
    assert sum(len(part.ideal) for part in known) == 8
    score = HarmScore((), np.empty(0), np.empty(0), (), np.empty(0), 0.0)
    guarded = GuardedMitigator(LearnedMitigator(model), Guard(score, 0.5, "", {}))
    expected = guarded.with_references(groups[0].rows.circuits.select(np.array([row])), known)
    np.testing.assert_allclose(told[0].gains[row], expected.gains[0], rtol=1e-5)
    np.testing.assert_allclose(told[0].numbers[row], expected.numbers[0], rtol=1e-9)
    assert told[2].gains[0] == 0  # it is alone in its job
