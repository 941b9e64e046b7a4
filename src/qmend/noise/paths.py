"""Sampled Pauli paths: which gates the noise of each parity comes from, without any state.

A parity Z_s, propagated backwards through a compiled circuit, stays one Pauli string at every
Clifford gate and splits at an RZ: X -> cos(a) X - sin(a) Y. Sampling one branch with its squared
amplitude (which is to replace RZ(a) by the identity with probability cos^2 a, else by S) gives
paths whose mean losses are, without the interference of paths, those of the parity itself: at each
gate the path meets the gate's Pauli errors with a string that they either commute with or not.
The initial state takes no part, so nothing is learned of the ideal output. The cost is
polynomial in the gates: paths x gates for all 2^n parities together, since along a path the bits
of a string on a qubit are linear in s over F2. What a gate meets is noted once, by the set of
qubits whose overlap with s decides it, and a Walsh-Hadamard transform sums it for every s.
"""

from __future__ import annotations

from collections.abc import Sequence

import numba
import numpy as np

from qmend.circuits.instructions import InstructionTable
from qmend.devices.calibration import Calibration
from qmend.gates import GATE_CODE, GATES
from qmend.noise.config import SurrogateConfig
from qmend.noise.device_noise import gate_error_channels, ideal_channel
from qmend.noise.surrogate import SurrogateNoise
from qmend.types import FloatArray, IntArray

#: Meaning of the last axis of :func:`path_features`. All are means over paths, of sums over the
#: circuit; rates are minus the logarithm of what is left of the parity.
FEATURES = (
    "survival_rate",  # of all gates together by the calibration, -log mean exp(-sum)
    "spread",  # standard deviation of that sum from path to path
    "one_qubit_rate",  # of one-qubit gates
    "two_qubit_rate",  # of two-qubit gates
    "idle_rate",  # relaxation of qubits that wait
    "two_qubit_gates",  # two-qubit gates that act on the string
    "zz",  # ... after which it anticommutes with ZZ
    "zx",  # ... after which it anticommutes with ZX, Z on the gate's first qubit
    "spectators",  # X or Y on a qubit outside a two-qubit gate
    "rx",  # SX and X gates after which it anticommutes with X on their qubit
    "rz",  # ... with Z on their qubit
    "weight",  # qubits in s
)
#: The loss of one gate or wait beyond which nothing is left to recover.
_LARGEST_RATE = 12.0
_ID, _RZ = GATE_CODE["id"], GATE_CODE["rz"]

#: Idle times and spectators are laid out by the surrogate's schedule; its errors are not used.
_SCHEDULE = SurrogateConfig(name="surrogate_hardware", zz=0, zx=0, rx=0, stark=1, drift=0)


def path_features(
    table: InstructionTable,
    calibration: Calibration,
    layout: Sequence[int],
    paths: int = 64,
    seed: int = 0,
) -> FloatArray:
    """(N, 2^n, len(FEATURES)) losses on the sampled paths of each parity; 0 for s = 0.

    Every circuit is sampled with the same seed: its features depend on no other one.

    Args:
        table: compiled circuits.
        calibration: the snapshot; it needs the values of the qubits and of gates that occur.
        layout: physical qubits of the chain.
        paths: at least 1; the standard error of a feature falls with their square root.

    Raises:
        QmendError: if a circuit has a gate that the device lacks, or a value is missing.
    """
    noise = SurrogateNoise(_of_gates(table, calibration, layout), layout, _SCHEDULE)
    plan = noise.plan(table)
    sequence, n = plan.sequence, table.n_qubits
    relax = _relaxation(noise)
    one, two, two_gate = _rates(noise, relax)
    wait = plan.idle_time[:, None] * relax[plan.idle_qubit]
    last_rz = len(one) + len(plan.angle)
    out = np.zeros((len(table), 2**n, len(FEATURES)))
    _sample_paths(
        n,
        sequence.offsets,
        sequence.first,
        sequence.second,
        sequence.row,
        one,
        np.sin(plan.angle) ** 2,
        last_rz,
        last_rz + len(noise.edges) * n,
        np.minimum(wait, _LARGEST_RATE),
        two,
        two_gate,
        _CONJUGATION,
        paths,
        seed,
        out,
    )
    s = np.arange(2**n)
    out[:, :, FEATURES.index("weight")] = ((s[:, None] >> np.arange(n)) & 1).sum(axis=1)
    return out


