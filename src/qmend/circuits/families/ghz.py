"""GHZ and W states, grown along trees of qubits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from qmend.circuits.families import FAMILIES, SourceCircuit
from qmend.circuits.inexact import InexactFamily
from qmend.circuits.rotations import uniform_states
from qmend.portable import arccos, uniform
from qmend.types import FloatArray

if TYPE_CHECKING:  # Qiskit takes seconds to import
    from qiskit.circuit import QuantumCircuit

#: (parent, child), each parent the root or an earlier child.
Tree = list[tuple[int, int]]


@FAMILIES.register("ghz")
class GHZFamily(InexactFamily):
    """GHZ and W states of some qubits, bits flipped, then measured along other axes.

    - ``ghz``: cos(a / 2) |0...0> + sin(a / 2) |1...1> with a = pi / 2 but for its error: RY on the
      root of a tree of qubits, a CX along each edge (Greenberger, Horne and Zeilinger, arXiv
      0712.0921).
    - ``w``: one excitation shared equally but for errors: along each edge a controlled RY and a CX
      hand on its part to the child's branch (Dur, Vidal and Cirac, quant-ph/0005115).

    The number of qubits in the state is uniform in ``size_min..size_max``, at most n. The root
    is random. The tree ``chain`` grows between neighbours only, ``random`` attaches any qubit to
    any. Each of the n qubits is flipped with ``flip_probability``. Then ``ending``:

    - ``none``: measured along Z.
    - ``parity``: RZ(phi_q) and H on each qubit, phi_q uniform in (0, 2 pi). Of an exact GHZ state
      of all n qubits the parity is <Z...Z> = cos(sum of +-phi_q), minus for flipped ones.
    - ``random``: each qubit along an axis uniform on the Bloch sphere.

    ``any`` draws one of a field's other values. Errors of angles: :class:`InexactFamily`.
    """

    name: Literal["ghz"]
    n_qubits: int = Field(ge=2, le=10)
    state: Literal["ghz", "w", "any"]
    size_min: int = Field(ge=2, le=10)
    size_max: int = Field(ge=2, le=10)
    tree: Literal["chain", "random", "any"]
    flip_probability: float = Field(ge=0, le=1)
    ending: Literal["none", "parity", "random", "any"]

    def draw(self, rng: np.random.Generator) -> SourceCircuit:
        from qiskit.circuit import QuantumCircuit

        n = self.n_qubits
        state = self.draw_choice(rng, "state")
        chain = self.draw_choice(rng, "tree") == "chain"
        ending = self.draw_choice(rng, "ending")
        size = int(rng.integers(min(self.size_min, n), min(self.size_max, n) + 1))
        root, tree = grow_tree(n, size, chain, rng)
        circuit = QuantumCircuit(n)
        (append_ghz if state == "ghz" else append_w)(
            circuit, root, tree, self.draw_errors(rng, size)
        )
        for q in np.flatnonzero(rng.random(n) < self.flip_probability).tolist():
            circuit.x(q)
        if ending == "parity":
            for q, phase in enumerate(uniform(rng, 0, 2 * np.pi, n).tolist()):
                circuit.rz(phase, q)
                circuit.h(q)
        elif ending == "random":
            polar, azimuth = uniform_states(rng, n)
            for q in range(n):
                circuit.rz(-float(azimuth[q]), q)
                circuit.ry(-float(polar[q]), q)
        return SourceCircuit({"state": state, "size": size, "ending": ending}, circuit=circuit)


def grow_tree(n: int, size: int, chain: bool, rng: np.random.Generator) -> tuple[int, Tree]:
    """Draw a root and a tree of ``size`` of the n qubits.

    The root is uniform. Each step is uniform over all pairs of a member and another qubit; in a
    ``chain`` over those that are neighbours.
    """
    root = int(rng.integers(n))
    members, tree = [root], []
    while len(members) < size:
        pairs = [
            (parent, child)
            for parent in members
            for child in range(n)
            if child not in members and (not chain or abs(parent - child) == 1)
        ]
        tree.append(pairs[int(rng.integers(len(pairs)))])
        members.append(tree[-1][1])
    return root, tree


def append_ghz(circuit: QuantumCircuit, root: int, tree: Tree, errors: FloatArray) -> None:
    """Append a GHZ state, see :class:`GHZFamily`; ``errors[0]`` is that of its angle."""
    circuit.ry(np.pi / 2 + float(errors[0]), root)
    for parent, child in tree:
        circuit.cx(parent, child)


def append_w(circuit: QuantumCircuit, root: int, tree: Tree, errors: FloatArray) -> None:
    """Append a W state, see :class:`GHZFamily`.

    A qubit that keeps the excitation for w qubits gives the c of a child's branch the share
    sin^2(a / 2) = c / w by an angle a, plus ``errors`` of the edge.
    """
    branch = dict.fromkeys((root, *(child for _, child in tree)), 1)
    for parent, child in reversed(tree):
        branch[parent] += branch[child]
    circuit.x(root)
    for (parent, child), error in zip(tree, errors.tolist(), strict=False):
        angle = float(arccos(1 - 2 * branch[child] / branch[parent]))
        circuit.cry(angle + error, parent, child)
        circuit.cx(child, parent)
        branch[parent] -= branch[child]
