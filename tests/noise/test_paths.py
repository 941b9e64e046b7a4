"""Sampled Pauli paths against linear algebra, and against Qiskit's Paulis walked one by one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.quantum_info import Clifford, Operator, Pauli
from sklearn.ensemble import HistGradientBoostingRegressor

from qmend.circuits.instructions import InstructionTable
from qmend.circuits.statevector import compiled_probabilities
from qmend.devices.calibration import Calibration
from qmend.noise.config import AerNoiseConfig
from qmend.noise.device_noise import DeviceNoise
from qmend.noise.paths import FEATURES, PATHS, _features_and_ended, path_features
from qmend.types import QmendError
from qmend.walsh import walsh_hadamard
from reference import qiskit_circuit

COLUMN = {name: k for k, name in enumerate(FEATURES)}
RATES = [name for name in FEATURES if name.endswith("rate")] + ["spread"]
GATE_SETS = ("cx", "ecr", "cz")
LETTERS = "IXYZ"


def made_up(n: int, two: str, seed: int, error: float = 1.0, length: float = 1.0) -> Calibration:
    """A device of n qubits, every pair coupled both ways, every value another.

    Args:
        error, length: factors on all gate errors and lengths.
    """
    rng = np.random.default_rng(seed)
    t1 = rng.uniform(40, 120, n)
    qubits = [
        {
            "qubit": q,
            "t1_us": t1[q],
            "t2_us": t1[q] * rng.uniform(0.5, 2.5),
            "readout_error": rng.uniform(0.01, 0.05),
        }
        for q in range(n)
    ]
    gates = []
    for name, least, ns, pairs in (
        ("id", 1e-3, 35, [(q,) for q in range(n)]),
        ("sx", 1e-3, 35, [(q,) for q in range(n)]),
        ("x", 2e-3, 50, [(q,) for q in range(n)]),
        (two, 1e-2, 300, [(a, b) for a in range(n) for b in range(n) if a != b]),
    ):
        for pair in pairs:
            e, t = error * least * rng.uniform(1, 4), length * ns * rng.uniform(0.8, 1.5)
            gates.append({"gate": name, "qubits": pair, "error": e, "length_ns": t})
    plain = {"device": "made_up", "time": "2026-01-01T00:00:00+00:00"}
    return Calibration.parse({**plain, "qubits": qubits, "gates": gates}, "made up")


def drawn(n: int, two: str, seed: int, gates: int, clifford: bool) -> list:
    """A random circuit, about a third of it two-qubit gates."""
    rng = np.random.default_rng(seed)
    circuit = []
    for _ in range(gates):
        a, b = rng.permutation(n)[:2].tolist()
        name = rng.choice([two, two, two, "rz", "rz", "rz", "sx", "sx", "sx", "x", "id"])
        angle = np.pi / 2 * rng.integers(-4, 5) if clifford else rng.uniform(-np.pi, np.pi)
        if name == two:
            circuit.append((two, a, b, 0.0))
        else:
            circuit.append((str(name), a, -1, float(angle) if name == "rz" else 0.0))
    return circuit


def features(n: int, circuits: list, calibration: Calibration, paths: int = 1) -> np.ndarray:
    return path_features(
        InstructionTable.from_circuits(n, circuits), calibration, tuple(range(n)), paths
    )


# Rates against linear algebra


def parity_factors(circuit: list, n: int, noise: DeviceNoise, pumping: bool) -> np.ndarray:
    """(2^n,) Tr(Z_s E(Z_s)) / 2^n of E = noisy o ideal^-1, by dense matrices.

    Args:
        pumping: with the decay's own drift to the ground state, which turns Z into more than Z.
    """
    unitary = Operator(qiskit_circuit(circuit, n)).data
    strings = np.ones((1, 1, 1))
    for _ in range(n):
        strings = np.stack([np.kron(Pauli(p).to_matrix(), s) for p in LETTERS for s in strings])
    factors = []
    for s in range(2**n):
        letters = [3 * ((s >> q) & 1) for q in range(n)]
        start = strings[sum(p * 4**q for q, p in enumerate(letters))]
        before = unitary.conj().T @ start @ unitary
        state = np.einsum("kab,ba->k", strings, before).real.reshape((4,) * n) / 2**n
        for name, a, b, angle in circuit:  # axis n - 1 - q of the state is qubit q
            if name == "rz":
                c, d = np.cos(angle), np.sin(angle)
                channel = np.array([[1, 0, 0, 0], [0, c, -d, 0], [0, d, c, 0], [0, 0, 0, 1]])
            elif b < 0:
                code = ("id", "x", "sx").index(name)
                channel = noise.one[code * n + a].numpy()
            else:
                code = 4 + GATE_SETS.index(name)
                channel = noise.two[noise.two_row[code, a, b]].numpy()
            if not pumping:
                channel = channel.copy()
                ideal = noise_free(name, angle)
                channel = np.diag(np.diag(channel @ ideal.T)) @ ideal
            axes = [n - 1 - a] if b < 0 else [n - 1 - b, n - 1 - a]
            split = channel.reshape((4,) * (2 * len(axes)))
            moved = np.tensordot(split, state, axes=(range(len(axes), 2 * len(axes)), axes))
            state = np.moveaxis(moved, range(len(axes)), axes)
        factors.append(state[tuple(letters[::-1])])
    return np.array(factors)


def noise_free(name: str, angle: float) -> np.ndarray:
    """Pauli transfer matrix of a gate, first qubit less significant."""
    alone = QuantumCircuit(1 if name in ("rz", "id", "sx", "x") else 2)
    getattr(alone, name)(*([angle] if name == "rz" else []), *alone.qubits)
    u = Operator(alone).data
    strings = np.stack([Pauli(p).to_matrix() for p in LETTERS])
    if alone.num_qubits == 2:
        strings = np.stack([np.kron(b, a) for b in strings for a in strings])
    return np.einsum("iab,bc,jcd,ad->ij", strings, u, strings, u.conj()).real / len(u)


@pytest.mark.parametrize("two", GATE_SETS)
@pytest.mark.parametrize("n", [2, 3, 4])
def test_clifford_circuits_lose_what_linear_algebra_says(two, n):
    """A single path is exact; only the ground state's pull, of second order, is left out."""
    calibration = made_up(n, two, seed=n)
    noise = DeviceNoise(calibration, tuple(range(n)))
    circuits = [drawn(n, two, seed, 30, clifford=True) for seed in range(2)]
    ours = features(n, circuits, calibration)[:, :, COLUMN["survival_rate"]]
    for circuit, rates in zip(circuits, ours, strict=True):
        factors = parity_factors(circuit, n, noise, pumping=False)
        np.testing.assert_allclose(rates, -np.log(factors), atol=1e-10)
        true = parity_factors(circuit, n, noise, pumping=True)
        np.testing.assert_allclose(rates, -np.log(true), atol=2e-3)
    assert ours.max() > 0.3


