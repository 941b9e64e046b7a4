"""Mitigators without a network: each undoes the noise it was made for."""

import numpy as np
import pytest

from qmend import metrics
from qmend.circuits.instructions import InstructionTable
from qmend.datasets.circuits import CircuitBatch
from qmend.datasets.table import LabelledCircuits
from qmend.devices.calibration import Calibration
from qmend.mitigation.baselines import (
    STANDARD_BASELINES,
    DepolarizingInversion,
    NoMitigation,
    ReadoutInversion,
    Uniform,
)
from qmend.mitigation.learned import LearnedMitigator
from qmend.mitigation.simplex import project_to_simplex
from qmend.training.config import TrainingConfig
from qmend.training.data import encode
from qmend.training.train import train
from qmend.types import QmendError

RATES = (0.05, 0.012, 0.0007)


def labelled(circuits: CircuitBatch, ideal: np.ndarray) -> LabelledCircuits:
    count = len(circuits)
    names = np.array([str(k) for k in range(count)])
    zeros = np.zeros(count, dtype=int)
    return LabelledCircuits(circuits, ideal, None, names, names, zeros, zeros, zeros)


def depolarized(
    algiers, seed: int, shots: int | None = None, count: int = 120, rates=RATES
) -> LabelledCircuits:
    """Circuits under global depolarizing noise with survival exp(-(a + b CX + c SX)).

    SX and X count alike; RZ and ID have no noise, however many there are.
    """
    rng = np.random.default_rng(seed)
    circuits, survival = [], []
    for _ in range(count):
        cx, sx, x, rz = (int(rng.integers(0, m)) for m in (90, 60, 20, 100))
        gates = [("cx", 0, 1, 0.0)] * cx + [("sx", 2, -1, 0.0)] * sx + [("x", 3, -1, 0.0)] * x
        gates += [("rz", 4, -1, 0.3)] * rz + [("id", 4, -1, 0.0)] * int(rng.integers(0, 50))
        circuits.append([gates[k] for k in rng.permutation(len(gates))])
        survival.append(np.exp(-(rates[0] + rates[1] * cx + rates[2] * (sx + x))))
    ideal = rng.dirichlet(np.full(32, 0.1), size=count)
    s = np.array(survival)[:, None]
    noisy = s * ideal + (1 - s) / 32
    if shots:
        noisy = rng.multinomial(shots, noisy) / shots
    batch = CircuitBatch(
        InstructionTable.from_circuits(5, circuits),
        noisy,
        np.full(count, shots or 10**9),
        (algiers.layout,),
        (algiers.calibration,),
        np.zeros(count, dtype=int),
        np.tile(np.arange(5), (count, 1)),
    )
    return labelled(batch, ideal)


def test_depolarizing_inversion_recovers_the_ideal_and_the_three_rates(algiers):
    train, test = depolarized(algiers, 0), depolarized(algiers, 1)
    mitigator = DepolarizingInversion().fit(train)
    np.testing.assert_allclose(mitigator.rates, RATES, atol=1e-5)
    mitigated = mitigator.mitigate(test.circuits)
    assert metrics.l1(test.circuits.noisy, test.ideal).min() > 0.02
    np.testing.assert_allclose(mitigated, test.ideal, atol=1e-4)


def test_depolarizing_inversion_under_shot_noise(algiers):
    """20,000 shots: rates to a few per cent, and the bias gone."""
    train, test = depolarized(algiers, 2, 20_000, 400), depolarized(algiers, 3, 20_000)
    mitigator = DepolarizingInversion().fit(train)
    np.testing.assert_allclose(mitigator.rates[0], RATES[0], atol=0.02)
    np.testing.assert_allclose(mitigator.rates[1], RATES[1], rtol=0.05)
    np.testing.assert_allclose(mitigator.rates[2], RATES[2], atol=3e-4)
    change = metrics.l1rc(test.ideal, test.circuits.noisy, mitigator.mitigate(test.circuits))
    assert metrics.median_l1rc(change) < -0.8


def test_no_rate_of_the_depolarizing_inversion_is_negative(algiers):
    """Where signal seems to grow with SX gates: the others of one fit without signs are kept."""
    train = depolarized(algiers, 0, rates=(0.2, 0.012, -0.002))
    mitigator = DepolarizingInversion().fit(train)
    assert mitigator.rates[2] == pytest.approx(0, abs=1e-5)
    assert (mitigator.rates >= 0).all()
    np.testing.assert_allclose(mitigator.rates[:2], (0.14, 0.012), rtol=0.2)


def test_circuits_of_several_sizes_are_fitted_together(algiers):
    """As all at once where they are of one size."""
    whole = depolarized(algiers, 0, 1000)
    parts = (whole.select(np.arange(50)), whole.select(np.arange(50, 120)))
    together = DepolarizingInversion().fit(*parts)
    np.testing.assert_allclose(together.rates, DepolarizingInversion().fit(whole).rates)


def test_depolarizing_inversion_fits_better_than_its_start_alone(algiers, tiny):
    """On real noise, which is not quite depolarizing, nearby rates are no better."""
    train = tiny.part("train")
    mitigator = DepolarizingInversion().fit(train)

    def error(rates) -> float:
        other = DepolarizingInversion()
        other.rates = rates
        return metrics.l1(other.mitigate(train.circuits), train.ideal).mean()

    best = error(mitigator.rates)
    assert best < 0.6 * metrics.l1(train.circuits.noisy, train.ideal).mean()
    for k in range(3):
        for factor in (0.7, 1.4):
            rates = mitigator.rates.copy()
            rates[k] *= factor
            assert error(rates) >= best - 1e-4