def _of_gates(
    table: InstructionTable, calibration: Calibration, layout: Sequence[int]
) -> Calibration:
    """The part of a snapshot that concerns the gates of some circuits."""
    occurs = np.zeros((len(GATES), table.n_qubits, table.n_qubits + 1), dtype=bool)
    occurs[table.gate, table.first, table.second] = True  # -1, no second qubit, comes last
    wanted = {
        (GATES[gate], first) if second == table.n_qubits else (GATES[gate], first, second)
        for gate, first, second in np.argwhere(occurs).tolist()
    }
    position = {physical: k for k, physical in enumerate(layout)}
    return Calibration(
        device=calibration.device,
        time=calibration.time,
        qubits=calibration.qubits,
        gates=tuple(
            g for g in calibration.gates if (g.gate, *map(position.get, g.qubits)) in wanted
        ),
    )


def _rates(noise: SurrogateNoise, relax: FloatArray) -> tuple[FloatArray, FloatArray, IntArray]:
    """Losses by the rows of a plan.

    Returns:
        (gates * n, 2) of one-qubit gates at X or Y and at Z; (R2, 5) of two-qubit gates at X or Y
        and at Z on the first qubit, on the second, and at any string; (R2,) their codes.
    """
    parameters, n = noise.gates.parameters, noise.n_qubits
    one = np.zeros((len(GATES) * n, 2))
    single, pair = np.flatnonzero(parameters.second < 0), np.flatnonzero(parameters.second >= 0)
    if len(single):
        kept = gate_error_channels(parameters, single).numpy()
        rows = parameters.gate[single] * n + parameters.first[single]
        one[rows] = _rate(np.stack([kept[:, 1, 1], kept[:, 3, 3]], axis=1))
    if not len(pair):
        return one, np.zeros((0, 5)), np.zeros(0, dtype=np.int64)
    # The relaxation during a gate acts on both of its qubits, beside the depolarizing error.
    length = parameters.length.numpy()[pair, None]
    of_first, of_second = (
        length * relax[parameters.first[pair]],
        length * relax[parameters.second[pair]],
    )
    kept = gate_error_channels(parameters, pair).numpy()
    depolarizing = np.maximum(_rate(kept[:, 3, 3]) - of_first[:, 1], 0.0)
    two = np.concatenate([of_first, of_second, depolarizing[:, None]], axis=1)
    return one, np.minimum(two, _LARGEST_RATE), parameters.gate[pair]


def _rate(kept: FloatArray) -> FloatArray:
    rate: FloatArray = -np.log(np.clip(kept, np.exp(-_LARGEST_RATE), 1.0))
    return rate


def _relaxation(noise: SurrogateNoise) -> FloatArray:
    """(n, 2) rates per us of X or Y and of Z on a qubit that waits."""
    parameters = noise.gates.parameters
    t1, t2 = parameters.t1.numpy(), parameters.t2.numpy()
    return np.stack([1 / np.minimum(t2, 2 * t1), 1 / t1], axis=1)


def _conjugations() -> IntArray:
    """(gates, 4, 4) over F2: bits (x_a, z_a, x_b, z_b) of U^+ P U from those of P."""
    bits = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])  # of I, X, Y, Z
    out = np.zeros((len(GATES), 4, 4), dtype=np.int64)
    for code, gate in enumerate(GATES):
        if gate == "rz":
            continue
        channel = ideal_channel(gate).numpy()
        qubits = 1 if len(channel) == 4 else 2
        image = np.abs(channel).argmax(axis=1)  # of each string, backwards
        for source in range(2 * qubits):
            qubit, letter = divmod(source, 2)
            string = int(image[(1, 3)[letter] * 4**qubit])
            for target in range(qubits):
                out[code, 2 * target : 2 * target + 2, source] = bits[(string >> 2 * target) & 3]
    return out


