"""The compiled evolution on one processor core: one circuit after the other, in cache.

Runs of one-qubit channels are multiplied into 4x4 matrices, these into the two-qubit channel
that follows on their qubit, and consecutive two-qubit channels on one pair into one 16x16
matrix: a block. Only blocks touch the 4^n coefficients.
"""

from __future__ import annotations

import numba
import numpy as np

from qmend.simulation.program import Program
from qmend.types import AnyArray


def evolve(program: Program, dtype: type = np.float64) -> AnyArray:
    """Evolve \\|0...0>; (N, 2^n) parities <Z_s> of the final states, s a set of qubits."""
    program.check_size()
    n = program.n_qubits
    two: AnyArray = program.two.detach().cpu().numpy().astype(dtype, copy=False)
    out = np.empty((len(program), 2**n), dtype=dtype)
    _evolve_all(
        n,
        program.offsets,
        program.first,
        program.second,
        program.row,
        np.ascontiguousarray(program.one.detach().cpu().numpy().astype(dtype, copy=False)),
        *_entries(two),
        out,
    )
    return out


def _entries(two: AnyArray) -> tuple[AnyArray, AnyArray, AnyArray, AnyArray]:
    """Non-zero entries of (R, 16, 16): their number (R,), rows, columns, values (R, 256)."""
    flat = two.reshape(len(two), 256)
    order = np.argsort(flat == 0, axis=1, kind="stable")
    values = np.take_along_axis(flat, order, axis=1)
    return (flat != 0).sum(axis=1), order // 16, order % 16, values


