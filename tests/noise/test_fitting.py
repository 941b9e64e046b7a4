"""Fitting recovers the constants that made the data, and predicts circuits it has not seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from qmend.circuits.instructions import InstructionTable
from qmend.circuits.statevector import compiled_probabilities
from qmend.noise.fit_model import PRIOR, NoiseModel
from qmend.noise.fitted import FittedNoise
from qmend.noise.fitting import FitSettings, fit_noise, thirds
from qmend.noise.measurements import Measurements
from qmend.reporting.figures import svg
from qmend.studies.fidelity import (
    DEFAULT,
    FITTED,
    IDEAL,
    MEASURED,
    expectations,
    fit_report,
)
from qmend.studies.fidelity_report import fidelity_figure, fidelity_table
from qmend.types import QmendError

LAYOUT = (0, 1, 2)
PAIRS = ((0, 1), (1, 0), (1, 2), (2, 1))
PARTS = ("gate_error", "ZZ", "ZX", "IY", "ZI", "flip_up", "flip_down")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Matrices are small, and other processes share the machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def random_circuit(rng: np.random.Generator) -> list[tuple[str, int, int, float]]:
    gates: list[tuple[str, int, int, float]] = []
    for _ in range(int(rng.integers(3, 6))):
        for q in range(3):
            gates += [("rz", q, -1, rng.uniform(0, 6)), ("sx", q, -1, 0.0)]
        a, b = PAIRS[rng.integers(4)]
        gates += [("cx", a, b, 0.0)] * int(rng.integers(1, 3))
    gates += [("sx", q, -1, 0.0) for q in range(3)]
    return [*gates, ("x", int(rng.integers(3)), -1, 0.0), ("sx", int(rng.integers(3)), -1, 0.0)]


@pytest.fixture(scope="module")
def model(algiers) -> NoiseModel:
    return NoiseModel(algiers.calibration, LAYOUT)


@pytest.fixture(scope="module")
def circuits() -> InstructionTable:
    rng = np.random.default_rng(4)
    return InstructionTable.from_circuits(3, [random_circuit(rng) for _ in range(72)])


@pytest.fixture(scope="module")
def truth(model) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {
        name: (PRIOR[name] * rng.standard_normal(shape) if name in PARTS else np.zeros(shape))
        for name, shape in model.shapes.items()
    }


def simulate(model, truth, circuits, shift=None, job=None, shots=10**8) -> Measurements:
    """Measured values from the config's own path: FittedNoise and the compiled simulator."""
    rng = np.random.default_rng(9)
    measured = np.array([rng.permutation(3) for _ in range(len(circuits))])
    job = np.zeros(len(circuits), dtype=np.int64) if job is None else job
    z = np.zeros((len(circuits), 3))
    for j in np.unique(job):
        values = dict(truth)
        if shift is not None:
            for k, term in enumerate(("ZI", "IZ")):
                values[term] = values[term] + shift[j, k]
        config = model.config(values, np.zeros((2, len(model.native))))
        noise = FittedNoise(model.calibration, LAYOUT, config)
        at = np.flatnonzero(job == j)
        program = noise.program(circuits.select(at), 0)
        z[at] = expectations(program, measured[at], noise.readout)
    return Measurements(circuits, measured, z, job, shots)


def test_the_differentiable_model_is_the_config_it_writes(model, truth, circuits):
    data = simulate(model, truth, circuits)
    values = {name: torch.from_numpy(value) for name, value in truth.items()}
    found = model.expectations(model.prepare(data, by_job=False), values)
    # The config holds six digits.
    np.testing.assert_allclose(found.numpy(), data.z, atol=1e-5)


def test_constants_are_recovered(model, truth, circuits):
    data = simulate(model, truth, circuits)
    settings = FitSettings(parts=PARTS, shift=0.0, discrepancy=1e-3, iterations=40)
    fit = fit_noise(model, data.select(np.arange(48)), settings)
    for name in PARTS:
        tolerance = 0.2 if name in ("gate_error", "flip_up", "flip_down") else 0.004
        np.testing.assert_allclose(fit.values[name], truth[name], atol=tolerance, err_msg=name)
    rest = data.select(np.arange(48, 72))
    start = fit_noise(model, rest, replace(settings, iterations=0))
    before = np.abs(start.expectations(rest) - rest.z).mean()
    after = np.abs(fit.expectations(rest) - rest.z).mean()
    assert after < 0.05 * before


def test_a_fault_of_one_job_does_not_move_the_fit(model, truth, circuits):
    """A tenth of the circuits read one qubit as 0 half of the time."""
    clean = simulate(model, truth, circuits.select(np.arange(40)))
    z = clean.z.copy()
    z[:4, 0] = 0.5 + 0.5 * z[:4, 0]
    settings = FitSettings(parts=PARTS, shift=0.0, discrepancy=5e-3, iterations=25)
    fit = fit_noise(model, replace(clean, z=z), settings)
    error = np.abs(fit.expectations(clean) - clean.z)
    assert np.median(error) < 0.004
    assert error.mean() < 0.1 * np.abs(z - clean.z)[:4, 0].mean()