def test_a_signal_nearly_gone_is_not_amplified_without_bound(algiers):
    """exp(-40) is treated as a survival of 0.02."""
    data = depolarized(algiers, 0, 1000)
    mitigator = DepolarizingInversion()
    mitigator.rates = np.array([40.0, 0.0, 0.0])
    expected = project_to_simplex((data.circuits.noisy - 0.98 / 32) / 0.02)
    np.testing.assert_allclose(mitigator.mitigate(data.circuits), expected, atol=1e-12)


def test_it_must_be_fitted_first(tiny):
    with pytest.raises(QmendError, match="must be fitted"):
        DepolarizingInversion().mitigate(tiny.part("test").circuits)


def test_readout_inversion_undoes_readout_error(algiers, random_distributions):
    """The Kronecker product of the calibration's matrices, applied and undone."""
    ideal = 0.95 * random_distributions(20, 5) + 0.05 / 32
    whole = np.ones((1, 1))
    for q in algiers.layout:
        e = algiers.calibration.qubit(q).readout_error
        whole = np.kron([[1 - e, e], [e, 1 - e]], whole)
    table = InstructionTable.from_circuits(5, [[("x", 0, -1, 0.0)]] * 20)
    batch = CircuitBatch(
        table,
        ideal @ whole.T,
        np.full(20, 1000),
        (algiers.layout,),
        (algiers.calibration,),
        np.zeros(20, dtype=int),
        np.tile(np.arange(5), (20, 1)),
    )
    assert np.abs(batch.noisy - ideal).max() > 0.005
    np.testing.assert_allclose(ReadoutInversion().mitigate(batch), ideal, atol=1e-12)


def with_readout_error(calibration: Calibration, values: dict[int, float]) -> Calibration:
    plain = calibration.model_dump(mode="json")
    for item in plain["qubits"]:
        item["readout_error"] = values.get(item["qubit"], 0.0)
    return Calibration.parse(plain, "x")


def test_each_circuit_is_inverted_with_its_own_calibration(algiers):
    """Qubit 5 (chain position 4) flips in one snapshot, qubit 0 in the other."""
    snapshots = tuple(with_readout_error(algiers.calibration, v) for v in ({5: 0.1}, {0: 0.2}))
    ideal = np.full((3, 32), 0.2 / 30)
    ideal[:, [0b00000, 0b01101]] = 0.5, 0.3
    index = np.arange(32)
    noisy = 0.9 * ideal + 0.1 * ideal[:, index ^ 0b10000]
    noisy[1] = 0.8 * ideal[1] + 0.2 * ideal[1, index ^ 0b00001]
    batch = CircuitBatch(
        InstructionTable.from_circuits(5, [[]] * 3),
        noisy,
        np.full(3, 1000),
        (algiers.layout, algiers.layout),
        snapshots,
        np.array([0, 1, 0]),
        np.tile(np.arange(5), (3, 1)),
    )
    np.testing.assert_allclose(ReadoutInversion().mitigate(batch), ideal, atol=1e-12)


def test_a_readout_that_says_nothing_is_no_crash(algiers):
    """Snapshots report 0.5 for a broken qubit: its matrix has no inverse, only a pseudo-inverse."""
    calibration = with_readout_error(algiers.calibration, {2: 0.5})
    noisy = np.full((1, 32), 1 / 32)
    batch = CircuitBatch(
        InstructionTable.from_circuits(5, [[]]),
        noisy,
        np.array([1000]),
        (algiers.layout,),
        (calibration,),
        np.array([0]),
        np.arange(5)[None],
    )
    np.testing.assert_allclose(ReadoutInversion().mitigate(batch), noisy, atol=1e-9)


def test_none_and_uniform(tiny):
    circuits = tiny.part("test").circuits
    np.testing.assert_array_equal(NoMitigation().mitigate(circuits), circuits.noisy)
    np.testing.assert_array_equal(
        Uniform().mitigate(circuits), np.full((len(circuits), 32), 1 / 32)
    )


def test_baselines_on_simulated_noise_rank_as_physics_says(tiny):
    """Readout is a part of the noise; gates, undone by the inversion, are most of it."""
    train, test = tiny.part("train"), tiny.part("test")
    medians = {
        kind.name: metrics.median_l1rc(
            metrics.l1rc(test.ideal, test.circuits.noisy, kind().fit(train).mitigate(test.circuits))
        )
        for kind in STANDARD_BASELINES
    }
    assert medians["none"] == 0
    assert (
        medians["path_inversion"] < medians["depolarizing_inversion"] < medians["readout_inversion"]
    )
    assert medians["readout_inversion"] < 0 < medians["uniform"]


def test_names_and_parameters():
    assert {k.name: k.parameters for k in STANDARD_BASELINES} == {
        "none": 0,
        "uniform": 0,
        "readout_inversion": 0,
        "depolarizing_inversion": 3,
        "path_inversion": 3,
    }


def test_a_learned_mitigator_is_its_network(tiny):
    """Through the same interface, with the network's own number of parameters."""
    config = TrainingConfig(
        model={"name": "blind_mlp", "width": 4},
        loss={"name": "l1"},
        optimizer={},
        trainer={"max_epochs": 1, "threads": 1},
    )
    model = train(config, encode(config, tiny)).model
    circuits = tiny.part("test").circuits
    mitigator = LearnedMitigator(model)
    np.testing.assert_array_equal(mitigator.mitigate(circuits), model.mitigate(circuits))
    assert mitigator.parameters == (32 * 4 + 4) + (4 * 4 + 4) + (4 * 32 + 32)
