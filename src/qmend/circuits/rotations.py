"""Draw local rotations; write Pauli gadgets as Qiskit's rotation gates.

These compile four times faster than ``PauliEvolutionGate``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from qmend.circuits.angles import round_source
from qmend.circuits.gadgets import Gadget
from qmend.portable import arccos, uniform
from qmend.types import FloatArray

if TYPE_CHECKING:  # Qiskit takes seconds to import
    from qiskit.circuit import QuantumCircuit

_ROTATIONS = ("rx", "ry", "rz", "rxx", "ryy", "rzz")


def local_gadgets(n_qubits: int, letter: str, angles: FloatArray) -> list[Gadget]:
    """exp(-i angles[q] P_q), one for each qubit ``q``."""
    return [(pauli_string(n_qubits, {q: letter}), float(angle)) for q, angle in enumerate(angles)]


def uniform_states(rng: np.random.Generator, n_qubits: int) -> tuple[FloatArray, FloatArray]:
    """Draw states uniform on the Bloch sphere: (n,) angles of RY, then (n,) of RZ, on |0>."""
    return arccos(uniform(rng, -1, 1, n_qubits)), uniform(rng, 0, 2 * np.pi, n_qubits)


def pauli_string(n_qubits: int, letters: dict[int, str]) -> str:
    """Write a Pauli string with these letters, I elsewhere, qubit 0 first."""
    return "".join(letters.get(q, "I") for q in range(n_qubits))


def rotation_circuit(gadgets: Sequence[Gadget], n_qubits: int) -> QuantumCircuit:
    """Write the product of gadgets exp(-i a P), the first applied first."""
    from qiskit.circuit import QuantumCircuit

    circuit = QuantumCircuit(n_qubits)
    for letters, angle in gadgets:
        append_rotation(circuit, letters, angle)
    return circuit


def append_rotation(circuit: QuantumCircuit, letters: str, angle: float) -> None:
    """Append exp(-i angle P), letters qubit 0 first, the angle rounded to its grid.

    RX, RY, RZ, RXX, RYY or RZZ where the Pauli is of that kind, ``PauliEvolutionGate`` on its
    support elsewhere; an identity is left out (a global phase).
    """
    angle = float(round_source(angle))
    support = [q for q, letter in enumerate(letters) if letter != "I"]
    name = "r" + "".join(letters[q] for q in support).lower()
    if name in _ROTATIONS:
        getattr(circuit, name)(2.0 * angle, *support)
    elif support:
        from qiskit.circuit.library import PauliEvolutionGate
        from qiskit.quantum_info import SparsePauliOp

        pauli = "".join(letters[q] for q in reversed(support))
        circuit.append(PauliEvolutionGate(SparsePauliOp(pauli), time=angle), support)
