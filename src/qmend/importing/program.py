"""A second reader of OpenQASM 2 and 3, for the proof of labels.

Labels come from Qiskit's importers. This reader shares nothing with them, expands gates from
their definitions, and its distribution must be the label. It reads the part of the language that
can be imported and refuses the rest; it relies on Qiskit to have refused malformed programs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from qmend.importing.program_gates import (
    LIBRARY,
    NO_QUBIT,
    PRIMITIVES,
    Call,
    Gate,
    Modifier,
    Step,
    control,
    inverse,
    power,
)
from qmend.importing.program_tokens import Expression, Tokens
from qmend.types import AnyArray, FloatArray, QmendError

#: Name of a register or of a gate's operand -> indices of its qubits or classical bits.
Registers = dict[str, list[int]]


@dataclass(frozen=True)
class Reading:
    """Steps and measurements of a program.

    Attributes:
        steps: on qubits as the program numbers them.
        measured: classical bit -> qubit.
        n_clbits: classical bits of the program.
    """

    steps: list[Step]
    measured: dict[int, int]
    n_clbits: int

    @property
    def clbits(self) -> tuple[int, ...]:
        """Measured classical bits, ascending."""
        return tuple(sorted(self.measured))

    def probabilities(self) -> FloatArray:
        """(2^bits,) distribution of the measured bits; bit ``k`` is the k-th of ``clbits``."""
        used = {q for step in self.steps for q in (step.target, *(c for c, _ in step.controls))}
        axis = {q: k for k, q in enumerate(sorted(used | set(self.measured.values())))}
        state = np.zeros((2,) * len(axis), dtype=complex)
        state[(0,) * len(axis)] = 1
        for step in self.steps:
            _apply(step, axis, state)
        kept = [axis[self.measured[bit]] for bit in reversed(self.clbits)]
        rest = [k for k in range(len(axis)) if k not in kept]
        distribution = (np.abs(state) ** 2).transpose(kept + rest)
        probabilities: FloatArray = distribution.reshape(1 << len(kept), -1).sum(axis=1)
        return probabilities


def read_program(text: str) -> Reading:
    """Read a program that Qiskit has read.

    Raises:
        QmendError: naming what can't be proven; the sentence begins with "its".
    """
    try:
        return _Reader(text, dict(_library())).program()
    except (ArithmeticError, ValueError, LookupError) as error:
        raise QmendError(
            f"its program can't be read a second time, for the proof ({error}); write it in "
            "registers, gates, their definitions and measurements alone"
        ) from None
    except RecursionError:
        raise QmendError("its gates or angles are nested too deeply; write them out") from None


@cache
def _library() -> dict[str, Gate]:
    reader = _Reader(LIBRARY, dict(PRIMITIVES))
    reader.program()
    return reader.gates


def _apply(step: Step, axis: dict[int, int], state: AnyArray) -> None:
    """Multiply a (2,) * n state by a step in place."""
    at: list[slice | int] = [slice(None)] * state.ndim
    for qubit, on in step.controls:
        at[axis[qubit]] = on
    at[axis[step.target]] = 0
    low = tuple(at)
    at[axis[step.target]] = 1
    high = tuple(at)
    (a, b), (c, d) = step.matrix
    zero, one = state[low], state[high]
    state[low], state[high] = a * zero + b * one, c * zero + d * one


class _Reader(Tokens):
    """Statement by statement; a gate is what the last definition before its use says."""

    def __init__(self, text: str, gates: dict[str, Gate]) -> None:
        super().__init__(text)
        self.gates = gates
        self.qubits: Registers = {}
        self.bits: Registers = {}
        self.n_qubits = self.n_clbits = 0
        self.steps: list[Step] = []
        self.measured: dict[int, int] = {}

    def program(self) -> Reading:
        while self.ahead:
            self._statement()
        return Reading(self.steps, self.measured, self.n_clbits)

    def _statement(self) -> None:
        word = self.ahead
        if word == "OPENQASM":
            self.next()
            self.version = int(self.ahead[0])
            self.skip_statement()
        elif word in ("include", "barrier") or (word == "delay" and word not in self.gates):
            self.skip_statement()
        elif word in (("qreg", "creg") if self.version == 2 else ("qubit", "bit", "qreg", "creg")):
            self._declare()
        elif word == "let" and self.version == 3:
            self._alias()
        elif word == "gate":
            self._define()
        elif word == "opaque":
            name, parameters, qubits = self._header()
            self.expect(";")
            if name != "delay":  # takes time and does nothing
                self.gates[name] = Gate(name, parameters, len(qubits))
        elif word == "measure":
            self.next()
            qubits_read = self._operand(self.qubits)
            self.expect("->")
            self._measure(qubits_read, self._operand(self.bits))
        elif word in self.bits and self.version == 3:
            self._measure_into(self._operand(self.bits))
        else:
            self._use()

    def _declare(self) -> None:
        """Read ``qreg q[2];``, ``qubit[2] q;``, ``bit c = measure q;``."""
        word = self.next()
        size = self._size()
        name = self.next()
        size = size or self._size() or 1
        if word in ("qreg", "qubit"):
            self.qubits[name] = list(range(self.n_qubits, self.n_qubits + size))
            self.n_qubits += size
        else:
            self.bits[name] = list(range(self.n_clbits, self.n_clbits + size))
            self.n_clbits += size
            if self.ahead == "=":
                self._measure_into(self.bits[name])
                return
        self.expect(";")

    def _size(self) -> int | None:
        if self.ahead != "[":
            return None
        self.next()
        size = self.whole_number()
        self.expect("]")
        return size

    def _alias(self) -> None:
        """Read ``let a = q[0:1];``."""
        self.next()
        name = self.next()
        self.expect("=")
        registers = self.qubits if self.ahead in self.qubits else self.bits
        registers[name] = self._operand(registers)
        self.expect(";")

    def _operand(self, registers: Registers) -> list[int]:
        """Read ``q``, ``q[1]``, ``q[0:2]``, ``q[{0, 2}]`` or ``$3``."""
        name = self.next()
        if name.startswith("$"):
            return [int(name[1:])]
        if name not in registers:
            raise ValueError(f"{name!r} is no register")
        members = registers[name]
        if self.ahead != "[":
            return members
        self.next()
        if self.ahead == "{":
            chosen = self.items(self.whole_number, "}")
        else:
            chosen = [self.whole_number()]
            while self.ahead == ":":
                self.next()
                chosen.append(self.whole_number())
            if len(chosen) > 1:  # the last is among them
                step = chosen[1] if len(chosen) == 3 else 1
                chosen = list(range(chosen[0], chosen[-1] + (1 if step > 0 else -1), step))
        self.expect("]")
        return [members[k] for k in chosen]

    def _measure_into(self, bits: list[int]) -> None:
        self.expect("=")
        self.expect("measure")
        self._measure(self._operand(self.qubits), bits)

    def _measure(self, qubits: list[int], bits: list[int]) -> None:
        self.measured.update(zip(bits, qubits, strict=True))
        self.expect(";")

    def _header(self) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
        """Read ``gate g(t) a, b``: name, parameters, qubits."""
        self.next()
        name = self.next()
        parameters = self.items(self.next, ")") if self.ahead == "(" else []
        qubits = [self.next()]
        while self.ahead == ",":
            self.next()
            qubits.append(self.next())
        return name, tuple(parameters), tuple(qubits)

    def _define(self) -> None:
        name, parameters, qubits = self._header()
        own = {qubit: [k] for k, qubit in enumerate(qubits)}
        body = []
        self.expect("{")
        while self.ahead != "}":
            if self.ahead == "barrier":
                self.skip_statement()
                continue
            call, operands = self._call(parameters, own)
            body.append((call, tuple(q for (q,) in operands)))
        self.next()
        self.gates[name] = Gate(name, parameters, len(qubits), tuple(body))

    def _use(self) -> None:
        """Apply a gate, to registers qubit by qubit."""
        call, operands = self._call((), self.qubits)
        steps = [step for step in call.steps({}) if step.target != NO_QUBIT]
        for k in range(max(map(len, operands), default=0)):
            qubits = tuple(o[k] if len(o) > 1 else o[0] for o in operands)
            if len(set(qubits)) < len(qubits):
                raise ValueError(f"{call.gate.name} acts on a qubit twice")
            self.steps.extend(step.on(qubits) for step in steps)

    def _call(
        self, parameters: tuple[str, ...], registers: Registers
    ) -> tuple[Call, list[list[int]]]:
        """Read ``ctrl @ g(angles) a, b;``: the call, and the qubits of each operand."""
        modifiers: list[Modifier] = []
        controls = 0
        while self.version == 3 and self.ahead in ("inv", "pow", "ctrl", "negctrl"):
            word = self.next()
            (number,) = self.items(self._number, ")") if self.ahead == "(" else [1.0]
            self.expect("@")
            if word == "inv":
                modifiers.append(inverse)
            elif word == "pow":
                modifiers.append(power(number))
            else:
                modifiers.append(control(int(number), int(word == "ctrl")))
                controls += int(number)
        name = self.next()
        if name not in self.gates:
            raise ValueError(f"{name!r} is no gate")
        gate = self.gates[name]
        angles: list[Expression] = []
        if self.ahead == "(":
            angles = self.items(lambda: self.expression(parameters), ")")
        operands = [] if self.ahead == ";" else [self._operand(registers)]
        while self.ahead == ",":
            self.next()
            operands.append(self._operand(registers))
        self.expect(";")
        if len(angles) != len(gate.parameters) or len(operands) != gate.n_qubits + controls:
            raise ValueError(f"{name} takes another number of angles or qubits")
        return Call(gate, tuple(modifiers), tuple(angles)), operands

    def _number(self) -> float:
        number = self.expression()
        if callable(number):
            raise ValueError("a modifier's number is not constant")
        return number
