"""The compiled evolution on one processor core: one circuit after the other, in cache.

Runs of one-qubit channels are multiplied into 4x4 matrices, these into the two-qubit channel
that follows on their qubit, and consecutive two-qubit channels on one pair into one 16x16
matrix: a block. Only blocks touch the coefficients, 4^k once k qubits have had one.
"""

from __future__ import annotations

import numba
import numpy as np

from qmend.simulation.program import Program
from qmend.types import AnyArray

#: Columns of a block that are multiplied together: with their products they fit the fastest cache.
_COLUMNS = 128


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
    state, moved = np.empty(4**n, kind), np.empty(4**n, kind)
    stride = np.empty(n, np.int64)  # of each qubit's letters in the state, 0 before it joins
    pending = np.empty((n, 4, 4), kind)
    is_pending = np.zeros(n, np.bool_)
    partner = np.empty(n, np.int64)  # other qubit of the open block, -1 for none
    block = np.empty((n, 16, 16), kind)  # at the lower qubit of its pair, that qubit first
    side = np.empty((16, 16), kind)
    work = np.empty((16, 16), kind)
    small = np.empty((4, 4), kind)
    for circuit in range(len(offsets) - 1):
        state[0], size = 1.0, 1
        stride[:] = 0
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
                        size = _apply_block(state, size, block[lo], stride, lo, hi, moved)
                        state, moved = moved, state
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
                size = _apply_block(state, size, block[q], stride, q, partner[q], moved)
                state, moved = moved, state
        for q in range(n):
            size = _join(state, size, stride, q)
        _parities(state, stride, pending, is_pending, out[circuit])


@numba.njit(cache=True)
def _join(state, size, stride, qubit):
    """Add a qubit in |0>, I + Z, to the state unless it is there; the new size."""
    if stride[qubit] > 0:
        return size
    stride[qubit] = size
    state[size : 3 * size] = 0.0
    state[3 * size : 4 * size] = state[:size]
    return 4 * size


@numba.njit(cache=True)
def _multiply(left, right, out):
    """out = left @ right of 16x16 and 16 rows; each sum in the order of ``left``'s columns.

    A library's product sums in another order, with fused operations, on each processor. Four rows
    and four terms at a time, as loading and storing take longer than products.
    """
    out[:, :] = 0.0
    for i in range(0, 16, 4):
        for k in range(0, 16, 4):
            a0, a1, a2, a3 = _four(left[i], k)
            b0, b1, b2, b3 = _four(left[i + 1], k)
            c0, c1, c2, c3 = _four(left[i + 2], k)
            d0, d1, d2, d3 = _four(left[i + 3], k)
            for m in range(out.shape[1]):
                p, q, r, s = right[k, m], right[k + 1, m], right[k + 2, m], right[k + 3, m]
                out[i, m] = (((out[i, m] + a0 * p) + a1 * q) + a2 * r) + a3 * s
                out[i + 1, m] = (((out[i + 1, m] + b0 * p) + b1 * q) + b2 * r) + b3 * s
                out[i + 2, m] = (((out[i + 2, m] + c0 * p) + c1 * q) + c2 * r) + c3 * s
                out[i + 3, m] = (((out[i + 3, m] + d0 * p) + d1 * q) + d2 * r) + d3 * s


@numba.njit(cache=True, inline="always")
def _four(values, k):
    return values[k], values[k + 1], values[k + 2], values[k + 3]


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
def _apply_block(state, size, matrix, stride, low, high, moved):
    """Apply a 16x16 matrix on two qubits of the state; the size of the result, ``moved``.

    The two become its slowest: their letters are the rows, all others the columns.
    """
    size = _join(state, size, stride, low)
    size = _join(state, size, stride, high)
    near, far = min(stride[low], stride[high]), max(stride[low], stride[high])
    columns = size // 16
    base = np.empty(columns, np.uint64)  # strings with I on both; no index counts from the end
    c = 0
    for outer in range(0, size, 4 * far):
        for middle in range(outer, outer + far, 4 * near):
            for inner in range(middle, middle + near):
                base[c] = inner
                c += 1
    offset = np.empty(16, np.uint64)
    for j in range(16):
        offset[j] = (j & 3) * stride[low] + (j >> 2) * stride[high]
    width = min(columns, _COLUMNS)  # both are powers of 2
    gathered = np.empty((16, width), state.dtype)
    product = np.empty((16, width), state.dtype)
    for begin in range(0, columns, width):
        if near >= width:  # row by row, as rows lie where a cache has few places for them
            for j in range(16):
                start = base[begin] + offset[j]
                gathered[j] = state[start : start + width]
        else:
            for c in range(width):
                for j in range(16):
                    gathered[j, c] = state[base[begin + c] + offset[j]]
        _multiply(matrix, gathered, product)
        for j in range(16):
            start = j * columns + begin
            moved[start : start + width] = product[j]
    for q in range(len(stride)):
        stride[q] //= (4 if stride[q] > near else 1) * (4 if stride[q] > far else 1)
    stride[low], stride[high] = columns, 4 * columns
    return size


@numba.njit(cache=True)
def _parities(state, stride, pending, is_pending, out):
    """The strings of I and Z, after the one-qubit channels that no two-qubit channel followed.

    Overwrites the state: qubit by qubit, four letters become two.
    """
    n, size = len(stride), len(state)
    for q in range(n):
        width, m = stride[q], pending[q]
        target = 0
        for start in range(0, size, 4 * width):
            for inner in range(start, start + width):
                i, x = state[inner], state[inner + width]
                y, z = state[inner + 2 * width], state[inner + 3 * width]
                if is_pending[q]:
                    z = m[3, 0] * i + m[3, 1] * x + m[3, 2] * y + m[3, 3] * z
                state[target] = i
                state[target + width] = z
                target += 1
            target += width
        for other in range(n):
            stride[other] //= 2 if stride[other] > width else 1
        size //= 2
    for s in range(2**n):
        index = 0
        for q in range(n):
            index += ((s >> q) & 1) * stride[q]
        out[s] = state[index]
