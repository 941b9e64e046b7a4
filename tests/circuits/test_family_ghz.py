"""GHZ and W states: outcomes, parities along other axes, trees."""

import numpy as np
import pytest

from qmend.circuits.families import SourceCircuit
from qmend.circuits.families.ghz import GHZFamily, append_w, grow_tree

EXACT = {"name": "ghz", "exact_probability": 1.0, "size_min": 4, "n_qubits": 4}


def drawn(seed: int, **fields) -> SourceCircuit:
    return GHZFamily(**{**EXACT, **fields}).draw(np.random.default_rng(seed))


def parities(n: int) -> np.ndarray:
    return np.array([1 - 2 * (s.bit_count() % 2) for s in range(2**n)])


@pytest.mark.parametrize("seed", range(8))
def test_a_ghz_state_has_two_opposite_outcomes(seed):
    p = drawn(seed, state="ghz", ending="none").probabilities()
    first, second = np.flatnonzero(p > 1e-12)
    assert first ^ second == 0b1111
    np.testing.assert_allclose(p[[first, second]], 0.5, atol=1e-9)


@pytest.mark.parametrize("seed", range(8))
def test_a_w_state_has_one_excitation_everywhere(seed):
    p = drawn(seed, state="w", ending="none", flip_probability=0.0).probabilities()
    np.testing.assert_allclose(p[[1, 2, 4, 8]], 0.25, atol=1e-9)


def test_the_parity_of_a_ghz_state_oscillates_with_the_sum_of_phases():
    """<X...X> behind RZ(phi_q) is cos(sum phi_q), and no smaller parity has any signal."""
    for seed in range(6):
        source = drawn(seed, state="ghz", ending="parity", flip_probability=0.0)
        phases = [i.operation.params[0] for i in source.circuit.data if i.operation.name == "rz"]
        p = source.probabilities()
        assert p @ parities(4) == pytest.approx(np.cos(sum(phases)), abs=1e-9)
        assert p @ np.tile(parities(3), 2) == pytest.approx(0, abs=1e-9)


def test_random_axes_keep_the_spin_correlations_of_a_ghz_state():
    """E of (Z_a Z_b)^2 over axes: 1 / 9 for the only nonzero correlation of two, Z Z = 1."""
    z = np.tile(parities(2), 4)
    squares = [
        (drawn(seed, state="ghz", ending="random").probabilities() @ z) ** 2 for seed in range(400)
    ]
    assert np.mean(squares) == pytest.approx(1 / 9, abs=0.02)


def test_errors_of_angles_make_outcomes_unequal():
    fields = {"state": "ghz", "ending": "none", "exact_probability": 0.0, "angle_noise": 0.2}
    shares = [drawn(seed, **fields).probabilities().max() for seed in range(200)]
    angles = np.arcsin(2 * np.array(shares) - 1)  # |error|
    assert np.sqrt(np.mean(angles**2)) == pytest.approx(0.2, abs=0.03)


def test_a_chain_grows_between_neighbours_and_reaches_its_size():
    for seed in range(50):
        rng = np.random.default_rng(seed)
        n, size = 2 + seed % 7, 2 + seed % 7 // 2
        root, tree = grow_tree(n, size, True, rng)
        assert len({root, *(child for _, child in tree)}) == size == len(tree) + 1
        assert all(abs(a - b) == 1 for a, b in tree)
    far = [grow_tree(8, 8, False, np.random.default_rng(s))[1] for s in range(20)]
    assert any(abs(a - b) > 1 for tree in far for a, b in tree)


def test_a_w_state_is_shared_along_any_tree():
    from qiskit.circuit import QuantumCircuit

    for seed in range(10):
        rng = np.random.default_rng(seed)
        root, tree = grow_tree(6, 6, False, rng)
        circuit = QuantumCircuit(6)
        append_w(circuit, root, tree, np.zeros(6))
        p = SourceCircuit({}, circuit=circuit).probabilities()
        np.testing.assert_allclose(p[1 << np.arange(6)], 1 / 6, atol=1e-9)
