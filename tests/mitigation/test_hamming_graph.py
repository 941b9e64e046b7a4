"""Errors on the Hamming graph: unfolded readout, deconvolved flips, neighbours that vouch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qmend import metrics
from qmend.circuits.instructions import InstructionTable
from qmend.datasets.circuits import CircuitBatch
from qmend.mitigation.baselines import ReadoutInversion
from qmend.mitigation.baselines.bayesian_unfolding import BayesianUnfolding, unfold
from qmend.mitigation.baselines.calibration_inversion import predicted_survival
from qmend.mitigation.baselines.hammer_like import HammerLike, reweight
from qmend.mitigation.baselines.qbeep_like import QBeepLike, flip_matrices
from qmend.noise.readout import apply_readout

READOUT = {("readout", (0,)): 0.03, ("readout", (1,)): 0.08, ("readout", (2,)): 0.01}


def batch_of(noisy: np.ndarray, calibration, gates=()) -> CircuitBatch:
    count = len(noisy)
    return CircuitBatch(
        InstructionTable.from_circuits(3, [list(gates)] * count),
        noisy,
        np.full(count, 1000),
        ((0, 1, 2),),
        (calibration.restrict((0, 1, 2)),),
        np.zeros(count, dtype=int),
        np.tile(np.arange(3), (count, 1)),
    )


def whole(matrices: np.ndarray) -> np.ndarray:
    """(2^n, 2^n) product of each bit's matrix."""
    out = np.ones((1, 1))
    for matrix in matrices:
        out = np.kron(matrix, out)
    return out


# Iterative Bayesian unfolding


def test_unfolding_inverts_an_exact_channel_of_unequal_bits(random_distributions):
    """Asymmetric readout, another for each circuit."""
    ideal = 0.9 * random_distributions(6, 3) + 0.1 / 8
    rng = np.random.default_rng(0)
    up, down = rng.uniform(0, 0.1, (6, 3)), rng.uniform(0, 0.2, (6, 3))
    response = np.moveaxis(np.array([[1 - up, down], [up, 1 - down]]), (0, 1), (2, 3))
    noisy = np.array([whole(m) @ p for m, p in zip(response, ideal, strict=True)])
    assert metrics.l1(noisy, ideal).min() > 0.05
    np.testing.assert_allclose(unfold(noisy, response, 2000), ideal, atol=1e-6)
    errors = [metrics.l1(unfold(noisy, response, k), ideal).max() for k in (1, 3, 10, 30)]
    assert errors == sorted(errors, reverse=True)


def test_one_step_is_bayes_theorem(random_distributions):
    """From the uniform prior."""
    (noisy,) = random_distributions(1, 2)
    matrices = np.array([[[0.9, 0.2], [0.1, 0.8]], [[0.97, 0.05], [0.03, 0.95]]])
    likelihood = whole(matrices)
    posterior = likelihood / likelihood.sum(axis=1, keepdims=True)
    once = unfold(noisy[None], matrices[None], 1)[0]
    np.testing.assert_allclose(once, noisy @ posterior, atol=1e-15)


def test_the_calibrations_readout_is_unfolded(perfect, random_distributions):
    ideal = 0.9 * random_distributions(5, 3) + 0.1 / 8
    calibration = perfect(READOUT)
    matrices = np.array([[[1 - e, e], [e, 1 - e]] for e in (0.03, 0.08, 0.01)])
    batch = batch_of(apply_readout(ideal, matrices), calibration)
    mitigated = BayesianUnfolding().mitigate(batch)
    assert (metrics.l1(mitigated, ideal) < 0.06 * metrics.l1(batch.noisy, ideal)).all()


def test_unfolding_stays_positive_where_the_inverse_does_not(perfect):
    """An outcome that readout error alone would show more often than it was seen."""
    seen = np.array([[0.999, 0.001, 0, 0, 0, 0, 0, 0]])
    batch = batch_of(seen, perfect(READOUT))
    mitigated = BayesianUnfolding().mitigate(batch)
    np.testing.assert_allclose(mitigated, ReadoutInversion().mitigate(batch), atol=2e-3)
    assert mitigated[0, 0] > 0.999


# Deconvolution of bit flips


def test_errors_flip_random_bits(perfect):
    """Against drawn errors; none, no flip; many, either outcome."""
    flips = flip_matrices(np.array([0.0, 0.7, 1e3]), 3)
    np.testing.assert_allclose(flips[0], np.eye(2), atol=1e-15)
    np.testing.assert_allclose(flips[2], 0.5, atol=1e-15)
    rng = np.random.default_rng(1)
    hit = rng.poisson(0.7 / 3, size=200_000)  # errors on one of three bits
    assert flips[1, 1, 0] == pytest.approx((hit % 2).mean(), abs=3e-3)


