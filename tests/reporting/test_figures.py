"""Plots hold the numbers they claim."""

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import numpy as np
import pytest

from qmend.reporting import figures


@pytest.fixture(scope="module")
def colour_of(board) -> dict[str, str]:
    return figures.colours([run.name for run in board.runs])


@pytest.fixture(scope="module")
def scored(tiny):
    return tiny.part("test")


@pytest.fixture(scope="module")
def trained(board) -> list:
    return [run for run in board.runs if run.kind == "train"]


def test_training_curves_are_the_history(trained, colour_of):
    loss, change = figures.training_curves(trained, colour_of).axes
    expected = [
        line
        for e in trained
        for line in ((e.history["train/loss"], "-"), (e.history["val/loss"], "--"))
    ]
    found = [(list(line.get_ydata()), line.get_linestyle()) for line in loss.lines]
    assert found == expected
    curves = {line.get_label(): line for line in change.lines}
    for entry in trained:
        line = curves[entry.name]
        assert list(line.get_xdata()) == [1, 2, 3]
        assert list(line.get_ydata()) == entry.history["val/l1rc_median"]
        assert line.get_color() == colour_of[entry.name]


def test_epochs_are_whole_numbers_and_a_bad_start_does_not_flatten_the_rest(trained):
    history = {"train/loss": [2.0, 1.0], "val/l1rc_median": [2.3, -0.5]}
    short = replace(trained[0], history=history)
    loss, change = figures.training_curves([short], {}).axes
    for axes in (loss, change):
        shown = [t for t in axes.get_xticks() if axes.get_xlim()[0] <= t <= axes.get_xlim()[1]]
        assert shown == [1, 2]
    assert change.get_ylim()[1] == 0.3
    worse = replace(short, history={**history, "val/l1rc_median": [2.3, 1.0]})
    assert figures.training_curves([worse], {}).axes[1].get_ylim()[1] > 1.0


def test_curves_without_a_colour_are_grey_and_have_no_legend(trained):
    _, change = figures.training_curves(trained, {}).axes
    assert change.get_legend() is None
    assert {line.get_color() for line in change.lines[:-1]} == {"#9AA5B1"}


@pytest.mark.parametrize("bins", [1, 3, 8])
def test_bins_of_two_qubit_gates_hold_medians(board, scored, bins):
    """Every circuit is in one bin; computed anew from the plotted centres."""
    figure = figures.by_two_qubit_gates(
        scored, board.runs, {"none": "#000000", "blind_mlp": "#111111"}, bins
    )
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    assert "uniform" not in lines
    assert not np.any(lines["none"].get_ydata())
    entry = next(e for e in board.runs if e.name == "blind_mlp")
    gates = scored.n_two_qubit
    centres = np.array(lines["blind_mlp"].get_xdata())
    medians = np.array(lines["blind_mlp"].get_ydata())
    assert 1 <= len(centres) <= bins
    assert (np.diff(centres) > 0).all()
    assert entry.scores.l1rc.min() <= medians.min() <= medians.max() <= entry.scores.l1rc.max()
    if bins == 1:
        assert centres[0] == pytest.approx(gates.mean())
        assert medians[0] == pytest.approx(np.median(entry.scores.l1rc))
    else:
        lowest = gates <= np.quantile(gates, 1 / bins) - 1e-9
        assert centres[0] == pytest.approx(gates[lowest].mean(), abs=gates.std())


def test_example_bars_are_the_distributions(board, scored):
    """Each title's errors are recomputed from the bars' own heights."""
    figure = figures.example_circuits(scored, board.best.runs[0])
    errors = []
    for axes in figure.axes:
        bars = {c.get_label(): np.array([b.get_height() for b in c]) for c in axes.containers}
        assert set(bars) == {"ideal", "noisy", "mitigated"}
        for heights in bars.values():
            assert len(heights) == 32
            assert heights.sum() == pytest.approx(1, abs=1e-6)
        before, after = (np.abs(bars["ideal"] - bars[k]).sum() for k in ("noisy", "mitigated"))
        found = re.search(r"(\d+) two-qubit gates: L1 error ([\d.]+) → ([\d.]+)", axes.get_title())
        assert int(found[1]) in scored.n_two_qubit
        assert float(found[2]) == pytest.approx(before, abs=0.006)
        assert float(found[3]) == pytest.approx(after, abs=0.006)
        errors.append(before)
    assert len(errors) == 4
    assert errors == sorted(errors)


def test_svg_is_wellformed_and_the_same_every_time(trained, colour_of):
    texts = [figures.svg(figures.training_curves(trained, colour_of)) for _ in range(2)]
    assert texts[0] == texts[1]
    assert texts[0].startswith("<svg")
    ElementTree.fromstring(texts[0])


def test_namespacing_keeps_references_together():
    svg = '<g id="a"><use xlink:href="#a"/><path clip-path="url(#b)"/></g><clipPath id="b"/>'
    assert figures.namespaced(svg, "x") == (
        '<g id="x-a"><use xlink:href="#x-a"/><path clip-path="url(#x-b)"/></g><clipPath id="x-b"/>'
    )


def test_colours_are_different_while_they_last():
    names = [f"m{k}" for k in range(7)]
    assert len(set(figures.colours(names).values())) == 7
    assert figures.colours([*names, "m7"])["m7"] == figures.colours(names)["m0"]
