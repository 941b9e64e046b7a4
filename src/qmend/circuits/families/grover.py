"""Grover's search and amplitude amplification."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from qmend.circuits.families import FAMILIES, SourceCircuit
from qmend.circuits.inexact import InexactFamily
from qmend.types import FloatArray
from qmend.walsh import walsh_hadamard

if TYPE_CHECKING:  # Qiskit takes seconds to import
    from qiskit.circuit import QuantumCircuit


@FAMILIES.register("grover")
class GroverFamily(InexactFamily):
    """Search for the strings with a marked pattern at s of n bits.

    A layer A of RY(pi/2) on the s qubits and, each with probability 1/2, on the others; then k
    times the sign flip of marked strings and the reflection A (1 - 2 |0><0|) A^-1, which act on
    the s qubits alone. With sin^2(a) = P(marked) after A the outcome is marked with probability
    sin^2((2k + 1) a); without errors of angles sin^2(a) = patterns / 2^s (Grover,
    quant-ph/9605043). With errors, see :class:`InexactFamily`, A makes another product state and
    the same holds (Brassard, Hoyer, Mosca and Tapp, quant-ph/0005055).

    The s qubits are neighbours, in random order. s, at most n, the number of patterns, at most
    2^(s-2), and k are uniform in the ranges of ``searched``, ``marked`` and ``iterations``. Each
    sign flip takes at most 2^s - 2 CXs and no further qubit (:func:`append_diagonal`).
    """

    name: Literal["grover"]
    n_qubits: int = Field(ge=2, le=10)
    searched_min: int = Field(ge=2, le=10)
    searched_max: int = Field(ge=2, le=10)
    marked_min: int = Field(ge=1, le=256)
    marked_max: int = Field(ge=1, le=256)
    iterations_min: int = Field(ge=0, le=10)
    iterations_max: int = Field(ge=0, le=10)

    def draw(self, rng: np.random.Generator) -> SourceCircuit:
        from qiskit.circuit import QuantumCircuit

        n = self.n_qubits
        s = int(rng.integers(min(self.searched_min, n), min(self.searched_max, n) + 1))
        qubits = (int(rng.integers(n - s + 1)) + rng.permutation(s)).tolist()
        most = min(self.marked_max, 2 ** (s - 2))
        count = int(rng.integers(min(self.marked_min, most), most + 1))
        patterns = np.sort(rng.permutation(2**s)[:count])
        iterations = int(rng.integers(self.iterations_min, self.iterations_max + 1))
        fixed = np.setdiff1d(np.flatnonzero(rng.random(n) < 0.5), qubits)
        angles = np.pi / 2 + self.draw_errors(rng, n)
        angles[fixed] = 0.0

        marked, zero = np.zeros(2**s), np.zeros(2**s)
        marked[patterns], zero[0] = np.pi, np.pi
        circuit = QuantumCircuit(n)
        for q in range(n):
            circuit.ry(float(angles[q]), q)
        for _ in range(iterations):
            append_diagonal(circuit, qubits, marked)
            for q in qubits:
                circuit.ry(-float(angles[q]), q)
            append_diagonal(circuit, qubits, zero)
            for q in qubits:
                circuit.ry(float(angles[q]), q)
        params = {"qubits": qubits, "marked": patterns.tolist(), "iterations": iterations}
        return SourceCircuit(params, circuit=circuit)


def append_diagonal(circuit: QuantumCircuit, qubits: Sequence[int], phases: FloatArray) -> None:
    """Append |x> -> exp(i phases[x]) |x>, up to a global phase.

    Bit k of x is on ``qubits[k]``. The gates are the product over parities Z_p of
    exp(-i angle_p Z_p / 2), angle_p = -2^(1-s) sum_x (-1)^(p.x) phases[x], in the order of a Gray
    code: at most 2^s - 2 CXs (Welch, Greenbaum, Mostame and Aspuru-Guzik, arXiv 1306.3991).
    Parities without angle are passed over.

    Args:
        phases: (2^s,) in radians.
    """
    angles = (-2 / len(phases) * walsh_hadamard(phases)).tolist()
    for target, qubit in enumerate(qubits):
        held = 0  # lower bits that are added to the target's
        for step in range(2**target):
            lower = step ^ step >> 1
            if angle := angles[lower | 1 << target]:
                add_bits(circuit, qubits, held ^ lower, qubit)
                circuit.rz(angle, qubit)
                held = lower
        add_bits(circuit, qubits, held, qubit)


def add_bits(circuit: QuantumCircuit, qubits: Sequence[int], bits: int, target: int) -> None:
    """Append a CX on the target for each qubit whose bit is set."""
    for k in range(bits.bit_length()):
        if bits >> k & 1:
            circuit.cx(qubits[k], target)
