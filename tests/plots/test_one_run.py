"""A run's plots show its numbers."""

import numpy as np
import pytest

from qmend.metrics import improved_pct, median_l1rc
from qmend.plots.one_run import l1rc_of_circuits, learning_curves, png


@pytest.fixture(scope="module")
def circuits():
    rng = np.random.default_rng(5)
    l1rc = rng.normal(-0.4, 0.5, 400)
    l1rc[::40] = np.nan
    return l1rc, rng.integers(3, 60, 400)


def test_the_curve_crosses_0_at_the_share_of_improved_circuits(circuits):
    l1rc, gates = circuits
    share, _ = l1rc_of_circuits(l1rc, gates).axes
    x, y = share.lines[0].get_data()
    assert len(x) == 390
    assert y[np.searchsorted(x, 0.0) - 1] == pytest.approx(improved_pct(l1rc))
    assert share.lines[2].get_xdata() == pytest.approx(median_l1rc(l1rc))


def test_the_medians_by_gates_are_those_of_all_circuits_of_a_bin(circuits):
    l1rc, gates = circuits
    _, by_gates = l1rc_of_circuits(l1rc, gates).axes
    centres, medians = by_gates.lines[0].get_data()
    known = ~np.isnan(l1rc)
    # The mean of each bin is its centre: bins partition the circuits, so they can be found again.
    order = np.sort(np.unique(gates[known]))
    last = order[order <= centres[0] * 2].max()
    lowest = [
        np.median(l1rc[known & (gates <= end)])
        for end in order[order <= last]
        if gates[known & (gates <= end)].mean() == pytest.approx(centres[0])
    ]
    assert lowest == [pytest.approx(medians[0])]
    assert (np.diff(centres) > 0).all()


@pytest.mark.parametrize("l1rc", [np.full(5, np.nan), np.zeros(5), np.array([0.3])])
def test_runs_with_nothing_to_tell_have_a_plot_too(l1rc):
    assert len(png(l1rc_of_circuits(l1rc, np.full(len(l1rc), 7)))) > 1000


def test_learning_curves_begin_at_epoch_1(circuits):
    history = {"train/loss": [3.0, 2.0], "val/loss": [3.5, 2.5], "val/l1rc_median": [0.1, -0.2]}
    loss, change = learning_curves(history).axes
    assert [line.get_label() for line in loss.lines] == ["train/loss", "val/loss"]
    assert loss.lines[0].get_xdata().tolist() == [1, 2]
    assert change.lines[0].get_ydata().tolist() == [0.1, -0.2]


def test_a_picture_is_small_and_900_pixels_wide(circuits):
    picture = png(l1rc_of_circuits(*circuits))
    assert int.from_bytes(picture[16:20], "big") == 900
    assert len(picture) < 100_000
