"""The 101 calibration values, against the stated order in physical qubit numbers."""

import numpy as np
import pytest
from qiskit_ibm_runtime.fake_provider import FakeAlgiers, FakeHanoiV2

from qmend.devices.calibration import Calibration, GateCalibration, QubitCalibration
from qmend.devices.vector import SLOTS, calibration_vector
from qmend.types import QmendError

CHAIN = (0, 1, 2, 3, 5)
#: The paper's order of directed edges, in physical qubits.
PAPER_EDGES = [(3, 5), (5, 3), (2, 1), (1, 2), (3, 2), (2, 3), (0, 1), (1, 0)]


@pytest.fixture(scope="module")
def distinct() -> tuple[Calibration, dict]:
    """A calibration in which no two values are equal, and each value by its name."""
    numbers = iter(range(1, 1000))
    values: dict = {}

    def fresh(scale: float, *name: object) -> float:
        values[name] = next(numbers) * scale
        return values[name]

    qubits = tuple(
        QubitCalibration(
            qubit=q,
            t1_us=fresh(1.0, "t1", q),
            t2_us=fresh(1.0, "t2", q),
            frequency_ghz=fresh(0.01, "frequency", q),
            readout_error=fresh(1e-4, "readout", q),
            prob_meas0_prep1=fresh(1e-4, "0|1", q),
            prob_meas1_prep0=fresh(1e-4, "1|0", q),
        )
        for q in range(7)
    )
    gates = [
        GateCalibration(
            gate=g,
            qubits=(q,),
            error=fresh(1e-5, "error", g, q),
            length_ns=fresh(1.0, "length", g, q),
        )
        for q in reversed(range(7))
        for g in ("x", "reset", "sx", "rz", "id")
    ]
    gates += [
        GateCalibration(
            gate="cx",
            qubits=edge,
            error=fresh(1e-5, "error", "cx", *edge),
            length_ns=fresh(1.0, "length", "cx", *edge),
        )
        for edge in sorted([*PAPER_EDGES, (3, 4), (4, 3)])
    ]
    assert len(set(values.values())) == len(values)
    time = "2024-01-01T00:00:00+00:00"
    return Calibration(device="x", time=time, qubits=qubits, gates=tuple(gates)), values


def test_distinct_values_come_out_in_the_stated_order(distinct):
    """Real snapshots repeat values (id, sx and x errors coincide), so an order needs this."""
    calibration, v = distinct
    expected: list[float] = []
    for q in (0, 1, 2, 3, 5):
        expected += [v["error", "id", q], v["error", "sx", q], 0, v["error", "x", q], 0]
    for q in (0, 1, 2, 3, 5):
        e = v["readout", q]
        expected += [1 - e, e, e, 1 - e]
    expected += [
        v["error", "cx", 3, 5], v["error", "cx", 5, 3],
        v["error", "cx", 2, 1], v["error", "cx", 1, 2],
        v["error", "cx", 3, 2], v["error", "cx", 2, 3],
        v["error", "cx", 0, 1], v["error", "cx", 1, 0],
    ]  # fmt: skip
    expected += [v["t1", 0], v["t1", 1], v["t1", 2], v["t1", 3], v["t1", 5]]
    expected += [v["t2", 0], v["t2", 1], v["t2", 2], v["t2", 3], v["t2", 5]]
    expected += [v["frequency", q] for q in (0, 1, 2, 3, 5)]
    expected += [v["length", "id", q] for q in (0, 1, 2, 3, 5)]
    expected += [0, 0, 0, 0, 0]
    expected += [v["length", "sx", q] for q in (0, 1, 2, 3, 5)]
    expected += [v["length", "x", q] for q in (0, 1, 2, 3, 5)]
    expected += [
        v["length", "cx", 3, 5], v["length", "cx", 5, 3],
        v["length", "cx", 2, 1], v["length", "cx", 1, 2],
        v["length", "cx", 3, 2], v["length", "cx", 2, 3],
        v["length", "cx", 0, 1], v["length", "cx", 1, 0],
    ]  # fmt: skip
    expected += [v["length", "reset", q] for q in (0, 1, 2, 3, 5)]
    vector = calibration_vector(calibration, CHAIN)
    assert vector.shape == (101,)
    assert vector.tolist() == expected


@pytest.mark.parametrize("backend", [FakeAlgiers, FakeHanoiV2])
def test_slots_equal_the_snapshot_one_by_one(backend):
    """Read with Qiskit's own accessors (SI units), slot numbers as the paper gives them."""
    p = backend().properties()
    vector = calibration_vector(Calibration.from_properties(p), CHAIN)
    expected = np.full(101, np.nan)
    for k, q in enumerate(CHAIN):
        expected[5 * k + 0] = p.gate_error("id", q)
        expected[5 * k + 1] = p.gate_error("sx", q)
        expected[5 * k + 2] = 0
        expected[5 * k + 3] = p.gate_error("x", q)
        expected[5 * k + 4] = 0
        e = p.readout_error(q)
        expected[25 + 4 * k : 29 + 4 * k] = [1 - e, e, e, 1 - e]
        expected[53 + k] = p.t1(q) * 1e6
        expected[58 + k] = p.t2(q) * 1e6
        expected[63 + k] = p.frequency(q) * 1e-9
        expected[68 + k] = p.gate_length("id", q) * 1e9
        expected[73 + k] = 0
        expected[78 + k] = p.gate_length("sx", q) * 1e9
        expected[83 + k] = p.gate_length("x", q) * 1e9
        expected[96 + k] = p.gate_length("reset", q) * 1e9
    for k, edge in enumerate(PAPER_EDGES):
        expected[45 + k] = p.gate_error("cx", edge)
        expected[88 + k] = p.gate_length("cx", edge) * 1e9
    np.testing.assert_allclose(vector, expected, rtol=1e-12, atol=0)


def test_named_slots_cover_the_vector_once(distinct):
    calibration, v = distinct
    covered = np.concatenate([np.arange(101)[s] for s in SLOTS.values()])
    assert covered.tolist() == list(range(101))
    vector = calibration_vector(calibration, CHAIN)
    assert vector[SLOTS["two_qubit_error"]][0] == v["error", "cx", 3, 5]
    assert vector[SLOTS["t2_us"]][4] == v["t2", 5]
    assert vector[SLOTS["one_qubit_length_ns"]][0] == v["length", "id", 0]
    assert vector[SLOTS["reset_length_ns"]][4] == v["length", "reset", 5]


def test_only_chains_of_five_have_a_vector(distinct):
    with pytest.raises(QmendError, match="defined on 5 qubits, not 4"):
        calibration_vector(distinct[0], (0, 1, 2, 3))


def test_a_missing_value_is_named(distinct):
    calibration, _ = distinct
    gates = tuple(
        g.model_copy(update={"error": None}) if (g.gate, g.qubits) == ("cx", (3, 2)) else g
        for g in calibration.gates
    )
    broken = Calibration(device="x", time=calibration.time, qubits=calibration.qubits, gates=gates)
    with pytest.raises(QmendError, match=r"lacks error of cx on \[3, 2\]"):
        calibration_vector(broken, CHAIN)
