"""No mitigator may simulate its circuits: what it recovers where nothing was measured tells."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
from scipy.optimize import linprog

from qmend import metrics
from qmend.circuits.statevector import compiled_probabilities
from qmend.datasets.circuits import CircuitBatch
from qmend.evaluation.constant import best_constant, constant_of_least_mean
from qmend.evaluation.scores import SIMULATION_MARGIN, score, simulates, summarise
from qmend.mitigation.base import ExecutedMitigator, Mitigator
from qmend.mitigation.baselines import BASELINES, NoMitigation
from qmend.mitigation.baselines.clifford_data_regression import CliffordDataRegression
from qmend.mitigation.baselines.zero_noise_extrapolation import LinearExtrapolation
from qmend.mitigation.runnable import runnable_baselines
from qmend.runs.leaderboard import Leaderboard
from qmend.runs.scoring import Context, run_baseline
from qmend.runs.training import run_training
from qmend.training.config import TrainingConfig


def ratios(ideal: np.ndarray, constant: np.ndarray) -> np.ndarray:
    """By the definition, circuit by circuit."""
    known = np.abs(ideal - 1 / ideal.shape[1]).sum(axis=1)
    return np.abs(ideal - constant).sum(axis=1) / known - 1


@pytest.fixture(scope="module")
def common() -> np.ndarray:
    """(200, 8) ideal distributions that have something in common."""
    rng = np.random.default_rng(0)
    return rng.dirichlet([4.0, 2.0, 1.0, 0.5, 0.5, 0.2, 0.2, 0.1], size=200)


# The figure


def test_the_figure_by_its_definition(common):
    rng = np.random.default_rng(1)
    found = rng.dirichlet(np.ones(8), size=200)
    np.testing.assert_allclose(
        metrics.uniform_l1rc(common, found),
        np.abs(common - found).sum(axis=1) / np.abs(common - 1 / 8).sum(axis=1) - 1,
    )
    assert (metrics.uniform_l1rc(common, np.full(8, 1 / 8)) == 0).all()
    assert (metrics.uniform_l1rc(common, common) == -1).all()


def test_circuits_whose_ideal_is_uniform_are_left_out():
    """Whatever the last bit says; where all are, there is no figure."""
    ideal = np.full((3, 4), 0.25)
    ideal[1] += [1e-16, -1e-16, 0, 0]
    ideal[2] = [1, 0, 0, 0]
    found = metrics.uniform_l1rc(ideal, np.array([0.5, 0.5, 0, 0]))
    np.testing.assert_allclose(found, [np.nan, np.nan, 1 / 1.5 - 1])
    assert metrics.median_l1rc(found) == pytest.approx(-1 / 3)
    nothing = metrics.uniform_l1rc(ideal[:2], ideal[:2])
    interval = metrics.Bootstrap.over(np.arange(2), 10).interval(
        lambda index: metrics.median_l1rc(nothing[index])
    )
    assert np.isnan([interval.value, interval.lo, interval.hi]).all()


# The best constant


def test_the_least_mean_is_that_of_a_linear_programme(common):
    """min sum_ix t_ix / w_i with t_ix >= |p_ix - c_x| and sum c = 1, by a general solver."""
    ideal = common[:40]
    count, outcomes = ideal.shape
    cost = np.repeat(1 / np.abs(ideal - 1 / 8).sum(axis=1), outcomes)
    eye, each = np.eye(count * outcomes), np.tile(np.eye(outcomes), (count, 1))
    found = linprog(
        np.concatenate([np.zeros(outcomes), cost]),
        A_ub=np.block([[each, -eye], [-each, -eye]]),
        b_ub=np.concatenate([ideal.reshape(-1), -ideal.reshape(-1)]),
        A_eq=np.concatenate([np.ones(outcomes), np.zeros(count * outcomes)])[None],
        b_eq=[1.0],
    )
    constant = constant_of_least_mean(ideal)
    assert constant.sum() == pytest.approx(1, abs=1e-12)
    assert (constant >= 0).all()
    assert ratios(ideal, constant).mean() == pytest.approx(found.fun / count - 1, abs=1e-9)


def test_the_best_constant_beats_a_thousand_others(common):
    """On what it was fitted to. The least mean is a proof; the median has many small minima, so
    that a neighbour may be lower by a little."""
    mean, best = constant_of_least_mean(common), best_constant(common)
    lowest = np.median(ratios(common, best))
    assert lowest <= np.median(ratios(common, mean)) < -0.3
    rng = np.random.default_rng(2)
    anywhere = [rng.dirichlet(np.ones(8)) for _ in range(500)]
    alike = [rng.dirichlet(20 * common.mean(axis=0)) for _ in range(250)]
    near = [rng.dirichlet(1000 * best + 1e-3) for _ in range(250)]
    for other in (*anywhere, *alike, *near):
        assert ratios(common, other).mean() > ratios(common, mean).mean()
        assert np.median(ratios(common, other)) > lowest - 0.01
    assert min(np.median(ratios(common, other)) for other in anywhere) > lowest


def test_the_median_looks_at_the_kind_of_circuits_that_is_frequent():
    """Two kinds: the mean is a compromise, the median needs half of the circuits only."""
    rng = np.random.default_rng(0)
    ideal = np.concatenate(
        [
            rng.dirichlet([8, 2, 1, 1, 0.5, 0.5, 0.5, 0.5], size=130),
            rng.dirichlet([1, 1, 1, 1, 1, 1, 3, 6], size=70),
        ]
    )
    mean, best = (f(ideal) for f in (constant_of_least_mean, best_constant))
    assert np.median(ratios(ideal, best)) < np.median(ratios(ideal, mean)) - 0.05
    assert ratios(ideal, mean).mean() < ratios(ideal, best).mean()


def test_circuits_with_nothing_in_common_leave_the_uniform_distribution():
    """Each outcome is as likely as the others: no constant has a lower mean."""
    ideal = np.repeat(np.eye(8), 5, axis=0)
    assert ratios(ideal, constant_of_least_mean(ideal)).mean() == pytest.approx(0, abs=1e-12)
    np.testing.assert_array_equal(best_constant(np.full((3, 4), 0.25)), np.full(4, 0.25))


def test_equal_circuits_are_the_constant():
    p = np.random.default_rng(3).dirichlet(np.ones(16))
    np.testing.assert_allclose(best_constant(np.tile(p, (9, 1))), p, atol=1e-12)


# What a mitigator is given


class Simulator(Mitigator):
    """Ignores the measurement and computes the ideal, with a share of the uniform."""

    name: ClassVar[str] = "simulator"

    def __init__(self, share: float) -> None:
        self.share = share

    def mitigate(self, circuits: CircuitBatch) -> np.ndarray:
        ideal = compiled_probabilities(circuits.instructions)
        return self.share * ideal + (1 - self.share) / ideal.shape[1]


class CountingRunner:
    """A runner whose circuits all give |0...0>, and that counts how often it is asked."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, circuits, further):
        self.calls += 1
        out = np.zeros((len(circuits), len(further) // len(circuits), 2**circuits.n_qubits))
        out[:, :, 0] = 1.0
        return out


def test_nothing_measured_of_the_circuit_is_left(tiny):
    """Folded circuits are the circuit: extrapolating uniform distributions gives uniform."""
    circuits, runner = tiny.part("test").circuits, CountingRunner()
    mitigator = ExecutedMitigator(LinearExtrapolation(), runner)
    np.testing.assert_allclose(mitigator.mitigate_uniform(circuits), 1 / 32, atol=1e-12)
    assert runner.calls == 0
    mitigator.mitigate(circuits)
    assert runner.calls == 1


def test_partners_are_other_circuits(tiny):
    """They are measured as ever; but a Clifford circuit is its own partner."""
    circuits, runner = tiny.part("test").circuits, CountingRunner()
    combined = []

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

    mitigated = ExecutedMitigator(HalfTurned(), runner).mitigate_uniform(circuits)
    np.testing.assert_allclose(mitigated, 1 / 32, atol=1e-12)
    assert runner.calls == 1
    np.testing.assert_array_equal(combined[0][:, 0], np.full((len(circuits), 32), 1 / 32))
    assert (combined[0][:, 1, 0] == 1).all()


# Marks


def test_who_is_marked(tiny, store):
    """All baselines but the one that says so itself recover nothing; a simulator of a tenth of
    the ideal is found out, one of a fortieth not."""
    context = Context(store, tiny)
    mitigators = [*runnable_baselines(tiny).mitigators, *map(Simulator, (1.0, 0.1, 0.025))]
    entries = [run_baseline(context, mitigator, {}) for mitigator in mitigators]
    known = len(BASELINES)
    for entry in entries[:known]:
        # mthree computes in single precision. Decay towards |0> makes no uniform distribution, so
        # the inversion with a bias does not return it.
        margin = 1e-3 if entry.name == "path_inversion_biased" else 1e-6
        assert entry.summary.figures["uniform_l1rc"].value == pytest.approx(0, abs=margin)
        assert entry.simulates == (entry.name == "probabilistic_inversion")
    assert [e.simulates for e in entries[known:]] == [True, True, False]
    found = [e.summary.figures["uniform_l1rc"].value for e in entries[known:]]
    assert found == pytest.approx([-1, -0.1, -0.025], abs=1e-6)
    constant = np.median(ratios(tiny.part("test").ideal, best_constant(tiny.part("train").ideal)))
    for entry in entries:
        run = store.client.get_run(entry.run_id).data
        assert run.tags["simulates"] == str(entry.simulates).lower()
        assert run.metrics["test/uniform_l1rc_constant"] == pytest.approx(constant)
        interval = entry.summary.figures["uniform_l1rc"]
        logged = [run.metrics[f"test/uniform_l1rc{end}"] for end in ("", "_lo", "_hi")]
        assert logged == [interval.value, interval.lo, interval.hi]
        assert run.metrics["cost/shots_factor"] == entry.shots_factor
    assert -0.1 < constant - SIMULATION_MARGIN < -0.025
    assert entries[0].constant == pytest.approx(constant)
    assert {e.name: e.shots_factor for e in entries}["clifford_data_regression"] == 11
    assert Leaderboard.of(entries).winner.simulates is False


def test_a_network_blind_to_the_circuit_is_not_marked(board):
    for entry in board.models:
        assert not entry.simulates
        assert abs(entry.figures["uniform_l1rc"].value) < 0.05


def test_a_network_that_knows_its_circuits_by_heart_is_marked(tiny, store):
    """Scored on what it was trained on, by a loss that asks for the ideal alone."""
    training = TrainingConfig(
        model={"name": "mlp", "width": 32, "depth": 1},
        loss={"name": "l1"},
        optimizer={"lr": 1e-2},
        trainer={"max_epochs": 25, "batch_size": 24, "threads": 1},
    )
    entry = run_training(Context(store, tiny, "train"), "by heart", training, {})
    assert entry.summary.figures["uniform_l1rc"].hi < entry.constant - SIMULATION_MARGIN
    assert entry.simulates
    assert store.client.get_run(entry.run_id).data.tags["simulates"] == "true"


def test_what_circuits_have_in_common_is_no_simulation(tiny, store):
    """Every circuit of one output: the constant is perfect, and so may be a mitigator."""
    rows = tiny.rows
    same = np.tile(rows.ideal[:1], (len(rows), 1))
    data = replace(tiny, rows=replace(rows, ideal=same))

    class Constant(NoMitigation):
        def mitigate(self, circuits):
            return same[: len(circuits)]

    entry = run_baseline(Context(store, data), Constant(), {})
    assert entry.summary.figures["uniform_l1rc"].value == -1
    assert entry.constant == pytest.approx(-1)
    assert not entry.simulates


def test_without_a_train_split_the_constant_is_fitted_to_what_is_scored(tiny, store):
    whole = replace(tiny, split=np.full(len(tiny.rows), "test"))
    np.testing.assert_array_equal(Context(store, whole).constant, best_constant(tiny.rows.ideal))
    np.testing.assert_array_equal(
        Context(store, tiny, "all").constant, best_constant(tiny.part("train").ideal)
    )


def test_a_constant_that_carries_badly_marks_nobody(tiny):
    """Fitted to few circuits it may be worse than uniform elsewhere: uniform is a constant, too."""
    data = tiny.part("test")
    uniform = np.full_like(data.ideal, 1 / data.ideal.shape[1])
    scored = score(data, data.circuits.noisy, uniform)
    summary = summarise(scored, metrics.Bootstrap.over(data.job_id))
    assert summary.figures["uniform_l1rc"].value == 0
    assert not simulates(summary, 0.4)
    recovered = summarise(
        score(data, data.circuits.noisy, 0.9 * uniform + 0.1 * data.ideal),
        metrics.Bootstrap.over(data.job_id),
    )
    assert recovered.figures["uniform_l1rc"].value == pytest.approx(-0.1)
    assert simulates(recovered, 0.4)
    assert not simulates(recovered, -0.1)
