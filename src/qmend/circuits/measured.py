"""A circuit whose measurements all come last, on the qubits that it uses."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from qiskit.circuit import QuantumCircuit
from qiskit.exceptions import QiskitError
from qiskit.quantum_info import Statevector

from qmend.circuits.angles import round_circuit
from qmend.circuits.instructions import Instruction
from qmend.circuits.statevector import MAX_STATE_QUBITS
from qmend.types import FloatArray, QmendError

#: Pauli strings on more qubits would not fit the masks that they are written as.
MAX_QUBITS = 62
#: Ideal probabilities add up to 1 within this.
UNITARY_TOLERANCE = 1e-9
#: Instructions that are no gates.
NO_TIME = ("barrier", "delay")


@dataclass(frozen=True)
class MeasuredCircuit:
    """A circuit without its measurements, on the qubits that it uses.

    Attributes:
        circuit: the unitary part; delays are dropped, barriers kept.
        qubits: number in the program's registers of each qubit of ``circuit``.
        measured: qubit of ``circuit`` behind each measured classical bit, bits ascending.
        clbits: number in the program's registers of each measured classical bit.
        registers: sizes of the program's classical registers, the rightmost of a bitstring first.
        physical: whether ``qubits`` are the device's own numbers (``$5`` in OpenQASM 3).
    """

    circuit: QuantumCircuit
    qubits: tuple[int, ...]
    measured: tuple[int, ...]
    clbits: tuple[int, ...]
    registers: tuple[int, ...]
    physical: bool = False

    @property
    def n_qubits(self) -> int:
        return int(self.circuit.num_qubits)

    @property
    def n_clbits(self) -> int:
        """Classical bits of the program: the length of its bitstrings."""
        return sum(self.registers)

    def probabilities(self) -> FloatArray:
        """(2^bits,) exact distribution of the measured bits, by Qiskit's own simulation.

        Raises:
            QmendError: if it has too many qubits for a statevector, a gate has no matrix, or the
                gates are not unitary.
        """
        if self.n_qubits > MAX_STATE_QUBITS:
            raise QmendError(
                f"it uses {self.n_qubits} qubits; ideal distributions are exact up to "
                f"{MAX_STATE_QUBITS}"
            )
        with _definitions_named():
            state = Statevector.from_instruction(self.circuit)
        distribution = np.asarray(state.probabilities(list(self.measured)), dtype=np.float64)
        total = float(distribution.sum())
        if not abs(total - 1) <= UNITARY_TOLERANCE:
            raise QmendError(f"its ideal probabilities add up to {total:g}: a gate is not unitary")
        normalised: FloatArray = distribution / total
        return normalised

    @property
    def fingerprint(self) -> str:
        """SHA-256 (first 16 hex digits) of gates, angles and measurements; barriers don't count."""
        gates = [
            [
                item.operation.name,
                [repr(p) for p in item.operation.params],
                [self.circuit.find_bit(q).index for q in item.qubits],
            ]
            for item in self.circuit.data
            if item.operation.name != "barrier"
        ]
        text = json.dumps([self.n_qubits, gates, self.measured])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@contextmanager
def _definitions_named() -> Iterator[None]:
    """Turn an error in the definition of a gate into one sentence."""
    try:
        yield
    except (QiskitError, RecursionError) as error:
        reason = str(getattr(error, "message", "nested too deeply"))
        raise QmendError(f"it has a gate that can't be simulated ({reason})") from None


def measured_circuit(source: QuantumCircuit) -> MeasuredCircuit:
    """Separate a circuit from its measurements and its unused qubits; round its angles.

    Raises:
        QmendError: if it has a condition, a reset or a gate after a measurement, an unbound
            parameter, an angle that is not finite, or is too large. The sentence begins with "it".
    """
    qubit = {q: k for k, q in enumerate(source.qubits)}
    clbit = {c: k for k, c in enumerate(source.clbits)}
    behind: dict[int, int] = {}
    used: set[int] = set()
    gates: list[tuple[object, list[int]]] = []
    for item in source.data:
        name = item.operation.name
        on = [qubit[q] for q in item.qubits]
        if name == "measure":
            bit = clbit[item.clbits[0]]
            if on[0] in behind.values() or bit in behind:
                raise QmendError("a qubit or classical bit is measured twice; measure each once")
            behind[bit] = on[0]
        elif name in NO_TIME:
            if name == "barrier":
                gates.append((item.operation, on))
        elif item.clbits or getattr(item.operation, "blocks", ()):
            raise QmendError(
                f"it has a classical condition or loop ({name}); only circuits whose gates are "
                "fixed can be taken"
            )
        elif name in ("reset", "initialize"):
            raise QmendError(f"it has a {name}; only unitary circuits from |0...0> can be taken")
        else:
            if set(on) & set(behind.values()):
                raise QmendError(
                    f"qubit {on[0]} has a gate ({name}) after its measurement; only circuits "
                    "that are measured at the end can be taken"
                )
            for parameter in item.operation.params:
                if isinstance(parameter, float | int) and not math.isfinite(parameter):
                    raise QmendError(
                        f"its gate {name!r} has the angle {parameter}; give a finite number"
                    )
            used.update(on)
            gates.append((item.operation, on))
    if not behind:
        raise QmendError("it measures nothing; add its measurements")
    if source.parameters:
        raise QmendError("it has parameters without a value; bind them")
    kept = sorted(used | set(behind.values()))
    if len(kept) > MAX_QUBITS:
        raise QmendError(f"it uses {len(kept)} qubits; circuits are taken up to {MAX_QUBITS}")
    place = {q: k for k, q in enumerate(kept)}
    circuit = QuantumCircuit(len(kept))
    for operation, on in gates:
        within = [place[q] for q in on if q in place]
        if len(within) == len(on):
            circuit.append(operation, within)
        elif within:  # a barrier that spans idle qubits
            circuit.barrier(within)
    bits = sorted(behind)
    registers = {bit: register for register in source.cregs for bit in register}
    with _definitions_named():
        circuit = round_circuit(circuit)
    return MeasuredCircuit(
        circuit,
        tuple(kept),
        tuple(place[behind[b]] for b in bits),
        tuple(bits),
        tuple(len(list(register)) for _, register in groupby(source.clbits, key=registers.get)),
    )


def native_instructions(source: MeasuredCircuit, gates: Sequence[str]) -> list[Instruction]:
    """Read the gates of an executed circuit as (gate, first, second, angle).

    Raises:
        QmendError: naming a gate that is not native.
    """
    instructions: list[Instruction] = []
    for item in source.circuit.data:
        name = item.operation.name
        if name in NO_TIME:
            continue
        if name not in gates:
            raise QmendError(
                f"it has the gate {name!r}, which is outside the native set "
                f"({', '.join(gates)}); if this is the circuit before compilation, say "
                "circuit_stage: submitted"
            )
        on = [source.circuit.find_bit(q).index for q in item.qubits]
        angle = float(item.operation.params[0]) if item.operation.params else 0.0
        instructions.append((name, on[0], on[1] if len(on) > 1 else -1, angle))
    return instructions
