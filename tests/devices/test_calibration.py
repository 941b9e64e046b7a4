"""A calibration snapshot: conversion, validation, identity."""

import copy
import json
import math
from datetime import UTC, datetime

import pytest
from qiskit_ibm_runtime.fake_provider import FakeAlgiers

from qmend.devices.calibration import Calibration
from qmend.types import QmendError


@pytest.fixture
def plain() -> dict:
    """A small valid snapshot as plain data."""
    return {
        "device": "bench",
        "time": "2024-02-28T13:32:31+00:00",
        "qubits": [
            {"qubit": 0, "t1_us": 100.0, "t2_us": 80.0, "readout_error": 0.01},
            {"qubit": 1, "t1_us": 90.0, "t2_us": 70.0, "readout_error": 0.02},
        ],
        "gates": [
            {"gate": "sx", "qubits": [0], "error": 2e-4, "length_ns": 35.5},
            {"gate": "cx", "qubits": [0, 1], "error": 6e-3, "length_ns": 300.0},
        ],
    }


class Properties:
    """What ``from_properties`` needs of Qiskit's type: its plain data."""

    def __init__(self, data: dict) -> None:
        self.data = data

    def to_dict(self) -> dict:
        return self.data


def entry(name: str, value: object, unit: str) -> dict:
    return {"name": name, "value": value, "unit": unit, "date": None}


def snapshot(qubit: list[dict], gate: list[dict], time: object = None) -> Properties:
    """One qubit and one gate as a backend reports them."""
    return Properties(
        {
            "backend_name": "bench",
            "last_update_date": time or datetime(2024, 1, 1, tzinfo=UTC),
            "qubits": [qubit],
            "gates": [{"gate": "sx", "qubits": [0], "parameters": gate}],
        }
    )


def test_every_value_of_the_shipped_snapshot_is_converted():
    """All qubits and gates, compared with Qiskit's own accessors in SI units."""
    properties = FakeAlgiers().properties()
    calibration = Calibration.from_properties(properties)
    assert len(calibration.qubits) == 27
    for q in range(27):
        ours = calibration.qubit(q)
        assert ours.t1_us == pytest.approx(properties.t1(q) * 1e6, rel=1e-12)
        assert ours.t2_us == pytest.approx(properties.t2(q) * 1e6, rel=1e-12)
        assert ours.frequency_ghz == pytest.approx(properties.frequency(q) * 1e-9, rel=1e-12)
        assert ours.readout_error == properties.readout_error(q)
        assert ours.readout_length_ns == pytest.approx(properties.readout_length(q) * 1e9)
        reported = properties.qubit_property(q)
        assert ours.prob_meas0_prep1 == reported["prob_meas0_prep1"][0]
        assert ours.prob_meas1_prep0 == reported["prob_meas1_prep0"][0]
    assert len(calibration.gates) == len(properties.gates)
    for gate in properties.gates:
        ours = calibration.gate(gate.gate, gate.qubits)
        length = properties.gate_length(gate.gate, gate.qubits)
        assert ours.length_ns == pytest.approx(length * 1e9, rel=1e-12)
        if gate.gate == "reset":
            assert ours.error is None
        else:
            assert ours.error == properties.gate_error(gate.gate, gate.qubits)


