"""Inversion by sampled Pauli paths: exact where the noise is Pauli and the gates are Clifford."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qmend import metrics
from qmend.circuits.statevector import compiled_probabilities
from qmend.datasets.circuits import CircuitBatch
from qmend.datasets.table import LabelledCircuits
from qmend.devices.calibration import Calibration
from qmend.mitigation.baselines import DepolarizingInversion, PathInversion
from qmend.mitigation.baselines.calibration_inversion import CalibrationInversion
from qmend.mitigation.baselines.path_inversion_biased import PathInversionBiased
from qmend.mitigation.baselines.path_inversion_readout import PathInversionReadout
from qmend.noise.paths import FEATURES, path_features
from qmend.noise.readout import apply_readout
from qmend.types import QmendError
from qmend.walsh import walsh_hadamard

PAIRS = [(0, 1), (1, 2), (2, 1)]
ERRORS = {
    ("cx", (0, 1)): 0.03,
    ("cx", (1, 2)): 0.06,
    ("cx", (2, 1)): 0.02,
    ("sx", (0,)): 0.01,
    ("sx", (2,)): 0.02,
    ("readout", (1,)): 0.05,
    ("readout", (2,)): 0.1,
}
NAMES = ("ended_rate", "ended_idle_rate", "two_qubit_gates")


def labelled(circuits: CircuitBatch) -> LabelledCircuits:
    count = len(circuits)
    names, zeros = np.array([str(k) for k in range(count)]), np.zeros(count, dtype=int)
    ideal = compiled_probabilities(circuits.instructions)
    return LabelledCircuits(circuits, ideal, None, names, names, zeros, zeros, zeros)


def test_clifford_circuits_under_depolarizing_gates_are_undone(perfect, exact_runs):
    """By the calibration alone, to rounding."""
    runs = exact_runs(perfect(ERRORS), (0, 1, 2))
    rng = np.random.default_rng(0)
    gates = [("cx", *pair, 0.0) for pair in PAIRS] + [("sx", q, -1, 0.0) for q in range(3)]
    gates += [("rz", q, -1, np.pi / 2) for q in range(3)]
    circuits = [[gates[k] for k in rng.integers(len(gates), size=30)] for _ in range(20)]
    batch = runs.measure(circuits, 10**6)
    ideal = compiled_probabilities(batch.instructions)
    assert metrics.l1(batch.noisy, ideal).mean() > 0.2
    np.testing.assert_allclose(PathInversion().mitigate(batch), ideal, atol=1e-10)


def test_any_angles_are_undone_but_for_the_interference_of_paths(
    perfect, exact_runs, random_circuits
):
    """One survival for all parities, from the same calibration, is far off."""
    runs = exact_runs(perfect(ERRORS), (0, 1, 2))
    batch = runs.measure(random_circuits(PAIRS, 3, count=40), 10**6)
    ideal = compiled_probabilities(batch.instructions)
    errors_l1 = {
        kind.name: metrics.l1(kind().mitigate(batch), ideal).mean()
        for kind in (PathInversion, CalibrationInversion)
    }
    assert errors_l1["path_inversion"] < 0.15 * metrics.l1(batch.noisy, ideal).mean()
    assert errors_l1["path_inversion"] < 0.3 * errors_l1["calibration_inversion"]


def lossy(tiny, rates: tuple[float, ...], part: str, bias: float = 0.0) -> LabelledCircuits:
    """Circuits of tiny under the noise that the methods assume, without readout error.

    Args:
        rates: of gates, idle time, two-qubit gates, and perhaps of measured qubits.
        bias: <Z> of each qubit of the state that the rest decays to.
    """
    data = tiny.part(part)
    plain = data.circuits.calibrations[0].model_dump(mode="json")
    for item in plain["qubits"]:
        item["readout_error"] = 0.0
    calibration = Calibration.parse(plain, "x")
    (layout,) = data.circuits.layouts
    met = path_features(data.circuits.instructions, calibration, layout)
    names = (*NAMES, "weight")[: len(rates)]
    lost = sum(r * met[:, :, FEATURES.index(k)] for r, k in zip(rates, names, strict=True))
    sign = np.array([[(-1.0) ** (s & x).bit_count() for x in range(32)] for s in range(32)])
    decayed = bias ** np.array([s.bit_count() for s in range(32)])
    noisy = (decayed + np.exp(-lost) * (data.ideal @ sign - decayed)) @ sign / 32
    # Factors of their own may take a distribution below zero, which no device measures.
    kept = np.flatnonzero(noisy.min(axis=1) >= 0)
    data, noisy = data.select(kept), noisy[kept]
    circuits = replace(data.circuits, calibrations=(calibration,), noisy=noisy)
    return replace(data, circuits=circuits)


def test_the_three_numbers_are_found_again(tiny):
    rates = (1.3, 0.7, 0.004)
    train, test = lossy(tiny, rates, "train"), lossy(tiny, rates, "test")
    assert len(train) > 30
    assert len(test) > 5
    mitigator = PathInversion().fit(train)
    np.testing.assert_allclose(mitigator.rates, rates, rtol=0.02)
    assert metrics.l1(test.circuits.noisy, test.ideal).min() > 0.05
    np.testing.assert_allclose(mitigator.mitigate(test.circuits), test.ideal, atol=1e-3)


def test_the_bias_and_the_losses_are_found_again(tiny):
    """A fifth of a qubit's <Z> is left in the decayed state; without it much error stays."""
    rates, bias = (1.3, 0.7, 0.004, 0.03), 0.2
    train, test = lossy(tiny, rates, "train", bias), lossy(tiny, rates, "test", bias)
    assert len(train) > 20
    assert len(test) > 2
    mitigator = PathInversionBiased().fit(train)
    np.testing.assert_allclose(mitigator.numbers[-1], bias, rtol=0.05)
    np.testing.assert_allclose(mitigator.numbers[:4], rates, rtol=0.1)
    biased = metrics.l1(mitigator.mitigate(test.circuits), test.ideal)
    plain = metrics.l1(PathInversion().fit(train).mitigate(test.circuits), test.ideal)
    assert biased.max() < 0.01 < plain.min()


