"""Parse OpenQASM 2 and 3 of untrusted origin."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from qiskit import qasm2, qasm3
from qiskit.circuit import Operation, QuantumCircuit
from qiskit.exceptions import MissingOptionalLibraryError, QiskitError

from qmend.circuits.library import library_gate
from qmend.circuits.measured import MeasuredCircuit, measured_circuit
from qmend.types import QmendError

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
_DECLARATION = re.compile(
    r"\b(?P<kind>gate|opaque)\s+(?P<name>\w+)"
    r"(?P<rest>\s*(?:\((?P<parameters>[^)]*)\))?[^{;]*(?:\{[^}]*\}|;))"
)
_WORD = re.compile(r"[^\W\d]\w*")
_POWER = re.compile(r"\bpow\s*\((?:\s*-?(\d+\.?\d*|\.\d+)\s*\))?")
_WORD_OR_TEXT = re.compile(r"\"[^\"]*\"|'[^']*'|\b\w+")
_PHYSICAL = re.compile(r"\$(\d+)")
#: Before the name of a gate that a program defines; the digits are of its definition.
_OWN = re.compile(r"own_[0-9a-f]{8}_")


def read_openqasm(text: str) -> MeasuredCircuit:
    """Parse a program as a circuit without its measurements.

    Raises:
        QmendError: as :func:`parse_openqasm`, or if it has a condition, a reset or a gate after a
            measurement.
    """
    with plain_names():
        source = measured_circuit(parse_openqasm(text))
    return replace(source, physical=_PHYSICAL.search(_COMMENT.sub(" ", text)) is not None)


def parse_openqasm(text: str) -> QuantumCircuit:
    """Parse a program; files that it includes are not read.

    A gate that the program defines does what the definition says. It is Qiskit's gate of that name
    only where both are the same up to a phase.

    Raises:
        QmendError: if it can't be parsed, includes anything but the standard gates, or is too
            large.
    """
    with plain_names():
        return _with_library_gates(_parse(text))


@contextmanager
def plain_names() -> Iterator[None]:
    """Name a program's own gates in errors as the program does."""
    try:
        yield
    except QmendError as error:
        raise QmendError(_OWN.sub("", str(error))) from None


def own_gate(name: str) -> str | None:
    """Return the name in its program of a gate that the program defines, else None."""
    bare = _OWN.sub("", name)
    return None if bare == name else bare


def _parse(text: str) -> QuantumCircuit:
    if len(text) > MAX_CHARACTERS:
        raise QmendError(f"its program is longer than {MAX_CHARACTERS:,} characters; split it")
    bare = _COMMENT.sub(" ", text)
    version = _VERSION.match(bare)
    if not version:
        raise QmendError("its program does not start with OPENQASM 2.0; or OPENQASM 3.0;")
    for included in _INCLUDE.findall(bare):
        if included.strip().strip("\"'") not in _INCLUDES:
            raise QmendError(
                f"its program includes {included.strip()[:60]}; only {' and '.join(_INCLUDES)} are "
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
    program = _rename_own_gates(bare)
    try:
        if version.group(1) == "2":
            return qasm2.loads(
                program,
                include_path=(),
                custom_instructions=qasm2.LEGACY_CUSTOM_INSTRUCTIONS,
                custom_classical=qasm2.LEGACY_CUSTOM_CLASSICAL,
            )
        return qasm3.loads(program)
    except MissingOptionalLibraryError:
        raise QmendError(
            "OpenQASM 3 needs the package qiskit-qasm3-import; install it with pip, or give "
            "OpenQASM 2"
        ) from None
    except (QiskitError, ValueError, TypeError, RecursionError, ArithmeticError) as error:
        reason = (
            str(getattr(error, "message", error)).strip() or type(error).__name__
        ).splitlines()
        raise QmendError(f"its program can't be parsed ({reason[0][:200]}); correct it") from None


def _rename_own_gates(program: str) -> str:
    """Give gates that a program defines or declares names that no library has.

    Qiskit's importers, controls and passes take a gate by its name for their own. The name has a
    digest of the definition: gates of one name in two programs are told apart. So do parameters,
    and numbers: the importer of OpenQASM 3 hands angles over in the alphabetical order of their
    names, and can't tell two gates' parameters of one name apart.
    """
    names: dict[str, str] = {}
    parts, end = [], 0
    for match in _DECLARATION.finditer(program):
        parts.append(_rename(program[end : match.start()], names))
        parameters = "".join((match["parameters"] or "").split()).split(",")
        rest = _rename(match["rest"], names | dict(zip(parameters, parameters, strict=True)))
        prefix = f"own_{hashlib.sha256(' '.join(rest.split()).encode()).hexdigest()[:8]}_"
        if (match["kind"], match["name"]) != ("opaque", "delay"):  # not a gate
            names[match["name"]] = prefix + match["name"]
        numbered = {p: f"{prefix}{k:03d}_{p}" for k, p in enumerate(parameters)}
        parts.append(f"{match['kind']} {names.get(match['name'], match['name'])}")
        parts.append(_rename(rest, numbered))
        end = match.end()
    return "".join([*parts, _rename(program[end:], names)])


def _rename(text: str, names: dict[str, str]) -> str:
    return _WORD_OR_TEXT.sub(lambda word: names.get(word[0], word[0]), text) if names else text


def _with_library_gates(circuit: QuantumCircuit) -> QuantumCircuit:
    """Put Qiskit's gate in place of a program's own where name and matrix are the same."""
    if circuit.parameters or not any(own_gate(name) for name in circuit.count_ops()):
        return circuit
    replaced = circuit.copy_empty_like()
    gates: dict[tuple[str, tuple[float, ...]], Operation] = {}
    for item in circuit.data:
        operation = item.operation
        name = own_gate(operation.name)
        if name is not None:
            key = operation.name, tuple(map(float, operation.params))
            if key not in gates:
                gates[key] = library_gate(operation, name) or operation
            item = item.replace(operation=gates[key])
        replaced.append(item)
    return replaced


def _written_out(bare: str) -> int:
    """Gates that a program stands for when its own gate definitions are written out.

    Counted in the text: a chain of definitions that double each other would fill the memory
    of whoever builds it. So would powers; one that is an expression counts as 1,000.
    """
    sizes: dict[str, int] = {}

    def count(statements: str) -> int:
        total = 0
        for statement in statements.split(";")[:-1]:
            size = 1 + sum(sizes.get(word, 0) for word in _WORD.findall(statement))
            for number in _POWER.findall(statement):
                size *= int(float(number[:9] or 1_000)) + 1
            total += size
        return total

    for name, body in _DEFINITION.findall(bare):
        sizes[name] = count(body)
    return count(_DEFINITION.sub(" ", bare))