@pytest.mark.parametrize("two", GATE_SETS)
def test_depolarizing_gates_are_exact(two):
    """No gate takes time: depolarizing probabilities as published, from the average errors."""
    calibration = made_up(3, two, seed=1, length=0.0)
    circuit = drawn(3, two, 5, 25, clifford=True)
    (ours,) = features(3, [circuit], calibration)
    true = parity_factors(circuit, 3, DeviceNoise(calibration, (0, 1, 2)), pumping=True)
    np.testing.assert_allclose(ours[:, COLUMN["survival_rate"]], -np.log(true), atol=1e-10)
    np.testing.assert_array_equal(ours[:, COLUMN["idle_rate"]], 0)
    only = [(two, 0, 1, 0.0)]
    error = calibration.gate(two, (0, 1)).error
    (alone,) = features(3, [only], calibration)
    expected = np.array([0, 1, 1, 1, 0, 1, 1, 1]) * -np.log(1 - error * 4 / 3)
    np.testing.assert_allclose(alone[:, COLUMN["two_qubit_rate"]], expected, atol=1e-12)


@pytest.mark.parametrize("two", GATE_SETS)
def test_random_circuits_on_average(two):
    """Many paths of any angles: what is left is the interference of paths, a small part."""
    calibration = made_up(3, two, seed=2)
    noise = DeviceNoise(calibration, (0, 1, 2))
    circuits = [drawn(3, two, 20 + seed, 40, clifford=False) for seed in range(8)]
    ours = features(3, circuits, calibration, paths=4000)[:, 1:, COLUMN["survival_rate"]]
    true = -np.log([parity_factors(c, 3, noise, pumping=True)[1:] for c in circuits])
    assert true.mean() > 0.3
    error = ours - true
    assert np.sqrt((error**2).mean()) < 0.04 * true.mean()
    assert abs(error.mean()) < 0.01 * true.mean()


