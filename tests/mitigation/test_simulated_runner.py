"""Further circuits run under the dataset's own noise, and only where it is known."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from qmend.circuits.instructions import InstructionTable
from qmend.datasets.config import DatasetConfig
from qmend.datasets.table import Dataset, load_dataset
from qmend.generation.generate import generate
from qmend.mitigation.base import ExecutedMitigator, MultiCircuitMitigator
from qmend.mitigation.baselines import BASELINES
from qmend.mitigation.baselines.zero_noise_extrapolation import fold
from qmend.mitigation.runnable import runnable_baselines
from qmend.mitigation.simulated_runner import SimulatedRunner
from qmend.types import QmendError


@pytest.fixture(scope="module")
def drifting(device_config, tmp_path_factory) -> Dataset:
    """Surrogate hardware: every job has a calibration and coherent errors of its own."""
    folder = tmp_path_factory.mktemp("drifting") / "data"
    config = DatasetConfig(
        name="drifting",
        family={"name": "pauli", "n_qubits": 5, "gadgets_min": 2, "gadgets_max": 4},
        circuits=24,
        job_size=4,
        noise={"name": "surrogate_hardware"},
        calibrations={"name": "drift", "snapshots": 3},
    )
    generate(config, device_config, folder)
    return load_dataset(folder)


def test_each_circuit_runs_in_its_own_job(drifting):
    """Run again, exactly, every circuit gives the distribution that its shots were drawn from."""
    rows = drifting.rows
    order = np.random.default_rng(0).permutation(len(rows))
    again = SimulatedRunner(drifting, exact=True)(
        rows.circuits.select(order), rows.circuits.instructions.select(order)
    )
    np.testing.assert_allclose(again[:, 0], rows.noisy_exact[order], rtol=0, atol=2**-24)


def test_equal_gates_that_measure_otherwise_run_in_their_own_job(drifting):
    """The last circuit with the gates of the first, as another dataset may have it."""
    both = drifting.rows.select(np.array([0, len(drifting) - 1]))
    gates, measured = both.circuits.instructions.select(np.zeros(2, int)), both.circuits.measured
    measured = np.array([measured[0], measured[0][::-1]])
    circuits = replace(both.circuits, instructions=gates, measured=measured)
    twins = replace(both, circuits=circuits, circuit_id=np.array(gates.circuit_ids(measured)))
    again = SimulatedRunner(replace(drifting, groups=(twins,)), exact=True)(circuits, gates)
    np.testing.assert_allclose(again[0, 0], both.noisy_exact[0], rtol=0, atol=2**-24)
    assert np.abs(again[1, 0] - both.noisy_exact[0]).max() > 1e-4


def test_shots_follow_the_probabilities_and_nothing_else(drifting):
    """Chi-square over all outcomes; equal circuits get shots of their own."""
    circuits = drifting.rows.circuits
    further = circuits.instructions.select(np.repeat(np.arange(len(circuits)), 3))
    exact = SimulatedRunner(drifting, exact=True)(circuits, further)
    sampled = SimulatedRunner(drifting)(circuits, further)
    assert sampled.shape == (len(circuits), 3, 32)
    expected = exact * circuits.shots[:, None, None]
    observed = sampled * circuits.shots[:, None, None]
    np.testing.assert_allclose(observed, np.round(observed), atol=1e-6)
    np.testing.assert_allclose(observed.sum(axis=2), circuits.shots[:, None] * np.ones(3))
    often = expected > 10
    statistic = ((observed - expected)[often] ** 2 / expected[often]).sum()
    # Cells of one row sum to its shots: at most one degree of freedom less a row.
    least, most = often.sum() - 3 * len(circuits), often.sum()
    assert stats.chi2.sf(statistic, most) > 1e-4 or stats.chi2.sf(statistic, least) > 1e-4
    assert stats.chi2.cdf(statistic, least) > 1e-4
    assert (np.abs(np.diff(sampled, axis=1)).sum(axis=2) > 0).all()
    assert (np.abs(sampled - circuits.noisy[:, None]).sum(axis=2) > 0).all()


def test_the_shots_of_a_circuit_do_not_depend_on_its_batch(drifting):
    runner, circuits = SimulatedRunner(drifting), drifting.rows.circuits
    together = runner(circuits, fold(circuits.instructions, (3, 5)))
    some = np.array([17, 3, 11])
    part = circuits.select(some)
    np.testing.assert_array_equal(runner(part, fold(part.instructions, (3, 5))), together[some])


def test_as_many_shots_as_the_circuit_had(drifting):
    part = drifting.rows.circuits.select(np.arange(2))
    part = replace(part, shots=np.array([10, 1000]))
    sampled = SimulatedRunner(drifting)(part, part.instructions)[:, 0]
    for row, shots in zip(sampled, (10, 1000), strict=True):
        np.testing.assert_allclose(row * shots, np.round(row * shots), atol=1e-9)


def test_a_circuit_of_other_data_has_no_job(drifting):
    circuits = drifting.rows.circuits.select(np.arange(1))
    foreign = replace(
        circuits, instructions=InstructionTable.from_circuits(5, [[("x", 0, -1, 0.0)]])
    )
    with pytest.raises(QmendError, match="Circuit 0 is not among those of"):
        SimulatedRunner(drifting)(foreign, foreign.instructions)


def test_every_baseline_runs_on_simulated_data(tiny):
    runnable = runnable_baselines(tiny)
    assert runnable.skipped == {}
    assert [m.name for m in runnable.mitigators] == list(BASELINES)


def measured(dataset: Dataset) -> Dataset:
    """As a collection leaves it."""
    manifest = dataset.manifest.model_copy(update={"origin": "collected"})
    return replace(dataset, manifest=manifest)


def test_on_measured_data_those_that_need_further_circuits_say_so(tiny):
    runnable = runnable_baselines(measured(tiny))
    needing = [k.name for k in BASELINES.values() if issubclass(k, MultiCircuitMitigator)]
    assert sorted(runnable.skipped) == sorted(needing)
    assert len(needing) == 4
    assert all("measured, not simulated" in reason for reason in runnable.skipped.values())
    assert not any(isinstance(m, ExecutedMitigator) for m in runnable.mitigators)


def test_imported_data_have_no_train_split_to_fit_to(tiny):
    data = measured(tiny)
    imported = data.manifest.model_copy(update={"origin": "imported"})
    runnable = runnable_baselines(
        replace(data, manifest=imported, splits=(np.full(len(data), "test"),))
    )
    assert "no circuit in the train split" in runnable.skipped["depolarizing_inversion"]
    assert {m.name for m in runnable.mitigators} == {
        "none",
        "uniform",
        "readout_inversion",
        "mthree",
        "calibration_inversion",
        "bayesian_unfolding",
        "hammer_like",
        "qbeep_like",
    }
