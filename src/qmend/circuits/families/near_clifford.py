"""Random Clifford circuits with a few other rotations, as training data for mitigation use."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from qmend.circuits.clifford import CliffordCircuit
from qmend.circuits.families import FAMILIES, SourceCircuit
from qmend.circuits.families.clifford import CliffordGates


@FAMILIES.register("near_clifford")
class NearCliffordFamily(CliffordGates):
    """Random Clifford circuits (:class:`~qmend.circuits.families.clifford.CliffordGates`) with
    k rotations RZ, k uniform in ``rotations_min..rotations_max``.

    Each stands at a random place between the gates, on a random qubit, with an angle uniform in
    (0, 2 pi). Such circuits have labels without a statevector (Czarnik et al., arXiv
    2005.10189), in time and memory that double with each rotation.
    """

    name: Literal["near_clifford"]
    rotations_min: int = Field(ge=0, le=10)
    rotations_max: int = Field(ge=0, le=10)

    def draw(self, rng: np.random.Generator) -> SourceCircuit:
        gates, params = self.draw_gates(rng)
        count = int(rng.integers(self.rotations_min, self.rotations_max + 1))
        for _ in range(count):
            place = int(rng.integers(len(gates) + 1))
            qubit, angle = int(rng.integers(self.n_qubits)), float(rng.uniform(0, 2 * np.pi))
            gates.insert(place, ("rz", qubit, -1, angle))
        return CliffordCircuit({**params, "rotations": count}, gates, self.n_qubits)
