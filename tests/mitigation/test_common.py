"""What every mitigator must do: baselines, trained networks, their average. New ones are picked up
by themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pytest

from example_models import example_config
from qmend import metrics
from qmend.circuits.instructions import InstructionTable
from qmend.circuits.statevector import compiled_probabilities
from qmend.datasets.circuits import CircuitBatch
from qmend.datasets.table import LabelledCircuits
from qmend.devices.calibration import Calibration
from qmend.devices.device import DeviceConfig, load_device
from qmend.mitigation.base import ExecutedMitigator, Mitigator, MultiCircuitMitigator, Runner
from qmend.mitigation.baselines import BASELINES
from qmend.mitigation.ensemble import Ensemble
from qmend.mitigation.learned import LearnedMitigator
from qmend.models.base import ARCHITECTURES
from qmend.training.checkpoint import load_checkpoint, save_checkpoint
from qmend.training.config import TrainingConfig
from qmend.training.data import encode_splits
from qmend.training.train import train as train_network
from qmend.types import QmendError

ENSEMBLE = "ensemble"
NAMES = [*BASELINES, *ARCHITECTURES, ENSEMBLE]


@dataclass(frozen=True)
class Case:
    """A fitted mitigator.

    Attributes:
        again: fits it anew, to the same data.
        tolerance: of one circuit against its batch; networks compute in single precision.
    """

    name: str
    mitigator: Mitigator
    again: Callable[[], Mitigator]
    tolerance: float


def network(name: str, train: LabelledCircuits, val: LabelledCircuits) -> LearnedMitigator:
    """A few steps, which is enough to leave the start."""
    config = TrainingConfig(
        model=example_config(name),
        loss={"name": "l1"},
        optimizer={"lr": 3e-3},
        trainer={"max_epochs": 1, "batch_size": 24, "threads": 1},
    )
    return LearnedMitigator(
        train_network(config, encode_splits(config.model, [train], [val])).model
    )


def fitted(name: str, train: LabelledCircuits, val: LabelledCircuits, runner: Runner) -> Mitigator:
    if name == ENSEMBLE:
        return Ensemble([network(k, train, val) for k in ("blind_mlp", "physics_perceiver")])
    if name in ARCHITECTURES:
        return network(name, train, val)
    mitigator = BASELINES[name]()
    if isinstance(mitigator, MultiCircuitMitigator):
        mitigator = ExecutedMitigator(mitigator, runner)
    return mitigator.fit(train)


@pytest.fixture(scope="module")
def runs(exact_runs, algiers):
    """Runs any circuit on the chain of algiers."""
    return exact_runs(algiers.calibration, algiers.layout)


@pytest.fixture(scope="module", params=NAMES)
def case(request, tiny, runs) -> Case:
    train, val = tiny.part("train"), tiny.part("val")

    def again() -> Mitigator:
        return fitted(request.param, train, val, runs)

    learned = request.param not in BASELINES
    return Case(request.param, again(), again, 1e-6 if learned else 1e-12)


@pytest.fixture(scope="module")
def batch(tiny) -> CircuitBatch:
    return tiny.part("test").circuits.select(np.arange(8))


def assert_distributions(mitigated: np.ndarray, circuits: CircuitBatch) -> None:
    assert mitigated.shape == circuits.noisy.shape
    assert mitigated.dtype == np.float64
    assert np.isfinite(mitigated).all()
    assert (mitigated >= 0).all()
    np.testing.assert_allclose(mitigated.sum(axis=1), 1, atol=1e-9)


def test_any_input_gives_distributions(case, batch):
    """Noise-free ones, one-hot, uniform, and frequencies that have nothing to do with the
    circuit; the batch is left as it was."""
    count, size = batch.noisy.shape
    rng = np.random.default_rng(0)
    sparse = rng.dirichlet(np.full(size, 0.02), size=count)
    sparse[sparse < 1e-6] = 0.0
    inputs = {
        "measured": batch.noisy,
        "noise-free": compiled_probabilities(batch.instructions),
        "one-hot": np.eye(size)[rng.integers(size, size=count)],
        "uniform": np.full((count, size), 1 / size),
        "foreign": sparse / sparse.sum(axis=1, keepdims=True),
        "dense": rng.dirichlet(np.ones(size), size=count),
    }
    for noisy in inputs.values():
        circuits = replace(batch, noisy=noisy / noisy.sum(axis=1, keepdims=True))
        before = circuits.noisy.copy()
        assert_distributions(case.mitigator.mitigate(circuits), circuits)
        np.testing.assert_array_equal(circuits.noisy, before)
    few = replace(batch, shots=np.ones_like(batch.shots))
    assert_distributions(case.mitigator.mitigate(few), few)


@pytest.fixture(scope="module")
def extremes(batch, algiers) -> dict[str, CircuitBatch]:
    """Circuits and calibrations far from those of the training."""
    table = batch.instructions
    gates = [table.circuit(k) * 25 for k in range(len(table))]

    def calibrated(error: float, t_us: float) -> CircuitBatch:
        return replace(batch, calibrations=(calibration(algiers.calibration, error, t_us),))

    return {
        "deep": replace(batch, instructions=InstructionTable.from_circuits(5, gates)),
        "empty": replace(batch, instructions=InstructionTable.from_circuits(5, [[]] * len(batch))),
        "perfect": calibrated(0.0, 1e7),
        "useless": calibrated(0.5, 100.0),
        "short-lived": calibrated(0.01, 0.02),
    }


def calibration(base: Calibration, error: float, t_us: float) -> Calibration:
    """One error for all gates and readouts, one T1 = T2 for all qubits."""
    plain = base.model_dump(mode="json")
    for item in plain["qubits"]:
        item.update(readout_error=error, t1_us=t_us, t2_us=t_us)
    for item in plain["gates"]:
        item["error"] = 0.0 if item["gate"] == "rz" else error
    return Calibration.parse(plain, "extreme")


def refusal(case: Case, which: str) -> str | None:
    """Words of the sentence by which it refuses an extreme; None: it takes it."""
    if which == "deep" and isinstance(case.mitigator, LearnedMitigator):
        bounded = hasattr(case.mitigator.model.config, "max_length")
        return "model.max_length" if bounded else None
    if (case.name, which) == ("mthree", "useless"):
        return "can't invert the readout of qubit 0"
    return None


@pytest.mark.parametrize("which", ["deep", "empty", "perfect", "useless", "short-lived"])
def test_extremes_give_distributions_or_a_refusal(case, extremes, which):
    circuits = extremes[which]
    words = refusal(case, which)
    if words is None:
        assert_distributions(case.mitigator.mitigate(circuits), circuits)
    else:
        with pytest.raises(QmendError, match=words):
            case.mitigator.mitigate(circuits)


def test_the_same_bits_twice_and_after_another_fit(case, batch):
    once = case.mitigator.mitigate(batch)
    np.testing.assert_array_equal(case.mitigator.mitigate(batch), once)
    np.testing.assert_array_equal(case.again().mitigate(batch), once)


def test_a_circuit_alone_and_in_any_order_is_mitigated_as_in_its_batch(case, batch):
    together = case.mitigator.mitigate(batch)
    order = np.random.default_rng(0).permutation(len(batch))
    permuted = case.mitigator.mitigate(batch.select(order))
    np.testing.assert_allclose(permuted, together[order], rtol=0, atol=case.tolerance)
    for row in range(3):
        alone = case.mitigator.mitigate(batch.select(np.array([row])))
        np.testing.assert_allclose(alone[0], together[row], rtol=0, atol=case.tolerance)


def test_a_checkpoint_gives_the_same_bits(case, batch, tmp_path):
    """Of networks; baselines have none and are fitted again."""
    if case.name in BASELINES:
        assert not hasattr(case.mitigator, "model")
        return

    def reloaded(learned: LearnedMitigator, folder: str) -> LearnedMitigator:
        save_checkpoint(tmp_path / folder, learned.model, {})
        return LearnedMitigator(load_checkpoint(tmp_path / folder)[0])

    if isinstance(case.mitigator, Ensemble):
        members = [reloaded(m, str(k)) for k, m in enumerate(case.mitigator.members)]
        again: Mitigator = Ensemble(members)
    else:
        again = reloaded(case.mitigator, "model")
    np.testing.assert_array_equal(again.mitigate(batch), case.mitigator.mitigate(batch))
    assert again.parameters == case.mitigator.parameters


@pytest.mark.parametrize("layout", [(0, 1, 2, 3), (0, 1, 2, 3, 5, 8)], ids=["fewer", "more"])
def test_one_qubit_fewer_or_more(case, layout, exact_runs, random_circuits):
    """Baselines and some networks take any size; the others are of one size and say so."""
    device = load_device(DeviceConfig(name="algiers", backend="FakeAlgiers", layout=layout))
    other = exact_runs(device.calibration, layout)
    pairs = list(pairwise(range(len(layout))))
    circuits = other.measure(random_circuits(pairs, 0, count=4), 1000)
    mitigator = case.mitigator
    if isinstance(mitigator, Ensemble) or (
        isinstance(mitigator, LearnedMitigator) and not mitigator.model.network.any_size
    ):
        sentence = rf"trained on 5 qubits, all measured; the circuits have {len(layout)} and"
        with pytest.raises(QmendError, match=sentence):
            mitigator.mitigate(circuits)
        return
    if isinstance(mitigator, ExecutedMitigator):
        mitigator = ExecutedMitigator(mitigator.mitigator, other)
    assert_distributions(mitigator.mitigate(circuits), circuits)


# Without noise


@pytest.fixture(scope="module")
def noise_free(exact_runs, random_circuits, algiers):
    """Circuits with their exact ideal distributions under a calibration without any error, and
    what runs more of them."""
    perfect = calibration(algiers.calibration, 0.0, 1e9)
    perfect_runs = exact_runs(perfect, algiers.layout)

    def draw(seed: int, count: int) -> LabelledCircuits:
        gates = random_circuits([(0, 1), (1, 2), (2, 3), (3, 4)], seed, count, blocks=30)
        circuits = perfect_runs.measure(gates, 100_000)
        ideal = compiled_probabilities(circuits.instructions)
        names = np.array([f"{seed} {k}" for k in range(count)])
        zeros = np.zeros(count, dtype=int)
        circuits = replace(circuits, noisy=ideal / ideal.sum(axis=1, keepdims=True))
        return LabelledCircuits(circuits, ideal, None, names, names, zeros, zeros, zeros)

    return draw, perfect_runs


def starts_at_its_input(mitigator: Mitigator) -> bool:
    """Whether a network adds to a known estimate; the others must learn to copy their input.

    Their last layer is a softmax of a network's output: after a few steps they are as far away as
    the uniform distribution.
    """
    members = mitigator.members if isinstance(mitigator, Ensemble) else [mitigator]
    return all(member.model.network.head == "residual" for member in members)


def changed(mitigator: Mitigator, test: LabelledCircuits) -> tuple[float, float]:
    """Mean TV distance of the mitigated from the noise-free input, and that of the uniform."""
    ideal = test.ideal / test.ideal.sum(axis=1, keepdims=True)
    mitigated = mitigator.mitigate(replace(test.circuits, noisy=ideal))
    uniform = np.full_like(ideal, 1 / ideal.shape[1])
    distances = (metrics.total_variation(p, ideal).mean() for p in (mitigated, uniform))
    return tuple(float(d) for d in distances)


@pytest.mark.parametrize("name", NAMES)
def test_without_noise_nothing_changes(name, noise_free):
    draw, perfect_runs = noise_free
    train, val, test = (draw(seed, count) for seed, count in ((0, 48), (1, 8), (2, 16)))
    mitigator = fitted(name, train, val, perfect_runs)
    change, of_uniform = changed(mitigator, test)
    assert of_uniform > 0.3
    if name in BASELINES:
        assert change <= mitigator.noiseless_error
    elif starts_at_its_input(mitigator):
        assert change < 0.01  # a few steps lead away by their size
    else:
        assert change == pytest.approx(of_uniform, rel=0.1)


def test_fitted_to_noise_and_given_none(case, tiny, algiers):
    """Out of distribution for whoever was fitted: how far that leads is stated, not hidden."""
    test = tiny.part("test")
    perfect = calibration(algiers.calibration, 0.0, 1e9)
    perfectly_calibrated = replace(test, circuits=replace(test.circuits, calibrations=(perfect,)))
    noise = metrics.total_variation(test.circuits.noisy, test.ideal).mean()
    change, of_uniform = changed(case.mitigator, perfectly_calibrated)
    assert noise == pytest.approx(0.17, abs=0.01)
    if case.name in BASELINES:
        # One that does not look at the calibration undoes the noise it was fitted to.
        assert case.mitigator.parameters == 0 or change < 0.15 < noise
    elif starts_at_its_input(case.mitigator):
        assert change < 0.03
    else:
        assert change == pytest.approx(of_uniform, rel=0.1)


def test_path_inversion_reads_the_calibration(tiny, algiers, runs):
    """Told that there is no noise, it leaves but its two-qubit gates' share."""
    train, val, test = (tiny.part(split) for split in ("train", "val", "test"))
    perfect = calibration(algiers.calibration, 0.0, 1e9)
    perfectly_calibrated = replace(test, circuits=replace(test.circuits, calibrations=(perfect,)))
    change, _ = changed(fitted("path_inversion", train, val, runs), perfectly_calibrated)
    assert change < 0.03
