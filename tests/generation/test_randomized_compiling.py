"""Measurements by randomized compiling: their limit, what is stored, making them again."""

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from qmend.circuits.instructions import InstructionTable
from qmend.circuits.statevector import to_bit_order
from qmend.circuits.twirling import TwirlableCircuit, randomize
from qmend.datasets.config import DatasetConfig, dataset_recipe, recipe_configs, recipe_sha
from qmend.datasets.table import Dataset, load_dataset
from qmend.devices.device import Device, DeviceConfig
from qmend.generation.execution import Execution, execution_seed
from qmend.generation.generate import generate
from qmend.generation.online import OnlineCircuits
from qmend.generation.setup import generation_setup
from qmend.generation.verify import verify_dataset
from qmend.mitigation.simulated_runner import SimulatedRunner
from qmend.noise.config import SurrogateConfig
from qmend.noise.device_noise import NoiseParameters
from qmend.noise.readout import apply_readout
from qmend.noise.surrogate import SurrogateNoise
from qmend.studies.exact_noise import known_noise
from qmend.types import QmendError
from reference import hashes, stored_rows

#: What only two-qubit gates do: their own errors in full, nothing on waiting qubits.
GATES_ALONE = {"zz": 0.1, "zx": 0.1, "stark": 0.0, "rx": 0.0, "idle_relaxation": 0.0, "drift": 0.0}


def free_paulis(device: Device, **parts: float) -> tuple[SurrogateNoise, SurrogateNoise]:
    """Noise without errors and lengths of one-qubit gates, and the same twirled."""
    parameters = NoiseParameters.of(device.calibration, device.layout)
    two = torch.from_numpy(parameters.second >= 0)
    zero = torch.zeros_like(parameters.error)
    free = replace(
        parameters,
        error=torch.where(two, parameters.error, zero),
        length=torch.where(two, parameters.length, zero),
    )
    one, twirled = (
        SurrogateNoise(
            device.calibration,
            device.layout,
            SurrogateConfig(name=f"surrogate_{name}", **parts),
            free,
        )
        for name in ("hardware", "twirled")
    )
    return one, twirled


def changed(config: DatasetConfig, **fields: object) -> DatasetConfig:
    return DatasetConfig.model_validate({**config.plain(), **fields})


def test_the_mean_over_all_twirls_is_the_exact_limit(algiers):
    """All 16^2 of a circuit with two CX, under errors of two-qubit gates, relaxation included."""
    gates = [("sx", 0, -1, 0.0), ("rz", 0, -1, 0.7), ("sx", 1, -1, 0.0), ("cx", 0, 1, 0.0)]
    gates += [("sx", 1, -1, 0.0), ("rz", 1, -1, 1.9), ("sx", 1, -1, 0.0), ("cx", 1, 0, 0.0)]
    gates += [("sx", 0, -1, 0.0)]
    noise, twirled = free_paulis(algiers, **GATES_ALONE)
    pairs = list(product(range(4), repeat=2))
    all_twirls = TwirlableCircuit(gates, 5).twirl(np.array(list(product(pairs, repeat=2))))
    mean = noise.probabilities(all_twirls).mean(axis=0)
    table = InstructionTable.from_circuits(5, [gates])
    np.testing.assert_allclose(mean, twirled.probabilities(table)[0], atol=1e-12)
    assert np.abs(mean - noise.probabilities(table)[0]).sum() > 0.02


@pytest.fixture(scope="module")
def config() -> DatasetConfig:
    """18 circuits in 6 jobs under surrogate hardware, measured in 3 compilations."""
    return DatasetConfig(
        name="randomized",
        family={"name": "pauli", "gadgets_min": 2, "gadgets_max": 5},
        circuits=18,
        job_size=3,
        jobs_per_shard=2,
        shots=1000,
        seed=11,
        noise={"name": "surrogate_hardware"},
        twirling={"randomizations": 3},
    )