_CONJUGATION = _conjugations()


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
def _sample_paths(
    n: int,
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
) -> None:
    """Fill ``out`` (N, 2^n, features) but for the weight; see :func:`path_features`.

    x[q] and z[q] are masks: the string of parity s has X or Y on qubit q if x[q] & s has an odd
    number of bits, and likewise Y or Z. A loss t at X or Y and f at Z is t - f/2 at x, f/2 at z and
    f/2 at x ^ z; one at anything but the identity on two qubits is an eighth at each of the 15
    combinations of their four masks.

    Args:
        offsets, first, second, row: of the plan's sequence.
        one, two, two_gate: see :func:`_rates`.
        turning: (A,) probability of each RZ to act as S.
        last_rz, last_spectator: behind their rows, which follow those of ``one``.
        wait: (W, 2) losses at X or Y and at Z.
    """
    size = 2**n
    longest = 0
    for circuit in range(len(offsets) - 1):
        longest = max(longest, offsets[circuit + 1] - offsets[circuit])
    # Gates from the last to the first, each with the waits and spectators that follow on its
    # qubits, in which an RZ in between makes no difference.
    gate = np.empty(longest, np.int64)
    qubits = np.empty((longest, 2), np.int64)
    losses = np.empty((longest, 2, 5))  # of each qubit: gate t - f/2, f/2; wait alike; spectators
    other = np.empty(longest)  # an RZ's probability, an eighth of a two-qubit gate's loss
    waiting = np.empty((n, 3))
    x = np.empty(n, np.int64)
    z = np.empty(n, np.int64)
    lost = np.empty((size, 2))  # in one- and two-qubit gates of one path
    total = np.empty((paths, size, 1))
    met = np.empty((size, 9))  # FEATURES[2:11] of all paths
    for circuit in range(len(offsets) - 1):
        waiting[:, :] = 0.0
        gates = 0
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
                gate[gates], other[gates] = _RZ, turning[r - len(one)]
                gates += 1
                continue
            if b < 0:
                gate[gates] = r // n
                t, f = one[r]
            else:
                gate[gates], other[gates] = two_gate[r], two[r, 4] / 8
                t, f = two[r, 2], two[r, 3]
                losses[gates, 1, 0], losses[gates, 1, 1] = t - f / 2, f / 2
                losses[gates, 1, 2:] = waiting[b]
                waiting[b] = 0.0
                t, f = two[r, 0], two[r, 1]
            losses[gates, 0, 0], losses[gates, 0, 1] = t - f / 2, f / 2
            losses[gates, 0, 2:] = waiting[a]
            waiting[a] = 0.0
            gates += 1

        np.random.seed(seed)  # noqa: NPY002 - compiled: the thread's own Mersenne Twister
        met[:, :] = 0.0
        for path in range(paths):
            lost[:, :] = 0.0
            for q in range(n):
                x[q], z[q] = 0, 1 << q
            for k in range(gates):
                a, b, code = qubits[k, 0], qubits[k, 1], gate[k]
                xa, za = x[a], z[a]
                if code == _RZ:
                    if np.random.random() < other[k]:  # noqa: NPY002
                        z[a] = za ^ xa
                    continue
                kind = 0 if b < 0 else 1
                for side in range(kind + 1):
                    q, w = qubits[k, side], losses[k, side]
                    lost[x[q], kind] += w[0]
                    lost[z[q], kind] += w[1]
                    lost[x[q] ^ z[q], kind] += w[1]
                    met[x[q], 2] += w[2]
                    met[z[q], 2] += w[3]
                    met[x[q] ^ z[q], 2] += w[3]
                    met[x[q], 6] += w[4]
                m = conjugation[code]
                if kind == 0:
                    if code != _ID:
                        met[za, 7] += 1.0
                        met[xa, 8] += 1.0
                    x[a] = (m[0, 0] * xa) ^ (m[0, 1] * za)
                    z[a] = (m[1, 0] * xa) ^ (m[1, 1] * za)
                    continue
                xb, zb = x[b], z[b]
                for on_a in (0, xa, za, xa ^ za):
                    for on_b in (0, xb, zb, xb ^ zb):
                        lost[on_a ^ on_b, 1] += other[k]
                        met[on_a ^ on_b, 3] += 0.125
                met[xa ^ xb, 4] += 1.0
                met[xa ^ zb, 5] += 1.0
                x[a] = (m[0, 0] * xa) ^ (m[0, 1] * za) ^ (m[0, 2] * xb) ^ (m[0, 3] * zb)
                z[a] = (m[1, 0] * xa) ^ (m[1, 1] * za) ^ (m[1, 2] * xb) ^ (m[1, 3] * zb)
                x[b] = (m[2, 0] * xa) ^ (m[2, 1] * za) ^ (m[2, 2] * xb) ^ (m[2, 3] * zb)
                z[b] = (m[3, 0] * xa) ^ (m[3, 1] * za) ^ (m[3, 2] * xb) ^ (m[3, 3] * zb)
            for q in range(n):  # before the first gates
                met[x[q], 2] += waiting[q, 0]
                met[z[q], 2] += waiting[q, 1]
                met[x[q] ^ z[q], 2] += waiting[q, 1]
                met[x[q], 6] += waiting[q, 2]
            for mask in range(size):
                met[mask, 0] += lost[mask, 0]
                met[mask, 1] += lost[mask, 1]
                total[path, mask, 0] = lost[mask, 0] + lost[mask, 1]
            _transform(total[path])
        _transform(met)
        for s in range(1, size):
            least, mean = total[0, s, 0], 0.0
            for path in range(paths):
                least = min(least, total[path, s, 0])
                mean += total[path, s, 0] / paths
            kept = spread = 0.0
            for path in range(paths):
                kept += np.exp(least - total[path, s, 0])
                spread += (total[path, s, 0] - mean) ** 2
            out[circuit, s, 0] = least - np.log(kept / paths)
            out[circuit, s, 1] = np.sqrt(spread / paths)
            for feature in range(9):
                out[circuit, s, 2 + feature] = met[s, feature] / paths
