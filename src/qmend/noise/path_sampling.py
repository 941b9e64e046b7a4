"""Compiled sampling of Pauli paths: what the strings of all parities meet on their way back.

Along a path the bits of a string on a qubit are linear in s over F2. What a gate meets is noted
once, by the mask of bits whose overlap with s decides it, and a Walsh-Hadamard transform sums it
for every s. The meaning of features is in :mod:`qmend.noise.paths`.
"""

from __future__ import annotations

import numba
import numpy as np

from qmend.gates import GATE_CODE
from qmend.types import AnyArray, FloatArray, IntArray

#: Paths with the survival of all, added to those that end on the initial state.
_PSEUDO_PATHS = 2.0
#: Paths that are walked together: what they meet fits the fastest cache.
_TOGETHER = 16
#: Features that are means of sums over gates, and the number of those before them.
_SUMS, _BEFORE = 9, 4
_ONE, _TWO, _IDLE, _TWO_GATES, _ZZ, _ZX, _SPECTATORS, _RX, _RZ = range(_SUMS)
_ID_GATE, _RZ_GATE = GATE_CODE["id"], GATE_CODE["rz"]


@numba.njit(cache=True, nogil=True)
def _transform(sums: FloatArray) -> None:
    """(size, C) weights w of masks m -> sum_m w_m (m.s mod 2) for every s, in place.

    m.s mod 2 = (1 - (-1)^(m.s)) / 2: half of the Walsh-Hadamard transform at 0 less that at s.
    """
    size, columns = sums.shape
    stride = 1
    while stride < size:
        for start in range(0, size, 2 * stride):
            for k in range(start, start + stride):
                for c in range(columns):
                    low, high = sums[k, c], sums[k + stride, c]
                    sums[k, c], sums[k + stride, c] = low + high, low - high
        stride *= 2
    for k in range(1, size):
        for c in range(columns):
            sums[k, c] = max((sums[0, c] - sums[k, c]) / 2, 0.0)


@numba.njit(cache=True, nogil=True)
def _mark_ended(x: IntArray, left: IntArray, ends: AnyArray) -> None:
    """Mark the parities without X or Y on any qubit, from the masks of X.

    left[s], scratch, has a bit for each qubit with X or Y. It is linear in s.
    """
    left[0] = 0
    ends[0] = True
    for s in range(1, len(ends)):
        lowest = s & -s
        if s == lowest:
            left[s] = 0
            for q in range(len(x)):
                left[s] |= (x[q] & s != 0) << q
        else:
            left[s] = left[s ^ lowest] ^ left[lowest]
        ends[s] = left[s] == 0


@numba.njit(cache=True, nogil=True)
def _survival_rates(loss: FloatArray, ends: AnyArray) -> tuple[float, float]:
    """Compute -log of the survival averaged over all paths of a parity, and over the ended."""
    least, paths = loss.min(), len(loss)
    survival = ended = 0.0
    for path in range(paths):
        left = np.exp(least - loss[path])
        survival += left
        if ends[path]:
            ended += left
    survival /= paths
    ended = (ended + _PSEUDO_PATHS * survival) / (ends.sum() + _PSEUDO_PATHS)
    return least - np.log(survival), least - np.log(ended)


