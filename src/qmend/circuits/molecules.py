"""Two-electron diatomic molecules in the STO-3G basis on four qubits, from closed formulas.

Integrals over s-type Gaussians and the restricted Hartree-Fock equations as in Szabo and
Ostlund, Modern Quantum Chemistry (1989), chapter 3 and appendix A. All energies in hartree.
Exponentials are those of :mod:`qmend.portable`, powers and the 2 x 2 eigenproblems square roots,
and each sum has a fixed order, as the optimiser of a VQE passes the last bits on.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np

from qmend.circuits.hamiltonians import PauliSum
from qmend.circuits.statevector import pauli_action
from qmend.portable import exp
from qmend.types import AnyArray, FloatArray

BOHR_IN_ANGSTROM = 0.529177210903
#: STO-3G of a 1s orbital with exponent 1: exponents and coefficients of the three Gaussians.
_EXPONENTS = np.array([2.227660584, 0.405771156, 0.109818036])
_COEFFICIENTS = np.array([0.154328967, 0.535328142, 0.444634542])
#: Nuclear charge, and STO-3G's Slater exponent of the 1s orbital.
_HYDROGEN = (1.0, 1.24)
#: Spatial orbitals 0 (bonding) and 1 with spin up on qubits 0 and 1, with spin down on 2 and 3.
N_QUBITS = 4
#: Both electrons in the bonding orbital: qubits 0 and 2.
HARTREE_FOCK = 0b0101


@dataclass(frozen=True)
class Molecule:
    """A molecule at one bond length.

    Attributes:
        hamiltonian: nuclear repulsion included, Jordan-Wigner transformed.
        hartree_fock: energy of the restricted Hartree-Fock determinant.
    """

    hamiltonian: PauliSum
    hartree_fock: float


def hydrogen(bond: float) -> Molecule:
    """H2 at a bond length in angstrom; its ground energy is -1.1373 hartree at 0.735."""
    return two_electrons((_HYDROGEN, _HYDROGEN), bond)


def two_electrons(atoms: tuple[tuple[float, float], tuple[float, float]], bond: float) -> Molecule:
    """Two nuclei, each (charge, Slater exponent of its 1s orbital), and two electrons.

    Args:
        bond: distance of the nuclei in angstrom.
    """
    charges = np.array([z for z, _ in atoms])
    overlap, core, repulsion = _integrals(
        charges, np.array([zeta for _, zeta in atoms]), bond / BOHR_IN_ANGSTROM
    )
    nuclear = float(charges.prod()) * BOHR_IN_ANGSTROM / bond
    orbitals, electronic = _hartree_fock(overlap, core, repulsion)
    labels, ones, twos = _jordan_wigner()
    weight = np.zeros(len(labels))
    for integrals, strings in ((core, ones), (repulsion, twos)):
        values = _in_orbitals(integrals, orbitals)
        for index in np.ndindex(values.shape):
            weight += values[index] * strings[index]
    weight[labels.index("IIII")] += nuclear
    terms = [(p, float(w)) for p, w in zip(labels, weight, strict=True) if abs(w) > 1e-10]
    return Molecule(PauliSum(tuple(terms)), electronic + nuclear)


def _integrals(
    charges: FloatArray, zeta: FloatArray, distance: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Overlap (2, 2), kinetic plus nuclear attraction (2, 2), and repulsion (pq|rs) (2, 2, 2, 2).

    Every integral is first taken between primitive Gaussians 0-2 (first atom) and 3-5.
    """
    a = np.concatenate([_EXPONENTS * (z * z) for z in zeta])
    at = np.repeat([0.0, distance], 3)
    root = np.sqrt(2 * a / np.pi)
    norm = np.tile(_COEFFICIENTS, 2) * (root * np.sqrt(root))
    p = a[:, None] + a  # (6, 6) exponent and centre of the product of two Gaussians
    reduced = a[:, None] * a / p
    apart = _square(at[:, None] - at)
    factor = exp(-reduced * apart)
    centre = (a[:, None] * at[:, None] + a * at) / p
    overlap = np.pi / p * np.sqrt(np.pi / p) * factor
    kinetic = reduced * (3 - 2 * reduced * apart) * overlap
    attraction = -sum(
        2 * np.pi / p * charge * factor * _boys(p * _square(centre - nucleus))
        for charge, nucleus in zip(charges, (0.0, distance), strict=True)
    )
    q = p[:, :, None, None]
    r = p[None, None]
    between = _square(centre[:, :, None, None] - centre)
    repulsion = (
        (2 * np.pi * np.pi * np.sqrt(np.pi))
        / (q * r * np.sqrt(q + r))
        * factor[:, :, None, None]
        * factor
        * _boys(q * r / (q + r) * between)
    )
    pair = norm[:, None] * norm
    return (
        _contracted(pair * overlap),
        _contracted(pair * (kinetic + attraction)),
        _contracted(pair[:, :, None, None] * pair * repulsion),
    )


