"""Numbers of a device: recovered from data of their own model, and from simulated noise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import truncnorm
from test_paths import drawn, made_up

from qmend.circuits.instructions import InstructionTable
from qmend.circuits.statevector import compiled_probabilities
from qmend.datasets.circuits import missing_sources
from qmend.devices.calibration import Calibration
from qmend.devices.imputation import empty_calibration
from qmend.noise.common_factor import LOG_FACTORS, bounded_factor, from_distribution
from qmend.noise.config import AerNoiseConfig
from qmend.noise.device_numbers import (
    DeviceNumbers,
    DevicePrior,
    References,
    posterior,
)
from qmend.noise.parity_model import ParityLosses, expand, ideal_parities, noisy_parities
from qmend.noise.paths import path_features
from qmend.noise.readout import apply_readout
from qmend.types import QmendError
from qmend.walsh import walsh_hadamard

NONE_MISSING, ALL_MISSING = np.zeros(3, dtype=bool), np.ones(3, dtype=bool)
PRIOR = DevicePrior(
    known=DeviceNumbers(np.array([0.0, 0.0, 0.0, 0.3]), np.array([0.4, 0.4, 0.3, 0.4])),
    filled=DeviceNumbers(np.array([0.2, -0.1, 0.1, 0.3]), np.array([1.0, 1.0, 0.8, 0.6])),
    parity=0.02,
    circuit=0.3,
)


def bits(m: int) -> np.ndarray:
    """(2^m, m) bits of each parity."""
    return (np.arange(2**m)[:, None] >> np.arange(m)) & 1


def made_up_losses(rng: np.random.Generator, circuits: int, m: int) -> ParityLosses:
    """Losses that add up over bits, as of independent errors of qubits."""
    gates, waits = (rng.uniform(0, high, (circuits, m)) @ bits(m).T for high in (0.4, 0.2))
    return ParityLosses(gates, waits, rng.uniform(0.02, 0.15, (circuits, m)))


def draw_references(
    rng: np.random.Generator, theta: np.ndarray, circuits: int, m: int, prior: DevicePrior = PRIOR
) -> References:
    """References by the model itself: each circuit has a factor of its own, each parity is off."""
    losses = made_up_losses(rng, circuits, m)
    ideal = walsh_hadamard(rng.dirichlet(np.ones(2**m), circuits))
    own = np.exp(prior.circuit * rng.standard_normal((circuits, 1)))
    moved = ParityLosses(own * losses.gates, own * losses.waits, losses.readout)
    seen = noisy_parities(moved, ideal, theta)
    shots = rng.integers(1000, 20_000, circuits)
    variance = (1 - seen**2) / shots[:, None] + prior.parity**2
    off = np.sqrt(variance) * rng.standard_normal(seen.shape)
    off[:, 0] = 0
    return References(losses, np.clip(seen + off, -1, 1), ideal, shots)


# The model


def test_readout_of_parities_is_that_of_distributions():
    """Independent flips whose ratio is e^(2 v), on circuits whose gates lose nothing."""
    rng = np.random.default_rng(0)
    m, theta = 3, np.array([0.3, -0.2, 0.4, 0.7])
    losses = replace(made_up_losses(rng, 4, m), gates=np.zeros((4, 8)), waits=np.zeros((4, 8)))
    eta = np.exp(-np.exp(theta[2]) * losses.readout)
    up, down = ((1 - eta) * (1 + sign * np.tanh(theta[3])) / 2 for sign in (-1, 1))
    np.testing.assert_allclose(down / up, np.exp(2 * theta[3]))
    matrices = np.moveaxis(np.array([[1 - up, down], [up, 1 - down]]), (0, 1), (2, 3))
    ideal = rng.dirichlet(np.ones(8), 4)
    ours = noisy_parities(losses, walsh_hadamard(ideal), theta)
    np.testing.assert_allclose(ours, walsh_hadamard(apply_readout(ideal, matrices)), atol=1e-12)


def test_the_inverse_gives_the_ideal_parities():
    rng = np.random.default_rng(1)
    losses = made_up_losses(rng, 5, 4)
    ideal = walsh_hadamard(rng.dirichlet(np.ones(16), 5))
    theta = rng.normal(0, 0.3, (5, 4))  # of each circuit's own job
    noisy = noisy_parities(losses, ideal, theta)
    np.testing.assert_allclose(ideal_parities(losses, noisy, theta, 1e-6), ideal, atol=1e-12)
    assert np.abs(noisy - ideal).max() > 0.1
    one = ParityLosses(losses.gates[2:3], losses.waits[2:3], losses.readout[2:3])
    np.testing.assert_array_equal(noisy_parities(one, ideal[2:3], theta[2]), noisy[2:3])
    # A survival is taken for no less than the least: nothing is amplified without bound.
    strong = np.array([9.0, 0.0, 0.0, 0.0])
    assert np.abs(ideal_parities(losses, noisy, strong, 0.1)).max() < 10 * 10**4


def test_derivatives_are_those_of_the_model():
    rng = np.random.default_rng(2)
    theta, m = np.array([0.2, -0.3, 0.1, 0.4]), 3
    references = draw_references(rng, theta, 3, m)
    losses, own = references.losses, rng.normal(0, 0.3, 3)
    weight = rng.uniform(10, 100, references.seen.shape)

    def off(change: np.ndarray) -> np.ndarray:
        """(3, 8) roots of the weighed squares, after five numbers changed."""
        factor = np.exp(own + change[4])[:, None]
        moved = ParityLosses(factor * losses.gates, factor * losses.waits, losses.readout)
        model = noisy_parities(moved, references.ideal, theta + change[:4])
        return np.sqrt(weight) * (model - references.seen)

    gradient, hessian = np.empty((3, 5)), np.empty((3, 5, 5))
    arrays = (losses.gates, losses.waits, losses.readout, references.ideal, references.seen)
    total = expand(*arrays, weight, theta, own, gradient, hessian)
    here = off(np.zeros(5))
    slopes = np.array([(off(d) - off(-d)) / 2e-5 for d in 1e-5 * np.eye(5)])
    assert total == pytest.approx((here**2).sum())
    np.testing.assert_allclose(gradient, np.einsum("iks,ks->ki", slopes, here), rtol=1e-6)
    np.testing.assert_allclose(hessian, np.einsum("iks,jks->kij", slopes, slopes), rtol=1e-6)


# The posterior


def test_without_references_the_prior_comes_back():
    for missing, expected in ((NONE_MISSING, PRIOR.known), (ALL_MISSING, PRIOR.filled)):
        for none in ((), (draw_references(np.random.default_rng(0), np.zeros(4), 0, 3),)):
            ours = posterior(PRIOR, missing, none)
            np.testing.assert_array_equal(ours.mean, expected.mean)
            np.testing.assert_array_equal(ours.deviation, expected.deviation)
    # Sources are told apart; the bias goes with readout.
    mixed = PRIOR.of(np.array([True, False, False]))
    np.testing.assert_array_equal(mixed.mean, [0.2, 0.0, 0.0, 0.3])
    mixed = PRIOR.of(np.array([False, False, True]))
    np.testing.assert_array_equal(mixed.deviation, [0.4, 0.4, 0.8, 0.6])


@pytest.mark.parametrize("prior", [PRIOR, replace(PRIOR, circuit=0.0)])
def test_numbers_are_recovered_within_their_deviations(prior):
    """Jobs drawn from the prior, with references of two sizes: scores have variance 1.

    The widths are such that Laplace's approximation holds.
    """
    half = DeviceNumbers(prior.known.mean, prior.known.deviation / 2)
    prior = replace(prior, known=half)
    rng = np.random.default_rng(3)
    scores, gained = [], []
    for _ in range(200):
        start = prior.known
        theta = start.mean + start.deviation * rng.standard_normal(4)
        references = [draw_references(rng, theta, k, m, prior) for k, m in ((3, 2), (4, 3))]
        ours = posterior(prior, NONE_MISSING, references)
        scores.append((ours.mean - theta) / ours.deviation)
        gained.append(ours.deviation / start.deviation)
        assert (ours.deviation <= start.deviation).all()
    assert (np.mean(gained, axis=0) < 0.95).all()
    np.testing.assert_allclose(np.mean(scores, axis=0), 0, atol=0.25)
    np.testing.assert_allclose(np.std(scores, axis=0), 1, atol=0.2)


def test_the_order_of_references_has_no_influence():
    rng = np.random.default_rng(4)
    three, two = (draw_references(rng, np.full(4, 0.3), k, m) for k, m in ((5, 3), (2, 2)))
    order = rng.permutation(5)
    losses = three.losses
    moved = References(
        ParityLosses(losses.gates[order], losses.waits[order], losses.readout[order]),
        three.seen[order],
        three.ideal[order],
        three.shots[order],
    )
    ours = posterior(PRIOR, ALL_MISSING, [three, two])
    other = posterior(PRIOR, ALL_MISSING, [two, moved])
    np.testing.assert_allclose(ours.mean, other.mean, atol=1e-9)
    np.testing.assert_allclose(ours.deviation, other.deviation, atol=1e-9)


def test_impossible_measurements_leave_finite_numbers():
    """Parities of the wrong sign, far beyond any loss."""
    rng = np.random.default_rng(5)
    references = draw_references(rng, np.zeros(4), 6, 3)
    against = replace(references, seen=-np.sign(references.ideal), shots=np.full(6, 10**9))
    ours = posterior(PRIOR, ALL_MISSING, [against])
    assert np.isfinite(ours.mean).all()
    assert (ours.deviation > 0).all()
    assert (ours.deviation <= PRIOR.filled.deviation).all()


# Simulated noise


def stronger(calibration: Calibration, two: str, factor: float) -> Calibration:
    """The same device with all gate errors times a factor."""
    gates = [
        g.model_copy(update={"error": min(factor * g.error, 0.7)}) if g.gate in (two, "sx") else g
        for g in calibration.gates
    ]
    return Calibration.parse(
        calibration.model_copy(update={"gates": tuple(gates)}).model_dump(mode="json"), "stronger"
    )


def simulated_references(seed: int, factor: float, circuits: int = 9, n: int = 4) -> References:
    """Circuits under Aer's noise with errors beyond those of the calibration that is shown."""
    shown = made_up(n, "cx", seed, error=0.6, length=0.2)
    layout = tuple(range(n))
    table = InstructionTable.from_circuits(
        n, [drawn(n, "cx", 100 * seed + k, 16, clifford=False) for k in range(circuits)]
    )
    noise = AerNoiseConfig().build(stronger(shown, "cx", factor), layout)
    noisy = apply_readout(noise.probabilities(table), noise.readout)
    shots = np.full(circuits, 8000)
    seen = np.random.default_rng(seed).multinomial(8000, noisy / noisy.sum(axis=1, keepdims=True))
    errors = np.tile([q.readout_error for q in shown.qubits], (circuits, 1))
    return References(
        ParityLosses.of(path_features(table, shown, layout), errors),
        walsh_hadamard(seen / 8000),
        walsh_hadamard(compiled_probabilities(table)),
        shots,
    )


