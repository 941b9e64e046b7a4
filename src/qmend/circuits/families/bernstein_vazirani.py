"""The Bernstein-Vazirani algorithm for random secrets."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import numpy as np
from pydantic import Field

from qmend.circuits.families import FAMILIES, SourceCircuit
from qmend.circuits.inexact import InexactFamily


@FAMILIES.register("bernstein_vazirani")
class BernsteinVaziraniFamily(InexactFamily):
    """Find the secret s of an oracle |x> -> (-1)^(s.x) |x> with one query.

    RY(pi/2) on each qubit, the oracle, RY(-pi/2) on each qubit: without errors of angles the data
    qubits read s with certainty (Bernstein and Vazirani, SIAM J. Comput. 26, 1411, 1997). The
    number of ones in s is uniform in ``ones_min..ones_max``, at most the data qubits. Oracles:

    - ``ancilla``: a random one of the n qubits, in |->, is the target of a CX from each one of s.
      Before it is measured it is turned back to |0> or, with equal probability, left in |->.
    - ``ladder``: CXs from one to the next of s take the parity s.x to its last qubit, which gets
      RZ(pi), and back. All n qubits are data.

    ``any`` draws one of the two. Ones of s are in random order. Errors of angles, those of the
    oracle's RZ included: :class:`InexactFamily`.
    """

    name: Literal["bernstein_vazirani"]
    n_qubits: int = Field(ge=2, le=10)
    oracle: Literal["ancilla", "ladder", "any"]
    ones_min: int = Field(ge=0, le=10)
    ones_max: int = Field(ge=0, le=10)

    def draw(self, rng: np.random.Generator) -> SourceCircuit:
        from qiskit.circuit import QuantumCircuit

        n = self.n_qubits
        oracle = self.draw_choice(rng, "oracle")
        order = rng.permutation(n).tolist()
        ancilla = order.pop() if oracle == "ancilla" else None
        most = min(self.ones_max, len(order))
        ones = order[: int(rng.integers(min(self.ones_min, most), most + 1))]
        turned_back = ancilla is None or rng.random() < 0.5
        errors = self.draw_errors(rng, 2 * n + 1).tolist()
        before, after = errors[:n], errors[n:-1]

        circuit = QuantumCircuit(n)
        for q in range(n):
            circuit.ry((-np.pi / 2 if q == ancilla else np.pi / 2) + before[q], q)
        if ancilla is not None:
            for q in ones:
                circuit.cx(q, ancilla)
        elif ones:
            steps = list(pairwise(ones))
            for pair in steps:
                circuit.cx(*pair)
            circuit.rz(np.pi + errors[-1], ones[-1])
            for pair in reversed(steps):
                circuit.cx(*pair)
        for q in range(n):
            if q != ancilla or turned_back:
                circuit.ry((np.pi / 2 if q == ancilla else -np.pi / 2) + after[q], q)
        params = {"oracle": oracle, "secret": sum(1 << q for q in ones), "ancilla": ancilla}
        return SourceCircuit(params, circuit=circuit)