GATES = [("cx", 0, 1, 0.0), ("sx", 2, -1, 0.0), ("cx", 1, 2, 0.0), ("rz", 0, -1, 0.3)]
GATE_ERRORS = {("cx", (0, 1)): 0.12, ("cx", (1, 2)): 0.09, ("sx", (2,)): 0.03}


def test_flips_of_the_calibrations_gate_errors_are_undone(perfect, random_distributions):
    """With readout error behind them. Twice the width is worse."""
    ideal = 0.9 * random_distributions(5, 3) + 0.1 / 8
    calibration = perfect({**GATE_ERRORS, **READOUT})
    # p = e d / (d - 1) of each gate's reported error e
    kept = (1 - 0.12 * 4 / 3) * (1 - 0.09 * 4 / 3) * (1 - 0.03 * 2)
    flipped = (1 - np.exp(2 * np.log(kept) / 3)) / 2
    flip = np.array([[1 - flipped, flipped], [flipped, 1 - flipped]])
    readout = np.array([[[1 - e, e], [e, 1 - e]] for e in (0.03, 0.08, 0.01)])
    batch = batch_of(apply_readout(ideal, readout @ flip), calibration, GATES)
    np.testing.assert_allclose(predicted_survival(batch), kept)
    before = metrics.l1(batch.noisy, ideal)
    after = metrics.l1(QBeepLike().mitigate(batch), ideal)
    assert (after < 0.45 * before).all()
    doubled = replace(batch, instructions=InstructionTable.from_circuits(3, [GATES * 2] * 5))
    assert metrics.l1(QBeepLike().mitigate(doubled), ideal).mean() > 1.2 * after.mean()


def test_without_errors_nothing_is_deconvolved(perfect, random_distributions):
    batch = batch_of(random_distributions(5, 3), perfect(), GATES)
    np.testing.assert_allclose(QBeepLike().mitigate(batch), batch.noisy, atol=1e-14)


# Neighbours that vouch


def test_two_equal_outcomes_and_one_has_neighbours(perfect):
    """000 has probable neighbours, 111 none: 000 gains on it.."""
    noisy = np.zeros((1, 8))
    noisy[0, [0b000, 0b111, 0b001, 0b010]] = 0.4, 0.4, 0.1, 0.1
    # Neighbours of 000: 0.2; of 001 and of 010: 0.4 each; of 111: none was seen.
    weight = 1 / (0.2 + 0.4 + 0.4)
    expected = np.zeros(8)
    expected[[0b000, 0b111, 0b001, 0b010]] = 0.4 * (0.4 + weight * 0.2), 0.4 * 0.4, 0.01, 0.01
    mitigated = HammerLike().mitigate(batch_of(noisy, perfect()))
    np.testing.assert_allclose(mitigated[0], expected / expected.sum(), atol=1e-15)


def test_a_point_under_bit_flips_is_sharpened_at_any_place():
    """The distribution moves with its point: only distances count."""
    flip = flip_matrices(np.array([0.6]), 5)[0]
    point = np.eye(32)[[0, 13]]
    noisy = apply_readout(point, np.stack([flip] * 5))
    mitigated = reweight(noisy)
    assert (metrics.l1(mitigated, point) < 0.5 * metrics.l1(noisy, point)).all()
    np.testing.assert_allclose(mitigated[1], mitigated[0][np.arange(32) ^ 13], atol=1e-15)


def test_distances_from_half_of_the_bits_on_do_not_count():
    """Four bits: what is two flips away changes no ratio."""
    near, far = np.zeros((2, 1, 16))
    near[0, [0b0000, 0b1111, 0b0001]] = 0.5, 0.4, 0.1
    far[0, [0b0000, 0b1111, 0b0011]] = 0.5, 0.4, 0.1
    assert reweight(near)[0, 0] / reweight(near)[0, 15] > (0.5 / 0.4) ** 2 + 1e-3
    assert reweight(far)[0, 0] / reweight(far)[0, 15] == pytest.approx((0.5 / 0.4) ** 2)
    for uniform in (np.full((1, 8), 1 / 8), np.eye(8)[:1]):
        np.testing.assert_allclose(reweight(uniform), uniform, atol=1e-15)
