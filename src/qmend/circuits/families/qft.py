"""The quantum Fourier transform: of states, in phase estimation and in addition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from qmend.circuits.families import FAMILIES, Family, SourceCircuit
from qmend.circuits.rotations import uniform_states
from qmend.portable import uniform
from qmend.types import FloatArray

if TYPE_CHECKING:  # Qiskit takes seconds to import
    from qiskit.circuit import QuantumCircuit


@FAMILIES.register("qft")
class QFTFamily(Family):
    """Quantum Fourier transforms |x> -> 2^(-n/2) sum_y exp(2 pi i x y / 2^n) |y>.

    Its final swaps are left out, bit k of y is read from qubit n - 1 - k (Coppersmith,
    quant-ph/0201067). Tasks:

    - ``periodic``: the transform of the superposition of all x with the same k last bits, k
      uniform in 0..n: peaks at the 2^k multiples of 2^(n-k). At k = n it is that of a basis state.
    - ``product``: the transform of a product of states uniform on the Bloch sphere.
    - ``phase``: the inverse transform of 2^(-n/2) sum_y exp(2 pi i v y / 2^n) |y>, with which
      phase estimation ends: the outcome v if it is whole, else near v.
    - ``adder``: |x> transformed, shifted by phases, transformed back: |x + v mod 2^n> for a whole
      v (Draper, quant-ph/0008033).

    ``any`` draws one of them. With ``exact_probability`` the value v is whole, else uniform in
    0..2^n; the superposition of ``periodic`` is then by RY of uniform angles in place of pi/2.

    Controlled phases between qubits more than ``reach`` apart are left out; the reach is uniform
    in ``reach_min..reach_max``. Below n - 1 the transform is an approximate one, and outcomes
    are less certain.
    """

    name: Literal["qft"]
    n_qubits: int = Field(ge=2, le=10)
    task: Literal["periodic", "product", "phase", "adder", "any"]
    exact_probability: float = Field(ge=0, le=1)
    reach_min: int = Field(ge=1, le=9)
    reach_max: int = Field(ge=1, le=9)

    def draw(self, rng: np.random.Generator) -> SourceCircuit:
        from qiskit.circuit import QuantumCircuit

        n = self.n_qubits
        task = self.draw_choice(rng, "task")
        reach = int(rng.integers(self.reach_min, self.reach_max + 1))
        exact = bool(rng.random() < self.exact_probability)
        whole = int(rng.integers(2**n))
        value = float(whole) if exact else float(uniform(rng, 0, 2**n))
        params: dict[str, object] = {"task": task, "reach": reach}
        circuit = QuantumCircuit(n)
        if task == "product":
            polar, azimuth = uniform_states(rng, n)
            for q in range(n):
                circuit.ry(float(polar[q]), q)
                circuit.rz(float(azimuth[q]), q)
            append_qft(circuit, reach)
        elif task == "periodic":
            low = int(rng.integers(n + 1))
            append_basis_state(circuit, whole % 2**low)
            angles = np.full(n, np.pi / 2) if exact else uniform(rng, 0, np.pi, n)
            for q in range(low, n):
                circuit.ry(float(angles[q]), q)
            append_qft(circuit, reach)
            params["low"] = low
        else:
            params["value"] = value
            if task == "phase":
                for q in range(n):
                    circuit.h(q)
            else:
                params["start"] = start = int(rng.integers(2**n))
                append_basis_state(circuit, start)
                append_qft(circuit, reach)
            for q, angle in enumerate(fourier_phases(value, n).tolist()):
                circuit.rz(angle, q)
            append_qft(circuit, reach, inverse=True)
        return SourceCircuit(params, circuit=circuit)


def fourier_phases(value: float, n: int) -> FloatArray:
    """(n,) phases of |1> against |0> in the transform of a value, qubit 0 first, modulo 2 pi.

    2 pi value / 2^(q+1), as the final swaps are left out.
    """
    turns = value / 2.0 ** np.arange(1, n + 1)
    phases: FloatArray = 2 * np.pi * (turns - np.floor(turns))
    return phases


def append_basis_state(circuit: QuantumCircuit, state: int) -> None:
    """Append the X that make a basis state of |0...0>."""
    for q in range(circuit.num_qubits):
        if state >> q & 1:
            circuit.x(q)


def append_qft(circuit: QuantumCircuit, reach: int, inverse: bool = False) -> None:
    """Append the transform of all qubits without its final swaps, see :class:`QFTFamily`."""
    gates: list[tuple[int, int | None]] = []
    for q in reversed(range(circuit.num_qubits)):
        gates.append((q, None))
        gates += [(q, other) for other in reversed(range(max(0, q - reach), q))]
    for q, other in reversed(gates) if inverse else gates:
        if other is None:
            circuit.h(q)
        else:
            circuit.cp((-np.pi if inverse else np.pi) / 2 ** (q - other), other, q)
