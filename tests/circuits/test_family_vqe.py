"""VQE states: the molecule's known energies, exact gradients, energies that fall to the ground."""

import mpmath
import numpy as np
import pytest
from qiskit.quantum_info import SparsePauliOp, Statevector
from scipy.linalg import expm
from scipy.optimize import approx_fprime

from qmend.circuits.ansatz import coupled_cluster, hardware_efficient, qubit_excitations
from qmend.circuits.families import SourceCircuit
from qmend.circuits.families.vqe import VQEFamily
from qmend.circuits.molecules import (
    BOHR_IN_ANGSTROM,
    HARTREE_FOCK,
    _boys,
    _eigenvectors,
    _inverse_root,
    annihilate,
    excitations,
    hydrogen,
    two_electrons,
)

CHOICES = [
    (hamiltonian, ansatz)
    for hamiltonian in ("ising", "heisenberg", "h2")
    for ansatz in ("hardware_efficient", "ucc")
]


def family(hamiltonian: str, ansatz: str, **fields) -> VQEFamily:
    return VQEFamily(name="vqe", hamiltonian=hamiltonian, ansatz=ansatz, **fields)


def run(one: VQEFamily, seed: int):
    """Hamiltonian, ansatz and start of one draw."""
    rng = np.random.default_rng(seed)
    hamiltonian, _ = one.draw_hamiltonian(rng)
    ansatz = one.draw_ansatz(rng, hamiltonian)
    return hamiltonian, ansatz, one.draw_start(rng, ansatz)


def operator(hamiltonian, n: int) -> SparsePauliOp:
    """By Qiskit, with identities on the qubits behind the Hamiltonian's own."""
    idle = "I" * (n - hamiltonian.n_qubits)
    return SparsePauliOp.from_list([(idle + p[::-1], c) for p, c in hamiltonian.terms])


def ground_energy(hamiltonian) -> float:
    return float(np.linalg.eigvalsh(operator(hamiltonian, hamiltonian.n_qubits).to_matrix())[0])


def test_hydrogen_has_the_energies_of_the_literature():
    """O'Malley et al., arXiv 1512.06860; Seeley, Richard and Love, arXiv 1208.5986."""
    molecule = hydrogen(0.735)
    assert ground_energy(molecule.hamiltonian) == pytest.approx(-1.13730604, abs=1e-6)
    assert molecule.hartree_fock == pytest.approx(-1.11699900, abs=1e-6)
    terms = dict(molecule.hamiltonian.terms)
    assert len(terms) == 15
    for letters, weight in {"ZIII": 0.172183, "IZII": -0.225753, "XXXX": 0.045232}.items():
        assert terms[letters] == pytest.approx(weight, abs=2e-6)
    curve = {bond: ground_energy(hydrogen(bond).hamiltonian) for bond in (0.6, 0.7, 0.735, 0.8, 1)}
    assert min(curve, key=curve.__getitem__) == 0.735


def test_hydrogen_dissociates_into_two_atoms():
    """A single STO-3G hydrogen atom has -0.46658 hartree."""
    assert ground_energy(hydrogen(20.0).hamiltonian) == pytest.approx(2 * -0.46658185, abs=2e-6)


def test_hartree_fock_is_the_energy_of_its_determinant():
    for bond in (0.5, 0.735, 2.0):
        molecule = hydrogen(bond)
        determinant = molecule.hamiltonian.diagonal[HARTREE_FOCK]
        assert determinant == pytest.approx(molecule.hartree_fock, abs=1e-10)
    # unequal nuclei: HeH+ of Szabo and Ostlund, section 3.5.3
    ion = two_electrons(((2.0, 2.0925), (1.0, 1.24)), 1.4632 * BOHR_IN_ANGSTROM)
    assert ion.hartree_fock == pytest.approx(-2.860662, abs=1e-5)
    assert ion.hamiltonian.diagonal[HARTREE_FOCK] == pytest.approx(ion.hartree_fock, abs=1e-9)


def test_the_boys_function_is_right_to_14_digits():
    points = np.concatenate([[0.0], np.linspace(1e-6, 45, 300), np.geomspace(1e-14, 1e4, 100)])
    with mpmath.workdps(30):
        exact = [mpmath.hyp1f1(0.5, 1.5, -mpmath.mpf(t)) for t in points.tolist()]
    np.testing.assert_allclose(_boys(points), [float(value) for value in exact], rtol=1e-14)


@pytest.mark.parametrize("diagonal", [(2.0, 1.0), (1.0, 2.0), (1.5, 1.5)])
@pytest.mark.parametrize("off", [0.0, 1e-12, 0.4, -0.4])
def test_closed_forms_of_two_by_two_matrices(diagonal, off):
    matrix = np.diag(diagonal) + off * np.array([[0, 1], [1, 0]])
    vectors = _eigenvectors(matrix)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(2), atol=1e-15)
    values = np.linalg.eigvalsh(matrix)
    np.testing.assert_allclose(vectors.T @ matrix @ vectors, np.diag(values), atol=1e-15)
    root = _inverse_root(matrix)
    np.testing.assert_allclose(root @ matrix @ root, np.eye(2), atol=1e-14)


def test_fermions_anticommute_and_the_molecule_keeps_their_number():
    a = [annihilate(mode) for mode in range(4)]
    for p in range(4):
        for q in range(4):
            np.testing.assert_array_equal(a[p] @ a[q] + a[q] @ a[p], 0)
            np.testing.assert_array_equal(a[p] @ a[q].T + a[q].T @ a[p], (p == q) * np.eye(16))
    number = sum(x.T @ x for x in a)
    dense = operator(hydrogen(0.9).hamiltonian, 4).to_matrix()
    np.testing.assert_allclose(dense @ number, number @ dense, atol=1e-12)