def _square(x: AnyArray) -> FloatArray:
    square: FloatArray = x * x
    return square


def _contracted(primitive: FloatArray) -> FloatArray:
    """(2, ...) sums of (6, ...) over the three Gaussians of each atom, axis by axis."""
    for _ in range(primitive.ndim):  # each time the first axis becomes the last
        three = primitive.reshape(2, 3, *primitive.shape[1:])
        primitive = np.moveaxis(three[:, 0] + three[:, 1] + three[:, 2], 0, -1)
    return primitive


def _in_orbitals(integrals: FloatArray, orbitals: FloatArray) -> FloatArray:
    """Integrals over atomic functions (2, ...) as those over orbitals (columns), axis by axis."""
    for _ in range(integrals.ndim):  # each time the first axis becomes the last
        integrals = integrals[0][..., None] * orbitals[0] + integrals[1][..., None] * orbitals[1]
    return integrals


#: Above it F_0(t) = sqrt(pi / t) / 2 to 17 digits; below it the terms of the series do.
_LARGE = 36.0
#: 2^k / (2k+1)!!
_SERIES = np.cumprod([1.0, *(2 / (2 * k + 1) for k in range(1, 100))]).tolist()


def _boys(t: FloatArray) -> FloatArray:
    """F_0(t) = integral over x in (0, 1) of exp(-t x^2) = exp(-t) sum_k (2t)^k / (2k+1)!!."""
    small = np.minimum(t, _LARGE)
    total = np.full_like(small, _SERIES[-1])
    for coefficient in reversed(_SERIES[:-1]):
        total *= small
        total += coefficient
    return np.where(t > _LARGE, 0.5 * np.sqrt(np.pi / np.maximum(t, 1.0)), exp(-small) * total)


def _hartree_fock(
    overlap: FloatArray, core: FloatArray, repulsion: FloatArray
) -> tuple[FloatArray, float]:
    """Molecular orbitals (columns, lowest first) and the electronic energy of a closed shell."""
    orthogonal = _inverse_root(overlap)
    effective = repulsion - 0.5 * repulsion.transpose(0, 3, 2, 1)  # Coulomb and exchange
    density = np.zeros((2, 2))
    for _ in range(500):
        fock = core + _mean_field(density, effective)
        vectors = _eigenvectors(_product(_product(orthogonal, fock), orthogonal))
        orbitals = _product(orthogonal, vectors)
        orbitals = np.where(orbitals[0] < 0, -orbitals, orbitals)  # they come with any sign
        new = 2 * orbitals[:, :1] * orbitals[:, 0]
        change = np.abs(new - density).max()
        density = new
        if change < 1e-12:
            break
    fock = core + _mean_field(density, effective)
    return orbitals, float(0.5 * (density * (core + fock)).sum())


def _mean_field(density: FloatArray, effective: FloatArray) -> FloatArray:
    """(2, 2) sum over r, s of density_rs effective_pqrs."""
    field = np.zeros((2, 2))
    for r, s in np.ndindex(2, 2):
        field += density[r, s] * effective[:, :, r, s]
    return field


def _product(a: FloatArray, b: FloatArray) -> FloatArray:
    """(2, 2) a b."""
    product: FloatArray = a[:, :1] * b[0] + a[:, 1:] * b[1]
    return product


def _inverse_root(matrix: FloatArray) -> FloatArray:
    """(2, 2) inverse square root of a positive symmetric matrix M.

    With d = sqrt(det M), sqrt(M) = (M + d) / sqrt(tr M + 2 d) has the determinant d.
    """
    (a, b), (_, c) = matrix
    d = np.sqrt(a * c - b * b)
    adjugate = np.array([[c + d, -b], [-b, a + d]])
    root: FloatArray = adjugate / (np.sqrt(a + c + 2 * d) * d)
    return root


