"""Sampled Pauli paths: which gates the noise of each parity comes from, without any amplitude.

A parity Z_s, propagated backwards through a compiled circuit, stays one Pauli string at every
Clifford gate and splits at an RZ: X -> cos(a) X - sin(a) Y. Sampling one branch with its squared
amplitude (which is to replace RZ(a) by the identity with probability cos^2 a, else by S) gives
paths whose mean losses are, without the interference of paths, those of the parity itself: at each
gate the path meets the gate's Pauli errors with a string that they either commute with or not.
The cost is polynomial in the gates: paths x gates for all parities together.

The initial state |0...0> enters in two features alone. Only paths that end there without X or Y
add to <Z_s>, so ``ended_rate`` is -log of the survival averaged over these,

    S = (sum over ended paths of exp(-loss) + 2 S_all) / (ended paths + 2),

and ``ended_idle_rate`` is what that rises by when loss is of gates and waits together. Two
pseudo-paths at the survival of all paths stand in for a parity of which few end. Signs and
amplitudes of paths take no part, and neither do their number or share, which would give away the
parities that are 0. All other features are averages over all paths.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qmend.circuits.instructions import InstructionTable
from qmend.devices.calibration import Calibration
from qmend.gates import GATES
from qmend.noise.config import SurrogateConfig
from qmend.noise.device_noise import gate_error_channels, ideal_channel
from qmend.noise.path_sampling import sample_paths
from qmend.noise.surrogate import SurrogateNoise
from qmend.types import FloatArray, IntArray

#: Meaning of the last axis of :func:`path_features`. All are means over paths, of sums over the
#: circuit; rates are minus the logarithm of what is left of the parity.
FEATURES = (
    "survival_rate",  # of all gates together by the calibration, -log mean exp(-sum)
    "ended_rate",  # ... averaged over the paths that end without X or Y, see above
    "ended_idle_rate",  # what relaxation of waiting qubits adds to that
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
#: Paths sampled for each circuit: -log of a parity's survival is then known to 0.003.
PATHS = 128
#: The loss of one gate or wait beyond which nothing is left to recover.
_LARGEST_RATE = 12.0

#: Idle times and spectators are laid out by the surrogate's schedule; its errors are not used.
_SCHEDULE = SurrogateConfig(name="surrogate_hardware", zz=0, zx=0, rx=0, stark=1, drift=0)


def path_features(
    table: InstructionTable,
    calibration: Calibration,
    layout: Sequence[int],
    paths: int = PATHS,
    seed: int = 0,
    measured: IntArray | None = None,
) -> FloatArray:
    """(N, 2^m, len(FEATURES)) losses on the sampled paths of each parity; 0 for s = 0.

    Every circuit is sampled with the same seed: its features depend on no other one.

    Args:
        table: compiled circuits.
        calibration: the snapshot; it needs the values of the qubits and of gates that occur.
        layout: physical qubits of the chain.
        paths: at least 1; the standard error of a feature falls with their square root.
        measured: (N, m) chain positions of each circuit's measured qubits, ascending; bit j of s is
            position ``measured[i, j]``. None: all n.

    Raises:
        QmendError: if a circuit has a gate that the device lacks, or a value is missing.
    """
    features, _ = _features_and_ended(table, calibration, layout, paths, seed, measured)
    return features


def _features_and_ended(
    table: InstructionTable,
    calibration: Calibration,
    layout: Sequence[int],
    paths: int,
    seed: int,
    measured: IntArray | None,
) -> tuple[FloatArray, IntArray]:
    """Compute the features, and (N, 2^m) the number of ended paths, which must be no feature."""
    noise = SurrogateNoise(_of_gates(table, calibration, layout), layout, _SCHEDULE)
    plan = noise.plan(table)
    sequence, n = plan.sequence, table.n_qubits
    relax = _relaxation(noise)
    one, two, two_gate = _rates(noise, relax)
    wait = plan.idle_time[:, None] * relax[plan.idle_qubit]
    last_rz = len(one) + len(plan.angle)
    if measured is None:
        measured = np.tile(np.arange(n), (len(table), 1))
    bits = np.arange(measured.shape[1])
    start = np.zeros((len(table), n), dtype=np.int64)
    np.put_along_axis(start, measured, 1 << bits[None, :], axis=1)
    size = 2 ** len(bits)
    out = np.zeros((len(table), size, len(FEATURES)))
    ended = np.zeros((len(table), size), dtype=np.int64)
    sample_paths(
        start,
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
        ended,
    )
    weight = ((np.arange(size)[:, None] >> bits) & 1).sum(axis=1)
    out[:, :, FEATURES.index("weight")] = weight
    return out, ended


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
    """(gates, 4, 4) bits (x_a, z_a, x_b, z_b) of U^+ P U from those of P; -1, all bits, for 1."""
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
    return -out


_CONJUGATION = _conjugations()