def test_the_error_of_sampling_falls_with_the_root_of_the_paths():
    calibration = made_up(3, "cx", seed=2)
    circuits = [drawn(3, "cx", seed, 40, clifford=False) for seed in range(10)]
    table = InstructionTable.from_circuits(3, circuits)

    def rates(paths: int, seed: int) -> np.ndarray:
        found = path_features(table, calibration, (0, 1, 2), paths, seed)
        return found[:, 1:, COLUMN["survival_rate"]]

    many = rates(16_000, 0)
    few, more = (
        np.sqrt(np.mean([(rates(k, seed) - many) ** 2 for seed in range(1, 9)])) for k in (16, 256)
    )
    assert few / more == pytest.approx(4, rel=0.25)
    assert few < 0.1 * many.mean()


# The paths that end on the initial state


def true_factors(circuits: list, n: int, calibration: Calibration) -> tuple:
    """(N, 2^n) ideal <Z_s>, their factors by the simulator, and which are large enough for one."""
    table = InstructionTable.from_circuits(n, circuits)
    noisy = AerNoiseConfig().build(calibration, tuple(range(n))).probabilities(table, 0)
    ideal = walsh_hadamard(compiled_probabilities(table))
    judged = np.abs(ideal) > 0.1
    judged[:, 0] = False
    return ideal, walsh_hadamard(noisy) / np.where(judged, ideal, np.nan), judged


@pytest.mark.parametrize("two", GATE_SETS)
def test_ended_paths_have_the_factor_of_the_parity_itself(two):
    """Under Pauli noise. It depends on the initial state; the mean of all paths does not."""
    calibration = made_up(4, two, seed=8, length=0.0)
    circuits = [drawn(4, two, 100 + seed, 60, clifford=False) for seed in range(20)]
    _, factor, judged = true_factors(circuits, 4, calibration)
    assert judged.sum() > 30
    ours = features(4, circuits, calibration, PATHS)
    error = {
        name: np.exp(-ours[:, :, COLUMN[name]])[judged] - factor[judged]
        for name in ("survival_rate", "ended_rate")
    }
    rms = {name: np.sqrt(np.mean(e**2)) for name, e in error.items()}
    assert rms["ended_rate"] < 0.8 * rms["survival_rate"]


@pytest.mark.parametrize("two", GATE_SETS)
def test_of_clifford_circuits_they_are_exact(two):
    """A path ends where the ideal parity is 1 or -1, and only there."""
    calibration = made_up(4, two, seed=8, length=0.0)
    circuits = [drawn(4, two, 100 + seed, 12, clifford=True) for seed in range(20)]
    ideal, factor, judged = true_factors(circuits, 4, calibration)
    table = InstructionTable.from_circuits(4, circuits)
    ours, ended = _features_and_ended(table, calibration, (0, 1, 2, 3), 5, 0, None)
    np.testing.assert_array_equal(ended, 5 * (np.abs(ideal) > 0.5))
    assert 0.1 < (ended[:, 1:] > 0).mean() < 0.9
    np.testing.assert_allclose(
        np.exp(-ours[:, :, COLUMN["ended_rate"]])[judged], factor[judged], atol=1e-10
    )
    rates = ours[:, :, [COLUMN["survival_rate"], COLUMN["ended_rate"]]]
    np.testing.assert_allclose(rates[..., 0], rates[..., 1], atol=1e-12)