@numba.njit(cache=True, nogil=True)
def _evolve_all(n, offsets, first, second, row, one, counts, rows, columns_of, values, out):
    kind = one.dtype
    size = 4**n
    columns = max(size // 16, 1)
    state = np.empty(size, kind)
    start = np.zeros(size, kind)
    for s in range(2**n):
        index = 0
        for q in range(n):
            if (s >> q) & 1:
                index += 3 * 4**q
        start[index] = 1.0
    gathered = np.empty((16, min(columns, 256)), kind)  # both are powers of 4
    moved = np.empty((16, min(columns, 256)), kind)
    pending = np.empty((n, 4, 4), kind)
    is_pending = np.zeros(n, np.bool_)
    partner = np.empty(n, np.int64)  # other qubit of the open block, -1 for none
    block = np.empty((n, 16, 16), kind)  # at the lower qubit of its pair, that qubit first
    base = np.empty((n, n, columns), np.int64)
    for a in range(n):
        for b in range(a + 1, n):
            _base_indices(n, a, b, base[a, b])
    side = np.empty((16, 16), kind)
    work = np.empty((16, 16), kind)
    small = np.empty((4, 4), kind)
    for circuit in range(len(offsets) - 1):
        state[:] = start
        is_pending[:] = False
        partner[:] = -1
        for k in range(offsets[circuit], offsets[circuit + 1]):
            a, b = first[k], second[k]
            if b < 0:
                if is_pending[a]:
                    _multiply_small(one[row[k]], pending[a], small)
                    pending[a, :, :] = small
                else:
                    pending[a, :, :] = one[row[k]]
                    is_pending[a] = True
                continue
            low, high = min(a, b), max(a, b)
            merging = partner[low] == high
            if not merging:
                for q in (low, high):
                    if partner[q] >= 0:
                        other = partner[q]
                        lo, hi = min(q, other), max(q, other)
                        _apply_block(state, block[lo], base[lo, hi], lo, hi, gathered, moved)
                        partner[lo] = -1
                        partner[hi] = -1
            _side_by_side(pending[low], is_pending[low], pending[high], is_pending[high], side)
            if merging:
                _multiply(side, block[low], work)
                side[:, :] = work
            r = row[k]
            _channel_times(counts[r], rows[r], columns_of[r], values[r], a > b, side, block[low])
            is_pending[low] = False
            is_pending[high] = False
            partner[low] = high
            partner[high] = low
        for q in range(n):
            if partner[q] > q:
                high = partner[q]
                _apply_block(state, block[q], base[q, high], q, high, gathered, moved)
        _parities(n, state, pending, is_pending, out[circuit])


@numba.njit(cache=True, inline="always")
def _base_indices(n, a, b, base):
    """Indices of the strings with I on qubits a and b."""
    for c in range(len(base)):
        rest, index = c, 0
        for q in range(n):
            if q != a and q != b:
                index += (rest & 3) << (2 * q)
                rest >>= 2
        base[c] = index


@numba.njit(cache=True)
def _multiply(left, right, out):
    """out = left @ right of 16x16 and 16 rows; each sum in the order of ``left``'s columns.

    A library's product sums in another order, with fused operations, on each processor. Four
    terms at a time, as loading and storing ``out`` takes longer than a product.
    """
    for i in range(16):
        out[i, :] = 0.0
        for k in range(0, 16, 4):
            a, b, c, d = left[i, k], left[i, k + 1], left[i, k + 2], left[i, k + 3]
            if a == 0.0 and b == 0.0 and c == 0.0 and d == 0.0:
                continue
            for m in range(out.shape[1]):
                total = out[i, m] + a * right[k, m]
                total += b * right[k + 1, m]
                total += c * right[k + 2, m]
                out[i, m] = total + d * right[k + 3, m]


@numba.njit(cache=True)
def _multiply_small(left, right, out):
    for i in range(4):
        for j in range(4):
            total = left[i, 0] * right[0, j]
            for k in range(1, 4):
                total += left[i, k] * right[k, j]
            out[i, j] = total


@numba.njit(cache=True)
def _side_by_side(low, has_low, high, has_high, out):
    """Two one-qubit matrices, or identities, as one 16x16."""
    out[:, :] = 0.0
    for i in range(4):
        for j in range(4):
            h = high[i, j] if has_high else (1.0 if i == j else 0.0)
            if h == 0.0:
                continue
            for k in range(4):
                if has_low:
                    for m in range(4):
                        out[4 * i + k, 4 * j + m] = h * low[k, m]
                else:
                    out[4 * i + k, 4 * j + k] = h


@numba.njit(cache=True)
def _channel_times(count, rows, columns, values, swapped, right, out):
    """out = channel @ right; a gate's channel is mostly zeros and given by its entries."""
    out[:, :] = 0.0
    for e in range(count):
        i, j = rows[e], columns[e]
        if swapped:
            i, j = ((i & 3) << 2) | (i >> 2), ((j & 3) << 2) | (j >> 2)
        value = values[e]
        for m in range(16):
            out[i, m] += value * right[j, m]


@numba.njit(cache=True)
def _apply_block(state, matrix, base, low, high, gathered, moved):
    """The 16x16 matrix on two qubits of the state, as many columns at a time as a cache holds."""
    width = gathered.shape[1]
    for begin in range(0, len(base), width):
        part = base[begin : begin + width]
        for j in range(16):
            offset = ((j & 3) << (2 * low)) + ((j >> 2) << (2 * high))
            for c in range(len(part)):
                gathered[j, c] = state[part[c] + offset]
        _multiply(matrix, gathered, moved)
        for j in range(16):
            offset = ((j & 3) << (2 * low)) + ((j >> 2) << (2 * high))
            for c in range(len(part)):
                state[part[c] + offset] = moved[j, c]


@numba.njit(cache=True)
def _parities(n, state, pending, is_pending, out):
    """The strings of I and Z, after the one-qubit channels that no two-qubit channel followed.

    Overwrites the state: qubit by qubit, four letters become two.
    """
    size = 4**n
    for q in range(n):
        # Qubits below q have been reduced to one bit each and are the fastest index.
        stride = 2**q
        blocks = size // (4 * stride)
        for block in range(blocks):
            for inner in range(stride):
                source = block * 4 * stride + inner
                i, x = state[source], state[source + stride]
                y, z = state[source + 2 * stride], state[source + 3 * stride]
                if is_pending[q]:
                    m = pending[q]
                    z = m[3, 0] * i + m[3, 1] * x + m[3, 2] * y + m[3, 3] * z
                target = block * 2 * stride + inner
                state[target] = i
                state[target + stride] = z
        size //= 2
    for s in range(2**n):
        out[s] = state[s]