def test_the_snapshot_time_is_the_same_moment_in_utc():
    properties = FakeAlgiers().properties()
    calibration = Calibration.from_properties(properties)
    assert calibration.time == properties.last_update_date
    assert calibration.time.utcoffset().total_seconds() == 0
    assert calibration.time == datetime(2024, 2, 28, 13, 32, 31, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "field", "value", "unit", "expected"),
    [
        ("T1", "t1_us", 1.5e-4, "s", 150.0),
        ("T1", "t1_us", 0.15, "ms", 150.0),
        ("T1", "t1_us", 150.0, "us", 150.0),
        ("T2", "t2_us", 150.0, "\N{MICRO SIGN}s", 150.0),
        ("T1", "t1_us", 150.0, "\N{GREEK SMALL LETTER MU}s", 150.0),
        ("readout_length", "readout_length_ns", 0.91, "\N{MICRO SIGN}s", 910.0),
        ("T2", "t2_us", 150_000.0, "ns", 150.0),
        ("frequency", "frequency_ghz", 5.1e9, "Hz", 5.1),
        ("frequency", "frequency_ghz", 5100.0, "MHz", 5.1),
        ("frequency", "frequency_ghz", 5.1, "GHz", 5.1),
        ("readout_length", "readout_length_ns", 0.91, "us", 910.0),
        ("readout_length", "readout_length_ns", 9.1e-7, "s", 910.0),
    ],
)
def test_units_of_qubit_values(name, field, value, unit, expected):
    calibration = Calibration.from_properties(snapshot([entry(name, value, unit)], []))
    assert getattr(calibration.qubit(0), field) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("value", "unit"),
    [
        (35.5, "ns"),
        (0.0355, "us"),
        (0.0355, "\N{GREEK SMALL LETTER MU}s"),
        (3.55e-5, "ms"),
        (3.55e-8, "s"),
    ],
)
def test_units_of_gate_lengths(value, unit):
    calibration = Calibration.from_properties(snapshot([], [entry("gate_length", value, unit)]))
    assert calibration.gate("sx", [0]).length_ns == pytest.approx(35.5, rel=1e-12)


def test_an_unknown_unit_is_named():
    expected = r"of bench: qubit 0 gives T1 in 'fortnight'; known units: s, ms, us, ns; correct it"
    with pytest.raises(QmendError, match=expected):
        Calibration.from_properties(snapshot([entry("T1", 1.0, "fortnight")], []))


@pytest.mark.parametrize(
    ("qubit", "gate", "message"),
    [
        ([entry("T1", 90.0, "us"), entry("T1", 9.0, "us")], [], "qubit 0 has T1 more than once"),
        (
            [],
            [entry("gate_error", 0.01, ""), entry("gate_error", 0.5, "")],
            r"sx on \[0\] has gate_error more than once",
        ),
        ([entry("T1", "long", "us")], [], "T1 of qubit 0 is 'long', not a number"),
        ([entry("T1", 1e-4, "us")], [], r"qubits\.0\.t1_us 0.0001 us is not believable"),
        ([entry("T1", math.inf, "us")], [], r"qubits\.0\.t1_us .*finite"),
        ([entry("readout_error", 1e999, "")], [], r"qubits\.0\.readout_error .*finite"),
        ([], [entry("gate_length", -math.inf, "ns")], r"gates\.0\.length_ns .*finite"),
        ([{"value": 1.0}], [], r"does not have the form of .* \(KeyError: 'name'\)"),
        (["T1"], [], r"does not have the form of Qiskit's BackendProperties"),
    ],
)
def test_bad_properties_are_named(qubit, gate, message):
    with pytest.raises(QmendError, match=f"^Calibration of bench:? {message}"):
        Calibration.from_properties(snapshot(qubit, gate))


@pytest.mark.parametrize("time", ["2024-02-28T13:32:31", datetime(2024, 2, 28, 13)])
def test_properties_without_a_time_zone_are_refused(time):
    """Python would take it for this machine's zone."""
    with pytest.raises(QmendError, match=r"of bench: time needs a time zone, such as \+00:00"):
        Calibration.from_properties(snapshot([], [], time))


@pytest.mark.parametrize("value", [0, 0.0, False])
@pytest.mark.parametrize("where", ["qubit", "gate"])
def test_a_gate_that_is_not_operational_is_faulty(value, where):
    off, error = entry("operational", value, ""), entry("gate_error", 0.01, "")
    dead = snapshot([off], [error]) if where == "qubit" else snapshot([], [error, off])
    assert Calibration.from_properties(dead).gate("sx", [0]).error == 1.0
    on = snapshot([entry("operational", 1, "")], [error, entry("operational", True, "")])
    assert Calibration.from_properties(on).gate("sx", [0]).error == 0.01


