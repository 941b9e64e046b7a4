"""Trotter circuits converge to exp(-iHt) at their order; spin chains against exact results."""

import numpy as np
import pytest
from qiskit.quantum_info import SparsePauliOp, Statevector
from scipy import stats
from scipy.linalg import expm

from qmend.circuits.families import SourceCircuit
from qmend.circuits.families.trotter import TrotterFamily
from qmend.circuits.hamiltonians import heisenberg_chain, ising_chain, product_formula
from qmend.circuits.rotations import local_gadgets


def operator(hamiltonian) -> np.ndarray:
    """The Hamiltonian by Qiskit."""
    terms = [(letters[::-1], c) for letters, c in hamiltonian.terms]
    return SparsePauliOp.from_list(terms).to_matrix()


def chains(n: int) -> dict:
    rng = np.random.default_rng(n)
    bond, site = rng.uniform(0.5, 1.5, n - 1), rng.uniform(-1, 1, (2, n))
    return {
        "ising": ising_chain(bond, site[0], np.zeros(n)),
        "longitudinal": ising_chain(bond, site[0], site[1]),
        "heisenberg": heisenberg_chain(bond, 0.7, site[0]),
    }


@pytest.mark.parametrize("name", ["ising", "longitudinal", "heisenberg"])
def test_diagonal_and_action_of_a_pauli_sum(name):
    hamiltonian = chains(4)[name]
    dense = operator(hamiltonian)
    np.testing.assert_allclose(hamiltonian.diagonal, np.diag(dense).real, atol=1e-12)
    rng = np.random.default_rng(1)
    state = rng.normal(size=16) + 1j * rng.normal(size=16)
    real, expected = (np.concatenate([s.real, s.imag]) for s in (state, dense @ state))
    np.testing.assert_allclose(hamiltonian.apply(real), expected, atol=1e-12)


def test_the_ising_chain_is_free_fermions():
    """-sum J ZZ - sum h X on an open chain: ground energy minus the sum of the singular values of
    the bidiagonal matrix of h and J (Lieb, Schultz and Mattis 1961)."""
    rng = np.random.default_rng(0)
    coupling, field = rng.uniform(0.5, 1.5, 5), rng.uniform(0, 2, 6)
    modes = np.linalg.svd(np.diag(field) + np.diag(coupling, 1), compute_uv=False)
    ground = np.linalg.eigvalsh(operator(ising_chain(coupling, field, np.zeros(6))))[0]
    assert ground == pytest.approx(-modes.sum(), abs=1e-10)


def test_the_heisenberg_chain_of_four_spins():
    """Ground energy -(3 + 2 sqrt 3) in Pauli units, by hand."""
    chain = heisenberg_chain(np.ones(3), 1.0, np.zeros(4))
    assert np.linalg.eigvalsh(operator(chain))[0] == pytest.approx(-3 - 2 * np.sqrt(3), abs=1e-10)


def test_the_longitudinal_field_points_along_z():
    """Without other terms every spin gains -g for |0>."""
    chain = ising_chain(np.zeros(2), np.zeros(3), np.array([0.5, 1.0, 2.0]))
    assert chain.diagonal[0b000] == pytest.approx(-3.5)
    assert chain.diagonal[0b100] == pytest.approx(0.5)


@pytest.mark.parametrize("name", ["ising", "longitudinal", "heisenberg"])
@pytest.mark.parametrize("order", [1, 2])
def test_the_error_falls_with_the_order_of_the_formula(name, order):
    """Twice the steps: half of the error at order 1, a quarter at order 2."""
    hamiltonian = chains(4)[name]
    turns = local_gadgets(4, "Y", np.array([0.2, 0.9, 0.5, 1.3]))
    start = SourceCircuit({}, gadgets=turns, n_qubits=4).state()
    exact = expm(-1.3j * operator(hamiltonian)) @ start
    errors = []
    for steps in (20, 40, 80):
        gadgets = turns + product_formula(hamiltonian, 1.3, steps, order)
        state = SourceCircuit({}, gadgets=gadgets, n_qubits=4).state()
        errors.append(np.linalg.norm(state - exact))
    np.testing.assert_allclose(np.divide(errors[:-1], errors[1:]), 2.0**order, rtol=0.12)
    assert errors[-1] < (0.05 if order == 1 else 0.002)


