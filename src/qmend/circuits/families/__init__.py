"""Circuit families behind one registry. A new family is one file here and one config."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self, get_args

import numpy as np
from pydantic import model_validator

from qmend.circuits.angles import round_circuit, round_source
from qmend.circuits.gadgets import Gadget
from qmend.circuits.statevector import apply_pauli_gadget, source_state
from qmend.config.model import ConfigModel
from qmend.registry import Registry
from qmend.types import AnyArray, FloatArray

if TYPE_CHECKING:  # Qiskit takes seconds to import
    from qiskit.circuit import QuantumCircuit


class SourceCircuit:
    """A circuit as drawn from its family, before compilation, without measurements.

    Every qubit is measured into the bit of the same number. Angles are rounded to their grid.

    Args:
        params: what was drawn, small and JSON-serialisable (column ``family_params``).
        circuit: the unitary part.
        gadgets: in its place, for a product of Pauli gadgets on ``n_qubits``; beside it, where
            the two are the same unitary and the circuit compiles faster in other gates.
    """

    def __init__(
        self,
        params: dict[str, Any],
        circuit: QuantumCircuit | None = None,
        gadgets: Sequence[Gadget] | None = None,
        n_qubits: int | None = None,
    ) -> None:
        if gadgets is not None:
            gadgets = [(letters, float(round_source(angle))) for letters, angle in gadgets]
        self.params, self.gadgets = params, gadgets
        self._circuit = None if circuit is None else round_circuit(circuit)
        self.n_qubits = n_qubits if circuit is None else circuit.num_qubits

    @property
    def circuit(self) -> QuantumCircuit:
        """The unitary part as a Qiskit circuit, gadgets as ``PauliEvolutionGate``."""
        if self._circuit is None:
            from qiskit.circuit import QuantumCircuit
            from qiskit.circuit.library import PauliEvolutionGate
            from qiskit.quantum_info import SparsePauliOp

            self._circuit = QuantumCircuit(self.n_qubits)
            for letters, angle in self.gadgets or ():
                gate = PauliEvolutionGate(SparsePauliOp(letters[::-1]), time=angle)
                self._circuit.append(gate, range(len(letters)))
        return self._circuit

    def state(self) -> AnyArray:
        """(2^n,) exact final statevector from |0...0>."""
        if self.gadgets is None:
            return source_state(self.circuit)
        state = np.zeros(2 ** (self.n_qubits or 0), dtype=complex)
        state[0] = 1
        for letters, angle in self.gadgets:
            state = apply_pauli_gadget(state, letters, angle)
        return state

    def probabilities(self) -> FloatArray:
        """(2^n,) exact noiseless distribution, bit ``k`` of an index read from qubit ``k``."""
        distribution: FloatArray = np.abs(self.state()) ** 2
        return distribution


class Family(ConfigModel):
    """A distribution over circuits; its fields are the keys of its config.

    Fields ``<what>_min`` and ``<what>_max`` are a range, both ends included.
    """

    name: str
    n_qubits: int

    @classmethod
    def preset(cls, values: Mapping[str, Any]) -> tuple[str, str] | None:
        name = values.get("name")
        return None if name is None else (f"generate dataset/family={name}", "dataset.family")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for low in type(self).model_fields:
            high = low.removesuffix("_min") + "_max"
            if not low.endswith("_min") or high not in type(self).model_fields:
                continue
            least, most = getattr(self, low), getattr(self, high)
            if least > most:
                raise ValueError(f"{low} ({least}) exceeds {high} ({most})")
        return self

    def draw_choice(self, rng: np.random.Generator, field: str) -> str:
        """Return a field's value, or draw another choice if it is ``any``."""
        value: str = getattr(self, field)
        if value != "any":
            return value
        choices = [c for c in get_args(type(self).model_fields[field].annotation) if c != "any"]
        return str(choices[int(rng.integers(len(choices)))])

    def draw(self, rng: np.random.Generator) -> SourceCircuit:
        """Draw one circuit; the same generator state gives the same circuit."""
        raise TypeError(f"family {self.name!r} does not define draw")

    def of_size(self, n_qubits: int) -> Self:
        """Return this family on another number of qubits.

        Raises:
            pydantic.ValidationError: if it has no circuits of that size.
        """
        return self.model_validate({**self.model_dump(), "n_qubits": n_qubits})

    def stratum(self, index: int) -> Family:
        """Return the family that circuit ``index`` of a dataset is drawn from.

        A family that goes through a list of sizes in turn returns itself at one of them.
        """
        return self


FAMILIES: Registry[type[Family]] = Registry(__name__, "family", "dataset.family.name")


def build_family(config: Mapping[str, Any]) -> Family:
    """Validate a family's config, which names it.

    Raises:
        QmendError: if the name is unknown.
        pydantic.ValidationError: if a field is unknown or has a bad value.
    """
    return FAMILIES.look_up(config).model_validate(dict(config))
