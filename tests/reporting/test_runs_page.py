"""The report of tracked runs: one self-contained page that says what the store holds."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox
from test_html import Page

from qmend.metrics import interval_text
from qmend.reporting import run_figures
from qmend.reporting.leaderboard import SIMULATES, leaderboard_table, summary_verdicts
from qmend.reporting.numbers import age_text
from qmend.reporting.run_figures import Coordinate
from qmend.reporting.run_tables import indented, list_table, paired_table, sparkline
from qmend.reporting.runs_page import figures_folder, write_runs_page
from qmend.reporting.runs_report import RunsReport, read_report
from qmend.runs.sweeps import mark_reused
from qmend.tracking.finding import all_runs, select
from qmend.tracking.run import start_run
from qmend.tracking.store import Store
from qmend.types import QmendError
from tracked_runs import made_up_scores, scored_run, search


def report_of(store: Store, ids: list[str]) -> RunsReport:
    return read_report(store, select(store, ids), all_runs(store))


@pytest.fixture(scope="module")
def family(store) -> str:
    """A parent with the shot-noise reference, two nets with seeds, a baseline and a cheat."""
    tags = {"kind": "study", "dataset_sha": "a" * 16}
    with start_run(store, "family <of> runs & more", tags, {}) as parent:
        ends = {"": -0.9, "_lo": -0.92, "_hi": -0.88}
        parent.metrics({f"reference/l1rc_median{end}": value for end, value in ends.items()})

        def add(name: str, mean: float, number: int, **more) -> None:
            scores = made_up_scores(mean, number)
            more = {"dataset_sha": "a" * 16, "parent": parent.run_id, **more}
            scored_run(store, name, scores, **more)

        for seed in (0, 1):
            add(f"wide seed {seed}", -0.7, seed, seed=seed, config={"width": 64, "lr": 1e-3},
                validation=[-0.2, -0.7])  # fmt: skip
            add(f"slim seed {seed}", -0.6, 10 + seed, seed=seed, config={"width": 8, "lr": 1e-1},
                validation=[-0.1, -0.6])  # fmt: skip
        add("none", 0.0, 20, kind="baseline", seed="none")
        add("cheat", -0.95, 21, simulates=True, kind="baseline", seed="none")
        with start_run(store, "broken", {"kind": "train"}, {}, parent.run_id) as run:
            pass
        store.client.set_terminated(run.run_id, "FAILED")
    return parent.run_id


@pytest.fixture(scope="module")
def report(store, family) -> RunsReport:
    return report_of(store, [family, search(store, prune_above=-0.45)])


@pytest.fixture(scope="module")
def written(report, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("reports") / "new" / "page.html"
    write_runs_page(path, report)
    return path


def test_the_page_is_whole_and_needs_nothing_else(written):
    text = written.read_text()
    page = Page(text)
    assert page.open == []
    assert "http" not in text
    assert not re.search(r"<script|@import|url\((?!#)", text)
    for tag, attributes in page.tags:
        for key in ("src", "href", "xlink:href"):
            target = attributes.get(key) or ""
            assert target.startswith("#") or (tag == "link" and target == "data:,") or not target
    ids = [attributes["id"] for _, attributes in page.tags if attributes.get("id")]
    assert len(ids) == len(set(ids))
    for target in re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', text):
        assert "".join(target) in ids
    assert "family &lt;of&gt; runs &amp; more" in text
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text


def test_no_ink_of_a_plot_is_black_or_white_whatever_the_page_is(written):
    plots = re.findall(r"<svg.*?</svg>", written.read_text(), flags=re.DOTALL)
    assert len(plots) == 6
    for plot in plots:
        assert not re.search(r"#000000|#ffffff", plot)
        assert "currentColor" in plot


def test_every_plot_lies_beside_the_page_as_png_and_svg(written):
    files = sorted(p.name for p in figures_folder(written).iterdir())
    stems = {"coordinates_1", "cost_1", "curves_1", "importance_1", "trial_curves_1", "trials_1"}
    assert files == sorted(f"{stem}.{kind}" for stem in stems for kind in ("png", "svg"))
    for name in files:
        content = (figures_folder(written) / name).read_bytes()
        if name.endswith("png"):
            assert content.startswith(b"\x89PNG")
        else:
            ElementTree.fromstring(content)


def test_every_configuration_is_a_row_with_its_own_figures(report, written):
    (board,) = report.boards
    assert [row.name for row in board.ranked] == ["cheat", "wide", "slim", "none"]
    rows = {row[1]: row for row in Page(written.read_text()).rows if len(row) > 6}
    for row in board.ranked:
        assert rows[row.name][2] == interval_text(row.figures["l1rc_median"])
    assert rows["shot-noise reference"][2] == "-0.900 [-0.920, -0.880]"
    assert rows["wide"][3] == ""
    slim = next(c for c in board.configurations if c.name == "slim")
    found = board.compare(slim, board.best).difference
    assert rows["slim"][3] == f"{found.value:+.3f} [{found.lo:+.3f}, {found.hi:+.3f}]"
    assert any(SIMULATES in cell for cell in rows["cheat"])
    assert not any(SIMULATES in cell for cell in rows["wide"])
    assert board.winner is not None
    assert board.winner.name == "wide"


def test_verdicts_and_what_was_left_out_are_told(report):
    (board,) = report.boards
    first, baseline, models = summary_verdicts(board)
    assert first == (
        "wide is compared with the others: best on the validation split among the models."
    )
    assert baseline.startswith("wide beats no mitigation: in pairs, median L1RC -")
    assert models == "It beats slim."
    assert report.notes == ["Runs that have not finished are left out of the tables: 1 FAILED."]


def test_the_search_is_told(report, written):
    (part,) = report.searches
    pruned = sum(trial.outcome == "pruned" for trial in part.search.trials)
    assert part.caption.startswith(f"24 trials ({24 - pruned} finished, {pruned} pruned)")
    assert part.importances[0].key == "optimizer.lr"
    text = Page(written.read_text()).text
    assert part.caption in text
    assert "model.depth in 12" in text


def test_single_runs_are_listed(report, written):
    ids = [run.info.run_id[:12] for run in report.selection.all]
    assert len(ids) == 1 + 7 + 1 + 24
    text = written.read_text()
    assert all(run_id in text for run_id in ids)


def test_sets_with_nothing_to_compare_are_one_sentence(store):
    with start_run(store, "empty", {"kind": "train"}, {}) as run:
        run.metrics({"x": 1.0})
    with pytest.raises(QmendError, match="none of the 1 runs has finished with scores"):
        report_of(store, [run.run_id])


def test_one_run_alone_is_a_page_too(store, tmp_path):
    run_id = scored_run(store, "alone", made_up_scores(-0.5, 1), dataset_sha="b" * 16)
    found = report_of(store, [run_id])
    write_runs_page(tmp_path / "page.html", found)
    assert [row.name for row in found.boards[0].configurations] == ["alone"]


# Plots hold the numbers they claim


def test_costs_are_those_of_the_rows(report):
    (board,) = report.boards
    left, right = run_figures.cost_against_quality(board.ranked).axes
    for axes, costs in ((left, "parameters"), (right, "seconds")):
        points = [c.lines[0] for c in axes.containers]
        found = {(float(p.get_xdata()[0]), float(p.get_ydata()[0])) for p in points}
        expected = {(getattr(r, costs), r.figures["l1rc_median"].value) for r in board.ranked}
        assert found == expected


def drawn_labels(figure: Figure, axes: Axes) -> list[Bbox]:
    """Boxes of the labels on the horizontal axis, from the left."""
    figure.draw_without_rendering()
    ticks = [*axes.xaxis.get_major_ticks(), *axes.xaxis.get_minor_ticks()]
    low, high = axes.get_xlim()
    shown = [t.label1 for t in ticks if low <= t.get_loc() <= high and t.label1.get_text()]
    return sorted((label.get_window_extent() for label in shown), key=lambda box: box.x0)


@pytest.mark.parametrize("seconds", [(0.71, 0.77), (0.4, 1.5), (2.0, 31.0), (0.004, 9000.0)])
def test_times_have_labels_that_leave_each_other_room(report, seconds):
    (board,) = report.boards
    rows = [
        replace(
            row, runs=(replace(row.runs[0], metrics=row.runs[0].metrics | {"cost/seconds": s}),)
        )
        for row, s in zip(board.ranked, seconds, strict=False)
    ]
    figure = run_figures.cost_against_quality(rows)
    boxes = drawn_labels(figure, figure.axes[1])
    assert len(boxes) >= 2
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))


def test_no_legend_is_among_the_points_of_a_plot(report):
    (board,) = report.boards
    figure = run_figures.cost_against_quality(board.ranked)
    figure.draw_without_rendering()
    (legend,) = figure.legends
    for axes in figure.axes:
        assert axes.get_legend() is None
        assert not legend.get_window_extent().overlaps(axes.get_window_extent())


def test_the_number_of_runs_is_that_of_the_list(report, written):
    text = Page(written.read_text()).text
    assert f"runs {len(report.selection.all)} " in " ".join(text.split())
    assert f"All {len(report.selection.all)} runs" in text


def test_a_parameter_that_no_trial_has_is_no_axis(store, report):
    record = report.searches[0].search
    trials = [t for t in record.valued if "model.depth" not in t.values]
    axes = [axis.label for axis in run_figures.search_coordinates(record, trials)]
    assert axes == [key for key in record.space.parameters if key != "model.depth"]


def test_parallel_coordinates_run_through_the_values():
    coordinates = [
        Coordinate("lr", (1e-4, 1e-2, 1e-3), log=True),
        Coordinate("model", ("b", "a", None)),
        Coordinate.of_texts("batch", ["128", "32", "64"]),
    ]
    figure = run_figures.parallel_coordinates(coordinates, "loss", [3.0, 1.0, 2.0])
    lines = [line.get_ydata() for line in figure.axes[0].lines if len(line.get_ydata()) == 4]
    found = {tuple(np.round(np.array(line, dtype=float), 6)) for line in lines}
    nowhere = run_figures._NOWHERE
    assert found == {
        (0.0, 1.0, 1.0, 0.0),
        (1.0, 0.0, 0.0, 1.0),  # the best ends on top
        (0.5, nowhere, round(32 / 96, 6), 0.5),
    }


@pytest.mark.parametrize(
    ("texts", "values", "log"),
    [
        (["1", "2", "3"], (1.0, 2.0, 3.0), False),
        (["0.001", "1", None], (0.001, 1.0, None), True),
        (["0.001", "0.006"], (0.001, 0.006), False),
        (["1", "kl", "2"], ("1", "kl", "2"), False),
    ],
)
def test_params_are_numbers_where_all_are(texts, values, log):
    found = Coordinate.of_texts("x", texts)
    assert (found.values, found.log) == (values, log)
    rate = Coordinate.of_texts("optimizer.lr", texts)
    assert rate.log == all(isinstance(value, float | None) for value in values)


def test_labels_of_whole_numbers_are_whole():
    _, ticks = Coordinate("blocks", (2.0, 3.0, 4.0, 5.0, 6.0, 8.0)).places()
    assert [text for _, text in ticks] == ["2", "4", "5", "6", "8"]
    assert [place for place, _ in ticks] == pytest.approx([0, 1 / 3, 0.5, 2 / 3, 1])


def test_labels_of_near_values_do_not_overprint():
    _, ticks = Coordinate("width", (64.0, 65.0, 512.0, 510.0)).places()
    assert [text for _, text in ticks] == ["64", "512"]


# Tables on a terminal


def test_a_sparkline_goes_with_the_values():
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7]) == "▁▂▃▄▅▆▇█"
    assert sparkline([1.0, float("nan"), 0.0]) == "█ ▁"
    assert sparkline([2.0, 2.0]) == "▁▁"
    assert len(sparkline(list(range(1000)))) == 32


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59, "59 s"), (60, "1 min"), (3600, "60 min"), (7200, "2 h"), (5 * 86400, "5 d")],
)
def test_ages(seconds, text):
    assert age_text(1000 * seconds) == text


def test_children_stand_below_their_parent(store, family):
    runs = list(select(store, [family]).all)
    lines = indented(runs[::-1])
    assert lines[0].run.info.run_id == family
    assert [line.depth for line in lines] == [0, *[1] * 7]
    assert not any(line.reused for line in lines)


def test_a_reused_run_stands_below_each_run_that_reused_it(store, family):
    chosen = select(store, [family])
    run = next(run for run in chosen.runs if run.info.run_name == "wide seed 0")
    with start_run(store, "later", {"kind": "multirun"}, {}) as later:
        mark_reused(store, run.info.run_id, later.run_id)
    lines = indented(all_runs(store))
    ids = [line.run.info.run_id for line in lines]
    place = ids.index(later.run_id)
    assert (lines[place + 1].run.info.run_id, lines[place + 1].depth) == (run.info.run_id, 1)
    assert lines[place + 1].reused
    own = [line for line in lines if line.run.info.run_id == run.info.run_id and not line.reused]
    assert [line.depth for line in own] == [1]
    below = indented(all_runs(store), later.run_id)
    assert [line.run.info.run_id for line in below] == [run.info.run_id]
    row = list_table(lines[place : place + 2], 0).rows[1]
    assert [cell.text for cell in row.cells][:3] == ["  wide seed 0", "train", "reused"]


def test_one_seed_beside_two_is_told(store):
    tags = {"dataset_sha": "e" * 16}
    ids = [
        scored_run(store, f"{name} seed {seed}", made_up_scores(mean, seed), seed=seed,
                   config={"model": {"name": name}}, **tags)
        for name, mean, seeds in (("wide", -0.7, (0, 1)), ("slim", -0.6, (0,)))
        for seed in seeds
    ]  # fmt: skip
    sentence = "rows differ in their number of seeds: wide has 0 and 1; slim has 0"
    report = report_of(store, ids)
    assert [note for note in report.notes if sentence in note]
    assert sentence in leaderboard_table(report.boards[0]).caption
    even = report_of(store, [ids[0], ids[2]])
    assert not [note for note in even.notes if "seeds" in note]


def test_runs_on_other_circuits_are_not_paired(report):
    (board,) = report.boards
    first, second = board.configurations[1].runs
    assert len(paired_table([first, second]).rows) == 1
    assert paired_table([first, replace(second, split="val")]) is None
