"""Readout error on each bit against explicit Kronecker products."""

from functools import reduce

import numpy as np
import pytest
import torch

from qmend.devices.calibration import Calibration
from qmend.models.physics_perceiver import invert_readout
from qmend.noise.readout import apply_readout, asymmetric_readout_matrices, readout_matrices
from qmend.types import QmendError


@pytest.fixture
def matrices() -> np.ndarray:
    """Asymmetric column-stochastic matrices, different on each of four qubits."""
    rng = np.random.default_rng(0)
    down, up = rng.uniform(0.01, 0.2, size=(2, 4))
    return np.array([[[1 - d, u], [d, 1 - u]] for d, u in zip(down, up, strict=True)])


def whole(matrices: np.ndarray) -> np.ndarray:
    """The matrix on all qubits: the most significant qubit is the leftmost factor."""
    return reduce(np.kron, matrices[::-1])


def test_it_is_the_kronecker_product(matrices, random_distributions):
    p = random_distributions(7, 4)
    np.testing.assert_allclose(apply_readout(p, matrices), p @ whole(matrices).T, atol=1e-14)


def test_the_inverse_undoes_it(matrices, random_distributions):
    p = random_distributions(7, 4)
    noisy = apply_readout(p, matrices)
    assert np.abs(noisy - p).max() > 0.01
    np.testing.assert_allclose(apply_readout(noisy, np.linalg.inv(matrices)), p, atol=1e-12)


def test_the_result_is_a_distribution(matrices, random_distributions):
    noisy = apply_readout(random_distributions(7, 4), matrices)
    np.testing.assert_allclose(noisy.sum(axis=1), 1, atol=1e-14)
    assert (noisy >= 0).all()


@pytest.mark.parametrize("shape", [(16,), (3, 16), (2, 3, 16)])
def test_any_batch_shape(matrices, random_distributions, shape):
    p = random_distributions(6, 4)[: int(np.prod(shape[:-1]))].reshape(shape)
    out = apply_readout(p, matrices)
    assert out.shape == shape
    np.testing.assert_allclose(
        out.reshape(-1, 16), p.reshape(-1, 16) @ whole(matrices).T, atol=1e-14
    )


def test_matrices_hold_the_reported_error_in_chain_order(algiers):
    matrices = readout_matrices(algiers.calibration, (5, 0, 3))
    errors = [algiers.calibration.qubit(q).readout_error for q in (5, 0, 3)]
    assert len(set(errors)) == 3
    for matrix, e in zip(matrices, errors, strict=True):
        np.testing.assert_array_equal(matrix, [[1 - e, e], [e, 1 - e]])


def test_a_missing_readout_error_is_named(algiers):
    plain = algiers.calibration.model_dump(mode="json")
    plain["qubits"][1]["readout_error"] = None
    with pytest.raises(QmendError, match="lacks readout_error of qubit 1"):
        readout_matrices(Calibration.parse(plain, "x"), (0, 1))


def skewed(calibration: Calibration) -> Calibration:
    """P(1|0) of a third and P(0|1) of five thirds of each readout error."""
    plain = calibration.model_dump(mode="json")
    for qubit in plain["qubits"]:
        error = qubit["readout_error"]
        qubit["prob_meas1_prep0"], qubit["prob_meas0_prep1"] = error / 3, 5 * error / 3
    return Calibration.parse(plain, "skewed")


def test_asymmetric_matrices_differ_from_their_mean_by_the_bias(algiers):
    calibration, layout = skewed(algiers.calibration), (5, 0, 3)
    matrices = asymmetric_readout_matrices(calibration, layout)
    np.testing.assert_allclose(matrices.sum(axis=1), 1, atol=1e-15)  # of each column
    assert (matrices >= 0).all()
    np.testing.assert_allclose(matrices[:, 0, 1] / matrices[:, 1, 0], 5)
    flipped = matrices[:, ::-1, ::-1]  # the two outcomes exchanged
    symmetric = readout_matrices(calibration, layout)
    np.testing.assert_allclose((matrices + flipped) / 2, symmetric, atol=1e-15)


def test_a_network_undoes_asymmetric_readout_exactly(matrices, random_distributions):
    """From the mean error and half the difference of the two; without the bias it can't."""
    p = random_distributions(7, 4)
    noisy, up, down = apply_readout(p, matrices), matrices[:, 1, 0], matrices[:, 0, 1]
    error, bias = (torch.tensor(np.tile(x, (7, 1))) for x in ((up + down) / 2, (down - up) / 2))
    undone = invert_readout(torch.tensor(noisy), error, bias)
    np.testing.assert_allclose(undone.numpy(), p, atol=1e-13)
    assert np.abs(invert_readout(torch.tensor(noisy), error).numpy() - p).max() > 1e-3
    none = invert_readout(torch.tensor(noisy), error, torch.zeros_like(bias))
    np.testing.assert_array_equal(none.numpy(), invert_readout(torch.tensor(noisy), error).numpy())


def test_a_missing_probability_of_readout_is_named(algiers):
    plain = skewed(algiers.calibration).model_dump(mode="json")
    plain["qubits"][1]["prob_meas0_prep1"] = None
    with pytest.raises(QmendError, match="lacks prob_meas0_prep1 of qubit 1"):
        asymmetric_readout_matrices(Calibration.parse(plain, "x"), (0, 1))