@pytest.mark.parametrize("value", [None, math.nan])
def test_a_value_that_the_backend_lacks_is_missing(value):
    """Live backends report unknown values as NaN: missing, not bad."""
    calibration = Calibration.from_properties(snapshot([entry("T1", value, "us")], []))
    assert calibration.qubit(0).t1_us is None


def test_a_missing_value_is_named_where_it_is_needed(plain):
    del plain["qubits"][1]["t1_us"]
    del plain["gates"][1]["error"]
    calibration = Calibration.parse(plain, "bench.json")
    expected = r"bench at 2024-02-28T13:32:31\+00:00 lacks t1_us of qubit 1; add the value"
    with pytest.raises(QmendError, match=expected):
        calibration.value(calibration.qubit(1), "t1_us")
    with pytest.raises(QmendError, match=r"lacks error of cx on \[0, 1\]"):
        calibration.value(calibration.gate("cx", (0, 1)), "error")
    assert calibration.value(calibration.qubit(0), "t1_us") == 100.0


BAD_VALUES = [
    (("qubits", 0, "readout_error"), -0.1, r"qubits\.0\.readout_error .*greater than or equal"),
    (("qubits", 0, "readout_error"), 1.5, r"qubits\.0\.readout_error .*less than or equal to 1"),
    (("qubits", 0, "readout_error"), math.nan, r"qubits\.0\.readout_error "),
    (("qubits", 1, "prob_meas0_prep1"), -1e-9, r"qubits\.1\.prob_meas0_prep1 "),
    (("qubits", 1, "t1_us"), 0.0, r"qubits\.1\.t1_us .*greater than 0"),
    (("qubits", 1, "t2_us"), -3.0, r"qubits\.1\.t2_us "),
    (("qubits", 1, "t2_us"), math.inf, r"qubits\.1\.t2_us "),
    (("qubits", 1, "frequency_ghz"), math.nan, r"qubits\.1\.frequency_ghz "),
    (("qubits", 1, "qubit"), -1, r"qubits\.1\.qubit "),
    (("gates", 0, "error"), -2e-4, r"gates\.0\.error "),
    (("gates", 0, "error"), math.nan, r"gates\.0\.error "),
    (("gates", 1, "error"), 1.01, r"gates\.1\.error "),
    (("gates", 1, "length_ns"), -300.0, r"gates\.1\.length_ns "),
    (("gates", 1, "length_ns"), math.nan, r"gates\.1\.length_ns "),
    (("gates", 1, "erorr"), 0.1, r"gates\.1\.erorr Extra inputs"),
    (("temperature",), 0.01, r"temperature Extra inputs"),
    (("time",), "yesterday", r"time "),
    (("time",), 20240501, r"time 20240501 is no time: write text such as 2024-05-01"),
    (("time",), 1714521600.0, r"time 1714521600.0 is no time"),
    (("time",), True, r"time True is no time"),
    (("time",), "1714521600", r"time Invalid isoformat string: '1714521600'"),
    (("time",), "20240501", r"time needs a time zone"),
    (("time",), "2024-02-28T13:32:31", r"time needs a time zone, such as \+00:00"),
    (("time",), "20240228", r"time needs a time zone"),
    (("time",), "1709127151", r"time Invalid isoformat string"),
    (("qubits", 1, "t1_us"), 9e-5, r"qubits\.1\.t1_us 9e-05 us is not believable, .* 0\.01 us"),
    (("qubits", 1, "t2_us"), 0.0099, r"qubits\.1\.t2_us 0\.0099 us .*look at its unit"),
    (("qubits", 1, "frequency_ghz"), 5.1e3, r"qubits\.1\.frequency_ghz 5100 GHz is not believable"),
    (("qubits", 1, "readout_length_ns"), 0.8, r"qubits\.1\.readout_length_ns 0\.8 ns is not bel"),
    (("gates", 1, "length_ns"), 3e-7, r"gates\.1\.length_ns 3e-07 ns is not believable"),
    (("gates", 1, "error"), True, r"gates\.1\.error .*valid number"),
    (("gates", 1, "error"), math.inf, r"gates\.1\.error .*finite"),
    (("qubits", 1, "qubit"), 0, r"qubit 0 is there more than once; correct"),
    (("gates", 0, "gate"), "cx", r"gates\.0 cx on \[0\] has 2 qubits"),
    (("gates", 0, "qubits"), [], r"gates\.0\.qubits .*at least 1 item"),
    (("gates", 1, "qubits"), [0], r"gates\.1 cx on \[0\] has 2 qubits"),
    (("gates", 1, "qubits"), [0, 1, 1], r"gates\.1 cx on \[0, 1, 1\] has 2 qubits"),
    (("gates", 1, "qubits"), [1, 1], r"gates\.1 cx on \[1, 1\] names a qubit twice"),
    (("gates", 1, "qubits"), [0, 7], r"cx on \[0, 7\] is on a qubit that is not among"),
]


