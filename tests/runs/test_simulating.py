"""No mitigator may simulate its circuits: what it makes of other circuits' measurements tells."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from qmend.circuits.statevector import compiled_probabilities
from qmend.datasets.circuits import CircuitBatch
from qmend.datasets.config import DatasetConfig
from qmend.datasets.table import Dataset, load_dataset
from qmend.devices.device import DeviceConfig
from qmend.encodings.paths import PathsEncoding
from qmend.evaluation.simulation import GAIN, LEAST_SLOPE, SLOPE, Meter, simulates
from qmend.generation.generate import generate
from qmend.mitigation.base import ExecutedMitigator, Mitigator
from qmend.mitigation.baselines import NoMitigation
from qmend.mitigation.baselines.clifford_data_regression import CliffordDataRegression
from qmend.mitigation.baselines.zero_noise_extrapolation import LinearExtrapolation
from qmend.mitigation.learned import LearnedMitigator
from qmend.mitigation.runnable import runnable_baselines
from qmend.noise.paths import FEATURES, PATHS, _features_and_ended
from qmend.runs.leaderboard import Leaderboard
from qmend.runs.scoring import Context, run_baseline
from qmend.runs.training import run_training
from qmend.training.config import TrainingConfig
from qmend.training.data import encode_splits
from qmend.training.train import train

#: The one baseline that does.
SIMULATING = "probabilistic_inversion"

# The exchange


class Simulator(Mitigator):
    """Ignores the measurement and computes the ideal, with a share of the uniform."""

    name: ClassVar[str] = "simulator"

    def __init__(self, share: float) -> None:
        self.share = share

    def mitigate(self, circuits: CircuitBatch) -> np.ndarray:
        ideal = compiled_probabilities(circuits.instructions)
        return self.share * ideal + (1 - self.share) / ideal.shape[1]


def test_a_circuit_s_own_measurement_is_mitigated_as_ever(tiny: Dataset) -> None:
    """Its reruns are those that :meth:`mitigate` makes."""
    train, own = tiny.part("train"), tiny.part("test").circuits
    as_it_is = np.zeros(len(own), dtype=np.int64)
    for mitigator in runnable_baselines(tiny).mitigators:
        mitigator.fit(train)
        (exchanged,) = mitigator.mitigate_others([own], own, as_it_is)
        np.testing.assert_allclose(exchanged, mitigator.mitigate(own), atol=1e-12)


def test_reruns_are_of_the_measured_circuit_and_flip_with_it(tiny: Dataset) -> None:
    """They run once for all batches. Extrapolation commutes with flips, as no readout error is
    undone."""
    circuits = tiny.part("test").circuits
    others = circuits.select(np.roll(np.arange(len(circuits)), 1))
    flips = np.arange(len(circuits)) % 32
    asked = []

    def runner(circuits, further):
        asked.append(circuits.instructions.circuit_ids())
        return compiled_probabilities(further).reshape(len(circuits), -1, 32)

    class NoReadout(LinearExtrapolation):
        def combine_results(self, circuits, results):
            measured = np.concatenate([circuits.noisy[:, None], results], axis=1)
            return self.extrapolate(measured, np.array(self.scales, dtype=float))

    mitigator = ExecutedMitigator(NoReadout(), runner)
    both = [circuits, others]
    plain, of_its_own = mitigator.mitigate_others(both, others, np.zeros_like(flips))
    flipped, _ = mitigator.mitigate_others(both, others, flips)
    np.testing.assert_array_equal(plain, of_its_own)  # nothing but measurements tells
    assert asked == [others.instructions.circuit_ids()] * 2
    outcomes = np.arange(32) ^ flips[:, None]
    np.testing.assert_allclose(np.take_along_axis(plain, outcomes, axis=1), flipped, atol=1e-12)
    np.testing.assert_allclose(plain, mitigator.mitigate(others), atol=1e-12)


def test_other_circuits_run_as_ever_but_for_the_circuit_itself(tiny: Dataset) -> None:
    """A Clifford circuit is its own partner: its measurement is the other's, too."""
    circuits = tiny.part("test").circuits
    others = circuits.select(np.roll(np.arange(len(circuits)), 1))
    combined = []

    def runner(circuits, further):
        out = np.zeros((len(circuits), len(further) // len(circuits), 32))
        out[:, :, 0] = 1.0
        return out

    class HalfTurned(CliffordDataRegression):
        """Two further circuits of each: itself, and one with other angles."""

        def construct_circuits(self, circuits):
            table = circuits.instructions.select(np.repeat(np.arange(len(circuits)), 2))
            return replace(
                table, angle=table.angle + (np.arange(len(table)) % 2)[table.circuit_index]
            )

        def combine_results(self, circuits, results):
            combined.append(results)
            return super().combine_results(circuits, results)

    flips = np.zeros(len(circuits), dtype=np.int64)
    ExecutedMitigator(HalfTurned(), runner).mitigate_others([circuits], others, flips)
    np.testing.assert_array_equal(combined[0][:, 0], others.noisy)
    assert (combined[0][:, 1, 0] == 1).all()


# Marks


def test_who_is_marked(tiny, store):
    """Of all baselines the one that inverts by a simulation; a simulator, too, even if but a tenth
    of its output is the ideal."""
    context = Context(store, tiny)
    baselines = {m.name: m.fit(tiny.part("train")) for m in runnable_baselines(tiny).mitigators}
    seen = {name: Meter.of(m, tiny.part("test")).figures for name, m in baselines.items()}
    assert [name for name, figures in seen.items() if simulates(figures)] == [SIMULATING]
    mitigators = [baselines[SIMULATING], baselines["none"], Simulator(0.1)]
    entries = [run_baseline(context, mitigator, {}) for mitigator in mitigators]
    marked = [entry.name for entry in entries if entry.simulates]
    assert marked == [SIMULATING, "simulator"]
    assert entries[-1].figures[SLOPE].value == pytest.approx(0.1, abs=1e-6)
    for entry in entries:
        run = store.client.get_run(entry.run_id).data
        assert run.tags["simulates"] == str(entry.simulates).lower()
        for name in (SLOPE, GAIN):
            interval = entry.figures[name]
            logged = [run.metrics[f"test/{name}{end}"] for end in ("", "_lo", "_hi")]
            assert logged == [interval.value, interval.lo, interval.hi]
    assert Leaderboard.of(entries).winner.simulates is False


def test_a_network_blind_to_the_circuit_is_not_marked(board):
    for entry in board.models:
        assert not entry.simulates
        assert abs(entry.figures[SLOPE].value) < 0.05


def test_a_network_that_knows_its_circuits_by_heart_is_marked(tiny, store):
    """Scored on what it was trained on, by a loss that asks for the ideal alone."""
    training = TrainingConfig(
        model={"name": "mlp", "width": 32, "depth": 1},
        loss={"name": "l1"},
        optimizer={"lr": 1e-2},
        trainer={"max_epochs": 25, "batch_size": 24, "threads": 1},
    )
    entry = run_training(Context(store, tiny, "train"), "by heart", training, {})
    assert entry.simulates
    assert store.client.get_run(entry.run_id).data.tags["simulates"] == "true"


def test_what_circuits_have_in_common_is_no_simulation(tiny, store):
    """One output for every circuit, which is near them all."""
    rows = tiny.rows
    common = np.random.default_rng(0).dirichlet(np.full(32, 0.3))
    ideal = 0.9 * common + 0.1 * rows.ideal
    data = replace(tiny, groups=(replace(rows, ideal=ideal),))

    class Constant(NoMitigation):
        def mitigate(self, circuits):
            return np.tile(common, (len(circuits), 1))

    entry = run_baseline(Context(store, data), Constant(), {})
    assert entry.median < -0.5
    assert entry.figures[SLOPE].value == entry.figures[GAIN].value == 0
    assert not entry.simulates


# The control


class SharesEncoding(PathsEncoding):
    """Puts the share of ended paths, which is never a feature, in the place of parities' weight."""

    def tokens(self, batch):
        tokens, mask = super().tokens(batch)
        (chain,) = batch.chains
        _, ended = _features_and_ended(batch.instructions, *chain, PATHS, 0, None)
        tokens[:, :, FEATURES.index("weight")] = 10 * ended / PATHS
        return tokens, mask


@pytest.fixture(scope="module")
def rarely_measured(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Pauli circuits at 30 shots, where knowing the ideal beforehand pays."""
    folder: Path = tmp_path_factory.mktemp("control") / "rarely"
    config = DatasetConfig(
        name="rarely",
        family={"name": "pauli", "n_qubits": 3, "gadgets_min": 2, "gadgets_max": 6},
        compiler={"name": "direct"},
        circuits=600,
        job_size=10,
        jobs_per_shard=60,
        shots=30,
        seed=3,
    )
    generate(config, DeviceConfig(name="a", backend="FakeAlgiers", layout=(0, 1, 2)), folder)
    return load_dataset(folder)


@pytest.mark.parametrize("encoding", [PathsEncoding, SharesEncoding])
def test_the_share_of_ended_paths_is_seen(rarely_measured: Dataset, encoding: type) -> None:
    """The same operator, which gives the uniform distribution for the uniform one by construction.

    With its own features nothing is seen; with the share of ended paths, which is large where the
    ideal parity is, it is caught by the slope alone.
    """
    config = TrainingConfig(
        model={"name": "walsh_operator", "channels": 4, "blocks": 1},
        loss={"name": "l1"},
        optimizer={"lr": 1e-2},
        trainer={"max_epochs": 20, "batch_size": 64, "threads": 1},
    )
    fitting, validation = rarely_measured.part("train"), rarely_measured.part("val")
    data = encode_splits(config.model, [fitting], [validation], encoding().fit(fitting.circuits))
    mitigator = LearnedMitigator(train(config, data).model)
    figures = Meter.of(mitigator, rarely_measured.part("test")).figures
    assert simulates(figures) == (encoding is SharesEncoding)
    assert (figures[SLOPE].lo > LEAST_SLOPE) == (encoding is SharesEncoding)
    if encoding is PathsEncoding:
        assert abs(figures[SLOPE].value) < 0.03
        assert abs(figures[GAIN].value) < 1
