"""What every noise config must give: a model, Aer's form of it or none, a text, other devices."""

import subprocess
import sys

import numpy as np
import pytest

from qmend.circuits.instructions import InstructionTable
from qmend.noise.config import RandomizedNoise, WorldsConfig, read_noise
from qmend.types import QmendError

CONFIGS = {
    "aer": read_noise({"name": "aer"}),
    "hardware": read_noise({"name": "surrogate_hardware", "device_seed": 7}),
    "twirled": read_noise({"name": "surrogate_twirled", "device_seed": 7}),
    "fitted": read_noise({"name": "surrogate_fitted", "gates": {"0-1": {"terms": {"ZZ": 0.1}}}}),
    "randomized": RandomizedNoise(strength=(0.5, 2.0), seed=7),
    "worlds": WorldsConfig.of(name="worlds", seed=7),
}
#: Which of them are drawn anew for another device.
DRAWN = ("hardware", "twirled", "randomized", "worlds")


@pytest.fixture
def table() -> InstructionTable:
    gates = [("sx", 0, -1, 0.0), ("cx", 0, 1, 0.0), ("rz", 1, -1, 0.3), ("sx", 1, -1, 0.0)]
    return InstructionTable.from_circuits(5, [gates, gates[:2]])


@pytest.mark.parametrize("name", CONFIGS)
def test_the_model_gives_distributions(name, algiers, table):
    config = CONFIGS[name]
    noise = config.executor("ptm", algiers.calibration, algiers.layout)
    probabilities = noise.probabilities(table, 3)
    assert probabilities.shape == (2, 32)
    assert probabilities.min() > -1e-12
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, atol=1e-12)
    np.testing.assert_allclose(noise.readout.sum(axis=1), 1.0, atol=1e-12)
    assert noise.gates.layout == algiers.layout
    assert "Simulated noise is a model" in config.description


@pytest.mark.parametrize("name", CONFIGS)
def test_aer_gives_the_same_or_is_refused(name, algiers, table):
    config = CONFIGS[name]
    aer = config.build_aer(algiers.calibration, algiers.layout)
    if aer is None:
        with pytest.raises(QmendError, match=r"use dataset\.simulator=ptm"):
            config.executor("aer", algiers.calibration, algiers.layout)
        return
    ours = config.build(algiers.calibration, algiers.layout)
    np.testing.assert_allclose(aer.probabilities(table), ours.probabilities(table), atol=1e-8)
    np.testing.assert_array_equal(aer.readout, ours.readout)


@pytest.mark.parametrize("name", CONFIGS)
def test_other_devices_are_drawn_where_the_constants_come_from_a_seed(name):
    config = CONFIGS[name]
    assert config.of_device(2) == config.of_device(2)
    assert (config.of_device(1) != config.of_device(2)) == (name in DRAWN)
    assert (config.constants in ("seed", "draw")) == (name in DRAWN)


def test_constants_are_the_same_whatever_the_seed_of_the_rest():
    fitted = CONFIGS["fitted"]
    assert fitted.same_constants(fitted.model_copy(update={"device_seed": 5}))
    assert not fitted.same_constants(fitted.model_copy(update={"idle_relaxation": 0.5}))
    assert not fitted.same_constants(CONFIGS["aer"])


def test_configs_load_without_the_libraries_of_their_models():
    code = (
        "import sys, qmend.noise.config, qmend.datasets.config;"
        "heavy = {'torch', 'numba', 'qiskit', 'qiskit_aer'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