@numba.njit(cache=True, nogil=True)
def sample_paths(
    start: IntArray,
    offsets: IntArray,
    first: IntArray,
    second: IntArray,
    row: IntArray,
    one: FloatArray,
    turning: FloatArray,
    last_rz: int,
    last_spectator: int,
    wait: FloatArray,
    two: FloatArray,
    two_gate: IntArray,
    conjugation: IntArray,
    paths: int,
    seed: int,
    out: FloatArray,
    ended: IntArray,
) -> None:
    """Fill ``out`` (N, size, features) but for the weight, and ``ended`` (N, size).

    x[q] and z[q] are masks: the string of parity s has X or Y on qubit q if x[q] & s has an odd
    number of bits, and likewise Y or Z. A loss t at X or Y and f at Z is t - f/2 at x, f/2 at z and
    f/2 at x ^ z; one at anything but the identity on two qubits is an eighth at each of the 15
    combinations of their four masks.

    Args:
        start: (N, n) z[q] behind the last gate: the bits of s that put Z on qubit q.
        offsets, first, second, row: of the plan's sequence.
        one: (gates * n, 2) losses of one-qubit gates at X or Y and at Z.
        turning: (A,) probability of each RZ to act as S.
        last_rz, last_spectator: behind their rows, which follow those of ``one``.
        wait: (W, 2) losses at X or Y and at Z.
        two: (R2, 5) losses of two-qubit gates at X or Y and at Z on the first qubit, on the second,
            and at any string.
        two_gate: (R2,) their codes.
        conjugation: (gates, 4, 4) bits (x_a, z_a, x_b, z_b) of U^+ P U from those of P: 0, or -1
            for all bits of a mask.
        ended: number of paths without X or Y on the initial state.
    """
    n, size = start.shape[1], out.shape[1]
    longest = turns = 0
    for circuit in range(len(offsets) - 1):
        longest = max(longest, offsets[circuit + 1] - offsets[circuit])
        count = 0
        for k in range(offsets[circuit], offsets[circuit + 1]):
            count += second[k] < 0 and len(one) <= row[k] < last_rz
        turns = max(turns, count)
    # Every circuit is sampled with the same numbers, path by path from the last RZ to the first.
    np.random.seed(seed)  # noqa: NPY002 - compiled: the thread's own Mersenne Twister
    drawn = np.random.random(turns * paths)  # noqa: NPY002
    # Gates from the last to the first, each with the waits and spectators that follow on its
    # qubits, in which an RZ in between makes no difference.
    gate = np.empty(longest, np.int64)
    qubits = np.empty((longest, 2), np.int64)
    losses = np.empty((longest, 2, 5))  # of each qubit: gate t - f/2, f/2; wait alike; spectators
    waiting = np.empty((n, 3))
    # An RZ's probability. Or an eighth of the losses at any string, and of the number, of two-qubit
    # gates on one pair, noted at the last of them: while nothing joins the pair to other qubits,
    # the same parities have a string on it.
    other = np.empty((longest, 2))
    latest = np.empty(n, np.int64)
    x = np.empty((n, _TOGETHER), np.int64)
    z = np.empty((n, _TOGETHER), np.int64)
    left = np.empty(size, np.int64)
    met = np.empty((_TOGETHER, size, _SUMS))
    met_by_all = np.empty((size, _SUMS))
    loss = np.empty((size, paths))  # of one- and two-qubit gates
    loss_and_idle = np.empty((size, paths))
    ends = np.empty((size, paths), np.bool_)
    for circuit in range(len(offsets) - 1):
        waiting[:, :], latest[:] = 0.0, -1
        gates = turns = 0
        for k in range(offsets[circuit + 1] - 1, offsets[circuit] - 1, -1):
            a, b, r = first[k], second[k], row[k]
            if b < 0 and r >= last_spectator:
                t, f = wait[r - last_spectator]
                waiting[a, 0] += t - f / 2
                waiting[a, 1] += f / 2
                continue
            if b < 0 and r >= last_rz:
                waiting[a, 2] += 1.0
                continue
            qubits[gates, 0], qubits[gates, 1] = a, b
            if b < 0 and r >= len(one):
                gate[gates], other[gates, 0] = _RZ_GATE, turning[r - len(one)]
                gates += 1
                turns += 1
                continue
            if b < 0:
                gate[gates] = r // n
                t, f = one[r]
            else:
                gate[gates], other[gates] = two_gate[r], 0.0
                if latest[a] < 0 or latest[a] != latest[b]:
                    latest[a] = latest[b] = gates
                other[latest[a], 0] += two[r, 4] / 8
                other[latest[a], 1] += 1 / 8
                t, f = two[r, 2], two[r, 3]
                losses[gates, 1, 0], losses[gates, 1, 1] = t - f / 2, f / 2
                losses[gates, 1, 2:] = waiting[b]
                waiting[b] = 0.0
                t, f = two[r, 0], two[r, 1]
            losses[gates, 0, 0], losses[gates, 0, 1] = t - f / 2, f / 2
            losses[gates, 0, 2:] = waiting[a]
            waiting[a] = 0.0
            gates += 1

        met_by_all[:, :] = 0.0
        for begin in range(0, paths, _TOGETHER):
            together = min(_TOGETHER, paths - begin)
            met[:, :, :] = 0.0
            for q in range(n):
                x[q], z[q] = 0, start[circuit, q]
            draw = begin * turns
            for k in range(gates):
                a, b, m = qubits[k, 0], qubits[k, 1], conjugation[gate[k]]
                if gate[k] == _RZ_GATE:
                    for p in range(together):
                        z[a, p] ^= x[a, p] * (drawn[draw + p * turns] < other[k, 0])
                    draw += 1
                    continue
                column = _ONE if b < 0 else _TWO
                for side in range(1 if b < 0 else 2):
                    q = qubits[k, side]
                    at_x, at_z, wait_x, wait_z, spectators = losses[k, side]
                    for p in range(together):
                        sums, xq, zq = met[p], x[q, p], z[q, p]
                        sums[xq, column] += at_x
                        sums[zq, column] += at_z
                        sums[xq ^ zq, column] += at_z
                    if wait_x != 0.0 or wait_z != 0.0:
                        for p in range(together):
                            sums, xq, zq = met[p], x[q, p], z[q, p]
                            sums[xq, _IDLE] += wait_x
                            sums[zq, _IDLE] += wait_z
                            sums[xq ^ zq, _IDLE] += wait_z
                    if spectators > 0:
                        for p in range(together):
                            met[p, x[q, p], _SPECTATORS] += spectators
                if b < 0:
                    counted = 0.0 if gate[k] == _ID_GATE else 1.0
                    for p in range(together):
                        xa, za = x[a, p], z[a, p]
                        met[p, za, _RX] += counted
                        met[p, xa, _RZ] += counted
                        x[a, p] = (m[0, 0] & xa) ^ (m[0, 1] & za)
                        z[a, p] = (m[1, 0] & xa) ^ (m[1, 1] & za)
                    continue
                at_any, eighths = other[k]
                for p in range(together):
                    sums, xa, za, xb, zb = met[p], x[a, p], z[a, p], x[b, p], z[b, p]
                    sums[xa ^ xb, _ZZ] += 1.0
                    sums[xa ^ zb, _ZX] += 1.0
                    if eighths > 0:
                        for on_a in (0, xa, za, xa ^ za):
                            for on_b in (0, xb, zb, xb ^ zb):
                                sums[on_a ^ on_b, _TWO] += at_any
                                sums[on_a ^ on_b, _TWO_GATES] += eighths
                    x[a, p] = (m[0, 0] & xa) ^ (m[0, 1] & za) ^ (m[0, 2] & xb) ^ (m[0, 3] & zb)
                    z[a, p] = (m[1, 0] & xa) ^ (m[1, 1] & za) ^ (m[1, 2] & xb) ^ (m[1, 3] & zb)
                    x[b, p] = (m[2, 0] & xa) ^ (m[2, 1] & za) ^ (m[2, 2] & xb) ^ (m[2, 3] & zb)
                    z[b, p] = (m[3, 0] & xa) ^ (m[3, 1] & za) ^ (m[3, 2] & xb) ^ (m[3, 3] & zb)
            for p in range(together):
                sums = met[p]
                for q in range(n):  # before the first gates
                    sums[x[q, p], _IDLE] += waiting[q, 0]
                    sums[z[q, p], _IDLE] += waiting[q, 1]
                    sums[x[q, p] ^ z[q, p], _IDLE] += waiting[q, 1]
                    sums[x[q, p], _SPECTATORS] += waiting[q, 2]
                for mask in range(size):
                    loss[mask, begin + p] = sums[mask, _ONE] + sums[mask, _TWO]
                    loss_and_idle[mask, begin + p] = loss[mask, begin + p] + sums[mask, _IDLE]
                    for c in range(_SUMS):
                        met_by_all[mask, c] += sums[mask, c]
                _mark_ended(x[:, p], left, ends[:, begin + p])
        _transform(met_by_all)
        _transform(loss)
        _transform(loss_and_idle)
        ended[circuit, 0] = paths
        for s in range(1, size):
            out[circuit, s, 0], out[circuit, s, 1] = _survival_rates(loss[s], ends[s])
            _, ended_and_idle = _survival_rates(loss_and_idle[s], ends[s])
            out[circuit, s, 2] = max(ended_and_idle - out[circuit, s, 1], 0.0)
            out[circuit, s, 3] = loss[s].std()
            for c in range(_SUMS):
                out[circuit, s, _BEFORE + c] = met_by_all[s, c] / paths
            ended[circuit, s] = ends[s].sum()
