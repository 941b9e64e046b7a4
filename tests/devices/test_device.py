"""Chains of physical qubits on a real device's snapshot."""

import json
import re

import pytest
from pydantic import ValidationError
from qiskit_ibm_runtime.fake_provider import FakeAlgiers

from qmend.devices.calibration import Calibration
from qmend.devices.device import DeviceConfig, load_device, read_calibration, resolve
from qmend.devices.layout import lowest_error_layout
from qmend.types import QmendError


def config(layout, backend="FakeAlgiers") -> DeviceConfig:
    return DeviceConfig(name="x", backend=backend, layout=layout)


def test_the_chain_of_the_paper(algiers):
    assert algiers.name == "ibm_algiers"
    assert algiers.layout == (0, 1, 2, 3, 5)
    assert set(algiers.native_gates) == {"id", "rz", "sx", "x", "cx"}
    both = {(0, 1), (1, 2), (2, 3), (3, 4)}
    assert set(algiers.edges) == both | {(b, a) for a, b in both}
    assert {q.qubit for q in algiers.calibration.qubits} == {0, 1, 2, 3, 5}


@pytest.mark.parametrize("layout", [(0, 1, 2, 3, 5), (5, 3, 2, 1, 0), (3, 2, 5, 1)])
def test_edges_are_the_coupling_map_in_chain_positions(layout):
    device = load_device(config(layout))
    coupled = set(map(tuple, FakeAlgiers().coupling_map.get_edges()))
    expected = {
        (a, b)
        for a in range(len(layout))
        for b in range(len(layout))
        if (layout[a], layout[b]) in coupled
    }
    assert set(device.edges) == expected


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ((0, 1, 1), r"\[0, 1, 1\] names a qubit twice"),
        ((0, 1, 99), "has no qubit 99"),
        ((0, 1, -1), "has no qubit -1"),
        ((0, 1, 2, 5), r"is not connected .*: no two-qubit gate joins \[5\] to the rest"),
        ((0, 1, 25, 26), r"joins \[25, 26\] to the rest"),
    ],
)
def test_a_layout_that_does_not_fit_is_refused(layout, message):
    with pytest.raises(QmendError, match=message):
        load_device(config(layout))


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("FakeAlgier", "Did you mean 'FakeAlgiers'?"),
        ("algiers", "Did you mean 'FakeAlgiers'?"),
        ("ibm_fez", "Did you mean 'FakeFez'?"),
        ("ibmq_belem", "Did you mean 'FakeBelemV2'?"),
        ("fake_mumbia", "Did you mean 'FakeMumbaiV2'?"),
    ],
)
def test_an_unknown_backend_names_the_nearest(name, near):
    with pytest.raises(QmendError) as refused:
        load_device(config((0, 1), name))
    assert str(refused.value) == f"device.backend: no snapshot {name!r}. {near}"


def test_a_backend_like_no_other_names_three():
    """Not all seventy, and not one that is like it in ``Fake`` alone."""
    with pytest.raises(QmendError, match=r"no snapshot 'FakeNowhere'. Near names: ") as refused:
        load_device(config((0, 1), "FakeNowhere"))
    assert str(refused.value).count("Fake") == 4


def test_another_native_set_is_found():
    """An Eagle processor has ECR in one direction only."""
    device = load_device(config((0, 1, 2), "FakeSherbrooke"))
    assert "ecr" in device.native_gates
    assert "cx" not in device.native_gates
    assert len(device.edges) == 2


def test_a_config_of_a_shipped_snapshot_dumps_as_ever():
    """Recipes of older datasets are hashes of exactly these four values."""
    plain = config((0, 1, 2, 3, 5)).model_dump(mode="json")
    assert plain == {
        "name": "x",
        "provider": "fake",
        "backend": "FakeAlgiers",
        "layout": [0, 1, 2, 3, 5],
    }
    chosen = DeviceConfig(name="x", backend="FakeAlgiers", layout="lowest_error", n_qubits=5)
    assert resolve(chosen).model_dump().keys() == plain.keys()
    sized = DeviceConfig(name="x", backend="FakeAlgiers", layout=(0, 1), n_qubits=2)
    assert sized.model_dump() == config((0, 1)).model_dump()


def test_the_layout_of_lowest_error_is_resolved():
    chosen = DeviceConfig(name="x", backend="FakeSherbrooke", layout="lowest_error", n_qubits=5)
    assert DeviceConfig.model_validate_json(chosen.model_dump_json()) == chosen
    resolved = resolve(chosen)
    assert resolved.layout == lowest_error_layout(read_calibration(chosen), 5)
    assert resolve(resolved) == resolved
    assert load_device(chosen) == load_device(resolved)
    explicit = config((0, 1, 2))
    assert resolve(explicit) is explicit


@pytest.fixture
def file(tmp_path):
    calibration = Calibration.from_properties(FakeAlgiers().properties())
    path = tmp_path / "snapshot.json"
    path.write_text(json.dumps(calibration.model_dump(mode="json")))
    return path


def test_a_device_from_a_file(file, algiers):
    """The same device as from the snapshot it was written from, and pinned to its content."""
    given = DeviceConfig(
        name="x", provider="file", calibration_file=file, layout="lowest_error", n_qubits=5
    )
    resolved = resolve(given)
    assert resolved.layout == lowest_error_layout(read_calibration(given), 5)
    assert resolved.calibration_id == read_calibration(given).calibration_id
    assert load_device(resolved.model_copy(update={"layout": algiers.layout})) == algiers
    assert DeviceConfig.model_validate_json(resolved.model_dump_json()) == resolved
    plain = json.loads(file.read_text())
    plain["qubits"][9]["t1_us"] += 1
    file.write_text(json.dumps(plain))
    with pytest.raises(QmendError, match=rf"not {resolved.calibration_id} as .* has changed"):
        load_device(resolved)
    assert resolve(given).calibration_id != resolved.calibration_id


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"provider": "fake"}, "provider=fake needs backend"),
        ({"provider": "runtime"}, "provider=runtime needs backend"),
        ({"provider": "file"}, "provider=file needs calibration_file"),
        ({"provider": "file", "calibration_file": "a", "backend": "b"}, "provider=file has no b"),
        ({"backend": "b", "calibration_file": "a"}, "provider=fake has no calibration_file"),
        (
            {"backend": "b", "calibration_time": "2024-01-01T00:00:00Z"},
            "provider=fake has no calibration_time",
        ),
        ({"backend": "b", "layout": "lowest_error"}, "layout=lowest_error needs n_qubits"),
        ({"backend": "b", "layout": "lowest_eror"}, "list of physical qubits or lowest_error"),
        ({"backend": "b", "layout": []}, "at least 1 item"),
        ({"backend": "b", "n_qubits": 4}, "n_qubits is 4, but layout names 3 qubits; leave"),
        (
            {"provider": "runtime", "backend": "b", "calibration_time": "2024-01-01T00:00"},
            "timezon",
        ),
        (
            {"provider": "runtime", "backend": "b", "calibration_time": 20240501},
            "20240501 is no time: write text such as",
        ),
    ],
)
def test_fields_that_do_not_fit_each_other(fields, message):
    with pytest.raises(ValidationError, match=re.escape(message)):
        DeviceConfig(**{"name": "x", "layout": [0, 1, 2], **fields})
