"""OpenQASM 2 and 3 text of untrusted origin -> a circuit whose measurements all come last."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from qiskit import qasm2, qasm3
from qiskit.circuit import QuantumCircuit
from qiskit.exceptions import MissingOptionalLibraryError, QiskitError
from qiskit.quantum_info import Statevector

from qmend.types import FloatArray, QmendError

#: Ideal distributions are computed exactly, from the statevector of this many qubits at most.
MAX_QUBITS = 20
#: Longer programs, wider registers and circuits of more gates are refused before they are built.
MAX_CHARACTERS = 4_000_000
MAX_REGISTER = 4_096
MAX_GATES = 500_000

_INCLUDES = ("qelib1.inc", "stdgates.inc")
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_VERSION = re.compile(r"\s*OPENQASM\s+([23])(\.\d+)?\s*;")
_INCLUDE = re.compile(r"\binclude\b\s*([^;]*);?")
_SIZES = re.compile(r"\b(?:qreg|creg)\s+\w+\s*\[\s*(\d+)\s*\]|\b(?:qubit|bit)\s*\[\s*(\d+)\s*\]")
_DEFINITION = re.compile(r"\bgate\s+(\w+)[^{]*\{([^}]*)\}")
_WORD = re.compile(r"[A-Za-z_]\w*")
_PHYSICAL = re.compile(r"\$(\d+)")
_NO_TIME = ("barrier", "delay")


@dataclass(frozen=True)
class MeasuredCircuit:
    """A circuit without its measurements, on the qubits that it uses.

    Attributes:
        circuit: the unitary part; delays are dropped, barriers kept.
        qubits: number in the program's registers of each qubit of ``circuit``.
        measured: qubit of ``circuit`` behind each measured classical bit, bits ascending.
        clbits: number in the program's registers of each measured classical bit.
        n_clbits: classical bits of the program: the length of its bitstrings.
    """

    circuit: QuantumCircuit
    qubits: tuple[int, ...]
    measured: tuple[int, ...]
    clbits: tuple[int, ...]
    n_clbits: int

    @property
    def n_qubits(self) -> int:
        return int(self.circuit.num_qubits)

    def probabilities(self) -> FloatArray:
        """(2^bits,) exact distribution of the measured bits, by Qiskit's own simulation."""
        state = Statevector.from_instruction(self.circuit)
        found = np.asarray(state.probabilities(list(self.measured)), dtype=np.float64)
        normalised: FloatArray = found / found.sum()
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


def read_openqasm(text: str) -> MeasuredCircuit:
    """Parse a program; no file is read, whatever it includes.

    Raises:
        QmendError: if it can't be parsed, includes anything but the standard gates, has a
            condition, a reset or a gate after a measurement, or is too large.
    """
    parsed = _parse(text)
    qubit = {q: k for k, q in enumerate(parsed.qubits)}
    clbit = {c: k for k, c in enumerate(parsed.clbits)}
    behind: dict[int, int] = {}
    used: set[int] = set()
    gates: list[tuple[object, list[int]]] = []
    for item in parsed.data:
        name = item.operation.name
        on = [qubit[q] for q in item.qubits]
        if name == "measure":
            bit = clbit[item.clbits[0]]
            if on[0] in behind.values() or bit in behind:
                raise QmendError("a qubit or classical bit is measured twice; measure each once")
            behind[bit] = on[0]
        elif name in _NO_TIME:
            if name == "barrier":
                gates.append((item.operation, on))
        elif item.clbits or getattr(item.operation, "blocks", ()):
            raise QmendError(
                f"it has a classical condition or loop ({name}); only circuits whose gates are "
                "fixed can be imported"
            )
        elif name in ("reset", "initialize"):
            raise QmendError(f"it has a {name}; only unitary circuits from |0...0> can be imported")
        else:
            if set(on) & set(behind.values()):
                raise QmendError(
                    f"qubit {on[0]} has a gate ({name}) after its measurement; only circuits "
                    "that are measured at the end can be imported"
                )
            used.update(on)
            gates.append((item.operation, on))
    if not behind:
        raise QmendError("it measures nothing; add its measurements")
    if parsed.parameters:
        raise QmendError("it has parameters without a value; bind them")
    kept = sorted(used | set(behind.values()))
    if len(kept) > MAX_QUBITS:
        raise QmendError(
            f"it uses {len(kept)} qubits; ideal distributions are exact up to {MAX_QUBITS}"
        )
    place = {q: k for k, q in enumerate(kept)}
    circuit = QuantumCircuit(len(kept))
    for operation, on in gates:
        within = [place[q] for q in on if q in place]
        if len(within) == len(on):
            circuit.append(operation, within)
        elif within:  # a barrier that spans idle qubits
            circuit.barrier(within)
    bits = sorted(behind)
    return MeasuredCircuit(
        circuit,
        tuple(kept),
        tuple(place[behind[b]] for b in bits),
        tuple(bits),
        len(parsed.clbits),
    )


