"""Sampled Pauli paths: which gates the noise of each parity comes from, without any state.

A parity Z_s, propagated backwards through a compiled circuit, stays one Pauli string at every
Clifford gate and splits at an RZ: X -> cos(a) X - sin(a) Y. Sampling one branch with its squared
amplitude (which is to replace RZ(a) by the identity with probability cos^2 a, else by S) gives
paths whose mean losses are, without the interference of paths, those of the parity itself: at each
gate the path meets the gate's Pauli errors with a string that they either commute with or not.
The initial state takes no part, so nothing is learned of the ideal output. The cost is
polynomial: paths x gates for each parity.
"""

from __future__ import annotations

from collections.abc import Sequence

import numba
import numpy as np
from numpy.typing import NDArray

from qmend.circuits.instructions import GATE_CODE, GATES, InstructionTable
from qmend.devices.calibration import Calibration
from qmend.simulation.noise import gate_error_channels, ideal_channel
from qmend.simulation.surrogate import SurrogateConfig, SurrogateNoise
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
#: Losses beyond this are one: nothing is left to recover.
_LARGEST_RATE = 12.0
_CLIFFORD, _RZ, _SPECTATOR, _IDLE, _TWO = range(5)

#: Idle times and spectators are laid out by the surrogate's schedule; its errors are not used.
_SCHEDULE = SurrogateConfig(name="surrogate_hardware", zz=0, zx=0, rx=0, stark=1, drift=0)


def path_features(
    table: InstructionTable,
    calibration: Calibration,
    layout: Sequence[int],
    paths: int = 64,
    seed: int = 0,
) -> FloatArray:
    """(N, 2^n, len(FEATURES)) what the sampled paths of each parity meet; zero for s = 0.

    Every circuit is sampled with the same seed, so that its features depend on no other one.

    Args:
        table: compiled circuits.
        calibration: the snapshot, without missing values.
        layout: physical qubits of the chain.

    Raises:
        QmendError: if a circuit has a gate that the device lacks, or a value is missing.
    """
    noise = SurrogateNoise(calibration, layout, _SCHEDULE)
    plan = noise.plan(table)
    sequence, n = plan.sequence, table.n_qubits
    one_rates, two_rates = _rates(noise)
    relax = _relaxation(noise)

    gates, angles = len(GATES) * n, len(plan.angle)
    stark = len(noise.edges) * n
    two = sequence.second >= 0
    row = sequence.row
    kind = np.full(len(row), _IDLE, dtype=np.int64)
    kind[row < gates + angles + stark] = _SPECTATOR
    kind[row < gates + angles] = _RZ
    kind[row < gates] = _CLIFFORD
    kind[two] = _TWO
    value = np.zeros((len(row), 3))  # rates of X or Y, of Z, and of any string
    clifford = np.zeros(len(row), dtype=np.int64)

    at = kind == _CLIFFORD
    clifford[at] = row[at] // n
    value[at, :2] = one_rates[row[at]]
    at = kind == _RZ
    value[at, 0] = np.sin(plan.angle[row[at] - gates]) ** 2
    at = kind == _IDLE
    wait = plan.idle_time[row[at] - gates - angles - stark]
    value[at, :2] = wait[:, None] * relax[sequence.first[at]]
    edge_gate = np.zeros(len(noise.edges), dtype=np.int64)
    known = np.argwhere(noise.base.two_row >= 0)
    edge_gate[noise.base.two_row[tuple(known.T)]] = known[:, 0]
    clifford[two] = edge_gate[row[two]]
    value[two, 2] = two_rates[row[two]]
    # The relaxation during a two-qubit gate acts on both of its qubits.
    length = noise.length[clifford[two], sequence.first[two], sequence.second[two]]
    value[two, 0] = length

    out = np.zeros((len(table), 2**n, len(FEATURES)))
    _sample(
        n,
        sequence.offsets,
        kind,
        clifford,
        sequence.first,
        sequence.second,
        value,
        relax,
        _CONJUGATION,
        GATE_CODE["id"],
        paths,
        seed,
        out,
    )
    return out


def _rates(noise: SurrogateNoise) -> tuple[FloatArray, FloatArray]:
    """(gates * n, 2) rates of X or Y and of Z in one-qubit gates; (R2,) of two-qubit gates'
    depolarizing part."""
    known, n = noise.base.parameters, noise.n_qubits
    one = np.zeros((len(GATES) * n, 2))
    single, pair = np.flatnonzero(known.second < 0), np.flatnonzero(known.second >= 0)
    if len(single):
        kept = gate_error_channels(known, single).numpy()
        rows = known.gate[single] * n + known.first[single]
        one[rows] = _rate(np.stack([kept[:, 1, 1], kept[:, 3, 3]], axis=1))
    if not len(pair):
        return one, np.zeros(0)
    kept = gate_error_channels(known, pair).numpy()
    t1 = known.t1.numpy()[known.first[pair]]
    relaxed = np.exp(-known.length.numpy()[pair] / t1)
    return one, np.maximum(_rate(kept[:, 3, 3]) + np.log(np.maximum(relaxed, 1e-6)), 0.0)


