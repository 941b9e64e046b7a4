"""Grover's search: success probability, diagonals, counts of CXs."""

import numpy as np
import pytest
from qiskit.circuit import QuantumCircuit
from qiskit.quantum_info import Operator

from qmend.circuits.families.grover import GroverFamily, append_diagonal


def drawn(seed: int, iterations: int, **fields):
    fields |= {"iterations_min": iterations, "iterations_max": iterations}
    return GroverFamily(**{"name": "grover", **fields}).draw(np.random.default_rng(seed))


def success(source) -> float:
    """P(the searched qubits read a marked pattern)."""
    qubits, index = source.params["qubits"], np.arange(2**source.n_qubits)
    pattern = sum((index >> q & 1) << k for k, q in enumerate(qubits))
    return float(source.probabilities()[np.isin(pattern, source.params["marked"])].sum())


@pytest.mark.parametrize("n", [2, 3, 5, 6])
def test_success_after_k_iterations_is_the_known_sine(n):
    """sin^2((2k + 1) a), sin^2(a) = patterns / 2^s."""
    for seed in range(6):
        for k in (0, 1, 2, 3):
            source = drawn(seed, k, n_qubits=n, exact_probability=1.0)
            share = len(source.params["marked"]) / 2 ** len(source.params["qubits"])
            expected = np.sin((2 * k + 1) * np.arcsin(np.sqrt(share))) ** 2
            assert success(source) == pytest.approx(expected, abs=1e-8)


def test_amplification_of_any_product_state_follows_the_same_sine():
    for seed in range(8):
        fields = {"exact_probability": 0.0, "angle_noise": 0.5, "searched_min": 3}
        a = np.arcsin(np.sqrt(success(drawn(seed, 0, **fields))))
        for k in (1, 2):
            assert success(drawn(seed, k, **fields)) == pytest.approx(
                np.sin((2 * k + 1) * a) ** 2, abs=1e-8
            )


def test_all_qubits_may_be_searched():
    source = drawn(1, 2, n_qubits=5, searched_min=5, searched_max=5, marked_max=1)
    assert sorted(source.params["qubits"]) == [0, 1, 2, 3, 4]
    assert source.circuit.count_ops()["cx"] <= 2 * 2 * 30


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_a_diagonal_has_its_phases(size):
    rng = np.random.default_rng(size)
    qubits = rng.permutation(5)[:size].tolist()
    phases = rng.uniform(-3, 3, 2**size)
    circuit = QuantumCircuit(5)
    append_diagonal(circuit, qubits, phases)
    assert circuit.count_ops().get("cx", 0) == 2**size - 2
    index = np.arange(32)
    expected = np.exp(1j * phases[sum((index >> q & 1) << k for k, q in enumerate(qubits))])
    matrix = Operator(circuit).data
    np.testing.assert_allclose(matrix, np.diag(expected * matrix[0, 0] / expected[0]), atol=1e-9)
