"""The Pauli family and the registry of families."""

import numpy as np
import pytest
from pydantic import ValidationError
from qiskit.quantum_info import Operator, Pauli, Statevector
from scipy import stats

from qmend.circuits.families import FAMILIES, build_family
from qmend.circuits.families.pauli import PauliFamily
from qmend.circuits.statevector import source_state
from qmend.types import QmendError


def drawn(count: int, **fields) -> list:
    family = PauliFamily(name="pauli", **fields)
    return [family.draw(np.random.default_rng(seed)) for seed in range(count)]


@pytest.fixture(scope="module")
def many() -> list:
    return drawn(400, gadgets_min=3, gadgets_max=9)


def terms(circuit) -> list[tuple[str, float]]:
    return [(i.operation.operator.paulis[0].to_label(), i.operation.time) for i in circuit.data]


def test_the_unitary_is_the_product_of_exponentials():
    """exp(-i a P) = cos a - i sin a P, the first gadget applied first, on the qubits in order."""
    for source in drawn(5, n_qubits=3, gadgets_min=2, gadgets_max=4):
        expected = np.eye(8)
        for item in source.circuit.data:
            assert [source.circuit.find_bit(q).index for q in item.qubits] == [0, 1, 2]
        for label, angle in terms(source.circuit):
            p = Pauli(label).to_matrix()
            expected = (np.cos(angle) * np.eye(8) - 1j * np.sin(angle) * p) @ expected
        np.testing.assert_allclose(Operator(source.circuit).data, expected, atol=1e-10)


def test_ideal_states_equal_an_independent_statevector():
    for source in drawn(20):
        ideal = np.abs(source_state(source.circuit)) ** 2
        expected = Statevector(source.circuit.decompose(reps=3)).probabilities()
        np.testing.assert_allclose(ideal, expected, atol=1e-12)


def test_exact_means_exactly_t_gadgets_with_t_uniform(many):
    t = [s.params["T"] for s in many]
    assert [len(s.circuit.data) for s in many] == t
    assert [s.params["gadgets"] for s in many] == t
    assert set(t) == set(range(3, 10))
    assert stats.chisquare(np.bincount(t)[3:]).pvalue > 1e-3


def test_max_means_a_number_uniform_up_to_t():
    sources = drawn(300, gadgets="max", gadgets_min=6, gadgets_max=6)
    count = [len(s.circuit.data) for s in sources]
    assert {s.params["T"] for s in sources} == {6}
    assert [s.params["gadgets"] for s in sources] == count
    assert stats.chisquare(np.bincount(count, minlength=7)[1:]).pvalue > 1e-3


def test_paulis_and_angles_are_uniform(many):
    labels, angles = zip(*[t for s in many for t in terms(s.circuit)], strict=True)
    letters = np.array([["IXYZ".index(c) for c in label] for label in labels])
    assert letters.shape[1] == 5
    for column in letters.T:
        assert stats.chisquare(np.bincount(column, minlength=4)).pvalue > 1e-3
    turns = np.array(angles) / (2 * np.pi)
    assert stats.kstest(turns, "uniform").pvalue > 1e-3


def test_a_seed_gives_the_circuit_back():
    family = PauliFamily(name="pauli")
    first, again = (family.draw(np.random.default_rng(11)) for _ in range(2))
    assert terms(first.circuit) == terms(again.circuit)
    assert terms(family.draw(np.random.default_rng(12)).circuit) != terms(first.circuit)


def test_the_registry_builds_what_a_config_names():
    family = build_family({"name": "pauli", "n_qubits": 2, "gadgets_max": 4})
    assert family == PauliFamily(name="pauli", n_qubits=2, gadgets_max=4)
    assert FAMILIES["pauli"] is PauliFamily
    with pytest.raises(QmendError, match=r"unknown family 'paull'. Did you mean 'pauli'\?"):
        build_family({"name": "paull"})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"gadgets_min": 5, "gadgets_max": 4}, r"gadgets_min \(5\) exceeds gadgets_max \(4\)"),
        ({"gadgets_min": 0}, "gadgets_min"),
        ({"n_qubits": 11}, "n_qubits"),
        ({"gadgets": "some"}, "gadgets"),
        ({"gadget": "max"}, "Extra inputs"),
    ],
)
def test_bad_fields_are_refused(fields, message):
    with pytest.raises(ValidationError, match=message):
        PauliFamily(name="pauli", **fields)
