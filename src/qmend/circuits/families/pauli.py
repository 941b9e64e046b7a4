"""Pauli circuits: products of Pauli gadgets (arXiv 2601.14226)."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from qmend.circuits.families import FAMILIES, Family, SourceCircuit
from qmend.circuits.gadgets import Gadget


@FAMILIES.register("pauli")
class PauliFamily(Family):
    """A product of gadgets exp(-i a P) with P uniform over {I, X, Y, Z}^n, a ~ U(0, 2 pi).

    T is uniform over ``gadgets_min..gadgets_max``. With ``gadgets: exact`` the circuit has
    T gadgets; with ``gadgets: max`` it has a number uniform on 1..T (which of the two the
    paper means is unresolved; the ideal entropy it reports fits ``max``). With
    ``gadget_counts`` the circuits of a dataset go through these values of T in turn instead.
    """

    name: Literal["pauli"]
    n_qubits: int = Field(ge=1, le=10)
    gadgets: Literal["exact", "max"]
    gadgets_min: int = Field(ge=1, le=1000)
    gadgets_max: int = Field(ge=1, le=1000)
    gadget_counts: tuple[Annotated[int, Field(ge=1, le=1000)], ...] | None = Field(min_length=1)

    def stratum(self, index: int) -> PauliFamily:
        if self.gadget_counts is None:
            return self
        total = self.gadget_counts[index % len(self.gadget_counts)]
        return self.model_copy(
            update={"gadgets_min": total, "gadgets_max": total, "gadget_counts": None}
        )

    def draw(self, rng: np.random.Generator) -> SourceCircuit:
        total = int(rng.integers(self.gadgets_min, self.gadgets_max + 1))
        count = total if self.gadgets == "exact" else int(rng.integers(1, total + 1))
        gadgets: list[Gadget] = []
        for _ in range(count):
            label = "".join("IXYZ"[k] for k in rng.integers(0, 4, size=self.n_qubits))
            gadgets.append((label[::-1], float(rng.uniform(0.0, 2.0 * np.pi))))
        params = {"T": total, "gadgets": count}
        return SourceCircuit(params, gadgets=gadgets, n_qubits=self.n_qubits)
