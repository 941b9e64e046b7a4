"""Every channel against Qiskit's own construction, and the check that guards them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from qiskit.circuit.library import CXGate, ECRGate, RXGate, RZGate, RZXGate, RZZGate
from qiskit.quantum_info import PTM, Operator, SuperOp
from qiskit_aer.noise import (
    amplitude_damping_error,
    depolarizing_error,
    pauli_error,
    phase_damping_error,
    thermal_relaxation_error,
)

from qmend.simulation import channels
from qmend.types import QmendError


def ptm(channel) -> np.ndarray:
    return PTM(SuperOp(channel)).data.real


CASES = {
    "depolarizing": (channels.depolarizing(0.13), depolarizing_error(0.13, 1)),
    "depolarizing two": (channels.depolarizing(0.13, 2), depolarizing_error(0.13, 2)),
    "pauli": (
        channels.pauli_channel(0.02, 0.05, 0.11),
        pauli_error([("X", 0.02), ("Y", 0.05), ("Z", 0.11), ("I", 0.82)]),
    ),
    "amplitude damping": (channels.amplitude_damping(0.2), amplitude_damping_error(0.2)),
    "generalised": (
        channels.generalised_amplitude_damping(0.2, 0.3),
        amplitude_damping_error(0.2, 0.3),
    ),
    "phase damping": (channels.phase_damping(0.2), phase_damping_error(0.2)),
    "relaxation": (
        channels.thermal_relaxation(50.0, 70.0, 3.0, 0.1),
        thermal_relaxation_error(50.0, 70.0, 3.0, 0.1),
    ),
    "relaxation, T2 < T1": (
        channels.thermal_relaxation(50.0, 20.0, 3.0),
        thermal_relaxation_error(50.0, 20.0, 3.0),
    ),
    "rx": (channels.rotation("X", 0.3), Operator(RXGate(0.3))),
    "rz": (channels.rotation("Z", -1.3), Operator(RZGate(-1.3))),
    "rzz": (channels.rotation("ZZ", 0.3), Operator(RZZGate(0.3))),
    "rzx": (channels.rotation("ZX", 0.3), Operator(RZXGate(0.3))),
    "cx": (channels.unitary_channel(Operator(CXGate()).data), Operator(CXGate())),
    "ecr": (channels.unitary_channel(Operator(ECRGate()).data), Operator(ECRGate())),
}


@pytest.mark.parametrize("name", CASES)
def test_channel_equals_qiskits(name):
    ours, theirs = CASES[name]
    np.testing.assert_allclose(ours.numpy(), ptm(theirs), atol=1e-12)
    channels.check_channel(ours, name)


def test_side_by_side_and_swapped():
    first, second = channels.rotation("X", 0.4), channels.thermal_relaxation(50.0, 70.0, 5.0)
    relaxed = SuperOp(thermal_relaxation_error(50.0, 70.0, 5.0))
    expected = ptm(relaxed.tensor(SuperOp(Operator(RXGate(0.4)))))
    np.testing.assert_allclose(channels.tensor(first, second).numpy(), expected, atol=1e-12)
    swapped = channels.swap_qubits(channels.tensor(first, second))
    np.testing.assert_allclose(swapped.numpy(), channels.tensor(second, first).numpy(), atol=0)


def test_relaxation_truncates_t2_at_twice_t1():
    np.testing.assert_array_equal(
        channels.thermal_relaxation(50.0, 500.0, 3.0).numpy(),
        channels.thermal_relaxation(50.0, 100.0, 3.0).numpy(),
    )


def test_average_gate_fidelity_of_depolarizing():
    """1 - F = p (d - 1) / d."""
    for n, d in ((1, 2), (2, 4)):
        fidelity = channels.average_gate_fidelity(channels.depolarizing(0.1, n))
        assert float(fidelity) == pytest.approx(1 - 0.1 * (d - 1) / d)


def test_parameters_may_be_batches():
    angles = torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64)
    batch = channels.rotation("ZZ", angles)
    assert batch.shape == (3, 16, 16)
    np.testing.assert_array_equal(batch[1].numpy(), channels.rotation("ZZ", 0.2).numpy())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: channels.depolarizing(-0.1), "depolarizing probability"),
        (lambda: channels.depolarizing(float("nan")), "depolarizing probability"),
        (lambda: channels.pauli_channel(0.5, 0.5, 0.5), "Pauli error probability"),
        (lambda: channels.amplitude_damping(1.5), "damping probability"),
        (lambda: channels.phase_damping(-1.0), "phase damping probability"),
        (lambda: channels.thermal_relaxation(-5.0, 5.0, 1.0), "T1 must be positive"),
        (lambda: channels.thermal_relaxation(5.0, 5.0, -1.0), "relaxation time"),
    ],
)
def test_bad_parameters_are_named(make, message):
    with pytest.raises(QmendError, match=message):
        make()


def test_check_refuses_what_is_no_channel():
    transpose = torch.diag(torch.tensor([1.0, 1.0, -1.0, 1.0], dtype=torch.float64))
    with pytest.raises(QmendError, match="transpose is not completely positive"):
        channels.check_channel(transpose, "transpose")
    lossy = 0.9 * torch.eye(4, dtype=torch.float64)
    with pytest.raises(QmendError, match="lossy does not preserve the trace"):
        channels.check_channel(lossy, "lossy")
    # Each half is positive, but the flip of one qubit of two is not completely so.
    half = channels.tensor(transpose, torch.eye(4, dtype=torch.float64))
    with pytest.raises(QmendError, match="not completely positive"):
        channels.check_channel(half, "half")
