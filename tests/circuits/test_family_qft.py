"""Fourier transforms against the matrix, phase estimation, adders."""

import numpy as np
import pytest
from qiskit.circuit import QuantumCircuit
from qiskit.quantum_info import Operator

from qmend.circuits.families.qft import QFTFamily, append_basis_state, append_qft


def drawn(seed: int, **fields):
    return QFTFamily(**{"name": "qft", "reach_min": 9, "reach_max": 9, **fields}).draw(
        np.random.default_rng(seed)
    )


def transform(n: int, reach: int) -> np.ndarray:
    circuit = QuantumCircuit(n)
    append_qft(circuit, reach)
    return Operator(circuit).data


def reverse(n: int) -> np.ndarray:
    """(2^n,) each index with its bits in reverse."""
    return np.array([int(f"{x:0{n}b}"[::-1], 2) for x in range(2**n)])


@pytest.mark.parametrize("n", [2, 3, 4])
def test_the_transform_is_the_matrix_with_its_outcomes_in_reversed_bit_order(n):
    x = np.arange(2**n)
    expected = np.exp(2j * np.pi * np.outer(x, x) / 2**n) / 2 ** (n / 2)
    np.testing.assert_allclose(transform(n, n - 1)[reverse(n)], expected, atol=1e-12)


@pytest.mark.parametrize("reach", [1, 2, 4])
def test_the_inverse_gives_every_basis_state_back(reach):
    for state in (0, 5, 19, 31):
        circuit = QuantumCircuit(5)
        append_basis_state(circuit, state)
        append_qft(circuit, reach)
        append_qft(circuit, reach, inverse=True)
        assert abs(Operator(circuit).data[state, 0]) == pytest.approx(1, abs=1e-9)


def test_a_short_reach_comes_near_and_a_longer_one_nearer():
    """Each phase that is left out is at most pi / 2^(reach + 1)."""
    full = transform(5, 4)
    distances = [np.linalg.norm(transform(5, r) - full, 2) for r in (1, 2, 3, 4)]
    assert distances == sorted(distances, reverse=True)
    for reach, distance in zip((1, 2, 3), distances, strict=False):
        left_out = sum(max(0, q - reach) for q in range(5))
        assert 0 < distance <= left_out * np.pi / 2 ** (reach + 1)
    assert distances[-1] == 0


@pytest.mark.parametrize("n", [2, 4, 5])
def test_a_whole_phase_is_read_with_certainty_and_sums_are_right(n):
    for seed in range(8):
        phase = drawn(seed, n_qubits=n, task="phase", exact_probability=1.0)
        assert phase.probabilities()[int(phase.params["value"])] == pytest.approx(1, abs=1e-9)
        added = drawn(seed, n_qubits=n, task="adder", exact_probability=1.0)
        total = (added.params["start"] + int(added.params["value"])) % 2**n
        assert added.probabilities()[total] == pytest.approx(1, abs=1e-9)


def test_other_phases_are_read_by_the_fejer_kernel():
    """P(x) = sin^2(pi d) / (4^n sin^2(pi d / 2^n)), d = v - x."""
    for seed in range(6):
        source = drawn(seed, n_qubits=4, task="phase", exact_probability=0.0)
        d = source.params["value"] - np.arange(16)
        expected = np.sin(np.pi * d) ** 2 / 256 / np.sin(np.pi * d / 16) ** 2
        np.testing.assert_allclose(source.probabilities(), expected, atol=1e-6)


def test_a_period_shows_as_equal_peaks_at_its_multiples():
    for seed in range(12):
        source = drawn(seed, n_qubits=5, task="periodic", exact_probability=1.0)
        low = source.params["low"]
        p = source.probabilities()[reverse(5)]
        np.testing.assert_allclose(p[:: 2 ** (5 - low)], 2.0**-low, atol=1e-9)


def test_the_transform_of_a_product_state():
    source = drawn(4, n_qubits=3, task="product")
    turns = source.circuit.copy_empty_like()
    for item in source.circuit.data[:6]:
        turns.append(item.operation, item.qubits)
    start = Operator(turns).data[:, 0]
    expected = np.abs(np.fft.ifft(start) * np.sqrt(8)) ** 2
    np.testing.assert_allclose(source.probabilities()[reverse(3)], expected, atol=1e-8)
