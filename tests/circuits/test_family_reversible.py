"""Reversible circuits are bijections of bit strings; adders add."""

import numpy as np
import pytest
from pydantic import ValidationError
from qiskit.circuit import QuantumCircuit
from qiskit.quantum_info import Operator

from qmend.circuits.families.reversible import ReversibleFamily, adder, draw_gates


def family(**fields) -> ReversibleFamily:
    return ReversibleFamily(**{"name": "reversible", **fields})


def image(gates, n: int) -> np.ndarray:
    """(2^n,) bit string that each one is taken to, gate by gate."""
    bits = np.arange(2**n)[:, None] >> np.arange(n) & 1
    for name, (*controls, last) in gates:
        if name == "cswap":
            control, first = controls
            on = bits[:, control] == 1
            bits[on, first], bits[on, last] = bits[on, last], bits[on, first]
        else:
            bits[:, last] ^= bits[:, controls].all(axis=1)
    return bits @ (1 << np.arange(n))


def unitary(gates, n: int) -> np.ndarray:
    circuit = QuantumCircuit(n)
    for name, qubits in gates:
        getattr(circuit, name)(*qubits)
    return Operator(circuit).data


@pytest.mark.parametrize("n", [2, 3, 5])
def test_random_gates_are_a_bijection_of_basis_states(n):
    for seed in range(6):
        gates = draw_gates(np.random.default_rng(seed), n, 3, 10, 0.3)
        target = image(gates, n)
        assert sorted(target) == list(range(2**n))
        expected = np.zeros((2**n, 2**n))
        expected[target, np.arange(2**n)] = 1
        np.testing.assert_allclose(unitary(gates, n), expected, atol=1e-9)


@pytest.mark.parametrize("n", [3, 4, 5, 6, 8])
def test_adders_add(n):
    index = np.arange(2**n)
    m = (n - 1) // 2

    def number(states: np.ndarray, first: int) -> np.ndarray:
        return sum((states >> (first + 2 * k) & 1) << k for k in range(m))

    target = image(adder(n), n)
    total = number(index, 1) + number(index, 2) + (index & 1)
    np.testing.assert_array_equal(number(target, 1), total % 2**m)
    np.testing.assert_array_equal(number(target, 2), number(index, 2))
    np.testing.assert_array_equal(target & 1, index & 1)
    if n % 2 == 0:
        np.testing.assert_array_equal(target >> n - 1, index >> n - 1 ^ total >> m)


@pytest.mark.parametrize("kind", ["gates", "adder"])
def test_a_basis_state_has_one_outcome_and_a_product_state_its_own_permuted(kind):
    for seed in range(6):
        certain = family(map=kind, superposed_probability=0.0)
        p = certain.draw(np.random.default_rng(seed)).probabilities()
        assert p.max() == pytest.approx(1, abs=1e-9)
        source = family(map=kind, superposed_probability=1.0).draw(np.random.default_rng(seed))
        start = source.circuit.copy_empty_like()
        for item in source.circuit.data[: len(source.circuit.data) - source.params["gates"]]:
            start.append(item.operation, item.qubits)
        product = np.abs(Operator(start).data[:, 0]) ** 2
        assert source.circuit.count_ops()["ry"] > 0
        np.testing.assert_allclose(np.sort(source.probabilities()), np.sort(product), atol=1e-9)


def test_an_adder_needs_three_qubits():
    with pytest.raises(ValidationError, match="map adder needs n_qubits of at least 3, not 2"):
        family(map="adder", n_qubits=2)
    drawn = [family(n_qubits=2).draw(np.random.default_rng(s)).params["map"] for s in range(20)]
    assert set(drawn) == {"gates"}