@pytest.fixture(scope="module")
def folder(config, device_config, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("randomized") / "data"
    generate(config, device_config, folder)
    return folder


@pytest.fixture(scope="module")
def dataset(folder) -> Dataset:
    return load_dataset(folder)


def test_more_randomizations_come_nearer_to_the_limit(dataset, algiers):
    """All errors of the surrogate, with Pauli gates that cost nothing: the error falls as 1/R."""
    noise, twirled = free_paulis(algiers, rx=0.0, stark=0.0, idle_relaxation=0.0)
    table = dataset.rows.circuits.instructions.select(np.arange(6))
    limit = twirled.probabilities(table)
    seeds = [execution_seed(k) for k in range(6)]
    exact = noise.probabilities(randomize(table, seeds, 256)).reshape(6, 256, 32)

    def squared(randomizations: int) -> float:
        return float(((exact[:, :randomizations].mean(axis=1) - limit) ** 2).sum())

    untwirled = float(((noise.probabilities(table) - limit) ** 2).sum())
    assert squared(16) < untwirled / 3
    assert squared(256) < squared(16) / 4
    assert squared(256) < untwirled / 60


def test_what_is_stored_is_the_circuit_as_compiled_and_the_sum_of_its_measurements(
    dataset, folder, config, device_config, tmp_path
):
    """By the definition, compilation by compilation, each with its own shots."""
    plain = tmp_path / "plain"
    generate(changed(config, twirling={"randomizations": 0}), device_config, plain)
    ours, theirs = stored_rows(folder), stored_rows(plain)
    differing = {k for a, b in zip(ours, theirs, strict=True) for k in a if a[k] != b[k]}
    assert differing == {"counts", "noisy_exact"}
    setup = generation_setup(config, device_config)
    for k, row in enumerate(ours):
        table = dataset.rows.circuits.instructions.select(np.array([k]))
        noise, seed = setup.noise(k // 3), np.random.SeedSequence([row["seed"], 1])
        exact = apply_readout(
            noise.probabilities(randomize(table, [seed], 3), k // 3), noise.readout
        )
        exact = to_bit_order(exact, np.array([row["measured"]] * 3))
        mean = np.average(exact, axis=0, weights=[334, 333, 333])
        np.testing.assert_allclose(row["noisy_exact"], mean, atol=2**-23)
        assert sum(row["counts"]) == row["shots"] == 1000


def test_it_can_be_verified_and_made_again_however_many_are_simulated_together(
    config, device_config, folder, tmp_path, monkeypatch
):
    found = verify_dataset(folder, sample=18)
    assert (found.rows, found.difference) == (18, 0)
    monkeypatch.setattr("qmend.generation.execution._TOGETHER", 4)
    generate(config, device_config, tmp_path / "again")
    assert hashes(tmp_path / "again") == hashes(folder)


def test_verification_catches_other_randomizations(config, device_config, folder, monkeypatch):
    monkeypatch.setattr(
        "qmend.generation.verify.execution_seed", lambda seed: execution_seed(seed + 1)
    )
    with pytest.raises(QmendError, match=r"differ by .* from a new simulation"):
        verify_dataset(folder, sample=6)


def test_the_card_says_how_it_was_measured(folder):
    card = (folder / "README.md").read_text()
    assert "- twirling: randomizations 3" in card
    assert "random compilations that share its shots" in card


def test_aers_simulation_of_the_randomizations_is_ours(config, device_config, tmp_path):
    by_aer = changed(config, noise={"name": "aer"}, simulator="aer", circuits=6, job_size=2)
    generate(by_aer, device_config, tmp_path / "aer")
    assert verify_dataset(tmp_path / "aer", sample=6).difference_to_aer <= 2**-24
    generate(changed(by_aer, simulator="ptm"), device_config, tmp_path / "ptm")
    assert stored_rows(tmp_path / "aer") == stored_rows(tmp_path / "ptm")


@pytest.mark.parametrize("resample", ["circuits", "noise"])
def test_online_circuits_are_measured_as_the_datasets_own(dataset, config, device_config, resample):
    """The twirled mean, not the circuit as compiled, is what their counts are drawn from."""
    noise = SurrogateConfig(name="surrogate_hardware", device_seed=4)
    online = OnlineCircuits.like(dataset, config, device_config, noise, 0, resample)
    (job,) = online.job(0)
    table = job.circuits.instructions
    size = len(table)
    calibration, layout = job.circuits.chains[0]
    number = config.jobs if resample == "circuits" else 0
    model = noise.of_device(number).build(calibration, layout)
    as_compiled = apply_readout(model.probabilities(table, number), model.readout)
    assert np.abs(as_compiled - job.noisy_exact).sum(axis=1).max() > 0.01
    distance = np.abs(job.circuits.noisy - job.noisy_exact).sum(axis=1)
    assert distance.max() < 0.35  # shot noise of 1,000 shots
    if resample == "noise":
        seeds = [np.random.SeedSequence([online.seed, 0, row]) for row in range(size)]
        chain = np.tile(np.arange(5), (size, 1))
        shots = job.circuits.shots
        counts, exact = Execution(table, chain, seeds, shots, model, number, 3).sample()
        np.testing.assert_array_equal(exact, job.noisy_exact)
        np.testing.assert_array_equal(counts / shots[:, None], job.circuits.noisy)


def test_further_circuits_are_measured_so_too(dataset):
    """Every circuit as its own further circuit: other twirls and shots of the same experiment."""
    circuits = dataset.rows.circuits
    again = SimulatedRunner(dataset, exact=True)(circuits, circuits.instructions)[:, 0]
    off = np.abs(again - dataset.rows.noisy_exact).sum(axis=1)
    assert 0 < off.max() < 0.5


def test_error_maps_of_circuits_as_compiled_are_refused(dataset):
    with pytest.raises(QmendError, match=r"choose dataset\.twirling\.randomizations=0"):
        known_noise(dataset)


def test_a_circuit_needs_a_shot_for_each_randomization(config):
    with pytest.raises(
        ValidationError, match=r"randomizations \(1001\) share the shots .* \(1000\)"
    ):
        changed(config, twirling={"randomizations": 1001})


def test_recipes_of_before_are_what_they_were(config):
    plain = changed(config, twirling={"randomizations": 0})
    device = DeviceConfig(name="algiers", backend="FakeAlgiers", layout=(0, 1, 2, 3, 5))
    recipe = dataset_recipe(plain, device)
    assert "twirling" not in recipe["dataset"]
    assert recipe_configs(recipe)[0].twirling.randomizations == 0
    randomized = dataset_recipe(config, device)
    assert recipe_configs(randomized)[0] == config
    assert recipe_sha(randomized) != recipe_sha(recipe)