@pytest.mark.parametrize(("path", "value", "message"), BAD_VALUES)
def test_a_bad_value_is_refused_by_name(plain, path, value, message):
    at = plain
    for part in path[:-1]:
        at = at[part]
    at[path[-1]] = value
    with pytest.raises(QmendError, match=rf"^Calibration bench\.json: {message}"):
        Calibration.parse(plain, "bench.json")


@pytest.mark.parametrize("error", [0.008, 0.5, None])
def test_a_gate_given_twice_is_refused(plain, error):
    """Whatever its error is: neither the first nor the last may win."""
    plain["gates"].append({"gate": "cx", "qubits": [0, 1], "error": error, "length_ns": 300.0})
    with pytest.raises(
        QmendError, match=r"x: the gate cx on \[0, 1\] is there more than once; cor"
    ):
        Calibration.parse(plain, "x")


def test_both_directions_of_a_gate_are_two_gates(plain):
    plain["gates"].append({"gate": "cx", "qubits": [1, 0], "error": 0.5, "length_ns": 330.0})
    calibration = Calibration.parse(plain, "x")
    assert calibration.gate("cx", [0, 1]).error == 6e-3
    assert calibration.gate("cx", [1, 0]).error == 0.5


def test_the_bounds_leave_what_is_rare_but_true(plain):
    """The worst T2 of the shipped snapshots is .18 us; a virtual gate takes no time."""
    plain["qubits"][0] |= {"t1_us": 0.78, "t2_us": 0.18, "frequency_ghz": 12.6}
    plain["gates"][0]["length_ns"] = 0.0
    calibration = Calibration.parse(plain, "x")
    assert calibration.qubit(0).t2_us == 0.18
    assert calibration.gate("sx", [0]).length_ns == 0.0


def test_t2_above_twice_t1_is_kept_as_reported(plain):
    plain["qubits"][0]["t2_us"] = 350.0
    assert Calibration.parse(plain, "x").qubit(0).t2_us == 350.0


def test_errors_of_exactly_0_and_1_are_valid(plain):
    plain["gates"][0]["error"] = 0.0
    plain["gates"][1]["error"] = 1.0
    calibration = Calibration.parse(plain, "x")
    assert [g.error for g in calibration.gates] == [0.0, 1.0]


def test_identity_survives_json():
    calibration = Calibration.from_properties(FakeAlgiers().properties())
    text = json.dumps(calibration.model_dump(mode="json"))
    again = Calibration.parse(json.loads(text), "x")
    assert again == calibration
    assert again.calibration_id == calibration.calibration_id