def test_a_second_order_step_merges_what_it_can():
    """Half steps of one part that meet become one: 2 parts, k steps, 2 k + 1 layers."""
    hamiltonian = chains(4)["ising"]  # 3 ZZ, then 4 X
    assert len(product_formula(hamiltonian, 1.0, 5, 2)) == 6 * 3 + 5 * 4
    assert len(product_formula(hamiltonian, 1.0, 5, 1)) == 5 * 7


@pytest.mark.parametrize("order", [1, 2])
def test_heisenberg_circuits_conserve_the_magnetisation(order):
    """Every single gate does, so the weight of the outcomes is that of the initial state."""
    family = TrotterFamily(
        name="trotter", hamiltonian="heisenberg", initial="basis", order=order, disordered=True
    )
    weight = np.array([s.bit_count() for s in range(32)])
    seen = set()
    for seed in range(15):
        p = family.draw(np.random.default_rng(seed)).probabilities()
        mean = float(p @ weight)
        assert p @ (weight - mean) ** 2 == pytest.approx(0, abs=1e-10)
        seen.add(round(mean))
    assert len(seen) > 3


def test_drawn_circuits_approach_the_exact_evolution():
    """The family's own Hamiltonian, time and initial state, with many steps."""
    family = TrotterFamily(name="trotter", n_qubits=4, order=2, steps_min=60, steps_max=60,
                           longitudinal=True, time_max=1.0)  # fmt: skip
    for seed in range(3):
        source = family.draw(np.random.default_rng(seed))
        rng = np.random.default_rng(seed)
        hamiltonian, _ = family.draw_hamiltonian(rng)
        rng.uniform(), rng.integers(60, 61)
        start = SourceCircuit({}, gadgets=source.gadgets[:8], n_qubits=4).state()
        exact = expm(-1j * source.params["time"] * operator(hamiltonian)) @ start
        assert abs(np.vdot(exact, Statevector(source.circuit).data)) == pytest.approx(1, abs=1e-4)


def test_initial_states():
    def start(initial: str, seed: int) -> np.ndarray:
        family = TrotterFamily(name="trotter", n_qubits=2, initial=initial)
        gadgets = family.draw_initial(np.random.default_rng(seed))
        return SourceCircuit({}, gadgets=gadgets, n_qubits=2).state()

    assert abs(start("zero", 0)[0]) == 1
    basis = np.abs([start("basis", seed) for seed in range(200)]) ** 2
    assert stats.chisquare(np.round(basis).sum(axis=0)).pvalue > 1e-3
    np.testing.assert_allclose(basis.max(axis=1), 1)
    product = np.array([start("product", seed) for seed in range(400)])
    for letters in ("IX", "IY", "ZI"):  # Archimedes: each coordinate of a uniform point is uniform
        coordinate = np.einsum(
            "ks,st,kt->k", product.conj(), SparsePauliOp(letters).to_matrix(), product
        ).real
        assert stats.kstest((coordinate + 1) / 2, "uniform").pvalue > 1e-3


def test_couplings_are_one_number_or_one_for_each_bond():
    for disordered in (False, True):
        family = TrotterFamily(name="trotter", disordered=disordered, coupling_min=0.8)
        hamiltonian, _ = family.draw_hamiltonian(np.random.default_rng(0))
        bonds = [-c for letters, c in hamiltonian.terms if letters.count("Z") == 2]
        fields = [-c for letters, c in hamiltonian.terms if "X" in letters]
        assert all(0.8 <= j <= 1.5 for j in bonds)
        assert all(0 <= h <= 2 for h in fields)
        assert len(set(bonds)) == (4 if disordered else 1)
        assert len(set(fields)) == (5 if disordered else 1)