def _rate(kept: FloatArray) -> FloatArray:
    rate: FloatArray = -np.log(np.clip(kept, np.exp(-_LARGEST_RATE), 1.0))
    return rate


def _relaxation(noise: SurrogateNoise) -> FloatArray:
    """(n, 2) rates per us of X or Y and of Z on a qubit that waits."""
    known = noise.base.parameters
    t1, t2 = known.t1.numpy(), known.t2.numpy()
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

ByteArray = NDArray[np.uint8]


@numba.njit(cache=True, nogil=True)
def _sample(  # type: ignore[no-untyped-def]
    n,
    offsets,
    kind,
    clifford,
    first,
    second,
    value,
    relax,
    conjugation,
    idle_gate,
    paths,
    seed,
    out,
):
    size = 2**n
    x = np.empty((n, size), np.uint8)
    z = np.empty((n, size), np.uint8)
    old = np.empty((4, size), np.uint8)
    new = np.empty((4, size), np.uint8)
    rate = np.empty((3, size))  # one-qubit, two-qubit, idle
    counts = np.empty((6, size))
    for circuit in range(len(offsets) - 1):
        np.random.seed(seed)
        here = out[circuit]
        for _ in range(paths):
            for q in range(n):
                for s in range(size):
                    x[q, s] = 0
                    z[q, s] = (s >> q) & 1
            rate[:, :] = 0.0
            counts[:, :] = 0.0
            for k in range(offsets[circuit + 1] - 1, offsets[circuit] - 1, -1):
                a, b = first[k], second[k]
                if kind[k] == _RZ:
                    if np.random.random() < value[k, 0]:
                        for s in range(size):
                            z[a, s] ^= x[a, s]
                elif kind[k] == _SPECTATOR:
                    for s in range(size):
                        counts[3, s] += x[a, s]
                elif kind[k] == _IDLE:
                    turning, flipping = value[k, 0], value[k, 1]
                    for s in range(size):
                        rate[2, s] += turning * x[a, s] + flipping * (z[a, s] & ~x[a, s])
                elif kind[k] == _CLIFFORD:
                    turning, flipping = value[k, 0], value[k, 1]
                    counted = clifford[k] != idle_gate
                    for s in range(size):
                        rate[0, s] += turning * x[a, s] + flipping * (z[a, s] & ~x[a, s])
                        if counted:
                            counts[4, s] += z[a, s]
                            counts[5, s] += x[a, s]
                    _conjugate(conjugation[clifford[k]], 1, x, z, a, a, old, new)
                else:
                    depolarizing, time = value[k, 2], value[k, 0]
                    ta, fa = time * relax[a, 0], time * relax[a, 1]
                    tb, fb = time * relax[b, 0], time * relax[b, 1]
                    for s in range(size):
                        touched = x[a, s] | z[a, s] | x[b, s] | z[b, s]
                        rate[1, s] += (
                            depolarizing * touched
                            + ta * x[a, s]
                            + fa * (z[a, s] & ~x[a, s])
                            + tb * x[b, s]
                            + fb * (z[b, s] & ~x[b, s])
                        )
                        counts[0, s] += touched
                        counts[1, s] += x[a, s] ^ x[b, s]
                        counts[2, s] += x[a, s] ^ z[b, s]
                    _conjugate(conjugation[clifford[k]], 2, x, z, a, b, old, new)
            for s in range(1, size):
                total = rate[0, s] + rate[1, s]
                here[s, 0] += np.exp(-total)
                here[s, 1] += total * total
                here[s, 2] += rate[0, s]
                here[s, 3] += rate[1, s]
                here[s, 4] += rate[2, s]
                for c in range(6):
                    here[s, 5 + c] += counts[c, s]
        for s in range(1, size):
            for f in range(11):
                here[s, f] /= paths
            mean = here[s, 2] + here[s, 3]
            here[s, 0] = -np.log(here[s, 0])
            here[s, 1] = np.sqrt(max(here[s, 1] - mean * mean, 0.0))
            for q in range(n):
                here[s, 11] += (s >> q) & 1


@numba.njit(cache=True)
def _conjugate(matrix, qubits, x, z, a, b, old, new):  # type: ignore[no-untyped-def]
    """x, z of qubits a (and b) become those of U^+ P U."""
    size = x.shape[1]
    old[0], old[1] = x[a], z[a]
    if qubits == 2:
        old[2], old[3] = x[b], z[b]
    for i in range(2 * qubits):
        for s in range(size):
            new[i, s] = 0
        for j in range(2 * qubits):
            if matrix[i, j]:
                for s in range(size):
                    new[i, s] ^= old[j, s]
    x[a], z[a] = new[0], new[1]
    if qubits == 2:
        x[b], z[b] = new[2], new[3]
