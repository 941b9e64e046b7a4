"""Error maps against the simulator: noisy parities from the ideal state's Pauli coefficients."""

from __future__ import annotations

import numpy as np
import pytest

from qmend.circuits.compilation import build_compiler
from qmend.circuits.families import build_family
from qmend.circuits.instructions import InstructionTable
from qmend.devices.device import DeviceConfig, load_device
from qmend.noise.config import SurrogateConfig
from qmend.noise.error_maps import error_rows, noiseless_program
from qmend.noise.surrogate import SurrogateNoise
from qmend.simulation.differentiable import evolve
from qmend.simulation.program import z_strings

LAYOUTS = {2: (0, 1), 3: (0, 1, 2), 5: (0, 1, 2, 3, 5)}


def compiled(n: int, count: int) -> tuple[SurrogateNoise, InstructionTable]:
    layout = LAYOUTS[n]
    device = load_device(DeviceConfig(name="algiers", backend="FakeAlgiers", layout=layout))
    compiler = build_compiler("direct", n, device.native_gates, device.edges, 1)
    family = build_family({"name": "pauli", "n_qubits": n, "gadgets_min": 1, "gadgets_max": 5})
    rng = np.random.default_rng(n)
    circuits = [compiler(family.draw(rng)).instructions for _ in range(count)]
    noise = SurrogateNoise(
        device.calibration, layout, SurrogateConfig(name="surrogate_hardware", strength=2.0)
    )
    return noise, InstructionTable.from_circuits(n, circuits)


@pytest.mark.parametrize("n", LAYOUTS)
def test_noisy_parities_come_from_ideal_coefficients(n):
    noise, table = compiled(n, 8)
    noisy, ideal = noise.program(table, job=3), noiseless_program(noise.gates, table)
    rows = error_rows(noisy, ideal)
    assert rows.shape == (8, 2**n, 4**n)
    states = evolve(ideal, every=True).numpy()
    parities = np.einsum("csp,cp->cs", rows, states)
    np.testing.assert_allclose(parities, evolve(noisy).numpy(), atol=1e-5)
    # The map does not know the state: nor is it the identity, or one factor for all.
    factors = np.diagonal(rows[:, :, z_strings(n)], axis1=1, axis2=2)
    np.testing.assert_allclose(factors[:, 0], 1, atol=1e-6)
    assert factors[:, 1:].max() < 1
    assert np.ptp(factors[:, 1:], axis=1).max() > 1e-3


def test_without_noise_every_parity_stays_as_it_is():
    noise, table = compiled(3, 4)
    ideal = noiseless_program(noise.gates, table)
    expected = np.zeros((8, 64))
    expected[np.arange(8), z_strings(3)] = 1
    np.testing.assert_allclose(error_rows(ideal, ideal), np.tile(expected, (4, 1, 1)), atol=1e-6)
