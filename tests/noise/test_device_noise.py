"""A calibration's numbers as tensors: the same channels, and gradients by each of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from qiskit.quantum_info import PTM, SuperOp

from qmend.circuits.instructions import InstructionTable
from qmend.gates import GATE_CODE
from qmend.noise.aer import device_noise_model
from qmend.noise.device_noise import DeviceNoise, NoiseParameters, gate_error_channels
from qmend.simulation import differentiable

LAYOUT = (0, 1, 2)
GATES = [
    ("sx", 0, -1, 0.0),
    ("rz", 0, -1, 0.7),
    ("cx", 0, 1, 0.0),
    ("x", 2, -1, 0.0),
    ("sx", 2, -1, 0.0),
    ("cx", 1, 2, 0.0),
    ("sx", 1, -1, 0.0),
    ("cx", 1, 0, 0.0),
]


@pytest.fixture(scope="module")
def known(algiers) -> NoiseParameters:
    return NoiseParameters.of(algiers.calibration, LAYOUT)


def test_errors_are_those_of_aer(algiers, known):
    """Each of the vectorised errors against the quantum error that Aer builds."""
    errors = device_noise_model(algiers.calibration, algiers.layout)._local_quantum_errors
    for gate, size in (("sx", 1), ("cx", 2)):
        at = np.flatnonzero(known.gate == GATE_CODE[gate])
        found = gate_error_channels(known, at)
        for k, row in enumerate(at):
            qubits = [known.first[row], known.second[row]][:size]
            reference = PTM(SuperOp(errors[gate][tuple(qubits)])).data.real
            np.testing.assert_allclose(found[k].numpy(), reference, atol=1e-10)


def expectation(algiers, parameters: NoiseParameters) -> torch.Tensor:
    table = InstructionTable.from_circuits(3, [GATES])
    noise = DeviceNoise(algiers.calibration, LAYOUT, parameters)
    return differentiable.evolve(noise.program(table))[0, [1, 3, 6, 7]].sum()


@pytest.mark.parametrize("name", ["t1", "t2", "excited", "error", "length"])
def test_gradients_equal_finite_differences(algiers, known, name):
    # Away from T2 = 2 T1, where the derivative jumps.
    start = replace(known, t2=0.7 * known.t1, excited=torch.full((3,), 0.02).double())
    value = getattr(start, name).clone().requires_grad_()
    expectation(algiers, replace(start, **{name: value})).backward()
    assert value.grad is not None
    strongest = int(value.grad.abs().argmax())
    step = torch.zeros_like(value)
    step[strongest] = 1e-5 * float(value.detach()[strongest])
    up, down = (
        float(expectation(algiers, replace(start, **{name: value.detach() + sign * step})))
        for sign in (1, -1)
    )
    slope = (up - down) / (2 * float(step[strongest]))
    assert abs(slope) > 1e-9
    assert float(value.grad[strongest]) == pytest.approx(slope, rel=1e-5)


def test_parameters_of_the_snapshot_change_nothing(algiers, known):
    plain = DeviceNoise(algiers.calibration, LAYOUT)
    given = DeviceNoise(algiers.calibration, LAYOUT, known)
    assert torch.equal(plain.one, given.one)
    assert torch.equal(plain.two, given.two)
    assert len(plain.two) == 4


def test_an_error_below_relaxation_leaves_relaxation_alone(known):
    small = replace(known, error=torch.zeros_like(known.error))
    pairs = np.flatnonzero(known.second >= 0)
    found = gate_error_channels(small, pairs)
    t1 = known.t1[torch.from_numpy(known.first[pairs])]
    # <Z> of the first qubit decays by exp(-t / T1), nothing more.
    expected = torch.exp(-known.length[torch.from_numpy(pairs)] / t1)
    torch.testing.assert_close(found[:, 3, 3], expected, atol=1e-14, rtol=0)
