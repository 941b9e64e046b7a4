"""The meter of simulation: who is paired with whom, and what its figures are of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qmend.datasets.table import Dataset, LabelledCircuits, load_dataset
from qmend.evaluation.simulation import GAIN, SLOPE, Meter, draw_exchange, simulates
from qmend.metrics import Interval
from qmend.mitigation.base import Mitigator
from qmend.mitigation.baselines import DepolarizingInversion
from qmend.walsh import walsh_hadamard


class Fixed(Mitigator):
    """Puts out a distribution for each circuit, whatever is measured."""

    name = "fixed"

    def __init__(self, data: LabelledCircuits, outputs: np.ndarray) -> None:
        self.outputs = dict(zip(data.circuits.instructions.circuit_ids(), outputs, strict=True))

    def mitigate(self, circuits):
        return np.array([self.outputs[name] for name in circuits.instructions.circuit_ids()])


def test_three_different_circuits_and_the_measurement_of_another_job(tiny: Dataset) -> None:
    """The circuits of 40 rows are there twice, as equal ideals under other names."""
    rows = tiny.rows.select(np.concatenate([np.arange(96), np.arange(40)]))
    rows = replace(rows, circuit_id=np.array([f"{k:03d}" for k in range(len(rows))]))
    drawn = draw_exchange(rows)
    assert len(drawn) > 60
    columns = drawn.first, drawn.second, drawn.measured
    for one, other in ((0, 1), (0, 2), (1, 2)):
        apart = np.abs(rows.ideal[columns[one]] - rows.ideal[columns[other]]).sum(axis=1)
        assert (apart > 1e-3).all()
    for circuit in (drawn.first, drawn.second):
        assert (rows.job_id[circuit] != rows.job_id[drawn.measured]).all()
    paired = np.concatenate([drawn.first, drawn.second])
    assert len(set(paired)) == len(paired)
    assert len(set(drawn.measured)) == len(drawn)
    gates = rows.n_two_qubit[drawn.first] - rows.n_two_qubit[drawn.second]
    assert np.abs(gates).mean() < 0.1 * rows.n_two_qubit.std()
    again = draw_exchange(rows)
    np.testing.assert_array_equal(again.first, drawn.first)
    np.testing.assert_array_equal(again.measured, drawn.measured)


def test_one_with_far_more_gates_is_no_neighbour(tiny: Dataset) -> None:
    """However few there are: more noise to undo is no simulation."""
    rows = tiny.rows.select(np.arange(24))
    assert len(draw_exchange(replace(rows, n_two_qubit=10 * 2 ** np.arange(24)))) == 0
    doubled = replace(rows, n_two_qubit=10 * 2 ** (np.arange(24) // 2))
    drawn = draw_exchange(doubled)
    assert len(drawn) == 12
    np.testing.assert_array_equal(drawn.first // 2, drawn.second // 2)


def test_a_repeat_is_no_further_circuit(tiny: Dataset) -> None:
    repeated = tiny.rows.select(np.tile(np.arange(24), 4))
    assert len(draw_exchange(repeated)) <= 12
    alike = tiny.rows.select(np.arange(24))
    alike = replace(alike, ideal=np.tile(alike.ideal[:1], (24, 1)))
    assert len(draw_exchange(alike)) == 0


def test_two_bits_of_a_circuit_are_no_pair() -> None:
    """Expectation values come as a row for each measured bit."""
    rows = load_dataset(Path(__file__).parents[2] / "data" / "algiers_trotter").rows
    names = np.array(rows.circuits.instructions.circuit_ids())
    assert len(set(names)) < len(rows) / 4
    drawn = draw_exchange(rows)
    assert len(drawn) > 400
    first, second, measured = names[drawn.first], names[drawn.second], names[drawn.measured]
    assert (first != second).all()
    assert (first != measured).all()
    assert (second != measured).all()


@pytest.mark.parametrize("share", [1.0, 0.3, 0.0])
def test_the_slope_of_a_share_of_the_ideal_is_that_share(tiny: Dataset, share: float) -> None:
    rows = tiny.rows
    meter = Meter.of(Fixed(rows, share * rows.ideal + (1 - share) / 32), rows)
    figures = meter.figures
    assert figures[SLOPE].value == pytest.approx(share, abs=1e-12)
    assert simulates(figures) == (share > 0)
    if share == 1:
        assert figures[GAIN].value == -100
    if share == 0:
        assert figures[GAIN].value == 0


def test_another_s_ideal_is_the_opposite_of_simulation(tiny: Dataset) -> None:
    """Both figures change their signs with the two circuits of a pair."""
    rows, drawn = tiny.rows, draw_exchange(tiny.rows)
    exchanged = rows.ideal.copy()
    exchanged[drawn.first], exchanged[drawn.second] = (
        rows.ideal[drawn.second],
        rows.ideal[drawn.first],
    )
    figures = Meter.of(Fixed(rows, 0.5 * exchanged + 0.5 / 32), rows).figures
    assert figures[SLOPE].value == pytest.approx(-0.5, abs=1e-12)
    assert figures[GAIN].lo > 50
    assert not simulates(figures)


@pytest.mark.parametrize("deep", ["sharp", "flat"])
def test_undoing_more_noise_where_ideals_are_sharper_is_no_simulation(
    tiny: Dataset, deep: str
) -> None:
    """Deep circuits have larger outputs, as more is undone; in one of the two worlds they have
    larger ideal parities, too. A regression over all circuits takes that for simulation."""
    rng = np.random.default_rng(0)
    rows = tiny.rows
    depth = rows.n_two_qubit / rows.n_two_qubit.max()
    sharpness = depth if deep == "sharp" else 1 - depth
    ideal = np.array([rng.dirichlet(np.full(32, 10 ** (0.5 - 2 * s))) for s in sharpness])
    survival = np.exp(-1.5 * depth)[:, None]
    noisy = survival * ideal + (1 - survival) / 32
    rows = replace(rows, ideal=ideal, circuits=replace(rows.circuits, noisy=noisy))
    mitigator = DepolarizingInversion().fit(rows)
    np.testing.assert_allclose(mitigator.mitigate(rows.circuits), ideal, atol=0.02)

    drawn = draw_exchange(rows)
    (of_other,) = mitigator.mitigate_others(
        [rows.circuits], rows.circuits.select(np.roll(np.arange(96), 7)), np.zeros(96, dtype=int)
    )
    true, size = (np.abs(walsh_hadamard(x)[:, 1:]).mean(axis=1) for x in (ideal, of_other))
    if deep == "sharp":
        assert np.polyfit(true, size, 1)[0] > 0.1
    figures = Meter.of(mitigator, rows).figures
    assert abs(figures[SLOPE].value) < 0.03
    assert not simulates(figures)
    assert len(drawn) == 48


def test_too_few_circuits_give_no_figures(tiny: Dataset) -> None:
    rows = tiny.rows.select(np.arange(12))
    meter = Meter.of(Fixed(rows, rows.ideal), rows)
    assert meter.figures == {}
    assert not simulates({})
    one = tiny.rows.select(np.arange(1))
    assert Meter.of(Fixed(one, one.ideal), one).figures == {}


def test_replicates_without_a_telling_pair_are_left_out() -> None:
    """One pair in eight has unequal sizes, and a third of the replicates is without it."""
    sums = np.zeros((3, 8, 2))
    sums[:, 0] = 0.5, 1.0
    unknown = np.full((1, 8, 2), np.nan)  # the first way gives no number at all
    for slope in (sums, np.concatenate([unknown, sums])):
        gain = np.where(np.isnan(slope), np.nan, 1.0)
        figures = Meter(slope, gain, np.arange(8)).figures
        assert figures == {SLOPE: Interval(0.5, 0.5, 0.5), GAIN: Interval(1.0, 1.0, 1.0)}
        assert simulates(figures)
    nothing = Meter(np.zeros((3, 8, 2)), np.ones((3, 8, 2)), np.arange(8)).figures
    assert np.isnan([nothing[SLOPE].value, nothing[SLOPE].lo, nothing[SLOPE].hi]).all()


def test_no_number_is_no_simulation() -> None:
    nothing = Interval(np.nan, np.nan, np.nan)
    assert not simulates({SLOPE: nothing, GAIN: nothing})
    assert simulates({SLOPE: Interval(0.2, 0.11, 0.3), GAIN: nothing})
    assert not simulates({SLOPE: Interval(0.2, 0.1, 0.3), GAIN: Interval(-2, -3, -1)})
    assert simulates({SLOPE: Interval(0, 0, 0), GAIN: Interval(-2, -3, -1.1)})