def test_identity_changes_with_every_value(plain):
    ids = {Calibration.parse(plain, "x").calibration_id}
    for path, value in [
        (("device",), "other"),
        (("time",), "2024-02-28T13:32:32+00:00"),
        (("qubits", 1, "t1_us"), 90.0 + 1e-12),
        (("gates", 1, "error"), None),
        (("gates", 1, "qubits"), [1, 0]),
    ]:
        other = copy.deepcopy(plain)
        at = other
        for part in path[:-1]:
            at = at[part]
        at[path[-1]] = value
        ids.add(Calibration.parse(other, "x").calibration_id)
    assert len(ids) == 6


def test_the_same_moment_in_another_zone_is_the_same_calibration(plain):
    """Times are UTC inside, whatever zone a file gives them in."""
    other = {**plain, "time": "2024-02-28T08:32:31-05:00"}
    ours, theirs = Calibration.parse(plain, "x"), Calibration.parse(other, "x")
    assert theirs.time.utcoffset().total_seconds() == 0
    assert ours.calibration_id == theirs.calibration_id


def test_absent_qubits_and_gates_are_named(plain):
    calibration = Calibration.parse(plain, "x")
    with pytest.raises(QmendError, match=r"no qubit 7; choose a layout among its qubits 0\.\.1"):
        calibration.qubit(7)
    with pytest.raises(QmendError, match=r"no gate 'cx' on qubits \[1, 0\]"):
        calibration.gate("cx", [1, 0])


def test_restriction_keeps_exactly_what_lies_inside_the_layout():
    whole = Calibration.from_properties(FakeAlgiers().properties())
    part = whole.restrict((3, 5, 2))
    assert {q.qubit for q in part.qubits} == {2, 3, 5}
    expected = [g for g in whole.gates if set(g.qubits) <= {2, 3, 5}]
    assert list(part.gates) == expected
    assert {g.qubits for g in part.gates if g.gate == "cx"} == {(2, 3), (3, 2), (3, 5), (5, 3)}
    with pytest.raises(QmendError, match="no qubit 99"):
        whole.restrict((3, 99))


def test_reading_a_file(tmp_path, plain):
    path = tmp_path / "snapshot.json"
    path.write_text(json.dumps(plain))
    assert Calibration.read(path) == Calibration.parse(plain, "x")
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(plain).encode())
    assert Calibration.read(path) == Calibration.parse(plain, "x")


def test_reading_a_file_of_backend_properties(tmp_path):
    path = tmp_path / "properties.json"
    data = FakeAlgiers().properties().to_dict()
    path.write_text(json.dumps(data, default=str))
    assert Calibration.read(path) == Calibration.from_properties(FakeAlgiers().properties())
    data["last_update_date"] = "2024-02-28T13:32:31"
    path.write_text(json.dumps(data, default=str))
    with pytest.raises(QmendError, match=r"properties\.json: time needs a time zone"):
        Calibration.read(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist; check the path"),
        (b'{"device": ', "JSON"),
        (b"\xff\xfe\x00", "JSON"),
        (b"[1, 2]", "correct the value"),
        (b'{"device": "x"}', "Field required"),
        (b'{"device": "x", "device": "x"}', "the key 'device' is there more than once"),
        (b'{"backend_name": "x", "gates": [], "gates": []}', "the key 'gates' is there more than"),
        (b'{"qubits": [{"qubit": 0, "t1_us": 90, "t1_us": 9}]}', "the key 't1_us' is there more"),
        (b'{"backend_name": "x"}', r"BackendProperties \(KeyError: 'qubits'\)"),
        (b'{"backend_name": "x", "qubits": 3}', r"BackendProperties \(TypeError"),
    ],
)
def test_an_unreadable_file_is_named(tmp_path, content, message):
    path = tmp_path / "snapshot.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(QmendError, match=message) as caught:
        Calibration.read(path)
    assert "snapshot.json" in str(caught.value)


def test_a_folder_in_place_of_a_file_is_named(tmp_path):
    with pytest.raises(QmendError, match=tmp_path.name):
        Calibration.read(tmp_path)