def test_what_the_features_give_away_of_the_ideal():
    """Boosted trees predict |<Z_s>| of new circuits from the features alone.

    The share of ended paths, which is no feature, all but tells it. The rates of ended paths as
    columns add little to what the other losses tell; as ratios to those of all they add some.
    """
    calibration = made_up(4, "cx", seed=8)
    table = InstructionTable.from_circuits(
        4, [drawn(4, "cx", 1000 + seed, 40, clifford=False) for seed in range(600)]
    )
    ours, ended = _features_and_ended(table, calibration, (0, 1, 2, 3), PATHS, 0, None)
    ideal = np.abs(walsh_hadamard(compiled_probabilities(table)))[:, 1:]
    ours, share = ours[:, 1:], ended[:, 1:, None] / PATHS
    ends = [COLUMN["ended_rate"], COLUMN["ended_idle_rate"]]
    rest = np.delete(ours, ends, axis=2)
    ratio = ours[..., ends] - ours[..., [COLUMN["survival_rate"], COLUMN["idle_rate"]]]
    columns = {
        "rest": rest,
        "ended": ours,
        "ratio": np.concatenate([rest, ratio], axis=2),
        "share": np.concatenate([ours, share], axis=2),
    }
    told = {}
    for name, x in columns.items():
        trees = HistGradientBoostingRegressor(max_iter=60, random_state=0)
        trees.fit(x[:400].reshape(-1, x.shape[2]), ideal[:400].ravel())
        told[name] = trees.score(x[400:].reshape(-1, x.shape[2]), ideal[400:].ravel())

    assert told["ended"] - told["rest"] < 0.05
    assert 0.1 < told["ratio"] - told["rest"] < 0.4 < 0.6 < told["share"] - told["rest"]
    none = ended[:, 1:] == 0
    assert ideal[none].max() < 0.3 * ideal[~none].max()


# Parities of some of the qubits


def test_measured_qubits_have_the_parities_that_they_have_among_all():
    """The same paths: bit j of a parity is the j-th measured qubit of its circuit."""
    calibration = made_up(5, "ecr", seed=3)
    circuits = [drawn(5, "ecr", seed, 50, clifford=False) for seed in range(4)]
    table = InstructionTable.from_circuits(5, circuits)
    layout = tuple(range(5))
    full, full_ended = _features_and_ended(table, calibration, layout, 16, 0, None)
    every = np.tile(np.arange(5), (4, 1))
    np.testing.assert_array_equal(path_features(table, calibration, layout, 16, 0, every), full)
    measured = np.array([[0, 1, 2], [0, 2, 4], [2, 3, 4], [1, 2, 4]])
    ours, ended = _features_and_ended(table, calibration, layout, 16, 0, measured)
    among = np.array(
        [[sum(((s >> j) & 1) << q for j, q in enumerate(m)) for s in range(8)] for m in measured]
    )
    expected = np.take_along_axis(full, among[:, :, None], axis=1)
    np.testing.assert_allclose(ours, expected, atol=1e-12)
    np.testing.assert_array_equal(ended, np.take_along_axis(full_ended, among, axis=1))
    assert ours[0, :, COLUMN["weight"]].tolist() == [0, 1, 1, 2, 1, 2, 2, 3]
    assert np.abs(ours[1] - ours[2]).max() > 0.01


# Everything against Paulis walked one by one


