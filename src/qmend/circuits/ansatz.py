"""Parametrised circuits of variational eigensolvers: exact energies, gradients, optimisation.

An optimiser carries the last bit of an energy into every digit of its parameters. So states are
real vectors (:func:`qmend.circuits.hamiltonians.real_action`), cosines and sines are those of
:mod:`qmend.portable`, and each sum has a fixed order: all processors find the same bits.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from qmend.circuits.gadgets import Gadget
from qmend.circuits.hamiltonians import PauliSum, real_action
from qmend.circuits.rotations import append_rotation, pauli_string, rotation_circuit
from qmend.portable import cos_sin
from qmend.types import AnyArray, FloatArray, IntArray

if TYPE_CHECKING:  # Qiskit takes seconds to import
    from qiskit.circuit import QuantumCircuit

#: (letters, qubit 0 first; parameter k; scale c): exp(-i c theta_k P).
Rotation = tuple[str, int, float]
#: CX(0, 1), CX(1, 2), ... along the chain.
LADDER = "ladder"


@dataclass(frozen=True)
class Ansatz:
    """Rotations and CX ladders, the first applied first, on a basis state.

    Attributes:
        reference: the basis state, bit ``q`` for qubit ``q``.
        operations: :data:`Rotation` or :data:`LADDER` each.
        reference_parameters: (P,) parameters at which the ansatz gives the reference of its
            Hamiltonian (Hartree-Fock for a molecule) up to a phase.
    """

    n_qubits: int
    reference: int
    operations: tuple[Rotation | str, ...]
    reference_parameters: FloatArray

    @property
    def n_parameters(self) -> int:
        return len(self.reference_parameters)

    def gadgets(self, parameters: FloatArray, n_qubits: int) -> list[Gadget] | None:
        """Write the circuit as Pauli gadgets on a register of ``n_qubits``, further ones idle.

        Bits of the reference are set by X. None if there are ladders.
        """
        if LADDER in self.operations:
            return None
        flips = [q for q in range(self.n_qubits) if self.reference >> q & 1]
        idle = "I" * (n_qubits - self.n_qubits)
        return [(pauli_string(n_qubits, {q: "X"}), np.pi / 2) for q in flips] + [
            (letters + idle, float(scale * parameters[parameter]))
            for letters, parameter, scale in self.rotations
        ]

    def circuit(self, parameters: FloatArray, n_qubits: int) -> QuantumCircuit:
        """Write the circuit in Qiskit's gates on a register of ``n_qubits``."""
        gadgets = self.gadgets(parameters, n_qubits)
        if gadgets is not None:
            return rotation_circuit(gadgets, n_qubits)
        from qiskit.circuit import QuantumCircuit

        circuit = QuantumCircuit(n_qubits)
        for operation in self.operations:
            if isinstance(operation, str):
                for q in range(self.n_qubits - 1):
                    circuit.cx(q, q + 1)
            else:
                letters, parameter, scale = operation
                append_rotation(circuit, letters, float(scale * parameters[parameter]))
        return circuit

    def state(self, parameters: FloatArray) -> AnyArray:
        """(2^n,) the ansatz's state."""
        real, imaginary = self._forward(*self._turns(parameters))[0].reshape(2, -1)
        state: AnyArray = real + 1j * imaginary
        return state

    def energy(self, parameters: FloatArray, hamiltonian: PauliSum) -> float:
        """<psi|H|psi>."""
        ket, _ = self._forward(*self._turns(parameters))
        return _dot(ket, hamiltonian.apply(ket))

    def energy_gradient(
        self, parameters: FloatArray, hamiltonian: PauliSum
    ) -> tuple[float, FloatArray]:
        """Energy and its (P,) gradient by one sweep forwards and one backwards.

        dE/dtheta_k = 2 sum c Re <lambda|-i P|psi> over the rotations of parameter k, with psi
        the state before the rotation and lambda the state H|psi_end> carried back to there.
        """
        _, sign, parameter, scale, inverse = self._tables
        keep, turn = self._turns(parameters)
        ket, moved = self._forward(keep, turn)
        bra = hamiltonian.apply(ket)
        energy = _dot(ket, bra)
        back = np.where(parameter[:, None] < 0, turn, -turn)
        bras = np.empty_like(moved)
        steps = zip(bras, keep.tolist(), back, inverse, strict=True)
        for row, stay, move, origin in reversed(list(steps)):
            bra = stay * bra + move * bra[origin]
            row[:] = bra
        slope = 2 * scale * (bras * (sign * moved)).sum(axis=1)
        rotates = parameter >= 0
        gradient = np.bincount(parameter[rotates], slope[rotates], self.n_parameters)
        return energy, gradient.astype(np.float64)

    def optimise(self, parameters: FloatArray, hamiltonian: PauliSum, steps: int) -> FloatArray:
        """(P,) parameters after at most ``steps`` iterations of L-BFGS on the exact energy.

        Nocedal and Wright, Numerical Optimization (2006), algorithm 7.5 with ten pairs; strides
        are halved until they lower the energy enough (equation 3.4). Written out here, so that
        what a seed draws hangs on no library's optimiser.
        """
        energy, gradient = self.energy_gradient(parameters, hamiltonian)
        pairs: deque[tuple[FloatArray, FloatArray]] = deque(maxlen=10)
        for _ in range(steps):
            direction = -_inverse_curvature(gradient, pairs)
            slope = _dot(gradient, direction)
            if slope > -1e-14:
                break
            stride = 1.0 if pairs else min(1.0, 1.0 / math.sqrt(_dot(gradient, gradient)))
            while stride > 1e-8:
                ahead = parameters + stride * direction
                lower, turned = self.energy_gradient(ahead, hamiltonian)
                if lower <= energy + 1e-4 * stride * slope:
                    break
                stride /= 2
            else:
                break
            if _dot(ahead - parameters, turned - gradient) > 1e-12:
                pairs.append((ahead - parameters, turned - gradient))
            parameters, energy, gradient = ahead, lower, turned
        return parameters

    @property
    def rotations(self) -> list[Rotation]:
        """Its rotations without the ladders."""
        return [o for o in self.operations if not isinstance(o, str)]

    @cached_property
    def _tables(self) -> tuple[IntArray, FloatArray, IntArray, FloatArray, IntArray]:
        """(K, 2^(n+1)) source and sign, (K,) parameter (-1: none) and scale, inverse source.

        Operation k takes psi to keep psi + turn psi[source], see :meth:`_turns`.
        """
        index = np.arange(2 ** (self.n_qubits + 1))
        after = index.copy()  # the basis state that CX(0, 1), CX(1, 2), ... leads to
        for q in range(self.n_qubits - 1):
            after = after ^ (((after >> q) & 1) << (q + 1))
        source, sign, parameter, scale, inverse = [], [], [], [], []
        for operation in self.operations:
            if isinstance(operation, str):
                source.append(np.argsort(after))
                inverse.append(after)
                sign.append(np.ones(len(index)))
                parameter.append(-1)
                scale.append(0.0)
            else:
                permutation, factor = real_action(operation[0], -1j)
                source.append(permutation)
                inverse.append(permutation)
                sign.append(factor)
                parameter.append(operation[1])
                scale.append(operation[2])
        return (
            np.array(source),
            np.array(sign),
            np.array(parameter),
            np.array(scale),
            np.array(inverse),
        )

    def _turns(self, parameters: FloatArray) -> tuple[FloatArray, FloatArray]:
        """(K,) keep and (K, 2^(n+1)) turn: cos a and sin a (-i P); 0 and 1 for a ladder."""
        _, sign, parameter, scale, _ = self._tables
        cosine, sine = cos_sin(scale * parameters[parameter])
        rotates = parameter >= 0
        turn: FloatArray = np.where(rotates, sine, 1.0)[:, None] * sign
        return np.where(rotates, cosine, 0.0), turn

    def _forward(self, keep: FloatArray, turn: FloatArray) -> tuple[FloatArray, FloatArray]:
        """(2^(n+1),) the last state, and (K, 2^(n+1)) psi[source] before each operation."""
        source = self._tables[0]
        state = np.zeros(source.shape[1])
        state[self.reference] = 1
        moved = np.empty(source.shape)
        for row, stay, move, origin in zip(moved, keep.tolist(), turn, source, strict=True):
            row[:] = state[origin]
            state = stay * state + move * row
        return state, moved


