"""Random Clifford circuits."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from qmend.circuits.clifford import (
    CliffordCircuit,
    Gate,
    random_clifford,
    random_clifford_layers,
)
from qmend.circuits.families import FAMILIES, Family, SourceCircuit


class CliffordGates(Family):
    """Random Clifford gates.

    ``sampling: uniform`` gives unitaries uniform over the Clifford group; ``layers`` a number of
    layers uniform in ``layers_min..layers_max``, each of a uniform one-qubit Clifford on every
    qubit and a brickwork of CXs along the chain.
    """

    n_qubits: int = Field(ge=1, le=10)
    sampling: Literal["uniform", "layers"]
    layers_min: int = Field(ge=0, le=200)
    layers_max: int = Field(ge=0, le=200)

    def draw_gates(self, rng: np.random.Generator) -> tuple[list[Gate], dict[str, object]]:
        """Draw gates, and the parameters to store."""
        if self.sampling == "uniform":
            return random_clifford(self.n_qubits, rng), {}
        layers = int(rng.integers(self.layers_min, self.layers_max + 1))
        return random_clifford_layers(self.n_qubits, layers, rng), {"layers": layers}


@FAMILIES.register("clifford")
class CliffordFamily(CliffordGates):
    """Random Clifford circuits, see :class:`CliffordGates`; labels by stabilizers alone.

    The outcomes are uniform over an affine subspace of the bit strings.
    """

    name: Literal["clifford"]

    def draw(self, rng: np.random.Generator) -> SourceCircuit:
        gates, params = self.draw_gates(rng)
        return CliffordCircuit(params, gates, self.n_qubits)