def test_shifts_of_jobs_are_recovered(model, truth, circuits):
    shift = 0.06 * np.random.default_rng(3).standard_normal((3, 2, len(model.native)))
    job = np.arange(len(circuits)) % 3
    data = simulate(model, truth, circuits, shift, job)
    inside, outside = np.arange(48), np.arange(48, 72)
    settings = FitSettings(parts=PARTS, shift=0.05, discrepancy=2e-3, iterations=35)
    fit = fit_noise(model, data.select(inside), settings)
    between = shift - shift.mean(axis=0)
    found = fit.shift - fit.shift.mean(axis=0)
    assert np.corrcoef(between.ravel(), found.ravel())[0, 1] > 0.95
    rest = data.select(outside)
    errors = [np.abs(fit.expectations(rest, by) - rest.z).mean() for by in (False, True)]
    assert errors[1] < 0.4 * errors[0]


def test_gradients_equal_finite_differences(model, truth, circuits):
    """By every constant, at its strongest element."""
    data = simulate(model, truth, circuits.select(np.arange(3)))
    prepared = model.prepare(data, by_job=False)
    rng = np.random.default_rng(2)
    start = {
        name: torch.from_numpy(0.3 * PRIOR[name] * rng.standard_normal(shape) - 0.05)
        for name, shape in model.shapes.items()
    }

    def value(values: dict[str, torch.Tensor]) -> torch.Tensor:
        return (model.expectations(prepared, values) ** 2).sum()

    point = {name: x.clone().requires_grad_() for name, x in start.items()}
    value(point).backward()
    for name, x in point.items():
        assert x.grad is not None
        strongest = int(x.grad.abs().argmax())
        step = torch.zeros(x.numel(), dtype=torch.float64)
        step[strongest] = 1e-5
        step = step.reshape(x.shape)
        with torch.no_grad():
            up, down = (
                float(value({**start, name: start[name] + sign * step})) for sign in (1, -1)
            )
        slope = (up - down) / 2e-5
        assert abs(slope) > 1e-6
        assert float(x.grad.reshape(-1)[strongest]) == pytest.approx(slope, rel=1e-4), name


def test_a_third_of_the_circuits_and_none_in_both_parts(circuits):
    twice = circuits.select(np.tile(np.arange(len(circuits)), 2))
    measured = np.tile(np.arange(3), (len(twice), 1))
    train, test = thirds(twice, measured, seed=0)
    assert len(train) == round(len(circuits) / 3) * 2
    assert sorted([*train, *test]) == list(range(len(twice)))
    ids = np.array(twice.circuit_ids(measured))
    assert not set(ids[train]) & set(ids[test])
    assert not np.array_equal(train, thirds(twice, measured, seed=1)[0])


def test_the_report_compares_on_circuits_that_no_fit_saw(algiers, model, truth, circuits):
    """One of the jobs has a faulty readout, which the report names and can leave out."""
    data = simulate(model, truth, circuits)
    ideal = compiled_probabilities(circuits)
    signs = 1 - 2 * ((np.arange(8) >> data.measured[:, :, None]) & 1)  # (N, 3, 8)
    ideal_z = (signs * ideal[:, None]).sum(axis=2)
    job = np.arange(len(circuits)) % 8
    faulty = (job == 3)[:, None] & (data.measured == 1)
    z = np.where(faulty, 0.5 + 0.5 * data.z, data.z)
    report = fit_report(
        circuits,
        data.measured,
        z,
        ideal_z,
        job,
        algiers.calibration,
        LAYOUT,
        settings=FitSettings(parts=PARTS, shift=0.02, iterations=15),
        replicates=10,
    )
    assert not set(report.train) & set(report.test)
    assert report.faulty == (3,)
    rows = {row.name: row for row in report.rows}
    assert rows[MEASURED].error_to_measured.value == 0.0
    assert rows[IDEAL].slope.value == pytest.approx(1.0)
    assert rows[IDEAL].mean_error.value == 0.0
    held_out = (ideal_z - z)[report.test]
    assert rows[MEASURED].mean_error.value == pytest.approx(np.abs(held_out).mean())
    sound = {row.name: row for row in report.sound}
    assert sound[FITTED].error_to_measured.value < 0.5 * sound[DEFAULT].error_to_measured.value
    assert sound[FITTED].error_to_measured.value < 0.5 * rows[FITTED].error_to_measured.value
    assert sound[FITTED].slope.value == pytest.approx(sound[MEASURED].slope.value, abs=0.02)
    table = fidelity_table(report.rows)
    assert len(table.splitlines()) == 3 + len(report.rows)
    assert "<svg" in svg(fidelity_figure(report))


def test_data_that_do_not_fit_each_other_are_refused(circuits, model):
    measured = np.tile(np.arange(3), (len(circuits), 1))
    z, job = np.zeros(measured.shape), np.zeros(len(circuits), dtype=np.int64)
    with pytest.raises(QmendError, match="as many rows"):
        Measurements(circuits, measured, z[:-1], job, 100)
    with pytest.raises(QmendError, match="lies outside"):
        Measurements(circuits, measured, np.full(z.shape, np.nan), job, 100)
    data = Measurements(circuits, measured, z, job, 100)
    with pytest.raises(QmendError, match="No constants"):
        fit_noise(model, data, FitSettings(parts=("T3",)))