#: e0 = P(1|0) and e1 = P(0|1) of the qubits of the chain.
FLIPS = np.array([[0.0, 0.04], [0.03, 0.1], [0.01, 0.02], [0.002, 0.15], [0.05, 0.01]])


def misread(data: LabelledCircuits, flips: np.ndarray) -> LabelledCircuits:
    """Read each qubit out with its own flips, of which the calibration knows nothing."""
    matrices = np.array([[[1 - e0, e1], [e0, 1 - e1]] for e0, e1 in flips])
    noisy = apply_readout(data.circuits.noisy, matrices)
    return replace(data, circuits=replace(data.circuits, noisy=noisy))


def test_asymmetric_readout_and_the_rates_are_found_again(tiny):
    """Without it much error stays."""
    rates = (1.3, 0.7, 0.004)
    train, test = (misread(lossy(tiny, rates, part), FLIPS) for part in ("train", "test"))
    mitigator = PathInversionReadout().fit(train)
    assert mitigator.qubits == tuple(("ibm_algiers", q) for q in (0, 1, 2, 3, 5))
    assert mitigator.parameters == 13
    np.testing.assert_allclose(mitigator.numbers[:3], rates, rtol=0.02)
    np.testing.assert_allclose(mitigator.numbers[3:].reshape(-1, 2), FLIPS, atol=1e-4)
    np.testing.assert_allclose(mitigator.mitigate(test.circuits), test.ideal, atol=1e-3)
    plain = metrics.l1(PathInversion().fit(train).mitigate(test.circuits), test.ideal)
    assert plain.mean() > 0.1


def test_a_qubit_that_was_never_fitted_has_the_mean_of_the_others(tiny):
    """On another device of the same calibration."""
    rates = (1.3, 0.7, 0.004)
    train = misread(lossy(tiny, rates, "train"), FLIPS)
    test = misread(lossy(tiny, rates, "test"), np.tile(FLIPS.mean(axis=0), (5, 1)))
    (calibration,) = test.circuits.calibrations
    elsewhere = calibration.model_copy(update={"device": "elsewhere"})
    circuits = replace(test.circuits, calibrations=(elsewhere,))
    mitigated = PathInversionReadout().fit(train).mitigate(circuits)
    np.testing.assert_allclose(mitigated, test.ideal, atol=1e-3)


def test_no_bias_is_found_where_there_is_none(tiny):
    """Nor one that leans to |1>, which no relaxation does."""
    rates = (1.3, 0.7, 0.004)
    for bias in (0.0, -0.2):
        numbers = PathInversionBiased().fit(lossy(tiny, rates, "train", bias)).numbers
        assert numbers[-1] == pytest.approx(0, abs=0.01)
        assert (numbers >= 0).all()