def walked(circuit: list, n: int, calibration: Calibration, paths: int) -> np.ndarray:
    """(2^n, features) by Qiskit's Pauli arithmetic and a schedule of its own, path by path."""

    def length(gate: tuple) -> float:
        if gate[0] == "rz":
            return 0.0
        return calibration.gate(gate[0], [q for q in gate[1:3] if q >= 0]).length_ns * 1e-3

    # As soon as possible; a layer lasts as long as its longest gate, RZ comes with the next gate.
    free = [0] * n
    timed = []
    for gate in circuit:
        on = [q for q in gate[1:3] if q >= 0]
        layer = max(free[q] for q in on)
        timed.append((layer, gate))
        if gate[0] != "rz":
            free = [layer + 1 if q in on else free[q] for q in range(n)]
    depth = max(free)
    duration = [max(length(g) for k, g in timed if k == layer) for layer in range(depth)]
    start = np.concatenate([[0.0], np.cumsum(duration)])
    ready = [0.0] * n
    history: list[tuple] = []
    for layer in range(depth + 1):
        here = [g for k, g in timed if k == layer]
        history += [g for g in here if g[0] == "rz"]
        lasting = [g for g in here if g[0] != "rz"]
        touched = {q for g in lasting for q in g[1:3] if q >= 0} if layer < depth else range(n)
        history += [("wait", q, start[layer] - ready[q]) for q in touched]
        for gate in lasting:
            history.append(gate)
            for q in gate[1:3]:
                if q >= 0:
                    ready[q] = start[layer] + length(gate)
        for gate in lasting:
            if gate[2] >= 0:
                history += [("spectator", q) for q in range(n) if q not in gate[1:3]]

    random = np.random.RandomState(0)
    turns = [
        [random.random_sample() < np.sin(g[3]) ** 2 for g in reversed(history) if g[0] == "rz"]
        for _ in range(paths)
    ]
    noise = DeviceNoise(calibration, tuple(range(n)))
    out = np.zeros((2**n, len(FEATURES)))
    for s in range(1, 2**n):
        met = []
        for turned in turns:
            draw = iter(turned)
            sums = dict.fromkeys(FEATURES, 0.0)
            string = Pauli("".join("IZ"[(s >> q) & 1] for q in reversed(range(n))))
            for event in reversed(history):
                string = undone(event, string, calibration, noise, sums, draw)
            met.append(sums | {"ended": not string.x.any()})
        total = np.array([m["one_qubit_rate"] + m["two_qubit_rate"] for m in met])
        for name in FEATURES[4:-1]:
            out[s, COLUMN[name]] = np.mean([m[name] for m in met])
        ended = np.array([m["ended"] for m in met])
        rates = []
        for kept in (np.exp(-total), np.exp(-total - [m["idle_rate"] for m in met])):
            rates += [kept.mean(), np.mean([*kept[ended], kept.mean(), kept.mean()])]
        out[s, 0], out[s, 1], _, out[s, 2] = -np.log(rates)
        out[s, 2] -= out[s, 1]
        out[s, 3] = total.std()
        out[s, COLUMN["weight"]] = s.bit_count()
    return out


def undone(event, string: Pauli, calibration, noise, sums: dict[str, float], draw) -> Pauli:
    """The string before an event; adds to ``sums`` what it meets."""
    a = event[1]
    letter = string[a].to_label().lstrip("-i")
    relax = {
        q: {"X": 1 / min(c.t2_us, 2 * c.t1_us), "Z": 1 / c.t1_us, "I": 0.0}
        for q, c in enumerate(calibration.qubits)
    }
    for rates in relax.values():
        rates["Y"] = rates["X"]
    if event[0] == "wait":
        sums["idle_rate"] += event[2] * relax[a][letter]
        return string
    if event[0] == "spectator":
        sums["spectators"] += letter in "XY"
        return string
    name, _, b, _ = event
    code = {"id": 0, "x": 1, "sx": 2, "cx": 4, "ecr": 5, "cz": 6}
    gate = QuantumCircuit(string.num_qubits)
    if name == "rz":
        if not next(draw):
            return string
        gate.s(a)
    elif b < 0:
        getattr(gate, name)(a)
        kept = noise.one[code[name] * string.num_qubits + a].numpy() @ noise_free(name, 0).T
        k = LETTERS.index(letter)
        sums["one_qubit_rate"] -= np.log(kept[k, k])
        if name != "id":
            sums["rx"] += letter in "YZ"
            sums["rz"] += letter in "XY"
    else:
        getattr(gate, name)(a, b)
        other = string[b].to_label().lstrip("-i")
        kept = noise.two[noise.two_row[code[name], a, b]].numpy() @ noise_free(name, 0).T
        k = LETTERS.index(letter) + 4 * LETTERS.index(other)
        sums["two_qubit_rate"] -= np.log(kept[k, k])
        sums["two_qubit_gates"] += k > 0
        pair = Pauli(other + letter)
        sums["zz"] += pair.anticommutes(Pauli("ZZ"))
        sums["zx"] += pair.anticommutes(Pauli("XZ"))  # Z on the gate's first qubit
    before = string.evolve(Clifford(gate), frame="h")
    return Pauli((before.z, before.x))