def test_errors_beyond_the_calibration_are_found():
    """More references come nearer to a factor of 1.7 on the gates."""
    off = {0: [], 1: [], 9: []}
    for seed in range(8):
        every = simulated_references(seed, 1.7)
        for k, errors in off.items():
            losses = every.losses
            first = References(
                ParityLosses(losses.gates[:k], losses.waits[:k], losses.readout[:k]),
                every.seen[:k],
                every.ideal[:k],
                every.shots[:k],
            )
            errors.append(posterior(PRIOR, NONE_MISSING, [first]).mean[0] - np.log(1.7))
    assert max(off[9]) < 0.2
    assert np.mean(off[0]) < np.mean(off[1]) < np.mean(off[9]) < 0.1
    rms = {k: np.sqrt(np.mean(np.square(errors))) for k, errors in off.items()}
    assert rms[9] < 0.7 * rms[1] < 0.7 * rms[0]
    right = posterior(PRIOR, NONE_MISSING, [simulated_references(1, 1.0)])
    assert abs(right.mean[0]) < 0.2
    assert abs(right.mean[2]) < 0.2


# The distribution itself


@pytest.mark.parametrize("true", [-1.2, 0.0, 0.8])
@pytest.mark.parametrize("m", [3, 4])
def test_the_factor_of_a_depolarized_distribution_is_found(true, m):
    """Half of the outcomes are 0 ideally: an inverse too strong by g makes (g - 1) / 2 negative.

    The measured distribution loses e^true times its calibration's losses.
    """
    rng = np.random.default_rng(6)
    size, circuits = 2**m, 20
    ideal = np.zeros((circuits, size))
    for row in ideal:
        row[rng.permutation(size)[: size // 2]] = rng.dirichlet(np.full(size // 2, 5.0))
    loss = 0.5
    of_gates = np.full((circuits, size), loss)
    of_gates[:, 0] = 0
    losses = ParityLosses(of_gates, np.zeros((circuits, size)), np.zeros((circuits, m)))
    theta = np.array([true, true, true, 0.0])
    noisy = walsh_hadamard(noisy_parities(losses, walsh_hadamard(ideal), theta)) / size
    exact = from_distribution(losses, walsh_hadamard(noisy), np.full(circuits, 10**12), np.zeros(4))
    allowed = np.log((loss * np.exp(true) + np.log(1 + 2 * 0.05)) / loss)
    np.testing.assert_allclose(exact, allowed, atol=0.1)  # of a grid of steps of 1/3
    # Shots leave room for more: the factor is a bound from above, and still tells strengths apart.
    seen = walsh_hadamard(rng.multinomial(8000, noisy) / 8000)
    bound = from_distribution(losses, seen, np.full(circuits, 8000), np.zeros(4))
    assert (bound > true).all()
    assert (bound < allowed + 0.5).all()
    # It counts from the numbers that are assumed.
    assumed = np.tile([0.3, 0.3, 0.3, 0.0], (circuits, 1))
    shifted = from_distribution(losses, seen, np.full(circuits, 8000), assumed)
    np.testing.assert_allclose(shifted, bound - 0.3, atol=0.1)


def test_uniform_and_impossible_distributions_meet_the_limits():
    losses = made_up_losses(np.random.default_rng(7), 2, 3)
    uniform, point = np.full(8, 1 / 8), np.eye(8)[7]
    seen = walsh_hadamard(np.array([uniform, point]))
    limits = from_distribution(losses, seen, np.full(2, 10**6), np.array([2.0, 2.0, 2.0, 0.0]))
    np.testing.assert_array_equal(limits, LOG_FACTORS[[-1, 0]])
    rng = np.random.default_rng(8)
    shots = np.full(50, 1000)
    sampled = walsh_hadamard(rng.multinomial(1000, np.full(8, 1 / 8), 50) / 1000)
    many = made_up_losses(rng, 50, 3)
    assert np.median(from_distribution(many, sampled, shots, np.zeros(4))) == LOG_FACTORS[-1]


@pytest.mark.parametrize("bound", [-3.0, -0.4, 0.0, 0.9, 3.0])
def test_a_bounded_factor_is_a_normal_one_cut_off_at_the_bound(bound):
    """Gates and readout lose 3 to 1, with deviations of their own and of the circuit's."""
    losses = ParityLosses(np.array([[0.0, 0.6]]), np.zeros((1, 2)), np.array([[0.2]]))
    numbers = np.array([[0.0, 0.0, 0.0, 0.5, 0.6, 1.0, 0.8, 0.5]])
    deviation = np.sqrt((0.75 * 0.6) ** 2 + (0.25 * 0.8) ** 2 + 0.4**2)
    mean, narrower = bounded_factor(losses, numbers, np.array([0.4]), np.array([bound]))
    cut = truncnorm(-np.inf, bound / deviation, scale=deviation)
    assert mean[0] == pytest.approx(cut.mean(), abs=1e-6)
    assert narrower[0] == pytest.approx(cut.std() / deviation, abs=1e-6)


# What a calibration lacks


def test_missing_sources_are_told_by_source():
    full = made_up(3, "cx", 0)
    table = InstructionTable.from_circuits(
        3, [[("cx", 0, 1, 0.0), ("rz", 0, -1, 0.3)], [("sx", 2, -1, 0.0)], []]
    )
    measured = np.array([[0, 1], [1, 2], [0, 2]])

    def lacking(qubits: dict | None = None, **gate: tuple) -> np.ndarray:
        changed = full.model_dump(mode="json")
        for number, values in (qubits or {}).items():
            changed["qubits"][number].update(values)
        for each in changed["gates"]:
            if each["gate"] == gate.get("name") and tuple(each["qubits"]) == gate.get("at"):
                each[gate["field"]] = None
        return missing_sources(table, Calibration.parse(changed, "changed"), (0, 1, 2), measured)

    assert not lacking().any()
    ours = lacking(name="cx", at=(0, 1), field="error")
    np.testing.assert_array_equal(ours, [[1, 0, 0], [0, 0, 0], [0, 0, 0]])
    ours = lacking(name="sx", at=(2,), field="length_ns")
    np.testing.assert_array_equal(ours, [[0, 0, 0], [0, 1, 0], [0, 0, 0]])
    assert not lacking(name="cx", at=(1, 0), field="error").any()  # no circuit uses it
    np.testing.assert_array_equal(lacking({1: {"t2_us": None}})[:, 1], [1, 1, 1])
    np.testing.assert_array_equal(lacking({0: {"readout_error": None}})[:, 2], [1, 0, 1])
    empty = empty_calibration("unknown", (0, 1, 2), [("cx", 0, 1)], full.time)
    ours = missing_sources(table, empty, (0, 1, 2), measured)
    np.testing.assert_array_equal(ours, [[1, 1, 1], [1, 1, 1], [0, 1, 1]])


def test_bad_values_are_refused():
    rng = np.random.default_rng(9)
    references = draw_references(rng, np.zeros(4), 2, 2)
    losses = references.losses
    for change, named in (
        ({"seen": np.full((2, 4), np.nan)}, "seen parity"),
        ({"ideal": np.full((2, 4), 1.1)}, "ideal parity"),
        ({"shots": np.zeros(2, dtype=np.int64)}, "no shots"),
        ({"shots": np.ones(3, dtype=np.int64)}, "shots of"),
    ):
        with pytest.raises(QmendError, match=named):
            replace(references, **change)
    with pytest.raises(QmendError, match="waits is negative or not finite"):
        replace(losses, waits=np.full((2, 4), np.nan))
    with pytest.raises(QmendError, match="measure 2 bits need"):
        replace(losses, gates=np.zeros((2, 8)))
    for change in ({"parity": 0.0}, {"circuit": -0.1}, {"parity": np.nan}):
        with pytest.raises(QmendError, match="deviations"):
            replace(PRIOR, **change)
    with pytest.raises(QmendError, match="finite number for each of gates"):
        DeviceNumbers(np.zeros(3), np.ones(3))
    with pytest.raises(QmendError, match="positive"):
        DeviceNumbers(np.zeros(4), np.array([1.0, 1.0, 0.0, 1.0]))
