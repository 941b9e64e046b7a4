"""Fitted surrogate hardware: the same physics, constants by physical qubit and gate."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from pydantic import ValidationError

from qmend.circuits.families import build_family
from qmend.circuits.gadgets import GadgetCompiler
from qmend.circuits.instructions import InstructionTable
from qmend.circuits.statevector import compiled_probabilities
from qmend.noise.config import FittedConfig, SurrogateConfig
from qmend.noise.constants_config import REVERSED
from qmend.noise.device_noise import DeviceNoise, ideal_channel
from qmend.noise.fitted import FittedNoise
from qmend.noise.fitted_constants import reversed_terms
from qmend.noise.readout import apply_readout, readout_matrices
from qmend.noise.surrogate import SurrogateNoise
from qmend.simulation.channels import rotation, swap_qubits, tensor
from qmend.simulation.outputs import probabilities

SPREAD = {
    "t1": (-0.1, 0.2),
    "error": (0.0, 0.3),
    "flip_down": (0.5, 0.2),
    "gate_error": (0.2, 0.3),
    "rx": 0.01,
    "rz": 0.01,
    "stark": 0.03,
    "terms": {"ZZ": 0.03, "IY": 0.04, "ZI": 0.02},
    "drift": {"ZI": 0.05, "IZ": 0.02},
}


@pytest.fixture(scope="module")
def table(algiers) -> InstructionTable:
    compile_one = GadgetCompiler(5, algiers.native_gates, algiers.edges)
    family = build_family({"name": "pauli", "n_qubits": 5})
    drawn = [family.draw(np.random.default_rng(k)).gadgets[:3] for k in range(4)]
    return InstructionTable.from_circuits(5, [compile_one(gadgets) for gadgets in drawn])


def fitted(**settings) -> FittedConfig:
    return FittedConfig.model_validate({"name": "surrogate_fitted", **settings})


def test_without_constants_it_is_the_surrogate_with_idle_relaxation_alone(algiers, table):
    plain = SurrogateConfig(name="surrogate_hardware", zz=0, zx=0, stark=0, rx=0)
    expected = SurrogateNoise(algiers.calibration, algiers.layout, plain).program(table, 0)
    noise = FittedNoise(algiers.calibration, algiers.layout, fitted())
    np.testing.assert_allclose(
        probabilities(noise.program(table, 0)), probabilities(expected), atol=1e-13
    )
    np.testing.assert_array_equal(
        noise.readout, readout_matrices(algiers.calibration, algiers.layout)
    )


def test_with_the_surrogates_constants_it_is_the_surrogate(algiers, table):
    surrogate = SurrogateNoise(
        algiers.calibration, algiers.layout, SurrogateConfig(name="surrogate_hardware")
    )
    constants, layout = surrogate.constants(5), algiers.layout
    gates = {
        f"{layout[a]}-{layout[b]}": {
            "terms": {"ZZ": constants.zz[k], "ZX": constants.zx[k]},
            "stark": {layout[q]: constants.stark[k, q] for q in range(5)},
        }
        for k, (a, b) in enumerate(surrogate.edges)
    }
    qubits = {q: {"sx": constants.rx[0, k], "x": constants.rx[1, k]} for k, q in enumerate(layout)}
    noise = FittedNoise(algiers.calibration, layout, fitted(gates=gates, qubits=qubits))
    np.testing.assert_allclose(
        probabilities(noise.program(table, 0)),
        probabilities(surrogate.program_with(table, constants)),
        atol=1e-13,
    )


@pytest.mark.parametrize("term", REVERSED)
def test_an_error_of_the_reversed_gate_is_the_native_one_between_hadamards(term):
    """H H [error CX](target, control) H H = [other error] CX(control, target)."""
    hadamard = rotation("Z", np.pi / 2) @ rotation("X", np.pi / 2) @ rotation("Z", np.pi / 2)
    native = rotation(term, 0.3) @ ideal_channel("cx")
    both = tensor(hadamard, hadamard)
    outside = both @ swap_qubits(native) @ both
    ((other, angle),) = reversed_terms({term: 0.3}).items()
    np.testing.assert_allclose(
        (rotation(other, angle) @ ideal_channel("cx")).numpy(), outside.numpy(), atol=1e-12
    )


def test_a_config_survives_being_written(algiers, table):
    config = fitted(
        qubits={0: {"t1": 0.8, "flip_up": 0.01, "flip_down": 0.08, "rz": 0.01}},
        gates={"0-1": {"error": 1.3, "terms": {"IX": 0.04}, "drift": {"ZI": 0.05}}},
        spread=SPREAD,
        device_seed=3,
    )
    # A manifest sorts its keys.
    text = json.dumps(config.model_dump(mode="json"), sort_keys=True)
    again = FittedConfig.model_validate(json.loads(text))
    assert again == config
    assert hash(FittedConfig.model_validate(config.model_dump())) == hash(config)
    assert hash(config) != hash(fitted())
    one, two = (FittedNoise(algiers.calibration, algiers.layout, c) for c in (config, again))
    np.testing.assert_array_equal(
        probabilities(one.program(table, 2)), probabilities(two.program(table, 2))
    )
    np.testing.assert_array_equal(
        one.readout[algiers.layout.index(0)], [[0.99, 0.08], [0.01, 0.92]]
    )


def test_drawn_constants_belong_to_the_physical_qubit_not_to_the_chain(algiers, table):
    config = fitted(spread=SPREAD)
    long = FittedNoise(algiers.calibration, (0, 1, 2, 3, 5), config)
    short = FittedNoise(algiers.calibration, (5, 3), config)
    np.testing.assert_array_equal(long.readout[[4, 3]], short.readout)
    assert long.readout[4, 0, 1] != long.readout[4, 1, 0]
    t1 = long.parameters.t1[[4, 3]]
    np.testing.assert_array_equal(t1.numpy(), short.parameters.t1.numpy())
    other = FittedNoise(algiers.calibration, (5, 3), fitted(spread=SPREAD, device_seed=1))
    assert not np.array_equal(other.parameters.t1.numpy(), short.parameters.t1.numpy())


def test_only_the_drifting_terms_change_from_job_to_job(algiers):
    gates = {"1-0": {"terms": {"ZI": 0.1, "IX": 0.02}}, "0-1": {"drift": {"ZI": 0.05}}}
    noise = FittedNoise(algiers.calibration, (0, 1), fitted(gates=gates))
    jobs = [noise.constants(job) for job in range(300)]
    phase = np.array([c.terms["ZI"] for c in jobs])  # 0-1 is the device's own direction
    assert np.ptp(phase, axis=0).min() == 0.0
    assert phase.std(axis=0).max() == pytest.approx(0.05, rel=0.15)
    # In the other direction the shift is an IX, beside the constant one.
    other = np.array([c.terms["IX"] for c in jobs])
    moving = np.ptp(other, axis=0) > 0
    assert moving.sum() == 1
    assert other[:, moving].mean() == pytest.approx(0.02, abs=0.01)
    np.testing.assert_allclose(other[:, moving].std(), phase.std(axis=0).max(), rtol=1e-12)
    np.testing.assert_array_equal(jobs[0].terms["ZI"], noise.constants(0).terms["ZI"])


def test_the_executor_takes_it(algiers, table):
    config = fitted(spread=SPREAD)
    executor = config.build(algiers.calibration, algiers.layout)
    noise = FittedNoise(algiers.calibration, algiers.layout, config)
    np.testing.assert_array_equal(
        executor.probabilities(table, 4), probabilities(noise.program(table, 4))
    )


@pytest.mark.parametrize(
    "bad",
    [
        {"gates": {"0_1": {}}},
        {"gates": {"0-1": {"terms": {"ZQ": 0.1}}}},
        {"gates": {"0-1": {"drift": {"XX": 0.1}}}},
        {"qubits": {0: {"t1": -1.0}}},
        {"qubits": {0: {"flip_up": 0.7}}},
        {"colour": 1},
    ],
)
def test_bad_constants_are_refused(bad):
    with pytest.raises(ValidationError):
        fitted(**bad)


def test_the_fitted_device_is_noisier_than_its_calibration(algiers, table):
    """conf/dataset/noise/surrogate_algiers.yaml, on the paper's chain: no fit saw one qubit."""
    text = (Path(__file__).parents[2] / "conf/dataset/noise/surrogate_algiers.yaml").read_text()
    config = FittedConfig.model_validate(yaml.safe_load(text))
    noise = FittedNoise(algiers.calibration, algiers.layout, config)
    ideal = compiled_probabilities(table)
    found = [
        apply_readout(probabilities(program), readout)
        for program, readout in (
            (noise.program(table, 0), noise.readout),
            (
                DeviceNoise(algiers.calibration, algiers.layout).program(table),
                readout_matrices(algiers.calibration, algiers.layout),
            ),
        )
    ]
    assert found[0].min() > 0
    errors = [float(np.abs(noisy - ideal).sum(axis=1).mean()) for noisy in found]
    assert errors[0] > 1.2 * errors[1]