@pytest.mark.parametrize("two", GATE_SETS)
@pytest.mark.parametrize("clifford", [True, False], ids=["clifford", "any angle"])
def test_every_feature_is_that_of_a_walk_by_hand(two, clifford):
    """The same random numbers, drawn path by path from the last RZ to the first."""
    calibration = made_up(3, two, seed=7)
    circuits = [drawn(3, two, 40 + seed, 24, clifford) for seed in range(2)]
    ours = features(3, circuits, calibration, paths=1 if clifford else 3)
    expected = np.array([walked(c, 3, calibration, 1 if clifford else 3) for c in circuits])
    np.testing.assert_allclose(ours, expected, atol=1e-10)
    occurs = expected.max(axis=(0, 1)) > 1e-6
    assert [name for name in FEATURES if not occurs[COLUMN[name]]] == ["spread"] * clifford


@pytest.mark.parametrize(
    ("n", "circuit"),
    [
        (1, [("sx", 0, -1, 0.0), ("rz", 0, -1, 0.7), ("x", 0, -1, 0.0), ("sx", 0, -1, 0.0)]),
        (2, [("sx", 0, -1, 0.0), ("rz", 0, -1, 0.7), ("sx", 0, -1, 0.0), ("x", 1, -1, 0.0)]),
        (3, [("rz", 0, -1, 0.7), ("rz", 2, -1, 0.2)]),
        (6, [("cx", a, b, 0.0) for a, b in pairwise(range(6))]),
    ],
    ids=["one qubit", "no two-qubit gate", "virtual gates only", "six qubits"],
)
def test_small_circuits_by_hand(n, circuit):
    calibration = made_up(n, "cx", seed=9)
    (ours,) = features(n, [circuit], calibration, paths=2)
    np.testing.assert_allclose(ours, walked(circuit, n, calibration, 2), atol=1e-10)


def test_an_empty_circuit_loses_nothing():
    (empty, _) = features(3, [[], [("x", 0, -1, 0.0)]], made_up(3, "cx", 0))
    assert empty[:, COLUMN["weight"]].tolist() == [0, 1, 1, 2, 1, 2, 2, 3]
    assert not empty[:, : COLUMN["weight"]].any()
    assert features(3, [], made_up(3, "cx", 0)).shape == (0, 8, 14)


def test_eight_qubits():
    """Parities of a single path add up as the strings do: eight generators give all 256."""
    circuit = drawn(8, "cx", 0, 80, clifford=False)
    (ours,) = features(8, [circuit], made_up(8, "cx", 0), paths=8)
    assert ours.shape == (256, 14)
    assert np.isfinite(ours).all()
    assert (ours >= 0).all()
    assert (ours[:, COLUMN["two_qubit_gates"]] <= sum(g[0] == "cx" for g in circuit)).all()


# What they depend on, and what not


def test_a_circuit_alone_and_in_any_order_is_as_in_its_batch():
    calibration = made_up(4, "ecr", seed=3)
    circuits = [drawn(4, "ecr", seed, 10 + 5 * seed, clifford=False) for seed in range(6)]
    together = features(4, circuits, calibration, 8)
    order = [3, 1, 5, 0, 4, 2]
    np.testing.assert_array_equal(
        features(4, [circuits[k] for k in order], calibration, 8), together[order]
    )
    for k, circuit in enumerate(circuits):
        np.testing.assert_array_equal(features(4, [circuit], calibration, 8)[0], together[k])
    with ThreadPoolExecutor(2) as pool:
        threads = pool.map(lambda _: features(4, circuits, calibration, 8), range(4))
        for found in threads:
            np.testing.assert_array_equal(found, together)


