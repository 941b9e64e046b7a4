"""Trotterised time evolution of spin chains."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from pydantic import Field

from qmend.circuits.families import FAMILIES, Family, SourceCircuit
from qmend.circuits.gadgets import Gadget
from qmend.circuits.hamiltonians import PauliSum, heisenberg_chain, ising_chain, product_formula
from qmend.circuits.rotations import local_gadgets, rotation_circuit, uniform_states
from qmend.portable import uniform
from qmend.types import FloatArray


@FAMILIES.register("trotter")
class TrotterFamily(Family):
    """exp(-i H t) on a product state, by a product formula of ``order`` 1 or 2.

    ``hamiltonian`` is ``ising`` (couplings J, transverse field h, and with ``longitudinal`` a
    field g along Z) or ``heisenberg`` (the XXZ chain of couplings J and an anisotropy, field g).
    J, h, g and the anisotropy are uniform in their ranges: ``disordered`` draws J, h and g anew
    for each bond and site, else each is one number along the chain. The time and the number of
    steps are uniform in their ranges; the start is ``zero``, a random ``basis`` state or a
    random ``product`` of states uniform on the Bloch sphere (RY, then RZ, on each qubit).
    """

    name: Literal["trotter"]
    n_qubits: int = Field(ge=2, le=10)
    hamiltonian: Literal["ising", "heisenberg"]
    longitudinal: bool
    disordered: bool
    order: Literal[1, 2]
    steps_min: int = Field(ge=1, le=100)
    steps_max: int = Field(ge=1, le=100)
    time_min: float = Field(ge=0, le=100)
    time_max: float = Field(ge=0, le=100)
    coupling_min: float = Field(ge=-10, le=10)
    coupling_max: float = Field(ge=-10, le=10)
    field_min: float = Field(ge=-10, le=10)
    field_max: float = Field(ge=-10, le=10)
    anisotropy_min: float = Field(ge=-10, le=10)
    anisotropy_max: float = Field(ge=-10, le=10)
    initial: Literal["zero", "basis", "product"]

    def draw(self, rng: np.random.Generator) -> SourceCircuit:
        hamiltonian, params = self.draw_hamiltonian(rng)
        time = float(uniform(rng, self.time_min, self.time_max))
        steps = int(rng.integers(self.steps_min, self.steps_max + 1))
        params |= {"time": time, "steps": steps}
        gadgets = self.draw_initial(rng) + product_formula(hamiltonian, time, steps, self.order)
        circuit = rotation_circuit(gadgets, self.n_qubits)
        return SourceCircuit(params, circuit=circuit, gadgets=gadgets)

    def draw_hamiltonian(self, rng: np.random.Generator) -> tuple[PauliSum, dict[str, Any]]:
        n = self.n_qubits
        coupling = self._draw(rng, self.coupling_min, self.coupling_max, n - 1)
        field = self._draw(rng, self.field_min, self.field_max, n)
        if self.hamiltonian == "heisenberg":
            anisotropy = float(uniform(rng, self.anisotropy_min, self.anisotropy_max))
            return heisenberg_chain(coupling, anisotropy, field), {"anisotropy": anisotropy}
        along = np.zeros(n)
        if self.longitudinal:
            along = self._draw(rng, self.field_min, self.field_max, n)
        return ising_chain(coupling, field, along), {}

    def _draw(self, rng: np.random.Generator, low: float, high: float, count: int) -> FloatArray:
        if self.disordered:
            return uniform(rng, low, high, count)
        return np.full(count, uniform(rng, low, high))

    def draw_initial(self, rng: np.random.Generator) -> list[Gadget]:
        """Draw the gadgets that make the initial state."""
        n = self.n_qubits
        if self.initial == "zero":
            return []
        if self.initial == "basis":
            flips = np.where(rng.random(n) < 0.5, np.pi / 2, 0.0)
            return [gadget for gadget in local_gadgets(n, "X", flips) if gadget[1]]
        polar, azimuth = uniform_states(rng, n)
        return local_gadgets(n, "Y", polar / 2) + local_gadgets(n, "Z", azimuth / 2)