def _dot(a: FloatArray, b: FloatArray) -> float:
    """a . b, in an order that no linear algebra chooses."""
    return float((a * b).sum())


def _inverse_curvature(
    gradient: FloatArray, pairs: Iterable[tuple[FloatArray, FloatArray]]
) -> FloatArray:
    """(P,) the inverse Hessian that pairs (step, change of gradient), the latest last, suggest,
    times the gradient: Nocedal and Wright's two loops, algorithm 7.4."""
    product, memory = gradient, list(pairs)
    shares = []
    for step, change in reversed(memory):
        shares.append(_dot(step, product) / _dot(step, change))
        product = product - shares[-1] * change
    if memory:
        step, change = memory[-1]
        product = product * (_dot(step, change) / _dot(change, change))
    for (step, change), share in zip(memory, reversed(shares), strict=True):
        product = product + (share - _dot(change, product) / _dot(step, change)) * step
    return product


def hardware_efficient(n_qubits: int, layers: int, reference: int) -> Ansatz:
    """Kandala et al. 2017 (arXiv 1704.05018) with CX: layers of RY and RZ on every qubit and a
    CX ladder along the chain, and RY and RZ at the end."""
    operations: list[Rotation | str] = []
    parameter = 0
    for layer in range(layers + 1):
        for letter in "YZ":
            for q in range(n_qubits):
                operations.append((pauli_string(n_qubits, {q: letter}), parameter, 0.5))
                parameter += 1
        if layer < layers:
            operations.append(LADDER)
    start = np.zeros(parameter)
    last = parameter - 2 * n_qubits  # the ladders keep |0...0>, the last RYs flip
    start[last : last + n_qubits] = [np.pi * (reference >> q & 1) for q in range(n_qubits)]
    return Ansatz(n_qubits, 0, tuple(operations), start)


def coupled_cluster(
    n_qubits: int, reference: int, generators: Sequence[Sequence[tuple[str, float]]]
) -> Ansatz:
    """Unitary coupled cluster: one parameter a generator, its commuting Pauli strings with their
    weights, on the reference."""
    operations = tuple(
        (letters, parameter, weight)
        for parameter, strings in enumerate(generators)
        for letters, weight in strings
    )
    return Ansatz(n_qubits, reference, operations, np.zeros(len(generators)))


def qubit_excitations(n_qubits: int) -> list[list[tuple[str, float]]]:
    """Generators of qubit coupled cluster (Ryabinkin et al. 2018, arXiv 1809.03827) on a chain.

    Y_q (one flip), then X_q Y_(q+1) and Y_q X_(q+1) (two flips of neighbours); as every one has
    an odd number of Y, the states are real.
    """
    singles = [pauli_string(n_qubits, {q: "Y"}) for q in range(n_qubits)]
    doubles = [
        pauli_string(n_qubits, {q: a, q + 1: b})
        for q in range(n_qubits - 1)
        for a, b in (("X", "Y"), ("Y", "X"))
    ]
    return [[(letters, 0.5)] for letters in singles + doubles]
