"""The calibration's prediction is exact where noise is what it says."""

from dataclasses import replace

import numpy as np
import pytest

from qmend.circuits.instructions import InstructionTable
from qmend.datasets.circuits import CircuitBatch
from qmend.devices.calibration import Calibration
from qmend.mitigation.baselines.calibration_inversion import (
    CalibrationInversion,
    predicted_survival,
)
from qmend.types import QmendError


def test_depolarizing_gates_of_two_qubits_are_undone(perfect, exact_runs, random_circuits, ideal):
    """Simulated: on two qubits the depolarizing error of a CX commutes with everything."""
    errors = {
        ("cx", (2, 1)): 0.03,
        ("cx", (1, 2)): 0.05,
        ("readout", (1,)): 0.04,
        ("readout", (2,)): 0.09,
    }
    runs = exact_runs(perfect(errors), (2, 1))
    batch = runs.measure(random_circuits([(0, 1), (1, 0)], 0), 10**6)
    assert np.abs(batch.noisy - ideal(batch)).max() > 0.05
    np.testing.assert_allclose(CalibrationInversion().mitigate(batch), ideal(batch), atol=1e-12)


def test_depolarizing_gates_of_one_qubit_are_undone(perfect, exact_runs, ideal):
    """SX and X have their own errors, RZ has none, an empty circuit is left alone."""
    runs = exact_runs(perfect({("sx", (3,)): 0.02, ("x", (3,)): 0.05}), (3,))
    one = [("sx", 0, -1, 0.0), ("rz", 0, -1, 0.4), ("sx", 0, -1, 0.0), ("x", 0, -1, 0.0)]
    batch = runs.measure([one, one[:3] * 4, []], 10**6)
    expected = [(1 - 0.04) ** 2 * (1 - 0.1), (1 - 0.04) ** 8, 1.0]
    np.testing.assert_allclose(predicted_survival(batch), expected, rtol=1e-12)
    np.testing.assert_allclose(CalibrationInversion().mitigate(batch), ideal(batch), atol=1e-12)


def test_survival_is_the_product_over_the_circuits_own_gates(tiny, algiers):
    """Gate by gate, in plain Python, with the published depolarizing probabilities."""
    circuits = tiny.part("test").circuits
    for row, survival in enumerate(predicted_survival(circuits)[:6]):
        product = 1.0
        for gate, a, b, _ in circuits.instructions.circuit(row):
            if gate == "rz":
                continue
            qubits = tuple(algiers.layout[q] for q in (a, b) if q >= 0)
            error = algiers.calibration.gate(gate, qubits).error
            product *= 1 - error * (2 if len(qubits) == 1 else 4 / 3)
        assert survival == pytest.approx(product, rel=1e-12)
        assert survival < 0.95


def test_each_circuit_under_its_own_calibration(perfect, algiers):
    snapshots = tuple(perfect({("x", (0,)): e}) for e in (0.1, 0.3))
    table = InstructionTable.from_circuits(5, [[("x", 0, -1, 0.0)]] * 3)
    batch = CircuitBatch(
        table,
        np.full((3, 32), 1 / 32),
        np.full(3, 100),
        (algiers.layout,) * 2,
        snapshots,
        np.array([1, 0, 1]),
        np.tile(np.arange(5), (3, 1)),
    )
    np.testing.assert_allclose(predicted_survival(batch), [0.4, 0.8, 0.4], rtol=1e-12)


def test_an_error_rate_that_is_missing_is_named(tiny, algiers):
    plain = algiers.calibration.model_dump(mode="json")
    for item in plain["gates"]:
        if item["gate"] == "cx":
            item["error"] = None
    circuits = tiny.part("test").circuits
    circuits = replace(circuits, calibrations=(Calibration.parse(plain, "x"),))
    with pytest.raises(QmendError, match="lacks error of cx on"):
        CalibrationInversion().mitigate(circuits)


def test_a_gate_that_always_fails_is_no_crash(perfect, exact_runs):
    """An error of 1 is a depolarizing probability above 1."""
    runs = exact_runs(perfect(), (3,))
    batch = runs.measure([[("x", 0, -1, 0.0)]], 100)
    broken = replace(batch, calibrations=(perfect({("x", (3,)): 1.0}),))
    np.testing.assert_allclose(CalibrationInversion().mitigate(broken), [[0, 1]], atol=1e-12)
