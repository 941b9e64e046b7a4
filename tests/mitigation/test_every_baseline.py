"""What the baselines reach; a new one is picked up by itself. What every mitigator must do is in
``test_common.py``."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qmend import metrics
from qmend.circuits.statevector import measured_marginals
from qmend.datasets.circuits import missing_values
from qmend.datasets.config import DatasetConfig
from qmend.datasets.table import Dataset, load_dataset
from qmend.devices.calibration import Calibration
from qmend.devices.device import DeviceConfig
from qmend.devices.imputation import MeanCalibration
from qmend.generation.generate import generate
from qmend.mitigation.base import ExecutedMitigator, Mitigator, MultiCircuitMitigator
from qmend.mitigation.baselines import BASELINES, STANDARD_BASELINES
from qmend.mitigation.baselines.path_inversion import path_losses
from qmend.mitigation.baselines.readout_inversion import undo_readout
from qmend.mitigation.simulated_runner import SimulatedRunner
from qmend.noise.paths import FEATURES
from qmend.types import QmendError
from qmend.walsh import walsh_hadamard

KINDS = list(BASELINES.values())
#: They undo no noise.
IDLE = ("none", "uniform")

every_working_kind = pytest.mark.parametrize(
    "kind", [k for k in KINDS if k.name not in IDLE], ids=lambda kind: kind.name
)


def fitted(kind: type[Mitigator], dataset: Dataset) -> Mitigator:
    mitigator = kind()
    if isinstance(mitigator, MultiCircuitMitigator):
        runner = SimulatedRunner(dataset, exact=kind.exact_results)
        mitigator = ExecutedMitigator(mitigator, runner)
    return mitigator.fit(*dataset.parts("train"))


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


@every_working_kind
def test_without_noise_nothing_is_lost(kind, noiseless):
    """The L1 error, all of it shot noise, grows by no more than a quarter, beside what a baseline
    states for noise-free input.

    Straight extrapolation from 1, 3 and 5 weighs the measurements 1.08, 0.33 and -0.42, whose
    root of the sum of squares is 1.21; the others change next to nothing.
    """
    test = noiseless.part("test")
    mitigated = fitted(kind, noiseless).mitigate(test.circuits)
    before = metrics.l1(test.circuits.noisy, test.ideal).mean()
    after = metrics.l1(mitigated, test.ideal).mean()
    assert 0 < before < 0.03
    assert after < 1.25 * before + 2 * kind.noiseless_error


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
    assert errors[kind.name] < 0.96 * errors["none"]


def test_the_one_that_simulates_is_a_bound(errors):
    """It knows more than all others."""
    assert min(errors, key=errors.__getitem__) == "probabilistic_inversion"


def test_names_and_costs():
    costs = {name: (k.parameters, k.shots_factor) for name, k in BASELINES.items()}
    assert (
        costs.items()
        >= {
            "none": (0, 1.0),
            "uniform": (0, 1.0),
            "readout_inversion": (0, 1.0),
            "mthree": (0, 1.0),
            "depolarizing_inversion": (3, 1.0),
            "calibration_inversion": (0, 1.0),
            "path_inversion": (3, 1.0),
            "zne_linear": (0, 3.0),
            "zne_exponential": (0, 3.0),
            "clifford_data_regression": (0, 11.0),
            "probabilistic_inversion": (0, 1.0),
            "hammer_like": (0, 1.0),
            "qbeep_like": (0, 1.0),
            "bayesian_unfolding": (0, 1.0),
            "path_inversion_biased": (5, 1.0),
            "path_inversion_readout": (3, 1.0),
        }.items()
    )
    assert all(BASELINES[kind.name] is kind for kind in STANDARD_BASELINES)
    assert all(kind.shots_factor == 1 for kind in STANDARD_BASELINES)


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.name)
def test_circuits_that_measure_some_of_their_qubits(kind, partly_measured):
    """Each number of measured qubits gives distributions of as many bits, and no harm."""
    mitigator = fitted(kind, partly_measured)
    before, after = [], []
    for part in partly_measured.groups:
        mitigated = mitigator.mitigate(part.circuits)
        assert mitigated.shape == (len(part), 2**part.circuits.n_measured)
        assert (mitigated >= 0).all()
        np.testing.assert_allclose(mitigated.sum(axis=1), 1)
        before.append(metrics.l1(part.circuits.noisy, part.ideal))
        after.append(metrics.l1(mitigated, part.ideal))
    if kind.name not in (*IDLE, "hammer_like"):
        assert np.concatenate(after).mean() < np.concatenate(before).mean()


@pytest.mark.parametrize("name", ["readout_inversion", "path_inversion"])
def test_a_marginal_parity_is_a_parity_of_fewer_qubits(name, tiny):
    """Read out of all qubits or of some: the same values of the same parities are undone."""
    circuits = tiny.rows.circuits
    measured = circuits.measured[:, [3, 0, 1]]
    some = replace(circuits, noisy=measured_marginals(circuits.noisy, measured), measured=measured)
    # The full index of each parity of the three, bit by bit in chain order.
    of_some = (np.arange(8)[:, None, None] >> np.arange(3)) & 1
    full = (of_some << some.positions).sum(axis=2).T
    if name == "readout_inversion":
        wanted = walsh_hadamard(undo_readout(circuits, circuits.noisy))
        found = walsh_hadamard(undo_readout(some, some.noisy))
    else:
        wanted = path_losses(circuits, FEATURES[:-1])
        found = path_losses(some, FEATURES[:-1])
    expected = np.stack([row[at] for row, at in zip(wanted, full, strict=True)])
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.name)
def test_the_calibration_values_that_it_states_are_those_that_it_reads(kind, tiny):
    """Without all others nothing changes; without one of these it can't be fitted or run."""
    every = MeanCalibration().to_json().keys()
    expected = fitted(kind, tiny).mitigate(tiny.part("test").circuits)
    rest = without(tiny, every - set(kind.calibration_values))
    found = fitted(kind, rest).mitigate(rest.part("test").circuits)
    np.testing.assert_array_equal(found, expected)
    for name in kind.calibration_values:
        lacking = without(tiny, {name})
        assert missing_values(lacking.rows.circuits) == {name}
        with pytest.raises(QmendError, match="lacks"):
            fitted(kind, lacking).mitigate(lacking.part("test").circuits)


#: The gates that a name of a mean calibration value speaks of.
KIND_OF_GATE = {"id": "one_qubit", "sx": "one_qubit", "x": "one_qubit", "cx": "two_qubit"}


def without(dataset: Dataset, names: Collection[str]) -> Dataset:
    """Take values, named as in a mean calibration, out of all calibrations."""

    def emptied(calibration: Calibration) -> Calibration:
        plain = calibration.model_dump(mode="json")
        for qubit in plain["qubits"]:
            qubit.update(dict.fromkeys(qubit.keys() & names))
        for gate in plain["gates"]:
            kind = KIND_OF_GATE.get(gate["gate"], gate["gate"])
            gate.update({key: None for key in ("error", "length_ns") if f"{kind}_{key}" in names})
        return Calibration.parse(plain, "x")

    rows = dataset.rows
    calibrations = tuple(emptied(each) for each in rows.circuits.calibrations)
    circuits = replace(rows.circuits, calibrations=calibrations)
    return replace(dataset, groups=(replace(rows, circuits=circuits),))
