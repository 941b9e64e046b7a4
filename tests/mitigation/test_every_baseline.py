"""What every mitigator of the registry must do; a new one is picked up by itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qmend import metrics
from qmend.datasets.circuits import CircuitBatch
from qmend.datasets.config import DatasetConfig
from qmend.datasets.generation import generate
from qmend.datasets.table import Dataset, load_dataset
from qmend.devices.device import DeviceConfig
from qmend.evaluation.reruns import SimulatedReruns
from qmend.mitigation.base import Mitigator, RerunMitigator
from qmend.mitigation.baselines import BASELINES, baselines
from qmend.types import QmendError

KINDS = list(baselines().values())
#: They undo no noise.
IDLE = ("none", "uniform")

every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
every_working_kind = pytest.mark.parametrize(
    "kind", [k for k in KINDS if k.name not in IDLE], ids=lambda kind: kind.name
)


def fitted(kind: type[Mitigator], dataset: Dataset) -> Mitigator:
    if issubclass(kind, RerunMitigator):
        mitigator: Mitigator = kind(SimulatedReruns(dataset, exact=kind.simulates))
    else:
        mitigator = kind()
    return mitigator.fit(dataset.part("train"))


def make(folder: Path, device: DeviceConfig, **changes) -> Dataset:
    config = DatasetConfig(
        **{
            "name": "made",
            "family": {
                "name": "pauli",
                "n_qubits": len(device.layout),
                "gadgets_min": 2,
                "gadgets_max": 5,
            },
            "circuits": 40,
            "job_size": 4,
            "shots": 20_000,
            **changes,
        }
    )
    generate(config, device, folder)
    return load_dataset(folder)


@pytest.fixture(scope="module")
def noiseless(perfect, tmp_path_factory) -> Dataset:
    """Shots are all that parts noisy from ideal."""
    folder = tmp_path_factory.mktemp("noiseless")
    (folder / "device.json").write_text(perfect().model_dump_json())
    device = DeviceConfig(
        name="perfect",
        provider="file",
        calibration_file=folder / "device.json",
        layout=(0, 1, 2, 3, 5),
    )
    return make(folder / "data", device)


@pytest.fixture(scope="module")
def three_qubits(tmp_path_factory) -> Dataset:
    device = DeviceConfig(name="algiers", backend="FakeAlgiers", layout=(1, 2, 3))
    return make(tmp_path_factory.mktemp("three"), device, circuits=24)


def assert_distributions(mitigated: np.ndarray, circuits: CircuitBatch) -> None:
    assert mitigated.shape == circuits.noisy.shape
    assert mitigated.dtype == np.float64
    assert np.isfinite(mitigated).all()
    assert (mitigated >= 0).all()
    np.testing.assert_allclose(mitigated.sum(axis=1), 1, atol=1e-9)


@every_kind
def test_any_input_gives_distributions(kind, tiny):
    """Measured ones, one-hot, uniform, and frequencies that have nothing to do with the circuit."""
    mitigator = fitted(kind, tiny)
    circuits = tiny.part("test").circuits
    count, size = circuits.noisy.shape
    rng = np.random.default_rng(0)
    hot = np.eye(size)[rng.integers(size, size=count)]
    sparse = rng.dirichlet(np.full(size, 0.02), size=count)
    sparse[sparse < 1e-6] = 0.0
    inputs = {
        "measured": circuits.noisy,
        "ideal": tiny.part("test").ideal,
        "one-hot": hot,
        "uniform": np.full((count, size), 1 / size),
        "foreign": sparse / sparse.sum(axis=1, keepdims=True),
        "dense": rng.dirichlet(np.ones(size), size=count),
    }
    for noisy in inputs.values():
        given = replace(circuits, noisy=noisy)
        before = noisy.copy()
        assert_distributions(mitigator.mitigate(given), given)
        np.testing.assert_array_equal(noisy, before)


@every_kind
def test_the_same_twice(kind, tiny):
    circuits = tiny.part("test").circuits
    once, again = (fitted(kind, tiny).mitigate(circuits) for _ in range(2))
    np.testing.assert_array_equal(once, again)


@every_kind
def test_a_circuit_alone_is_mitigated_as_in_its_batch(kind, tiny):
    mitigator, circuits = fitted(kind, tiny), tiny.part("test").circuits
    together = mitigator.mitigate(circuits)
    backwards = np.arange(len(circuits))[::-1]
    np.testing.assert_allclose(
        mitigator.mitigate(circuits.select(backwards))[::-1], together, atol=1e-11
    )
    for row in range(4):
        alone = mitigator.mitigate(circuits.select(np.array([row])))
        np.testing.assert_allclose(alone[0], together[row], atol=1e-11)


@every_working_kind
def test_without_noise_nothing_is_lost(kind, noiseless):
    """The L1 error, all of it shot noise, grows by no more than a quarter.

    Straight extrapolation from 1, 3 and 5 weighs the measurements 1.08, 0.33 and -0.42, whose
    root of the sum of squares is 1.21; the others change next to nothing.
    """
    test = noiseless.part("test")
    mitigated = fitted(kind, noiseless).mitigate(test.circuits)
    before = metrics.l1(test.circuits.noisy, test.ideal).mean()
    after = metrics.l1(mitigated, test.ideal).mean()
    assert 0 < before < 0.03
    assert after < 1.25 * before


@every_kind
def test_circuits_of_another_size(kind, tiny, three_qubits):
    """Three qubits instead of five; only those that rerun need the circuits' own dataset."""
    circuits = three_qubits.part("test").circuits
    mitigator = fitted(kind, tiny)
    if isinstance(mitigator, RerunMitigator):
        with pytest.raises(QmendError, match=r"Circuit 0 is not among those of .*rerun"):
            mitigator.mitigate(circuits)
        mitigator = fitted(kind, three_qubits)
    assert_distributions(mitigator.mitigate(circuits), circuits)


@pytest.fixture(scope="module")
def errors(tiny) -> dict[str, float]:
    """Mean L1 error on tiny, by baseline."""
    test = tiny.part("test")
    return {
        kind.name: float(metrics.l1(fitted(kind, tiny).mitigate(test.circuits), test.ideal).mean())
        for kind in KINDS
    }


@every_working_kind
def test_better_than_nothing(kind, errors):
    """On the noise of algiers as Aer has it; readout is the least part of it."""
    assert errors[kind.name] < 0.95 * errors["none"]


def test_the_one_that_simulates_is_a_bound(errors):
    """It knows more than all others, and says so."""
    assert [k.name for k in KINDS if k.simulates] == ["probabilistic_inversion"]
    assert min(errors, key=errors.__getitem__) == "probabilistic_inversion"


def test_names_and_costs():
    known = baselines()
    assert {name: (k.parameters, k.shots_factor) for name, k in known.items()} == {
        "none": (0, 1.0),
        "uniform": (0, 1.0),
        "readout_inversion": (0, 1.0),
        "mthree": (0, 1.0),
        "depolarizing_inversion": (3, 1.0),
        "calibration_inversion": (0, 1.0),
        "zne_linear": (0, 3.0),
        "zne_exponential": (0, 3.0),
        "clifford_data_regression": (0, 11.0),
        "probabilistic_inversion": (0, 1.0),
    }
    assert all(known[kind.name] is kind for kind in BASELINES)
    assert all(not kind.simulates and kind.shots_factor == 1 for kind in BASELINES)
