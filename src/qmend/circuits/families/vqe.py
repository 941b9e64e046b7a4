"""States of a variational quantum eigensolver at any point of its optimisation."""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from qmend.circuits.ansatz import (
    LADDER,
    Ansatz,
    coupled_cluster,
    hardware_efficient,
    qubit_excitations,
)
from qmend.circuits.families import FAMILIES, Family, SourceCircuit
from qmend.circuits.hamiltonians import PauliSum, heisenberg_chain, ising_chain
from qmend.circuits.molecules import HARTREE_FOCK, N_QUBITS, excitations, hydrogen
from qmend.portable import standard_normal, uniform
from qmend.types import FloatArray

#: Optimised parameters are rounded to this many decimals, more than any device resolves.
_DECIMALS = 9


@FAMILIES.register("vqe")
class VQEFamily(Family):
    """The circuits that an exact, noiseless VQE run passes through.

    A Hamiltonian is drawn: ``ising`` (transverse field), ``heisenberg`` (XXZ with a field along
    Z), each bond and site with its own coupling and field, or ``h2`` in STO-3G at a bond length
    in angstrom on the first 4 qubits (Jordan-Wigner; the others stay idle in \\|0>). The ansatz is
    ``hardware_efficient`` (RY, RZ and CX ladders) or ``ucc`` (singles and doubles for the
    molecule; for chains qubit coupled cluster of one flip and two neighbouring flips).

    The run starts ``random`` (parameters uniform in (-pi, pi)) or at the ``reference``
    (Hartree-Fock for the molecule, the basis state of lowest energy for a chain) with N(0,
    ``spread``) added to each parameter; ``either`` takes one of the two with probability 1/2.
    It is stopped after a number of L-BFGS iterations uniform in 0..``steps_max``.
    """

    name: Literal["vqe"]
    n_qubits: int = Field(ge=2, le=10)
    hamiltonian: Literal["ising", "heisenberg", "h2"]
    ansatz: Literal["hardware_efficient", "ucc"]
    layers_min: int = Field(ge=0, le=20)
    layers_max: int = Field(ge=0, le=20)
    start: Literal["random", "reference", "either"]
    spread: float = Field(gt=0, le=3)
    steps_max: int = Field(ge=0, le=1000)
    coupling_min: float = Field(ge=-10, le=10)
    coupling_max: float = Field(ge=-10, le=10)
    field_min: float = Field(ge=-10, le=10)
    field_max: float = Field(ge=-10, le=10)
    anisotropy_min: float = Field(ge=-10, le=10)
    anisotropy_max: float = Field(ge=-10, le=10)
    bond_min: float = Field(ge=0.2, le=5)
    bond_max: float = Field(ge=0.2, le=5)

    @model_validator(mode="after")
    def _holds_the_molecule(self) -> Self:
        if self.hamiltonian == "h2" and self.n_qubits < N_QUBITS:
            raise ValueError(
                f"hamiltonian h2 needs n_qubits of at least {N_QUBITS}, not {self.n_qubits}"
            )
        return self

    def draw(self, rng: np.random.Generator) -> SourceCircuit:
        hamiltonian, params = self.draw_hamiltonian(rng)
        ansatz = self.draw_ansatz(rng, hamiltonian)
        params["layers"] = ansatz.operations.count(LADDER)
        start = self.draw_start(rng, ansatz)
        steps = int(rng.integers(self.steps_max + 1))
        angles = np.round(ansatz.optimise(start, hamiltonian, steps), _DECIMALS)
        params |= {"steps": steps, "energy": round(ansatz.energy(angles, hamiltonian), 6)}
        return SourceCircuit(
            params,
            circuit=ansatz.circuit(angles, self.n_qubits),
            gadgets=ansatz.gadgets(angles, self.n_qubits),
        )

    def draw_hamiltonian(self, rng: np.random.Generator) -> tuple[PauliSum, dict[str, Any]]:
        """Draw the Hamiltonian, of a molecule's qubits only, and the parameters to store."""
        if self.hamiltonian == "h2":
            bond = float(uniform(rng, self.bond_min, self.bond_max))
            return hydrogen(bond).hamiltonian, {"bond": bond}
        n = self.n_qubits
        coupling = uniform(rng, self.coupling_min, self.coupling_max, n - 1)
        field = uniform(rng, self.field_min, self.field_max, n)
        if self.hamiltonian == "ising":
            return ising_chain(coupling, field, np.zeros(n)), {}
        anisotropy = float(uniform(rng, self.anisotropy_min, self.anisotropy_max))
        return heisenberg_chain(coupling, anisotropy, field), {"anisotropy": anisotropy}

    def draw_ansatz(self, rng: np.random.Generator, hamiltonian: PauliSum) -> Ansatz:
        molecule = self.hamiltonian == "h2"
        n = hamiltonian.n_qubits
        reference = HARTREE_FOCK if molecule else int(hamiltonian.diagonal.argmin())
        if self.ansatz == "hardware_efficient":
            layers = int(rng.integers(self.layers_min, self.layers_max + 1))
            return hardware_efficient(n, layers, reference)
        return coupled_cluster(n, reference, excitations() if molecule else qubit_excitations(n))

    def draw_start(self, rng: np.random.Generator, ansatz: Ansatz) -> FloatArray:
        """(P,) parameters before the first iteration."""
        if self.start == "random" or (self.start == "either" and rng.random() < 0.5):
            return uniform(rng, -np.pi, np.pi, ansatz.n_parameters)
        return ansatz.reference_parameters + self.spread * standard_normal(rng, ansatz.n_parameters)
