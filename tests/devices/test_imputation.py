"""Typical values stand in for what is not known, and for nothing else."""

import pytest

from qmend.devices.calibration import Calibration
from qmend.devices.imputation import MeanCalibration, unknown_calibration
from qmend.types import QmendError


def calibration(device="a", two="cx", scale=1.0, **changes) -> Calibration:
    qubits = [
        {
            "qubit": q,
            "t1_us": scale * (100 + q),
            "t2_us": scale * 50,
            "frequency_ghz": 5.0,
            "readout_error": 0.01 * (q + 1),
        }
        for q in (0, 1)
    ]
    gates = [
        {"gate": "sx", "qubits": (0,), "error": 0.001 * scale, "length_ns": 30.0},
        {"gate": "x", "qubits": (0,), "error": 0.003 * scale, "length_ns": 30.0},
        {"gate": "rz", "qubits": (0,), "error": 0.0, "length_ns": 0.0},
        {"gate": "reset", "qubits": (0,), "length_ns": 800.0},
        {"gate": two, "qubits": (0, 1), "error": 0.02 * scale, "length_ns": 400.0},
    ]
    data = {"device": device, "time": "2024-01-01T00:00:00+00:00", "qubits": qubits, "gates": gates}
    return Calibration.parse({**data, **changes}, "of a test")


def test_means_are_over_every_value_of_every_calibration():
    found = MeanCalibration.of([calibration(), calibration("b", two="ecr", scale=3.0)])
    assert found.t1_us == pytest.approx((100 + 101 + 300 + 303) / 4)
    assert found.readout_error == pytest.approx(0.015)
    assert found.one_qubit_error == pytest.approx((1 + 3 + 3 + 9) * 1e-3 / 4)
    assert found.two_qubit_error == pytest.approx((0.02 + 0.06) / 2)  # whatever the gate's name
    assert found.reset_length_ns == 800
    assert MeanCalibration.from_json(found.to_json()) == found


def test_a_missing_value_is_left_out_of_the_mean():
    gates = [{"gate": "sx", "qubits": (0,), "error": 0.5}, {"gate": "x", "qubits": (1,)}]
    found = MeanCalibration.of([calibration(gates=gates)])
    assert (found.one_qubit_error, found.one_qubit_length_ns) == (0.5, None)
    assert found.two_qubit_error is None


@pytest.mark.parametrize("gate", ["cx", "ecr", "cz"])
def test_unknown_values_are_errors_until_they_are_filled(gate):
    unknown = unknown_calibration("lab", (7, 3, 5), [(gate, 0, 2)])
    with pytest.raises(QmendError, match="lacks readout_error of qubit 7"):
        unknown.value(unknown.qubit(7), "readout_error")
    with pytest.raises(QmendError, match=f"lacks error of {gate} on"):
        unknown.value(unknown.gate(gate, (5, 7)), "error")
    typical = MeanCalibration.of([calibration()])
    filled, count = typical.fill(unknown)
    for q in (7, 3, 5):
        assert filled.qubit(q).t1_us == typical.t1_us
        assert filled.gate("id", (q,)).error == typical.one_qubit_error
        assert filled.gate("rz", (q,)).error == 0
    for pair in ((7, 5), (5, 7), (7, 3), (3, 5)):
        assert filled.gate(gate, pair).error == typical.two_qubit_error
        assert filled.gate(gate, pair).length_ns == typical.two_qubit_length_ns
    # Three qubits: four fields, id, sx and x with error and length, reset's length; three pairs.
    assert count == 3 * (4 + 6 + 1) + 3 * 2 * 2
    assert typical.fill(filled) == (filled, 0)


def test_known_values_stay():
    known = calibration(scale=2.0)
    filled, count = MeanCalibration.of([calibration("b", scale=9.0)]).fill(known)
    assert (filled, count) == (known, 0)


def test_what_the_training_data_lack_stays_missing():
    filled, count = MeanCalibration(t1_us=50.0).fill(unknown_calibration("lab", (0,), []))
    assert count == 1
    with pytest.raises(QmendError, match="lacks t2_us"):
        filled.value(filled.qubit(0), "t2_us")