def test_a_measured_qubit_may_look_uniform(perfect, exact_runs):
    """Then it was not in the decayed state. Fewer measured qubits have the same parities."""
    gates = [("cx", 0, 1, 0.0), ("cx", 1, 2, 0.0)] * 3
    batch = exact_runs(perfect(ERRORS), (0, 1, 2)).measure([gates], 1000)
    batch = replace(batch, noisy=np.full((1, 8), 1 / 8))
    mitigator = PathInversionBiased()
    mitigator.numbers = np.array([1.0, 0.0, 0.0, 0.0, 0.5])
    single = [0b001, 0b010, 0b100]
    (all_measured,) = walsh_hadamard(mitigator.mitigate(batch))[:, single]
    assert (all_measured < -0.01).all()
    two = replace(batch, noisy=np.full((1, 4), 1 / 4), measured=np.array([[0, 2]]))
    (two_measured,) = walsh_hadamard(mitigator.mitigate(two))[:, [0b01, 0b10]]
    np.testing.assert_allclose(two_measured, all_measured[[0, 2]], atol=1e-12)


def test_before_any_fit_the_calibration_alone(tiny):
    test = lossy(tiny, (1.0, 0.0, 0.0), "test")
    for kind in (PathInversion, PathInversionReadout):
        np.testing.assert_allclose(kind().mitigate(test.circuits), test.ideal, atol=1e-10)


def test_noise_that_the_calibration_makes_up_is_unlearned(tiny):
    """Nothing was lost, whatever the calibration says; no number falls below zero."""
    train = tiny.part("train")
    ideal = train.ideal / train.ideal.sum(axis=1, keepdims=True)
    plain = train.circuits.calibrations[0].model_dump(mode="json")
    for item in plain["qubits"]:
        item["readout_error"] = 0.0
    circuits = replace(train.circuits, noisy=ideal, calibrations=(Calibration.parse(plain, "x"),))
    mitigator = PathInversion().fit(replace(train, circuits=circuits))
    assert (mitigator.rates >= 0).all()
    np.testing.assert_allclose(mitigator.rates, 0, atol=1e-4)


def test_no_rates_nearby_are_better(tiny):
    """On simulated noise and shots."""
    train = tiny.part("train")
    fitted = PathInversion().fit(train)

    def error(rates: np.ndarray) -> float:
        other = PathInversion()
        other.rates = rates
        return float(metrics.l1(other.mitigate(train.circuits), train.ideal).mean())

    best = error(fitted.rates)
    assert best < 0.35 * metrics.l1(train.circuits.noisy, train.ideal).mean()
    global_one = DepolarizingInversion().fit(train).mitigate(train.circuits)
    assert best < 0.8 * metrics.l1(global_one, train.ideal).mean()
    for k, step in enumerate((0.1, 0.2, 0.002)):
        for sign in (-1, 1):
            rates = fitted.rates.copy()
            rates[k] = max(rates[k] + sign * step, 0.0)
            assert error(rates) >= best - 1e-5


def test_each_circuit_under_its_own_calibration(perfect, exact_runs):
    """Two snapshots and two layouts in one batch: each as alone."""
    gates = [("sx", 0, -1, 0.0), ("cx", 0, 1, 0.0), ("cx", 1, 2, 0.0), ("sx", 2, -1, 0.0)] * 3
    parts = []
    for layout, error in (((0, 1, 2), 0.02), ((3, 2, 1), 0.05)):
        errors = {("cx", layout[:2]): error, ("cx", layout[1:]): 2 * error}
        parts.append(exact_runs(perfect(errors), layout).measure([gates], 1000))
    one, two = parts
    both = replace(
        one.select(np.zeros(3, dtype=int)),
        noisy=np.concatenate([two.noisy, one.noisy, two.noisy]),
        calibrations=one.calibrations + two.calibrations,
        layouts=one.layouts + two.layouts,
        calibration_index=np.array([1, 0, 1]),
    )
    alone = [PathInversion().mitigate(part)[0] for part in parts]
    expected = [alone[1], alone[0], alone[1]]
    np.testing.assert_allclose(PathInversion().mitigate(both), expected, atol=1e-12)
    assert np.abs(alone[0] - compiled_probabilities(one.instructions)[0]).max() < 1e-10


def test_a_missing_value_is_named(tiny):
    circuits = tiny.part("test").circuits
    plain = circuits.calibrations[0].model_dump(mode="json")
    for item in plain["gates"]:
        item["error"] = None if item["gate"] == "sx" else item["error"]
    broken = replace(circuits, calibrations=(Calibration.parse(plain, "x"),))
    with pytest.raises(QmendError, match="lacks error of sx on"):
        PathInversion().mitigate(broken)