def test_unitary_coupled_cluster_is_the_exponential_of_its_excitations():
    a = [annihilate(mode) for mode in range(4)]
    ansatz = coupled_cluster(4, HARTREE_FOCK, excitations())
    t = np.array([0.3, -0.8, 0.6])
    expected = np.eye(16)[HARTREE_FOCK]
    double = a[1].T @ a[3].T @ a[2] @ a[0]
    for angle, excite in zip(t, (a[1].T @ a[0], a[3].T @ a[2], double), strict=True):
        expected = expm(angle * (excite - excite.T)) @ expected
    np.testing.assert_allclose(ansatz.state(t), expected, atol=1e-12)
    electrons = sum(x.T @ x for x in a).diagonal()
    np.testing.assert_allclose(electrons[np.abs(expected) > 1e-12], 2)


@pytest.mark.parametrize(("hamiltonian", "kind"), CHOICES)
def test_gradients_are_those_of_finite_differences(hamiltonian, kind):
    for seed in range(3):
        h, ansatz, start = run(family(hamiltonian, kind, start="random"), seed)
        energy, gradient = ansatz.energy_gradient(start, h)
        assert energy == pytest.approx(ansatz.energy(start, h), abs=1e-12)
        numeric = approx_fprime(start, lambda x, h=h, a=ansatz: a.energy(x, h), 1e-7)
        np.testing.assert_allclose(gradient, numeric, atol=2e-5)


@pytest.mark.parametrize(("hamiltonian", "kind"), CHOICES)
def test_energy_falls_with_every_step_and_stays_above_the_ground(hamiltonian, kind):
    one = family(hamiltonian, kind)
    for seed in range(4):
        h, ansatz, start = run(one, seed)
        ground = ground_energy(h)
        energies = [ansatz.energy(ansatz.optimise(start, h, k), h) for k in (0, 1, 2, 4, 8, 16, 32)]
        assert (np.diff(energies) < 1e-12).all()
        assert energies[-1] < energies[0]
        assert energies[-1] > ground - 1e-10


@pytest.mark.parametrize(("hamiltonian", "kind"), CHOICES)
def test_the_circuit_has_the_energy_it_says(hamiltonian, kind):
    """The circuit's state by Qiskit, the Hamiltonian by Qiskit."""
    one = family(hamiltonian, kind)
    for seed in range(4):
        source = one.draw(np.random.default_rng(seed))
        h, ansatz, _ = run(one, seed)
        state = Statevector(source.circuit.decompose(reps=2))
        energy = state.expectation_value(operator(h, 5)).real
        assert energy == pytest.approx(source.params["energy"], abs=1e-6)
        assert 0 <= source.params["steps"] <= one.steps_max
        assert source.params["layers"] == ansatz.operations.count("ladder")
        if hamiltonian == "h2":  # the fifth qubit idles
            np.testing.assert_allclose(source.probabilities()[16:], 0, atol=1e-15)


@pytest.mark.parametrize(("hamiltonian", "kind"), CHOICES)
def test_the_reference_is_hartree_fock_or_the_best_basis_state(hamiltonian, kind):
    for seed in range(4):
        h, ansatz, start = run(family(hamiltonian, kind, start="reference", spread=0.1), seed)
        energy = ansatz.energy(ansatz.reference_parameters, h)
        best = h.diagonal[HARTREE_FOCK] if hamiltonian == "h2" else h.diagonal.min()
        assert energy == pytest.approx(best, abs=1e-10)
        assert 0 < np.abs(start - ansatz.reference_parameters).max() < 0.6


def test_coupled_cluster_solves_hydrogen():
    for bond in (0.5, 0.735, 1.5):
        h = hydrogen(bond).hamiltonian
        ansatz = coupled_cluster(4, HARTREE_FOCK, excitations())
        found = ansatz.optimise(np.full(3, 0.05), h, 100)
        assert ansatz.energy(found, h) == pytest.approx(ground_energy(h), abs=1e-6)


def test_deep_hardware_efficient_states_come_close_to_the_ground_state():
    one = family("ising", "hardware_efficient", layers_min=4, layers_max=4, start="random")
    for seed in range(3):
        h, ansatz, start = run(one, seed)
        levels = np.linalg.eigvalsh(operator(h, h.n_qubits).to_matrix())
        found = ansatz.energy(ansatz.optimise(start, h, 300), h)
        assert found - levels[0] < 0.02 * (levels[-1] - levels[0])


def test_ansatz_states_are_those_of_their_circuits():
    for ansatz in (hardware_efficient(3, 2, 0), coupled_cluster(3, 5, qubit_excitations(3))):
        theta = np.random.default_rng(0).uniform(-3, 3, ansatz.n_parameters)
        state = Statevector(ansatz.circuit(theta, 3)).data
        assert abs(np.vdot(state, ansatz.state(theta))) == pytest.approx(1, abs=1e-12)
    gadgets = coupled_cluster(3, 5, qubit_excitations(3)).gadgets(theta, 3)
    ours = SourceCircuit({}, gadgets=gadgets, n_qubits=3).state()
    assert abs(np.vdot(ours, state)) == pytest.approx(1, abs=1e-12)


def test_draws_cover_starts_and_steps():
    one = family("h2", "ucc", steps_max=4)
    params = [one.draw(np.random.default_rng(seed)).params for seed in range(80)]
    assert {p["steps"] for p in params} == set(range(5))
    bonds = np.array([p["bond"] for p in params])
    assert 0.4 < bonds.min() < 0.6 < 2.2 < bonds.max() < 2.5
    fresh = [p["energy"] for p in params if p["steps"] == 0]
    done = [p["energy"] for p in params if p["steps"] == 4]
    assert np.mean(done) < np.mean(fresh) - 0.05
