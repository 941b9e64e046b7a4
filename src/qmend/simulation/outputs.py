"""Distributions and expectation values of the states that programs end in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from qmend.simulation import kernel
from qmend.simulation.program import Program
from qmend.types import AnyArray, FloatArray, QmendError
from qmend.walsh import walsh_hadamard


def probabilities(program: Program, dtype: type[np.floating[Any]] = np.float64) -> AnyArray:
    """(N, 2^n) exact distributions before readout, chain order.

    p(x) = 2^-n sum_s (-1)^(s.x) <Z_s>, the Walsh-Hadamard transform of the parities.
    """
    out = kernel.evolve(program, dtype)
    distributions: AnyArray = walsh_hadamard(out) / dtype(out.shape[1])
    return distributions


def pauli_expectations(program: Program, strings: Sequence[str]) -> FloatArray:
    """(N, len(strings)) expectation values; the first letter of a string is qubit 0's.

    Raises:
        QmendError: if a string has another length or a letter other than I, X, Y, Z.
    """
    columns = []
    for string in strings:
        if len(string) != program.n_qubits or set(string) - set("IXYZ"):
            raise QmendError(
                f"{string!r} is no Pauli string on {program.n_qubits} qubits; use one of the "
                "letters I, X, Y, Z for each."
            )
        columns.append(sum("IXYZ".index(letter) * 4**q for q, letter in enumerate(string)))
    expectations: FloatArray = kernel.evolve(program, np.float64, "all")[:, columns]
    return expectations
