"""Chains of physical qubits on a real device's snapshot."""

import pytest
from qiskit_ibm_runtime.fake_provider import FakeAlgiers

from qmend.devices.device import DeviceConfig, load_device
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


def test_an_unknown_backend_names_the_nearest():
    with pytest.raises(QmendError, match=r"no snapshot 'FakeAlgier'. Did you mean 'FakeAlgiers'\?"):
        load_device(config((0, 1), "FakeAlgier"))


def test_another_native_set_is_found():
    """An Eagle processor has ECR in one direction only."""
    device = load_device(config((0, 1, 2), "FakeSherbrooke"))
    assert "ecr" in device.native_gates
    assert "cx" not in device.native_gates
    assert len(device.edges) == 2
