"""Prove imported labels: the program and the stored instructions give the same ideal values.

They are computed by Qiskit, from its reading of the program, and here by this package's own code,
which shares nothing with it: from its own reading of the program, and from the compiled
instructions. The last are stored, on the grid of probabilities.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from qmend.circuits.instructions import InstructionTable
from qmend.circuits.measured import MeasuredCircuit
from qmend.circuits.statevector import compiled_probabilities
from qmend.importing.program import read_program
from qmend.types import FloatArray, QmendError

#: Probabilities of a deep circuit, summed over unmeasured qubits, may differ by this much: the
#: compiled circuit's angles are rounded to steps of 5.7e-12.
TOLERANCE = 1e-8
#: Amplitudes that are held at once.
_AMPLITUDES = 1 << 21


def prove_reading(program: str, source: MeasuredCircuit) -> FloatArray:
    """Compute a program's ideal distribution, and again by the second reader.

    Args:
        source: Qiskit's reading of the program.

    Raises:
        QmendError: if the two differ, or the second reader can't read it.
    """
    reading = read_program(program)
    ideal = source.probabilities()
    bits = (reading.clbits, reading.n_clbits) == (source.clbits, source.n_clbits)
    off = float(np.abs(reading.probabilities() - ideal).max()) if bits else 1.0
    if not off <= TOLERANCE:
        raise QmendError(
            "two independent readings of its program disagree (by "
            f"{off:.2g}), so its label can't be proven; write the gates, modifiers and angles "
            "that it defines or combines out in standard gates"
        )
    return ideal


def chain_probabilities(table: InstructionTable) -> Iterator[FloatArray]:
    """(2^n,) noiseless distribution of each circuit in chain order, a few circuits at a time."""
    step = max(1, _AMPLITUDES >> table.n_qubits)
    for start in range(0, len(table), step):
        index = np.arange(start, min(start + step, len(table)))
        yield from compiled_probabilities(table.select(index))


def marginal(chain: FloatArray, measured: Sequence[int]) -> FloatArray:
    """(2^bits,) distribution of the measured bits.

    Args:
        chain: (2^n,) in chain order.
        measured: chain position behind each measured bit, bit 0 (least significant) first.
    """
    bits = _bits(len(chain), measured)
    probabilities: FloatArray = np.bincount(bits, chain, 1 << len(measured)).astype(np.float64)
    return probabilities


def parities(chain: FloatArray, masks: Sequence[int]) -> FloatArray:
    """Expectation values of products of Z on the positions where a mask's bit is 1."""
    index = np.arange(len(chain))
    signs = np.array([1 - 2 * (np.bitwise_count(index & mask) & 1).astype(float) for mask in masks])
    values: FloatArray = (signs.reshape(len(masks), len(chain)) * chain).sum(axis=1)
    return values


def z_mask(label: str) -> int:
    """``ZIZ`` -> 0b101; the rightmost letter is qubit (or chain position) 0."""
    return sum(1 << k for k, letter in enumerate(reversed(label)) if letter == "Z")


def _bits(size: int, measured: Sequence[int]) -> np.ndarray:
    index = np.arange(size)
    out = np.zeros(size, dtype=np.int64)
    for k, position in enumerate(measured):
        out |= ((index >> position) & 1) << k
    return out