def _parse(text: str) -> QuantumCircuit:
    if len(text) > MAX_CHARACTERS:
        raise QmendError(f"its program is longer than {MAX_CHARACTERS:,} characters; split it")
    bare = _COMMENT.sub(" ", text)
    version = _VERSION.match(bare)
    if not version:
        raise QmendError("its program does not start with OPENQASM 2.0; or OPENQASM 3.0;")
    for found in _INCLUDE.findall(bare):
        if found.strip().strip("\"'") not in _INCLUDES:
            raise QmendError(
                f"its program includes {found.strip()[:60]}; only {' and '.join(_INCLUDES)} are "
                "read: write other gates into the program itself"
            )
    # Nine digits and more, cut off: int() itself refuses thousands of them.
    widths = [int((a or b)[:9]) for a, b in _SIZES.findall(bare)]
    physical = [int(n[:9]) for n in _PHYSICAL.findall(bare)]
    if sum(widths) > MAX_REGISTER or max(physical, default=0) >= MAX_REGISTER:
        raise QmendError(
            f"its registers have more than {MAX_REGISTER:,} bits; leave out unused ones"
        )
    if _written_out(bare) > MAX_GATES:
        raise QmendError(f"it has more than {MAX_GATES:,} gates; split it")
    try:
        if version.group(1) == "2":
            return qasm2.loads(
                text,
                include_path=(),
                custom_instructions=qasm2.LEGACY_CUSTOM_INSTRUCTIONS,
                custom_classical=qasm2.LEGACY_CUSTOM_CLASSICAL,
            )
        return qasm3.loads(text)
    except MissingOptionalLibraryError:
        raise QmendError(
            "OpenQASM 3 needs the package qiskit-qasm3-import; install it with pip, or give "
            "OpenQASM 2"
        ) from None
    except (QiskitError, ValueError, TypeError, RecursionError, OverflowError) as error:
        reason = (
            str(getattr(error, "message", error)).strip() or type(error).__name__
        ).splitlines()
        raise QmendError(f"its program can't be parsed ({reason[0][:200]}); correct it") from None


def _written_out(bare: str) -> int:
    """Gates that a program stands for when its own gate definitions are written out.

    Counted in the text: a chain of definitions that double each other would fill the memory
    of whoever builds it.
    """
    sizes: dict[str, int] = {}

    def count(statements: str) -> int:
        return statements.count(";") + sum(sizes.get(word, 0) for word in _WORD.findall(statements))

    for name, body in _DEFINITION.findall(bare):
        sizes[name] = count(body)
    return count(_DEFINITION.sub(" ", bare))


def native_instructions(
    source: MeasuredCircuit, gates: Sequence[str]
) -> list[tuple[str, int, int, float]]:
    """The gates of an executed circuit as they are, as (gate, first, second, angle).

    Raises:
        QmendError: naming a gate that is not native.
    """
    instructions: list[tuple[str, int, int, float]] = []
    for item in source.circuit.data:
        name = item.operation.name
        if name in _NO_TIME:
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
