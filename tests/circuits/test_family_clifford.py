"""Clifford circuits: the group's uniform measure, affine outcomes, labels without statevectors."""

from collections import Counter

import numpy as np
import pytest
from qiskit.quantum_info import Clifford, Operator, StabilizerState, Statevector
from scipy import stats

from qmend.circuits.clifford import (
    CliffordCircuit,
    clifford_probabilities,
    random_clifford,
    random_clifford_layers,
)
from qmend.circuits.families import build_family
from qmend.circuits.families.clifford import CliffordFamily
from qmend.circuits.families.near_clifford import NearCliffordFamily

GATES = ("h", "s", "sdg", "x", "y", "z", "cx", "rz")


def random_gates(n: int, length: int, rotations: int, rng: np.random.Generator) -> list:
    """All kinds of gates, the given number of rotations among them."""
    gates = []
    for _ in range(length):
        name = str(rng.choice(GATES[:-1]))
        first, second = (int(q) for q in rng.choice(n, 2, replace=False))
        gates.append((name, first, second if name == "cx" else -1, 0.0))
    for _ in range(rotations):
        angle = float(rng.uniform(-4, 4))
        gates.insert(int(rng.integers(length)), ("rz", int(rng.integers(n)), -1, angle))
    return gates


def normal_form(unitary: np.ndarray) -> bytes:
    """The same for unitaries that differ by a phase only."""
    leading = unitary.ravel()[np.flatnonzero(np.abs(unitary.ravel()) > 1e-9)[0]]
    return (np.round(unitary * abs(leading) / leading, 6) + 0.0).tobytes()


@pytest.mark.parametrize("rotations", [0, 1, 4, 7])
@pytest.mark.parametrize("n", [2, 3, 5])
def test_distributions_equal_the_statevectors(n, rotations):
    for seed in range(10):
        rng = np.random.default_rng([n, rotations, seed])
        gates = random_gates(n, 40, rotations, rng)
        expected = Statevector(CliffordCircuit({}, gates, n).circuit).probabilities()
        np.testing.assert_allclose(clifford_probabilities(gates, n), expected, atol=1e-12)


@pytest.mark.parametrize("sampling", ["uniform", "layers"])
@pytest.mark.parametrize("n", [1, 4, 5, 10])
def test_clifford_outcomes_are_uniform_over_an_affine_subspace(n, sampling):
    family = CliffordFamily(name="clifford", n_qubits=n, sampling=sampling)
    sizes = set()
    for seed in range(12):
        source = family.draw(np.random.default_rng(seed))
        p = source.probabilities()
        support = np.flatnonzero(p)
        assert len(support) & (len(support) - 1) == 0
        np.testing.assert_allclose(p[support], 1 / len(support), rtol=1e-12)
        moved = set((support ^ support[0]).tolist())  # with 0: closed under addition mod 2
        assert all(a ^ b in moved for a in list(moved)[:40] for b in moved)
        stabilizer = StabilizerState(source.circuit)  # refuses what is no Clifford circuit
        if n <= 5:
            np.testing.assert_allclose(stabilizer.probabilities(), p, atol=1e-12)
        sizes.add(len(support))
    assert len(sizes) > 1


def test_one_qubit_cliffords_are_uniform():
    rng = np.random.default_rng(1)
    for sample in (random_clifford, lambda n, rng: random_clifford_layers(n, 0, rng)):
        seen = Counter(
            normal_form(Operator(CliffordCircuit({}, sample(1, rng), 1).circuit).data)
            for _ in range(600)
        )
        assert len(seen) == 24
        assert stats.chisquare(list(seen.values())).pvalue > 1e-3


def test_two_qubit_cliffords_are_uniform():
    """11,520 elements are too many to count; the images of each Pauli, the signs of all, and the
    60 stabilizer states are not."""
    rng = np.random.default_rng(2)
    tableaux = [Clifford(CliffordCircuit({}, random_clifford(2, rng), 2).circuit).tableau
                for _ in range(900)]  # fmt: skip
    for row in range(4):
        images = Counter(tuple(t[row, :4]) for t in tableaux)
        assert len(images) == 15
        assert stats.chisquare(list(images.values())).pvalue > 1e-3
    signs = Counter(tuple(t[:, 4]) for t in tableaux)
    assert len(signs) == 16
    assert stats.chisquare(list(signs.values())).pvalue > 1e-3
    states = Counter(
        normal_form(Statevector(CliffordCircuit({}, random_clifford(2, rng), 2).circuit).data)
        for _ in range(900)
    )
    assert len(states) == 60
    assert stats.chisquare(list(states.values())).pvalue > 1e-3


@pytest.mark.parametrize("n", [2, 5])
def test_few_rotations_stay_near_the_clifford_circuit(n):
    """At a small angle the distribution is close to the Clifford circuit's, at pi / 2 it is one."""
    rng = np.random.default_rng(n)
    for _ in range(10):
        gates = random_gates(n, 30, 0, rng)
        at = int(rng.integers(30))

        def turned(angle: float, gates=gates, at=at) -> np.ndarray:
            return clifford_probabilities([*gates[:at], ("rz", 0, -1, angle), *gates[at:]], n)

        bare = clifford_probabilities(gates, n)
        np.testing.assert_allclose(turned(1e-7), bare, atol=2e-7)
        quarter = clifford_probabilities([*gates[:at], ("s", 0, -1, 0.0), *gates[at:]], n)
        np.testing.assert_allclose(turned(np.pi / 2), quarter, atol=1e-12)


def test_near_clifford_circuits_have_the_rotations_they_say():
    family = NearCliffordFamily(name="near_clifford", rotations_min=1, rotations_max=5)
    counts, places = [], []
    for seed in range(250):
        source = family.draw(np.random.default_rng(seed))
        names = [item.operation.name for item in source.circuit.data]
        counts.append(names.count("rz"))
        places += [k / len(names) for k, name in enumerate(names) if name == "rz"]
        assert source.params["rotations"] == counts[-1]
    assert stats.chisquare(np.bincount(counts)[1:]).pvalue > 1e-3
    assert stats.kstest(places, "uniform").pvalue > 1e-3


def test_without_rotations_it_is_the_clifford_family():
    near = build_family({"name": "near_clifford", "sampling": "uniform", "rotations_max": 0})
    clifford = build_family({"name": "clifford"})
    for seed in range(3):
        a, b = (f.draw(np.random.default_rng(seed)) for f in (near, clifford))
        assert a.circuit == b.circuit


def test_layers_couple_neighbours_in_a_brickwork():
    gates = random_clifford_layers(5, 3, np.random.default_rng(0))
    pairs = [tuple(sorted(gate[1:3])) for gate in gates if gate[0] == "cx"]
    assert pairs == [(0, 1), (2, 3), (1, 2), (3, 4), (0, 1), (2, 3)]
