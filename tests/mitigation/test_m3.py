"""mthree against the exact inverse, and against its own published definition."""

import sys
from dataclasses import replace

import numpy as np
import pytest

from qmend.devices.calibration import Calibration
from qmend.mitigation.baselines.m3 import M3Readout
from qmend.mitigation.baselines.readout_inversion import undo_readout
from qmend.types import QmendError

#: mthree computes in single precision.
SINGLE = 1e-6


@pytest.fixture(scope="module")
def uneven(algiers) -> Calibration:
    """Every qubit has its own readout error, so that a wrong order shows."""
    plain = algiers.calibration.model_dump(mode="json")
    for item in plain["qubits"]:
        item["readout_error"] = 0.01 + 0.03 * item["qubit"]
    return Calibration.parse(plain, "uneven")


def test_the_exact_inverse_where_every_outcome_was_measured(tiny, uneven, random_distributions):
    """Before the projection; negative values included."""
    circuits = tiny.part("test").circuits
    noisy = random_distributions(len(circuits), 5) * 0.99 + 0.01 / 32
    batch = replace(circuits, noisy=noisy, calibrations=(uneven,))
    quasi = M3Readout().quasi(batch)
    assert quasi.min() < -0.001
    assert np.abs(quasi - noisy).max() > 0.05
    np.testing.assert_allclose(quasi, undo_readout(batch, noisy), rtol=0, atol=SINGLE)


def test_the_space_of_measured_outcomes(tiny, uneven, algiers):
    """Restricted response matrix, columns renormalised, solved; four bits apart counts too."""
    circuits = tiny.part("test").circuits.select(np.array([0]))
    seen = np.array([0b00000, 0b00001, 0b01111, 0b10100])
    noisy = np.zeros((1, 32))
    noisy[0, seen] = 0.4, 0.3, 0.2, 0.1
    whole = np.ones((1, 1))
    for q in algiers.layout:
        e = uneven.qubit(q).readout_error
        whole = np.kron([[1 - e, e], [e, 1 - e]], whole)
    part = whole[np.ix_(seen, seen)]
    expected = np.zeros(32)
    expected[seen] = np.linalg.solve(part / part.sum(axis=0), noisy[0, seen])
    quasi = M3Readout().quasi(replace(circuits, noisy=noisy, calibrations=(uneven,)))
    np.testing.assert_allclose(quasi[0], expected, rtol=0, atol=SINGLE)


def test_a_readout_that_says_nothing_is_refused(tiny, algiers):
    plain = algiers.calibration.model_dump(mode="json")
    plain["qubits"][2]["readout_error"] = 0.5
    circuits = tiny.part("test").circuits
    circuits = replace(circuits, calibrations=(Calibration.parse(plain, "x"),))
    with pytest.raises(QmendError, match=r"readout of qubit 2, .* use readout_inversion"):
        M3Readout().mitigate(circuits)


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "mthree", None)
    with pytest.raises(QmendError, match="pip install mthree"):
        M3Readout()
