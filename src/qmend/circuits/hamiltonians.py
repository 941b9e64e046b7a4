"""Hamiltonians as sums of Pauli strings, spin chains, and product formulas of their evolution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from qmend.circuits.gadgets import Gadget
from qmend.circuits.rotations import pauli_string
from qmend.circuits.statevector import pauli_action
from qmend.types import FloatArray, IntArray


@dataclass(frozen=True)
class PauliSum:
    """H = sum_k c_k P_k.

    Attributes:
        terms: (letters, qubit 0 first; real coefficient) each.
    """

    terms: tuple[tuple[str, float], ...]

    @property
    def n_qubits(self) -> int:
        return len(self.terms[0][0])

    @cached_property
    def _blocks(self) -> tuple[IntArray, FloatArray]:
        """(F, 2^(n+1)) source and weight: (H psi)[s] = sum_f weight[f, s] psi[source[f, s]]."""
        blocks: dict[bytes, tuple[IntArray, FloatArray]] = {}
        for letters, coefficient in self.terms:
            source, sign = real_action(letters)
            _, weight = blocks.get(source.tobytes(), (source, np.zeros(len(source))))
            blocks[source.tobytes()] = source, weight + coefficient * sign
        return np.array([s for s, _ in blocks.values()]), np.array([w for _, w in blocks.values()])

    def apply(self, state: FloatArray) -> FloatArray:
        """(2^(n+1),) H psi of a state as :func:`real_action` writes it."""
        source, weight = self._blocks
        product: FloatArray = (weight * state[source]).sum(axis=0)
        return product

    @property
    def diagonal(self) -> FloatArray:
        """(2^n,) <s|H|s> of the computational basis states."""
        diagonal = np.zeros(2**self.n_qubits)
        for letters, coefficient in self.terms:
            flip, phase = pauli_action(letters)
            if not flip:
                diagonal += coefficient * phase.real
        return diagonal


@lru_cache(maxsize=4096)
def real_action(letters: str, factor: complex = 1) -> tuple[IntArray, FloatArray]:
    """(2^(n+1),) source and sign with factor P psi = sign psi[source]; letters qubit 0 first.

    A state is a real vector here: the real parts of its 2^n amplitudes, then the imaginary ones.
    A processor rounds a complex product in its own way, a real one as all others do.

    Args:
        factor: 1, -1, 1j or -1j.
    """
    flip, phase = pauli_action(letters)
    phase = factor * phase
    index = np.arange(len(phase)) ^ flip
    if phase[0].imag:  # i (a + i b) = -b + i a
        return (
            np.concatenate([len(phase) + index, index]),
            np.concatenate([-phase.imag, phase.imag]),
        )
    return np.concatenate([index, len(phase) + index]), np.concatenate([phase.real, phase.real])


def ising_chain(coupling: FloatArray, transverse: FloatArray, longitudinal: FloatArray) -> PauliSum:
    """H = -sum_b J_b Z_b Z_(b+1) - sum_q g_q Z_q - sum_q h_q X_q.

    Args:
        coupling: (n-1,) J. transverse: (n,) h. longitudinal: (n,) g, all 0 for none.
    """
    n = len(transverse)
    terms = [(pauli_string(n, {b: "Z", b + 1: "Z"}), -float(coupling[b])) for b in _even_first(n)]
    terms += [(pauli_string(n, {q: "Z"}), -float(g)) for q, g in enumerate(longitudinal) if g]
    terms += [(pauli_string(n, {q: "X"}), -float(h)) for q, h in enumerate(transverse) if h]
    return PauliSum(tuple(terms))


def heisenberg_chain(coupling: FloatArray, anisotropy: float, field: FloatArray) -> PauliSum:
    """H = sum_b J_b (X_b X_(b+1) + Y_b Y_(b+1) + D Z_b Z_(b+1)) - sum_q g_q Z_q, the XXZ chain.

    Args:
        coupling: (n-1,) J, antiferromagnetic where positive. anisotropy: D, 1 for Heisenberg.
        field: (n,) g.
    """
    n = len(field)
    terms = [
        (pauli_string(n, {b: letter, b + 1: letter}), float(coupling[b]) * scale)
        for b in _even_first(n)
        for letter, scale in (("X", 1.0), ("Y", 1.0), ("Z", float(anisotropy)))
    ]
    terms += [(pauli_string(n, {q: "Z"}), -float(g)) for q, g in enumerate(field) if g]
    return PauliSum(tuple(terms))


def _even_first(n: int) -> list[int]:
    """The chain's bonds, those that share no qubit together: 0, 2, ..., 1, 3, ..."""
    return [*range(0, n - 1, 2), *range(1, n - 1, 2)]


def product_formula(hamiltonian: PauliSum, time: float, steps: int, order: int) -> list[Gadget]:
    """exp(-i H t) as gadgets: Trotter's formula of order 1 or Strang's of order 2.

    The terms are split, in their order, into parts A, B, ... of commuting terms. With d = t/steps
    a step is exp(-i A d) exp(-i B d) ... (error O(d) in all), or half steps forwards and
    backwards (error O(d^2)), where neighbouring half steps of one part are merged.
    """
    parts = _commuting_parts(hamiltonian.terms)
    forward = [(k, 1.0 / order) for k in range(len(parts))]
    step = forward if order == 1 else forward + forward[::-1]
    schedule: list[tuple[int, float]] = []
    for part, share in step * steps:
        if schedule and schedule[-1][0] == part:
            share += schedule.pop()[1]
        schedule.append((part, share))
    return [
        (letters, coefficient * share * time / steps)
        for part, share in schedule
        for letters, coefficient in parts[part]
    ]


def _commuting_parts(terms: Sequence[tuple[str, float]]) -> list[list[tuple[str, float]]]:
    """Consecutive terms that all commute, as long as possible."""
    parts: list[list[tuple[str, float]]] = []
    for term in terms:
        if parts and all(_commute(term[0], other) for other, _ in parts[-1]):
            parts[-1].append(term)
        else:
            parts.append([term])
    return parts


def _commute(a: str, b: str) -> bool:
    return sum(x != y and "I" not in (x, y) for x, y in zip(a, b, strict=True)) % 2 == 0
