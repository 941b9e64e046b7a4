"""Preparation of random distributions: controlled rotations, the tree of a distribution, gates."""

import numpy as np
import pytest
from qiskit.circuit import QuantumCircuit
from qiskit.quantum_info import Operator, Statevector

from qmend.circuits.families.state_preparation import (
    StatePreparationFamily,
    append_controlled_ry,
)


def drawn(seed: int, **fields):
    values = {
        "name": "state_preparation",
        "n_qubits": 4,
        "prepared_min": 2,
        "prepared_max": 4,
        "gates_min": 0,
        "gates_max": 8,
        "three_qubit_probability": 0.3,
    }
    return StatePreparationFamily(**values | fields).draw(np.random.default_rng(seed))


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_each_value_of_the_controls_has_its_rotation(count):
    rng = np.random.default_rng(count)
    controls, target = [3, 0, 2][:count], 1
    angles = rng.uniform(0, np.pi, 2**count)
    circuit = QuantumCircuit(4)
    append_controlled_ry(circuit, controls, target, angles)
    assert circuit.count_ops().get("cx", 0) <= 2**count
    matrix = Operator(circuit).data
    index = np.arange(16)
    value = sum(((index >> q & 1) << k for k, q in enumerate(controls)), 0 * index)
    expected = np.zeros((16, 16))
    for x in range(16):
        bit, half = x >> target & 1, angles[value[x]] / 2
        expected[x, x] = np.cos(half)
        expected[x ^ 1 << target, x] = -np.sin(half) if bit else np.sin(half)
    np.testing.assert_allclose(matrix, expected, atol=1e-9)


def test_equal_angles_need_no_control():
    circuit = QuantumCircuit(3)
    append_controlled_ry(circuit, [0, 1], 2, np.full(4, 0.7))
    assert dict(circuit.count_ops()) == {"ry": 1}


@pytest.mark.parametrize("seed", range(8))
def test_gates_permute_outcomes_and_change_no_probability(seed):
    """The same draws without gates have the same probabilities in another order."""
    long, short = drawn(seed, gates_min=8), drawn(seed, gates_max=0)
    assert long.params["qubits"] == short.params["qubits"]
    assert (long.params["gates"], short.params["gates"]) == (8, 0)
    both = [np.sort(each.probabilities()) for each in (long, short)]
    np.testing.assert_allclose(*both, atol=1e-9)


def test_distributions_are_sparse_equal_dyadic_and_of_any_probability():
    each = [drawn(seed, gates_max=0).probabilities() for seed in range(60)]
    support = {int((p > 1e-9).sum()) for p in each}
    assert {1, 2, 4}.issubset(support)
    assert max(support) > 8
    dyadic = [np.allclose(p * 16, np.round(p * 16), atol=1e-9) for p in each]
    assert 5 < sum(dyadic) < 50
    assert any(np.ptp(p[p > 1e-9]) < 1e-9 and (p > 1e-9).sum() > 1 for p in each)


def test_qubits_that_are_not_prepared_stay_at_0():
    source = drawn(3, prepared_min=2, prepared_max=2, gates_max=0)
    idle = [q for q in range(4) if q not in source.params["qubits"]]
    state = Statevector(source.circuit).probabilities(idle)
    assert state[0] == pytest.approx(1.0)
