"""Encodings: the paper's against its definition, the tokens against the snapshot."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from qiskit_ibm_runtime.fake_provider import FakeAlgiers

from qmend.circuits.instructions import InstructionTable
from qmend.datasets.circuits import CircuitBatch
from qmend.devices.calibration import Calibration
from qmend.devices.vector import calibration_vector
from qmend.encodings import ENCODINGS, Encoding
from qmend.encodings.base import Standardiser
from qmend.encodings.paper import encode_layers
from qmend.gates import GATES
from qmend.noise.paths import FEATURES, path_features
from qmend.types import QmendError
from reference import qiskit_circuit


def batch_of(circuits: list, algiers, n: int = 5) -> CircuitBatch:
    count = len(circuits)
    return CircuitBatch(
        InstructionTable.from_circuits(n, circuits),
        np.full((count, 2**n), 2.0**-n),
        np.full(count, 1000),
        (algiers.layout[:n],),
        (algiers.calibration,),
        np.zeros(count, dtype=int),
        np.tile(np.arange(n), (count, 1)),
    )


def asap_layers(gates: list) -> list[Counter]:
    """Gates of each layer, written anew: RZ(0) and ID are no gates, angles modulo 2 pi."""
    free: dict[int, int] = {}
    layers: dict[int, Counter] = {}
    for gate, a, b, angle in gates:
        turn = angle % (2 * np.pi)
        if gate == "id" or (gate == "rz" and turn == 0):
            continue
        qubits = [a] if b < 0 else [a, b]
        at = max(free.get(q, 0) for q in qubits)
        free.update(dict.fromkeys(qubits, at + 1))
        key = (gate, a, b, round(turn, 5) if gate == "rz" else 0.0)
        layers.setdefault(at, Counter())[key] += 1
    return [layers[k] for k in range(len(layers))]


def decode_layers(encoded: np.ndarray) -> list[tuple[str, int, int, float]]:
    """(L, n, 5) of one circuit -> its gates, layer by layer; angles in [0, 2 pi)."""
    gates: list[tuple[str, int, int, float]] = []
    for row in encoded:
        for qubit, vector in enumerate(row):
            if vector[0]:
                gates.append(("x", qubit, -1, 0.0))
            elif vector[1]:
                gates.append(("sx", qubit, -1, 0.0))
            elif vector[2]:
                gates.append(("rz", qubit, -1, float(vector[2]) * 2 * np.pi))
            elif vector[3] < 0:
                target = int(-vector[3]) - 1
                assert row[target][3] == 1 + qubit
                gates.append(("cx", qubit, target, 0.0))
    return gates


def decoded_layers(encoded: np.ndarray) -> list[Counter]:
    found = []
    for layer in encoded:
        gates = decode_layers(layer[None])
        if gates:
            found.append(Counter((g, a, b, round(t, 5)) for g, a, b, t in gates))
    return found


# The paper's layers


def test_layers_decode_to_the_same_gates_layer_by_layer(tiny):
    table = tiny.rows.circuits.instructions
    encoded, _ = encode_layers(table)
    assert encoded.shape[2:] == (5, 5)
    for k in range(len(table)):
        # float32 keeps a 2 pi turn to about 4e-7.
        ours, expected = decoded_layers(encoded[k]), asap_layers(table.circuit(k))
        assert len(ours) == len(expected)
        for a, b in zip(ours, expected, strict=True):
            assert sorted(x[:3] for x in a) == sorted(x[:3] for x in b)
            angles = [sorted(x[3] for x in part) for part in (a, b)]
            np.testing.assert_allclose(*angles, atol=2e-5)


def test_decoded_gates_give_the_same_state(tiny):
    """The decoded list as a circuit, against the stored one: equal up to a global phase."""
    from qiskit.quantum_info import Statevector

    table = tiny.rows.circuits.instructions
    encoded, _ = encode_layers(table)
    for k in range(0, len(table), 16):
        gates = decode_layers(encoded[k])
        ours = Statevector(qiskit_circuit(gates, 5))
        expected = Statevector(qiskit_circuit(table.circuit(k), 5))
        assert abs(ours.inner(expected)) == pytest.approx(1, abs=1e-5)


def test_channels_of_a_circuit_by_hand():
    """Values as the paper states them, with angles in units of pi."""
    circuit = [
        ("x", 0, -1, 0.0),
        ("sx", 1, -1, 0.0),
        ("rz", 2, -1, 0.5 * np.pi),
        ("rz", 3, -1, -0.5 * np.pi),
        ("rz", 4, -1, 3.0 * np.pi),
        ("cx", 0, 3, 0.0),
        ("cx", 2, 1, 0.0),
    ]
    encoded = encode_layers(InstructionTable.from_circuits(5, [circuit]))[0][0]
    expected = np.zeros((3, 5, 5))
    expected[0, 0, 0] = 1
    expected[0, 1, 1] = 1
    expected[0, 2, 2] = 0.25  # (0.5 mod 2) / 2
    expected[0, 3, 2] = 0.75  # (-0.5 mod 2) / 2
    expected[0, 4, 2] = 0.5  # (3 mod 2) / 2
    expected[1, 0, 3] = -4  # control: -(1 + target)
    expected[1, 3, 3] = 1  # target: 1 + control
    expected[1, 2, 3] = -2
    expected[1, 1, 3] = 3
    expected[2, :, 4] = 1  # measurements in a last layer
    np.testing.assert_allclose(encoded, expected, atol=1e-7)


@pytest.mark.parametrize("idle", [("rz", 1, -1, 0.0), ("rz", 1, -1, 4 * np.pi), ("id", 1, -1, 0.0)])
def test_what_reads_as_idle_takes_no_layer(idle):
    circuit = [("sx", 0, -1, 0.0), ("cx", 0, 1, 0.0)]
    with_idle = [idle, circuit[0], idle, circuit[1], idle]
    encoded = encode_layers(InstructionTable.from_circuits(2, [circuit, with_idle]))[0]
    np.testing.assert_array_equal(encoded[0], encoded[1])


def test_padding_is_zero_and_the_last_layer_measures_all_qubits():
    table = InstructionTable.from_circuits(3, [[("x", 0, -1, 0.0)] * 4, [("x", 1, -1, 0.0)], []])
    encoded, last = encode_layers(table)
    assert encoded.shape == (3, 5, 3, 5)
    assert last.tolist() == [4, 1, 0]
    for circuit, layer in enumerate(last):
        assert encoded[circuit, :, :, 4].nonzero()[0].tolist() == [layer] * 3
    assert not encoded[1, 2:].any()
    assert not encoded[2, 1:].any()


def test_gates_without_a_channel_are_refused():
    table = InstructionTable.from_circuits(2, [[("ecr", 0, 1, 0.0)]])
    with pytest.raises(QmendError, match="no channel for 'ecr'; use encoding=token"):
        encode_layers(table)


def test_paper_context_is_the_101_vector(tiny):
    encoding = ENCODINGS["paper"]()
    tokens, mask = encoding.tokens(tiny.rows.circuits)
    context = encoding.contexts(tiny.rows.circuits)
    p = FakeAlgiers().properties()
    expected = calibration_vector(Calibration.from_properties(p), (0, 1, 2, 3, 5))
    assert context.shape == (96, 101)
    np.testing.assert_array_equal(context, np.tile(expected, (96, 1)))
    layers = [len(asap_layers(tiny.rows.circuits.instructions.circuit(k))) for k in range(96)]
    assert mask.sum(axis=1).tolist() == [n + 1 for n in layers]  # and the measurements
    assert not tokens[~mask].any()
    assert tokens.shape[2] == 25


def test_the_papers_encoding_needs_five_qubits(algiers):
    with pytest.raises(QmendError, match="defined on 5 qubits, not 3; use encoding=token"):
        ENCODINGS["paper"]().fit(batch_of([[("x", 0, -1, 0.0)]], algiers, n=3))


# Tokens


def test_a_token_holds_the_values_of_its_own_gate_and_qubits(algiers):
    circuit = [
        ("sx", 1, -1, 0.0),
        ("cx", 3, 4, 0.0),
        ("rz", 1, -1, 0.7),
        ("cx", 4, 3, 0.0),
        ("x", 2, -1, 0.0),
    ]
    batch = batch_of([circuit, circuit[:1]], algiers)
    tokens, mask = ENCODINGS["token"]().tokens(batch)
    p = FakeAlgiers().properties()
    chain = (0, 1, 2, 3, 5)
    from_end = [0.2, 0.2, 0.1, 0.1, 0.2]  # layers to the end in tens: depth 2
    assert mask.tolist() == [[True] * 5, [True] + [False] * 4]
    assert not tokens[1, 1:].any()
    for k, (gate, a, b, angle) in enumerate(circuit):
        token = tokens[0, k]
        physical = [chain[q] for q in (a, b) if q >= 0]
        expected = np.zeros(34)
        expected[GATES.index(gate)] = 1
        expected[7 + a] = 1
        if b >= 0:
            expected[17 + b] = 1
        if gate == "rz":
            expected[27], expected[28] = np.cos(angle), np.sin(angle)
        else:
            length = p.gate_length(gate, physical) * 1e6
            expected[30] = 100 * p.gate_error(gate, physical)
            expected[31] = length
            expected[32] = 100 * np.mean([length / (p.t1(q) * 1e6) for q in physical])
            expected[33] = 100 * np.mean([length / (p.t2(q) * 1e6) for q in physical])
        expected[29] = from_end[k]
        np.testing.assert_allclose(token, expected, rtol=1e-6, atol=1e-7)
    expected = [p.readout_error(q) for q in chain]
    expected += [p.t1(q) * 1e6 for q in chain] + [p.t2(q) * 1e6 for q in chain]
    np.testing.assert_allclose(ENCODINGS["token"]().contexts(batch)[0], expected, rtol=1e-12)


def test_each_circuit_reads_its_own_calibration(algiers):
    """Two snapshots in one batch, the second with twice the errors."""
    plain = algiers.calibration.model_dump(mode="json")
    for item in plain["gates"]:
        item["error"] = None if item["error"] is None else 2 * item["error"]
    for item in plain["qubits"]:
        item["readout_error"] *= 2
    worse = Calibration.parse(plain, "x")
    batch = CircuitBatch(
        InstructionTable.from_circuits(5, [[("cx", 0, 1, 0.0)]] * 3),
        np.full((3, 32), 1 / 32),
        np.full(3, 10),
        (algiers.layout, algiers.layout),
        (algiers.calibration, worse),
        np.array([1, 0, 1]),
        np.tile(np.arange(5), (3, 1)),
    )
    encoding = ENCODINGS["token"]().fit(batch)
    tokens, _ = encoding.tokens(batch)
    np.testing.assert_allclose(tokens[[0, 2], 0, 30], 2 * tokens[1, 0, 30], rtol=1e-6)
    readout = encoding(batch).readout
    np.testing.assert_allclose(readout[[0, 2]], 2 * readout[[1, 1]], rtol=1e-6)
    paper, _ = ENCODINGS["paper"]().tokens(batch)
    context = ENCODINGS["paper"]().contexts(batch)
    np.testing.assert_allclose(context[0, 45:53], 2 * context[1, 45:53], rtol=1e-12)
    np.testing.assert_array_equal(paper[0], paper[1])


def test_a_calibration_of_several_sizes_counts_once(algiers):
    plain = algiers.calibration.model_dump(mode="json")
    for item in plain["qubits"]:
        item["readout_error"] *= 2
    worse = Calibration.parse(plain, "x")
    both = CircuitBatch(
        InstructionTable.from_circuits(5, [[("cx", 0, 1, 0.0)]] * 2),
        np.full((2, 32), 1 / 32),
        np.full(2, 10),
        (algiers.layout, algiers.layout),
        (algiers.calibration, worse),
        np.arange(2),
        np.tile(np.arange(5), (2, 1)),
    )
    pair = replace(
        both.select(np.array([1])), noisy=np.full((1, 4), 0.25), measured=np.eye(1, 2, 1, int)
    )
    means = [ENCODINGS["token"]().fit(*parts).mean_calibration for parts in ([both], [both, pair])]
    assert means[0] == means[1]
    assert means[0] != ENCODINGS["token"]().fit(pair).mean_calibration


def test_tokens_need_every_value_they_hold(algiers):
    plain = algiers.calibration.model_dump(mode="json")
    plain["qubits"][2]["t2_us"] = None
    broken = Calibration.parse(plain, "x")
    batch = batch_of([[("x", 0, -1, 0.0)]], algiers)
    batch = replace(batch, calibrations=(broken,))
    with pytest.raises(QmendError, match="lacks t2_us of qubit 2"):
        ENCODINGS["token"]().tokens(batch)


# Parities


def test_a_parity_holds_what_its_paths_meet_under_its_own_calibration(algiers):
    """Two snapshots and two layouts in one batch."""
    plain = algiers.calibration.model_dump(mode="json")
    for item in plain["gates"]:
        item["error"] = None if item["error"] is None else min(2 * item["error"], 1.0)
    worse = Calibration.parse(plain, "x")
    gates = [("sx", 1, -1, 0.0), ("rz", 1, -1, 0.4), ("cx", 0, 1, 0.0), ("sx", 2, -1, 0.0)]
    table = InstructionTable.from_circuits(3, [gates, gates[::-1], gates * 3, gates])
    batch = CircuitBatch(
        table,
        np.full((4, 8), 1 / 8),
        np.full(4, 10),
        ((0, 1, 2), (5, 3, 2), (1, 2, 3)),
        (algiers.calibration, worse, worse),
        np.array([1, 0, 1, 0]),
        np.tile(np.arange(3), (4, 1)),
    )
    tokens, mask = ENCODINGS["paths"]().tokens(batch)
    context = ENCODINGS["paths"]().contexts(batch)
    assert tokens.dtype == np.float32
    assert tokens.shape == (4, 8, len(FEATURES))
    assert mask.all()
    for row, k in enumerate(batch.calibration_index):
        calibration, layout = batch.chains[k]
        alone = path_features(table.select(np.array([row])), calibration, layout)
        np.testing.assert_array_equal(tokens[row], alone[0].astype(np.float32))
        qubits = [calibration.qubit(q) for q in layout]
        expected = [
            np.mean([getattr(q, field) for q in qubits])
            for field in ("readout_error", "t1_us", "t2_us")
        ]
        np.testing.assert_allclose(context[row], expected, rtol=1e-12)
    assert np.abs(tokens[2] - tokens[1]).max() > 0.01


def test_parities_are_read_from_ecr_and_cz_too(algiers):
    """Every native gate has its place; the others of the device need no values."""
    plain = algiers.calibration.model_dump(mode="json")
    for item in plain["gates"]:
        item["gate"] = item["gate"].replace("cx", "cz")
        if item["gate"] == "id":
            item["error"] = None
    batch = batch_of([[("cz", 0, 1, 0.0), ("sx", 1, -1, 0.0)]], algiers)
    batch = replace(batch, calibrations=(Calibration.parse(plain, "x"),))
    tokens, _ = ENCODINGS["paths"]().tokens(batch)
    parity = 0b00010
    assert tokens[0, parity, FEATURES.index("two_qubit_gates")] == 1
    assert ENCODINGS["paths"]().gates == GATES


def test_parities_need_every_value_they_hold(algiers):
    plain = algiers.calibration.model_dump(mode="json")
    plain["qubits"][2]["t2_us"] = None
    batch = batch_of([[("x", 0, -1, 0.0)]], algiers)
    batch = replace(batch, calibrations=(Calibration.parse(plain, "x"),))
    with pytest.raises(QmendError, match="lacks t2_us of qubit 2"):
        ENCODINGS["paths"]().tokens(batch)


# Standardisation


@pytest.mark.parametrize("name", ["token", "paths"])
def test_a_fit_reads_qubits_and_no_gate(name, algiers):
    """So that it samples no path: that is most of the time of an encoding."""
    plain = algiers.calibration.model_dump(mode="json")
    for item in plain["gates"]:
        item["error"] = None
    batch = batch_of([[("cx", 0, 1, 0.0)]], algiers)
    broken = replace(batch, calibrations=(Calibration.parse(plain, "x"),))
    found, expected = (ENCODINGS[name]().fit(each).standardiser for each in (broken, batch))
    np.testing.assert_array_equal(found.mean, expected.mean)
    with pytest.raises(QmendError, match="lacks error of"):
        ENCODINGS[name]().tokens(broken)


def test_standardisation_is_fitted_on_training_data_only():
    train = np.array([[1.0, 5.0, 0.0], [3.0, 5.0, 0.0]])
    standardise = Standardiser.fit(train)
    np.testing.assert_allclose(standardise(train), [[-1, 0, 0], [1, 0, 0]])
    # A column that is constant in training says nothing, whatever comes later; 100 is clipped.
    np.testing.assert_allclose(standardise(np.array([[100.0, 7.0, 1.0]])), [[10, 0, 0]])
    np.testing.assert_allclose(standardise(np.array([[-100.0, 7.0, 1.0]])), [[-10, 0, 0]])
    np.testing.assert_allclose(standardise(np.array([[2.5, 5.0, 0.0]])), [[0.5, 0, 0]])


def test_rounding_noise_is_no_spread():
    column = np.full((4, 1), 0.1) + np.array([[0], [1], [0], [1]]) * 1e-17
    assert not Standardiser.fit(column)(column + 0.05).any()


def test_a_value_that_is_no_number_is_not_taken_for_a_constant():
    assert np.isnan(Standardiser.fit(np.array([[1.0], [np.nan]]))(np.array([[2.0]]))).all()


@pytest.mark.parametrize("name", ENCODINGS)
def test_an_encoding_survives_json(tiny, name):
    encoding = ENCODINGS[name]().fit(tiny.rows.circuits)
    again = Encoding.from_json(json.loads(json.dumps(encoding.to_json())))
    ours, theirs = encoding(tiny.rows.circuits), again(tiny.rows.circuits)
    for field, values in ours.tensors.items():
        np.testing.assert_array_equal(values, theirs.tensors[field])
    np.testing.assert_array_equal(ours.noisy, tiny.rows.circuits.noisy.astype(np.float32))
    assert ours.shots[:, 0].tolist() == [2000.0] * 96


@pytest.mark.parametrize("name", ENCODINGS)
def test_an_encoding_must_be_fitted_and_of_this_version(tiny, name):
    encoding = ENCODINGS[name]()
    with pytest.raises(QmendError, match=f"The {name} encoding has not been fitted"):
        encoding(tiny.rows.circuits)
    data = encoding.fit(tiny.rows.circuits).to_json()
    with pytest.raises(QmendError, match=f"trained with version 99 of the {name} encoding"):
        Encoding.from_json({**data, "version": 99})


def test_an_unknown_encoding_names_the_nearest():
    with pytest.raises(QmendError, match=r"unknown encoding 'tokens'. Did you mean 'token'\?"):
        ENCODINGS["tokens"]()
