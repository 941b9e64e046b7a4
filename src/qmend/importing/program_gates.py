"""Gates of OpenQASM as controlled one-qubit matrices, from their definitions.

The second reader's part of gates (:mod:`qmend.importing.program`). It takes nothing from Qiskit:
the library below is written after the specifications (arXiv:1707.03429, arXiv:2104.14722), whose
only primitives are ``U`` and ``gphase`` with modifiers.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from qmend.importing.program_tokens import Expression, value
from qmend.types import AnyArray, QmendError

#: Steps that one gate may stand for.
MAX_STEPS = 500_000
#: A global phase acts on no qubit.
NO_QUBIT = -1
#: A phase below is pi, rounded.
_MINUS_PI = 1e-9 - math.pi


@dataclass(frozen=True)
class Step:
    """A matrix on a target where every control has its value.

    Attributes:
        matrix: (2, 2).
        target: qubit, or :data:`NO_QUBIT` for a phase without controls.
        controls: (qubit, value), ascending.
    """

    matrix: AnyArray
    target: int
    controls: tuple[tuple[int, int], ...] = ()

    def on(self, qubits: tuple[int, ...]) -> Step:
        """Move the step to other qubits; ``qubits[k]`` takes the place of ``k``."""
        target = self.target if self.target == NO_QUBIT else qubits[self.target]
        return Step(self.matrix, target, tuple(sorted((qubits[q], v) for q, v in self.controls)))


Steps = tuple[Step, ...]
#: The steps of ``inv @ g``, ``ctrl @ g``, ``pow(k) @ g`` from those of ``g``.
Modifier = Callable[[Steps], Steps]


@dataclass(frozen=True)
class Call:
    """A gate in use.

    Attributes:
        modifiers: the innermost last.
    """

    gate: Gate
    modifiers: tuple[Modifier, ...]
    angles: tuple[Expression, ...]

    def steps(self, values: Mapping[str, float]) -> Steps:
        """Expand the call, with the values of the surrounding gate's parameters.

        Its controls are the first qubits.

        Raises:
            QmendError: if an angle is not finite or the gate is opaque.
        """
        angles = tuple(value(a, values) for a in self.angles)
        for angle in angles:
            if not math.isfinite(angle):
                raise QmendError(
                    f"its gate {self.gate.name!r} has the angle {angle}; give a finite number"
                )
        steps = _expand(self.gate, angles)
        for modifier in reversed(self.modifiers):
            steps = modifier(steps)
        return steps


@dataclass(frozen=True, eq=False)
class Gate:
    """A gate and what it stands for.

    Attributes:
        parameters: their names.
        body: calls and their qubits, of 0 to ``n_qubits - 1``; None: opaque.
    """

    name: str
    parameters: tuple[str, ...]
    n_qubits: int
    body: tuple[tuple[Call, tuple[int, ...]], ...] | None = None

    def expand(self, values: Mapping[str, float]) -> Steps:
        """Write the gate out.

        Raises:
            QmendError: if it is opaque or stands for too many steps.
        """
        if self.body is None:
            raise QmendError(
                f"its gate {self.name!r} is opaque: nothing says what it does; write its "
                "definition into the program"
            )
        return _merge(step.on(on) for call, on in self.body for step in call.steps(values))


class RotationGate(Gate):
    """``U(theta, phi, lambda)``, with the phase that OpenQASM 3 gives it."""

    def expand(self, values: Mapping[str, float]) -> Steps:
        theta, phi, lam = (values[name] for name in self.parameters)
        plus, minus = 1 + cmath.exp(1j * theta), 1 - cmath.exp(1j * theta)
        rows = [
            [plus, -1j * cmath.exp(1j * lam) * minus],
            [1j * cmath.exp(1j * phi) * minus, cmath.exp(1j * (phi + lam)) * plus],
        ]
        return (Step(np.array(rows) / 2, 0),)


class PhaseGate(Gate):
    """``gphase(gamma)`` on no qubit."""

    def expand(self, values: Mapping[str, float]) -> Steps:
        (gamma,) = values.values()
        return (Step(cmath.exp(1j * gamma) * np.eye(2), NO_QUBIT),)


PRIMITIVES: dict[str, Gate] = {
    "U": RotationGate("U", ("theta", "phi", "lambda"), 1),
    "gphase": PhaseGate("gphase", ("gamma",), 0),
}


@lru_cache(maxsize=4096)
def _expand(gate: Gate, angles: tuple[float, ...]) -> Steps:
    return gate.expand(dict(zip(gate.parameters, angles, strict=True)))


def inverse(steps: Steps) -> Steps:
    """Steps of ``inv @ g``."""
    return tuple(Step(s.matrix.conj().T, s.target, s.controls) for s in reversed(steps))


def control(count: int, on: int) -> Modifier:
    """Make ``ctrl(count) @`` (``on`` 1) or ``negctrl(count) @`` (0); controls come first."""
    first = tuple((q, on) for q in range(count))

    def controlled(step: Step) -> Step:
        controls = first + tuple((q + count, v) for q, v in step.controls)
        if step.target != NO_QUBIT:
            return Step(step.matrix, step.target + count, controls)
        phase = np.eye(2, dtype=complex)
        phase[on, on] = step.matrix[0, 0]
        return Step(phase, count - 1, controls[:-1])

    return lambda steps: tuple(map(controlled, steps))


def power(exponent: float) -> Modifier:
    """Make ``pow(exponent) @``; fractions, of one matrix, by the principal value."""

    def repeated(steps: Steps) -> Steps:
        if len(steps) == 1:
            step = steps[0]
            return (Step(_matrix_power(step.matrix, exponent), step.target, step.controls),)
        if not float(exponent).is_integer():
            raise QmendError(
                f"its program has pow({exponent:g}) @ of a gate on several qubits; only whole "
                "powers of it can be proven: write that gate out"
            )
        if len(steps) * abs(exponent) > MAX_STEPS:
            raise QmendError(f"it has more than {MAX_STEPS:,} gates; split it")
        return (steps if exponent >= 0 else inverse(steps)) * int(abs(exponent))

    return repeated


def _matrix_power(matrix: AnyArray, exponent: float) -> AnyArray:
    """(2, 2) power of a unitary; its eigenvalues' phases are in (-pi, pi], -1 at pi."""
    values, vectors = np.linalg.eig(matrix)
    phases = np.angle(values)
    phases[phases < _MINUS_PI] += 2 * np.pi
    powered: AnyArray = vectors @ np.diag(np.exp(1j * exponent * phases)) @ np.linalg.inv(vectors)
    return powered


