"""Classical reversible circuits: random gates, and adders."""

from __future__ import annotations

from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from qmend.circuits.families import FAMILIES, Family, SourceCircuit
from qmend.portable import uniform

#: (x, cx, ccx or cswap; its qubits, controls first).
ReversibleGate = tuple[str, tuple[int, ...]]

#: By the number of qubits. The order decides what a seed draws: append only.
_GATES: tuple[tuple[str, ...], ...] = (("x",), ("cx",), ("ccx", "cswap"))


@FAMILIES.register("reversible")
class ReversibleFamily(Family):
    """A bijection of bit strings on a basis state or a product state.

    - ``gates``: a number of gates uniform in ``gates_min..gates_max`` on random qubits: with
      ``three_qubit_probability`` a Toffoli or Fredkin gate, else X or CX, each of two with equal
      probability (Toffoli, LNCS 85, 632, 1980; Fredkin and Toffoli, Int. J. Theor. Phys. 21, 219,
      1982). Two qubits have X and CX alone.
    - ``adder``: b -> a + b + c mod 2^m of m-bit numbers and one bit c by ripple carry, on 2 m + 1
      qubits; the last qubit of an even number takes the carry (Cuccaro, Draper, Kutin and Moulton,
      quant-ph/0410184). Needs 3 qubits.

    ``any`` draws an adder in one of four circuits, if it fits. The start is a random basis state;
    with ``superposed_probability`` one to all of its qubits get an RY uniform in (0, pi) in place
    of an X: then the outcomes are those of the product state, permuted.
    """

    name: Literal["reversible"]
    n_qubits: int = Field(ge=2, le=10)
    map: Literal["gates", "adder", "any"]
    gates_min: int = Field(ge=1, le=1000)
    gates_max: int = Field(ge=1, le=1000)
    three_qubit_probability: float = Field(ge=0, le=1)
    superposed_probability: float = Field(ge=0, le=1)

    @model_validator(mode="after")
    def _fits_an_adder(self) -> Self:
        if self.map == "adder" and self.n_qubits < 3:
            raise ValueError(f"map adder needs n_qubits of at least 3, not {self.n_qubits}")
        return self

    def draw(self, rng: np.random.Generator) -> SourceCircuit:
        from qiskit.circuit import QuantumCircuit

        n = self.n_qubits
        bits = rng.random(n) < 0.5
        superposed = np.zeros(n, dtype=bool)
        if rng.random() < self.superposed_probability:
            superposed[rng.permutation(n)[: int(rng.integers(1, n + 1))]] = True
        angles = uniform(rng, 0, np.pi, n)
        drawn = "adder" if n > 2 and rng.random() < 0.25 else "gates"
        kind = drawn if self.map == "any" else self.map
        gates = adder(n) if kind == "adder" else self._draw_gates(rng)
        circuit = QuantumCircuit(n)
        for q in range(n):
            if superposed[q]:
                circuit.ry(float(angles[q]), q)
            elif bits[q]:
                circuit.x(q)
        for name, qubits in gates:
            getattr(circuit, name)(*qubits)
        return SourceCircuit({"map": kind, "gates": len(gates)}, circuit=circuit)

    def _draw_gates(self, rng: np.random.Generator) -> list[ReversibleGate]:
        few, many, three = self.gates_min, self.gates_max, self.three_qubit_probability
        return draw_gates(rng, self.n_qubits, few, many, three)


def draw_gates(
    rng: np.random.Generator, n_qubits: int, least: int, most: int, three_qubit_probability: float
) -> list[ReversibleGate]:
    """Draw from ``least`` to ``most`` random gates, see :class:`ReversibleFamily`."""
    gates: list[ReversibleGate] = []
    for _ in range(int(rng.integers(least, most + 1))):
        three = rng.random() < three_qubit_probability and n_qubits > 2
        size = 3 if three else int(rng.integers(1, 3))
        names = _GATES[size - 1]
        name = names[int(rng.integers(len(names)))]
        gates.append((name, tuple(rng.permutation(n_qubits)[:size].tolist())))
    return gates


def adder(n_qubits: int) -> list[ReversibleGate]:
    """Write the ripple-carry adder, see :class:`ReversibleFamily`.

    Qubit 0 is c, 2 k + 1 and 2 k + 2 are bit k of b and of a.
    """
    blocks = [(low, low + 1, low + 2) for low in range(0, n_qubits - 2, 2)]
    gates: list[ReversibleGate] = []
    for carry, b, a in blocks:
        gates += [("cx", (a, b)), ("cx", (a, carry)), ("ccx", (carry, b, a))]
    if n_qubits % 2 == 0:
        gates.append(("cx", (n_qubits - 2, n_qubits - 1)))
    for carry, b, a in reversed(blocks):
        gates += [("ccx", (carry, b, a)), ("cx", (a, carry)), ("cx", (carry, b))]
    return gates