def _eigenvectors(matrix: FloatArray) -> FloatArray:
    """(2, 2) orthonormal eigenvectors (columns) of a symmetric matrix, lowest value first."""
    (a, b), (_, c) = matrix
    half = (a - c) / 2
    radius = np.sqrt(half * half + b * b)
    # Of the two rows of (M - value) v = 0, the one that does not cancel.
    x, y = (radius - half, -b) if half <= 0 else (-b, radius + half)
    if radius == 0:
        x, y = 1.0, 0.0
    vectors: FloatArray = np.array([[x, -y], [y, x]]) / np.sqrt(x * x + y * y)
    return vectors


@lru_cache(maxsize=1)
def _jordan_wigner() -> tuple[list[str], FloatArray, FloatArray]:
    """Pauli strings, and their weights in each one- and two-electron operator.

    Weights (2, 2, L) of sum_s a+_ps a_qs and (2, 2, 2, 2, L) of
    1/2 sum_st a+_ps a+_rt a_st a_qs (t spin, s orbital; chemists' order pqrs).
    """
    labels = _pauli_strings()
    lower = [annihilate(mode) for mode in range(N_QUBITS)]
    ones = np.zeros((2, 2, len(labels)))
    twos = np.zeros((2, 2, 2, 2, len(labels)))
    for p, q in np.ndindex(2, 2):
        for s in (0, 2):
            ones[p, q] += pauli_weights(lower[p + s].T @ lower[q + s], labels).real
    for p, q, r, s in np.ndindex(2, 2, 2, 2):
        for a, b in np.ndindex(2, 2):
            create = lower[p + 2 * a].T @ lower[r + 2 * b].T
            destroy = lower[s + 2 * b] @ lower[q + 2 * a]
            twos[p, q, r, s] += 0.5 * pauli_weights(create @ destroy, labels).real
    used = np.flatnonzero(np.abs(ones).sum(axis=(0, 1)) + np.abs(twos).sum(axis=(0, 1, 2, 3)))
    return [labels[k] for k in used], ones[..., used], twos[..., used]


def _pauli_strings() -> list[str]:
    return ["".join(letters) for letters in product("IXYZ", repeat=N_QUBITS)]


def annihilate(mode: int) -> FloatArray:
    """(16, 16) a_mode under Jordan-Wigner: Z on the qubits before it, |0><1| on its own."""
    matrix = np.ones((1, 1))
    for qubit in range(N_QUBITS):
        if qubit == mode:
            factor = np.array([[0.0, 1.0], [0.0, 0.0]])
        else:
            factor = np.diag([1.0, -1.0 if qubit < mode else 1.0])
        matrix = np.kron(factor, matrix)  # qubit 0 is the least significant bit
    return matrix


def pauli_weights(matrix: AnyArray, labels: list[str]) -> AnyArray:
    """(L,) weights w with matrix = sum_k w_k P_k over a complete set of Pauli strings."""
    weights = np.empty(len(labels), dtype=complex)
    index = np.arange(len(matrix))
    for k, label in enumerate(labels):
        flip, phase = pauli_action(label)
        weights[k] = (phase.conj() * matrix[index, index ^ flip]).sum() / len(matrix)
    return weights


@lru_cache(maxsize=1)
def excitations() -> tuple[tuple[tuple[str, float], ...], ...]:
    """Write the generators of unitary coupled cluster (singles, doubles) as Pauli strings.

    exp(t (T - T+)) = product of exp(-i c t P) over the (P, c) of one excitation, whose strings
    commute: T is a+_1 a_0 (spin up), a+_3 a_2 (spin down), a+_1 a+_3 a_2 a_0.
    """
    labels = _pauli_strings()
    a = [annihilate(mode) for mode in range(N_QUBITS)]
    out = []
    for excite in (a[1].T @ a[0], a[3].T @ a[2], a[1].T @ a[3].T @ a[2] @ a[0]):
        weights = 1j * pauli_weights(excite - excite.T, labels)
        out.append(
            tuple(
                (p, float(w.real)) for p, w in zip(labels, weights, strict=True) if abs(w) > 1e-12
            )
        )
    return tuple(out)