def _merge(steps: Iterable[Step]) -> Steps:
    """Multiply neighbouring matrices on the same target and controls."""
    merged: list[Step] = []
    for step in steps:
        last = merged[-1] if merged else None
        if last is not None and last.controls == step.controls:
            phase = NO_QUBIT in (last.target, step.target) and not step.controls
            if phase or last.target == step.target:
                target = max(last.target, step.target)
                merged[-1] = Step(step.matrix @ last.matrix, target, step.controls)
                continue
        merged.append(step)
        if len(merged) > MAX_STEPS:
            raise QmendError(f"it has more than {MAX_STEPS:,} gates; split it")
    return tuple(merged)


#: ``stdgates.inc`` and ``qelib1.inc``. ``cu3`` is the controlled ``u3``, as in every later copy of
#: the latter: the text of the paper lacks a phase.
LIBRARY = """
gate p(t) q { ctrl @ gphase(t) q; }
gate x q { U(pi, 0, pi) q; gphase(-pi/2); }
gate y q { U(pi, pi/2, pi/2) q; gphase(-pi/2); }
gate z q { p(pi) q; }
gate h q { U(pi/2, 0, pi) q; gphase(-pi/4); }
gate s q { p(pi/2) q; }
gate sdg q { p(-pi/2) q; }
gate t q { p(pi/4) q; }
gate tdg q { p(-pi/4) q; }
gate sx q { U(pi/2, -pi/2, pi/2) q; }
gate sxdg q { inv @ sx q; }
gate rx(t) q { U(t, -pi/2, pi/2) q; gphase(-t/2); }
gate ry(t) q { U(t, 0, 0) q; gphase(-t/2); }
gate rz(t) q { U(0, 0, t) q; gphase(-t/2); }
gate id q { }
gate u0(t) q { }
gate u1(l) q { p(l) q; }
gate u2(f, l) q { U(pi/2, f, l) q; gphase(-(f+l+pi/2)/2); }
gate u3(t, f, l) q { U(t, f, l) q; gphase(-(f+l+t)/2); }
gate u(t, f, l) q { U(t, f, l) q; gphase(-t/2); }
gate phase(t) q { p(t) q; }
gate cx a, b { ctrl @ x a, b; }
gate CX a, b { ctrl @ x a, b; }
gate cy a, b { ctrl @ y a, b; }
gate cz a, b { ctrl @ z a, b; }
gate ch a, b { ctrl @ h a, b; }
gate csx a, b { ctrl @ sx a, b; }
gate cp(t) a, b { ctrl @ p(t) a, b; }
gate cphase(t) a, b { ctrl @ p(t) a, b; }
gate cu1(t) a, b { ctrl @ p(t) a, b; }
gate crx(t) a, b { ctrl @ rx(t) a, b; }
gate cry(t) a, b { ctrl @ ry(t) a, b; }
gate crz(t) a, b { ctrl @ rz(t) a, b; }
gate cu(t, f, l, g) a, b { p(g-t/2) a; ctrl @ U(t, f, l) a, b; }
gate cu3(t, f, l) a, b { cu(t, f, l, 0) a, b; }
gate swap a, b { cx a, b; cx b, a; cx a, b; }
gate rxx(t) a, b { h a; h b; cx a, b; rz(t) b; cx a, b; h a; h b; }
gate rzz(t) a, b { cx a, b; rz(t) b; cx a, b; }
gate ccx a, b, c { ctrl(2) @ x a, b, c; }
gate cswap a, b, c { ctrl @ swap a, b, c; }
gate c3x a, b, c, d { ctrl(3) @ x a, b, c, d; }
gate c3sqrtx a, b, c, d { ctrl(3) @ sx a, b, c, d; }
gate c4x a, b, c, d, e { ctrl(4) @ x a, b, c, d, e; }
gate rccx a, b, c { h c; t c; cx b, c; tdg c; cx a, c; t c; cx b, c; tdg c; h c; }
gate rc3x a, b, c, d {
  h d; t d; cx c, d; tdg d; h d; cx a, d; t d; cx b, d; tdg d; cx a, d; t d; cx b, d; tdg d;
  h d; t d; cx c, d; tdg d; h d;
}
"""
