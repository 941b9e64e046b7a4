"""The error map of a circuit: the effect of its noise on every parity, for any initial state.

A noisy circuit is its ideal unitary U, then an error map E = N U^-1 on 4^n Pauli coefficients:
<Z_s> as measured is sum_P E[s, P] <P>, with <P> of the ideal final state. E[s, s] is the factor
that a parity shrinks by; the other entries bring in the expectation values of other strings,
which no measurement of Z holds.
"""

from __future__ import annotations

from dataclasses import replace

import numba
import numpy as np

from qmend.circuits.instructions import InstructionTable
from qmend.gates import GATES
from qmend.noise.device_noise import DeviceNoise, ideal_channel
from qmend.simulation.fusion import Fusion
from qmend.simulation.program import Program, z_strings
from qmend.types import AnyArray, FloatArray, IntArray


def noiseless_program(noise: DeviceNoise, table: InstructionTable) -> Program:
    """Compiled circuits with the ideal channel of each gate that the device has."""
    program = noise.program(table)
    one, two = program.one.clone(), program.two.clone()
    n, parameters = table.n_qubits, noise.parameters
    for code, gate in enumerate(GATES):
        if noise.has_one[code].any() and gate != "rz":
            one[code * n : (code + 1) * n] = ideal_channel(gate)
    for row, code in enumerate(parameters.gate[parameters.second >= 0]):
        two[row] = ideal_channel(GATES[code])
    return replace(program, one=one, two=two)


def error_rows(noisy: Program, ideal: Program) -> FloatArray:
    """(N, 2^n, 4^n) rows of the error map for all parities Z_s, float32.

    Args:
        noisy, ideal: the same circuits with and without noise.
    """
    noisy.check_size()
    n = noisy.n_qubits
    rows = np.empty((len(noisy), 2**n, 4**n), dtype=np.float32)
    _error_rows(n, z_strings(n), _fuse(noisy), _fuse(ideal), rows)
    return rows


def _fuse(program: Program) -> tuple[AnyArray, ...]:
    fused = Fusion.of(program).program(program.one, program.two)
    matrices = [m.detach().cpu().numpy().astype(np.float64) for m in (fused.one, fused.two)]
    return fused.offsets, fused.first, fused.second, fused.row, *matrices


@numba.njit(cache=True, nogil=True)
def _error_rows(
    n: int,
    strings: IntArray,
    noisy: tuple[AnyArray, ...],
    ideal: tuple[AnyArray, ...],
    out: AnyArray,
) -> None:
    noisy_offsets, noisy_first, noisy_second, noisy_row, noisy_one, noisy_two = noisy
    offsets, first, second, row, one, two = ideal
    columns = np.empty((4**n, 2**n))
    before, after = np.empty((16, 2**n)), np.empty((16, 2**n))
    for circuit in range(len(out)):
        columns[:] = 0.0
        for s in range(2**n):
            columns[strings[s], s] = 1.0
        # E = N U^T, of which Z_s is a row: backwards through the noisy circuit, transposed, then
        # forwards through the ideal one.
        for k in range(noisy_offsets[circuit + 1] - 1, noisy_offsets[circuit] - 1, -1):
            a, b, r = noisy_first[k], noisy_second[k], noisy_row[k]
            if b < 0:
                _apply(columns, np.ascontiguousarray(noisy_one[r].T), a, -1, before, after)
            else:
                _apply(columns, np.ascontiguousarray(noisy_two[r].T), a, b, before, after)
        for k in range(offsets[circuit], offsets[circuit + 1]):
            a, b, r = first[k], second[k], row[k]
            if b < 0:
                _apply(columns, one[r], a, -1, before, after)
            else:
                _apply(columns, two[r], a, b, before, after)
        out[circuit] = columns.T


@numba.njit(cache=True, nogil=True)
def _apply(
    columns: AnyArray, channel: AnyArray, a: int, b: int, before: AnyArray, after: AnyArray
) -> None:
    """A channel on qubit ``a``, or on ``a`` (less significant) and ``b``, of every column."""
    low, high = 4**a, 4**b if b >= 0 else 0
    size = 4 if b < 0 else 16
    for base in range(len(columns)):
        if (base // low) % 4 or (b >= 0 and (base // high) % 4):
            continue
        for j in range(size):
            before[j] = columns[base + (j & 3) * low + (j >> 2) * high]
        np.dot(channel, before[:size], after[:size])
        for j in range(size):
            columns[base + (j & 3) * low + (j >> 2) * high] = after[j]
