"""Random circuits of swept depth over the native or a standard gate set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from qmend.circuits.families import FAMILIES, Family, SourceCircuit

if TYPE_CHECKING:  # Qiskit takes seconds to import
    from qiskit.circuit import QuantumCircuit

#: Method of ``QuantumCircuit`` and its number of angles, by the number of qubits. The order
#: decides what a seed draws: append only.
_STANDARD: tuple[tuple[tuple[str, int], ...], ...] = (
    (
        *((name, 0) for name in ("h", "x", "y", "z", "s", "sdg", "t", "tdg", "sx", "sxdg")),
        *((name, 1) for name in ("rx", "ry", "rz", "p")),
        ("u", 3),
    ),
    (
        *((name, 0) for name in ("cx", "cy", "cz", "ch", "swap", "iswap")),
        *((name, 1) for name in ("cp", "crx", "cry", "crz", "rxx", "ryy", "rzz", "rzx")),
    ),
    (("ccx", 0), ("cswap", 0)),
)
_NATIVE: tuple[tuple[str, int], ...] = (("rz", 1), ("sx", 0), ("x", 0))


@FAMILIES.register("random")
class RandomFamily(Family):
    """Circuits of layers in which every qubit takes part in one random gate.

    The number of layers is uniform in ``depth_min..depth_max``. All angles are uniform in
    (0, 2 pi).

    ``standard`` is the recipe of Qiskit's ``random_circuit``: the qubits, in random order, are
    cut into groups; the size of each is uniform in 1..``max_operands`` (or what is left), its
    gate uniform over the standard gates of that many qubits (15, 14 and 2 of them). The gates
    and their order are fixed here, so a seed gives the same circuit under any Qiskit.

    ``native`` walks along the chain: a qubit and its next neighbour get a CX of random direction
    with ``cx_probability``, else the qubit alone gets RZ, SX or X, each with probability 1/3.
    """

    name: Literal["random"]
    n_qubits: int = Field(ge=1, le=10)
    gate_set: Literal["native", "standard"]
    depth_min: int = Field(ge=1, le=1000)
    depth_max: int = Field(ge=1, le=1000)
    max_operands: int = Field(ge=1, le=3)
    cx_probability: float = Field(ge=0, le=1)

    def draw(self, rng: np.random.Generator) -> SourceCircuit:
        from qiskit.circuit import QuantumCircuit

        depth = int(rng.integers(self.depth_min, self.depth_max + 1))
        circuit = QuantumCircuit(self.n_qubits)
        for _ in range(depth):
            if self.gate_set == "native":
                self._native_layer(circuit, rng)
            else:
                self._standard_layer(circuit, rng)
        return SourceCircuit({"depth": depth}, circuit=circuit)

    def _standard_layer(self, circuit: QuantumCircuit, rng: np.random.Generator) -> None:
        free = rng.permutation(self.n_qubits).tolist()
        while free:
            size = int(rng.integers(1, min(self.max_operands, len(free)) + 1))
            qubits, free = free[:size], free[size:]
            gates = _STANDARD[size - 1]
            name, angles = gates[int(rng.integers(len(gates)))]
            getattr(circuit, name)(*rng.uniform(0, 2 * np.pi, angles).tolist(), *qubits)

    def _native_layer(self, circuit: QuantumCircuit, rng: np.random.Generator) -> None:
        qubit = 0
        while qubit < self.n_qubits:
            if qubit + 1 < self.n_qubits and rng.random() < self.cx_probability:
                pair = (qubit, qubit + 1) if rng.random() < 0.5 else (qubit + 1, qubit)
                circuit.cx(*pair)
                qubit += 2
            else:
                name, angles = _NATIVE[int(rng.integers(len(_NATIVE)))]
                getattr(circuit, name)(*rng.uniform(0, 2 * np.pi, angles).tolist(), qubit)
                qubit += 1
