"""Parse OpenQASM 2 and 3 of untrusted origin."""

from __future__ import annotations

import re

from qiskit import qasm2, qasm3
from qiskit.circuit import QuantumCircuit
from qiskit.exceptions import MissingOptionalLibraryError, QiskitError

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
_WORD = re.compile(r"[A-Za-z_]\w*")
_PHYSICAL = re.compile(r"\$(\d+)")


def read_openqasm(text: str) -> MeasuredCircuit:
    """Parse a program; files that it includes are not read.

    Raises:
        QmendError: if it can't be parsed, includes anything but the standard gates, has a
            condition, a reset or a gate after a measurement, or is too large.
    """
    return measured_circuit(_parse(text))


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