def test_another_seed_draws_other_paths():
    table = InstructionTable.from_circuits(3, [drawn(3, "cx", 1, 40, clifford=False)])
    calibration = made_up(3, "cx", 1)
    found = [path_features(table, calibration, (0, 1, 2), 8, seed) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(found[0], found[1])
    assert np.abs(found[0] - found[2]).max() > 1e-3


@pytest.mark.parametrize("clifford", [True, False])
def test_relabelled_qubits_relabel_parities(clifford):
    """The chain in another order, the circuit with it: the same physical gates."""
    n, order = 4, [2, 0, 3, 1]  # position k of the first is position order[k] of the second
    calibration = made_up(n, "cz", seed=4)
    circuits = [drawn(n, "cz", 60 + seed, 40, clifford) for seed in range(4)]
    moved = [
        [(name, order[a], order[b] if b >= 0 else -1, angle) for name, a, b, angle in circuit]
        for circuit in circuits
    ]
    layout = tuple(int(k) for k in np.argsort(order))
    paths = 1 if clifford else 2000
    ours = features(n, circuits, calibration, paths)
    theirs = path_features(InstructionTable.from_circuits(n, moved), calibration, layout, paths)
    s = np.arange(2**n)
    parity = sum(((s >> k) & 1) << order[k] for k in range(n))
    np.testing.assert_allclose(theirs[:, parity], ours, atol=1e-10)


@pytest.mark.parametrize("start", ["id", "sx"])
@pytest.mark.parametrize("two", GATE_SETS)
def test_of_the_output_only_the_end_of_paths_is_known(two, start):
    """Of other initial states and half a turn more in some RZs: other outputs, the same paths.

    Which paths end is the same for every state of the basis, so for other signs of all parities.
    """
    n = 4
    calibration = made_up(n, two, seed=5)
    free = calibration.model_dump(mode="json")
    for gate in free["gates"]:
        if gate["gate"] in ("x", "id", "sx"):
            gate.update(error=0.0, length_ns=0.0)
    calibration = Calibration.parse(free, "x")
    circuits = [drawn(n, two, 80 + seed, 60, clifford=False) for seed in range(6)]
    rng = np.random.default_rng(0)
    others = [
        [("x", q, -1, 0.0) for q in range(n)]
        + [(g, a, b, t + np.pi * rng.integers(2) * (g == "rz")) for g, a, b, t in circuit]
        for circuit in circuits
    ]
    circuits = [[(start, q, -1, 0.0) for q in range(n)] + circuit for circuit in circuits]
    outputs = [
        compiled_probabilities(InstructionTable.from_circuits(n, c)) for c in (circuits, others)
    ]
    assert np.abs(outputs[0] - outputs[1]).sum(axis=1).max() > 0.5
    hangs = {"ended_rate", "ended_idle_rate"} if start == "sx" else set()
    kept = [k for name, k in COLUMN.items() if name not in {"rx", "rz"} | hangs]  # they count X
    ours, theirs = (features(n, c, calibration, 8) for c in (circuits, others))
    np.testing.assert_allclose(theirs[:, :, kept], ours[:, :, kept], atol=1e-10)
    if hangs:
        assert np.abs(theirs - ours)[:, :, COLUMN["ended_rate"]].max() > 1e-3


def test_gates_before_the_last_ones_matter():
    """Of the same gates in another order, other parities suffer."""
    calibration = made_up(2, "cx", seed=6)
    gates = [("cx", 0, 1, 0.0), ("sx", 0, -1, 0.0)]
    ours = features(2, [gates, gates[::-1]], calibration)
    two = ours[:, 1:, COLUMN["two_qubit_gates"]]
    assert two.tolist() == [[1, 1, 1], [1, 1, 1]]
    # Backwards through SX, Z_0 is Y_0: it anticommutes with the CX's ZZ, as Z_0 doesn't.
    assert ours[:, 1, COLUMN["zz"]].tolist() == [1, 0]


# Calibrations of all kinds


def changed(calibration: Calibration, gate: str | None = None, **values) -> Calibration:
    """Values of all qubits, or of all gates of a name."""
    plain = calibration.model_dump(mode="json")
    for item in plain["qubits"] if gate is None else plain["gates"]:
        if gate is None or item["gate"] == gate:
            item.update(values)
    return Calibration.parse(plain, "changed")


def test_no_error_loses_nothing():
    calibration = changed(made_up(3, "cx", 0, error=0.0, length=0.0), t1_us=1e9, t2_us=1e9)
    ours = features(3, [drawn(3, "cx", 0, 40, clifford=False)], calibration, 4)
    assert not ours[:, :, [COLUMN[name] for name in RATES]].any()
    assert ours[:, 1:, COLUMN["two_qubit_gates"]].max() > 0


@pytest.mark.parametrize("broken", [{"error": 1.0}, {"t1_us": 0.01, "t2_us": 0.01}])
def test_what_always_fails_is_finite(broken):
    """Hundreds of gates without any signal left: rates are large, not infinite."""
    calibration = made_up(3, "cx", 0)
    if "error" in broken:
        for gate in ("cx", "sx", "x", "id"):
            calibration = changed(calibration, gate, **broken)
    else:
        calibration = changed(calibration, **broken)
    ours = features(3, [drawn(3, "cx", 0, 400, clifford=False)], calibration, 4)
    assert np.isfinite(ours.astype(np.float32)).all()
    assert (ours[:, 1:, COLUMN["survival_rate"]] > 100).all()


def test_a_worse_device_loses_more():
    circuit = [drawn(3, "ecr", 3, 60, clifford=False)]
    worse = [features(3, circuit, made_up(3, "ecr", 0, error=e), 16) for e in (0.0, 1.0, 3.0)]
    rates = np.array([w[0, 1:, COLUMN["survival_rate"]] for w in worse])
    assert (np.diff(rates, axis=0) > 0).all()
    waits = [w[..., COLUMN["idle_rate"]] for w in worse]
    np.testing.assert_array_equal(waits[0], waits[2])


def test_t2_counts_up_to_twice_t1():
    """As in Aer's device model."""
    circuit = [drawn(3, "cx", 3, 40, clifford=True)]
    base = changed(made_up(3, "cx", 0), t1_us=50.0)
    for one, other, same in ((100.0, 300.0, True), (80.0, 100.0, False)):
        found = [features(3, circuit, changed(base, t2_us=t2)) for t2 in (one, other)]
        assert np.allclose(found[0], found[1], atol=1e-12) == same


def test_only_what_the_circuits_need_must_be_known():
    """Real snapshots often lack the length of gates such as id."""
    calibration = changed(made_up(3, "cx", 0), "id", length_ns=None, error=None)
    circuit = [("sx", 0, -1, 0.0), ("cx", 0, 1, 0.0)]
    np.testing.assert_array_equal(
        features(3, [circuit], calibration), features(3, [circuit], made_up(3, "cx", 0))
    )
    with pytest.raises(QmendError, match=r"lacks error of id on \[2\]"):
        features(3, [circuit, [("id", 2, -1, 0.0)]], calibration)


@pytest.mark.parametrize(
    ("gate", "values", "sentence"),
    [
        ("cx", {"error": None}, r"lacks error of cx on \[0, 1\]"),
        ("cx", {"length_ns": None}, r"lacks length_ns of cx on \[0, 1\]"),
        (None, {"t1_us": None}, "lacks t1_us of qubit 0"),
        (None, {"t2_us": None}, "lacks t2_us of qubit 0"),
    ],
)
def test_missing_values_are_named(gate, values, sentence):
    calibration = changed(made_up(3, "cx", 0), gate, **values)
    with pytest.raises(QmendError, match=sentence):
        features(3, [[("cx", 0, 1, 0.0)]], calibration)


def test_what_the_device_lacks_is_refused():
    calibration = made_up(3, "cx", 0)
    with pytest.raises(QmendError, match=r"has no gate 'ecr' on qubits \[0, 1\]"):
        features(3, [[("ecr", 0, 1, 0.0)]], calibration)
    one_way = calibration.model_copy(
        update={"gates": tuple(g for g in calibration.gates if g.qubits != (1, 0))}
    )
    with pytest.raises(QmendError, match=r"has no gate 'cx' on qubits \[1, 0\]"):
        features(3, [[("cx", 1, 0, 0.0)]], one_way)
    table = InstructionTable.from_circuits(2, [[("cx", 0, 1, 0.0)]])
    for layout in ((0, 1, 2), (0,)):
        with pytest.raises(QmendError, match="make the two equal"):
            path_features(table, calibration, layout)
    with pytest.raises(QmendError, match="has no qubit 7"):
        path_features(table, calibration, (0, 7))


def test_the_table_is_left_as_it_was():
    table = InstructionTable.from_circuits(3, [drawn(3, "cx", 0, 30, clifford=False)])
    before = replace(table, **{k: getattr(table, k).copy() for k in ("gate", "first", "angle")})
    path_features(table, made_up(3, "cx", 0), (0, 1, 2), 2)
    for name in ("gate", "first", "angle"):
        np.testing.assert_array_equal(getattr(table, name), getattr(before, name))
