"""Preparation of given distributions, permuted by a reversible map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from qmend.circuits.families import FAMILIES, Family, SourceCircuit
from qmend.circuits.families.grover import add_bits
from qmend.circuits.families.reversible import draw_gates
from qmend.portable import uniform
from qmend.types import FloatArray
from qmend.walsh import walsh_hadamard

if TYPE_CHECKING:  # Qiskit takes seconds to import
    from qiskit.circuit import QuantumCircuit


@FAMILIES.register("state_preparation")
class StatePreparationFamily(Family):
    """States of a random distribution on k of n qubits, whose outcomes gates then permute.

    The distribution is a binary tree: bit j is 1 with probability sin^2(theta / 2), where theta
    belongs to the values of the bits before it. In each circuit two shares are drawn, uniform over
    all pairs with a sum below 1: theta is 0 or pi in the first, pi / 2 in the second, and else
    uniform in (0, pi). So outcomes may be certain, equal, dyadic, sparse or of any probability. The
    bits are prepared in turn by RY gates that all bits before control (Mottonen, Vartiainen,
    Bergholm and Salomaa, quant-ph/0407010).

    Then come gates as in :class:`~qmend.circuits.families.reversible.ReversibleFamily`, on all
    qubits, their number uniform in ``gates_min..gates_max``. They make circuits long without a
    change of the probabilities, but for their order.

    k, at most n, is uniform in ``prepared_min..prepared_max``, the order of the qubits random.
    """

    name: Literal["state_preparation"]
    n_qubits: int = Field(ge=2, le=10)
    prepared_min: int = Field(ge=1, le=10)
    prepared_max: int = Field(ge=1, le=10)
    gates_min: int = Field(ge=0, le=1000)
    gates_max: int = Field(ge=0, le=1000)
    three_qubit_probability: float = Field(ge=0, le=1)

    def draw(self, rng: np.random.Generator) -> SourceCircuit:
        from qiskit.circuit import QuantumCircuit

        n = self.n_qubits
        least, most = min(self.prepared_min, n), min(self.prepared_max, n)
        qubits = rng.permutation(n)[: int(rng.integers(least, most + 1))].tolist()
        ends = np.sort(rng.random(2))
        nodes = 2 ** len(qubits) - 1
        kind, angles = rng.random(nodes), uniform(rng, 0, np.pi, nodes)
        angles = np.where(kind < ends[1], np.pi / 2, angles)
        certain = kind < ends[0]
        angles[certain] = np.pi * (rng.random(nodes) < 0.5)[certain]
        gates = draw_gates(rng, n, self.gates_min, self.gates_max, self.three_qubit_probability)
        circuit = QuantumCircuit(n)
        for bit, qubit in enumerate(qubits):
            append_controlled_ry(
                circuit, qubits[:bit], qubit, angles[2**bit - 1 : 2 ** (bit + 1) - 1]
            )
        for name, places in gates:
            getattr(circuit, name)(*places)
        return SourceCircuit({"qubits": qubits, "gates": len(gates)}, circuit=circuit)


def append_controlled_ry(
    circuit: QuantumCircuit, controls: Sequence[int], target: int, angles: FloatArray
) -> None:
    """Append RY(angles[x]) on the target, where x is the value of the controls.

    Bit k of x is on ``controls[k]``. The gates are the product over parities p of the controls of
    RY(angle_p (-1)^(p.x)), angle_p = 2^-c sum_x (-1)^(p.x) angles[x], in the order of a Gray code;
    the sign is that of an X on the target before and after. Parities without angle are passed over.

    Args:
        angles: (2^c,) in radians.
    """
    terms = (walsh_hadamard(angles) / len(angles)).tolist()
    held = 0  # controls whose CX on the target is not undone yet
    for step in range(len(terms)):
        parity = step ^ step >> 1
        if abs(terms[parity]) > 1e-12:
            add_bits(circuit, controls, held ^ parity, target)
            circuit.ry(terms[parity], target)
            held = parity
    add_bits(circuit, controls, held, target)
