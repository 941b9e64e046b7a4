"""Draw plots of any set of runs: cost against quality, importances, parallel coordinates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

from qmend.plots.style import COLOURS, STYLE
from qmend.reporting.figures import PAPER
from qmend.reporting.numbers import value_text
from qmend.runs.configurations import Configuration
from qmend.tracking.display import RATES
from qmend.tuning.importance import Importance
from qmend.tuning.record import SearchRecord, Trial
from qmend.tuning.space import Parameter
from qmend.types import FloatArray

BASELINE, MODEL, SIMULATING = COLOURS[4], COLOURS[0], "#9AA5B1"
#: Shortest time that a log axis shows, in seconds.
_FASTEST = 0.01
#: More axes than this are no longer legible.
MAX_AXES = 9
#: Numeric params that span more than this factor get a log axis.
_WIDE = 30.0
#: Least distance of two labels of numbers on an axis, in parts of its height.
_APART = 0.05
#: Colours of lines from the best to the worst: to be told from paper, ink and the best line.
_SHADES = (0.3, 0.85)
#: Height at which a line passes an axis on which it has no value.
_NOWHERE = -0.14


def cost_against_quality(rows: Sequence[Configuration]) -> Figure:
    """Draw median L1RC with its interval against parameters and seconds, numbered as the rows."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 4.2), layout=ConstrainedLayoutEngine(wspace=0.06))
        left, right = figure.subplots(1, 2, sharey=True)
        for axes in (left, right):
            by_parameters = axes is left
            _scatter(axes, rows, by_parameters)
        left.set_xscale("symlog", linthresh=1)
        left.set_xlim(-0.4, 4 * max(1, *(row.parameters for row in rows)))
        left.set(xlabel="parameters", ylabel="median L1RC")
        left.xaxis.set_minor_locator(NullLocator())
        _set_seconds(right)
        left.set_title("Quality against size", fontsize=10)
        right.set_title("Quality against time", fontsize=10)
        values = [row.figures["l1rc_median"].value for row in rows]
        if max(values) > 0.3:  # those far worse than nothing would flatten all others
            left.set_ylim(min(values) - 0.06, 0.3)
        handles, labels = left.get_legend_handles_labels()
        once = dict(zip(labels, handles, strict=True))
        # Inside, its markers would be read as points.
        figure.legend(
            once.values(), once.keys(), loc="outside lower center", ncols=len(once), fontsize=9
        )
    return figure


def _set_seconds(axes: Axes) -> None:
    """Scale the time with labels that leave each other room, however near the times are."""
    axes.set(xscale="log", xlabel="seconds of training or fitting")
    low, high = axes.get_xlim()
    if high < 10 * low:
        low, high = low / 2, high * 2
    axes.set_xlim(low, high)
    axes.xaxis.set_major_locator(LogLocator(subs=(1,) if high > 300 * low else (1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _scatter(axes: Axes, rows: Sequence[Configuration], by_parameters: bool) -> None:
    for number, row in enumerate(rows, 1):
        if row.kind == "evaluation" and not by_parameters:
            continue  # trained before: the time is not known here
        change = row.figures["l1rc_median"]
        cost = float(row.parameters) if by_parameters else max(row.seconds, _FASTEST)
        colour, marker, label = MODEL, "o", "model"
        if row.simulates:
            colour, marker, label = SIMULATING, "X", "simulates its circuits"
        elif row.kind == "baseline":
            colour, marker, label = BASELINE, "s", "baseline"
        axes.errorbar(
            [cost],
            [change.value],
            yerr=np.array([change.arms]).T,
            fmt=marker,
            color=colour,
            markersize=5,
            elinewidth=1,
            label=label,
        )
        if change.value <= 0.3:
            axes.annotate(
                str(number),
                (cost, change.value),
                xytext=((5, 3), (5, -9), (-12, 3), (-12, -9))[number % 4],
                textcoords="offset points",
                fontsize=8,
            )
    axes.axhline(0, color="grey", linewidth=0.8)


def importance_bars(shares: Sequence[Importance]) -> Figure:
    """Draw a bar for each parameter, and a second one from finished trials alone."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 0.9 + 0.42 * len(shares)), layout="constrained")
        axes = figure.subplots()
        places = np.arange(len(shares))[::-1]
        both = any(each.finished_only is not None for each in shares)
        height = 0.36 if both else 0.6
        shift = 0.19 if both else 0.0
        axes.barh(
            places + shift,
            [100 * each.share for each in shares],
            height,
            color=COLOURS[0],
            label="finished and pruned trials",
        )
        if both:
            axes.barh(
                places - shift,
                [100 * (each.finished_only or 0.0) for each in shares],
                height,
                color=COLOURS[5],
                label="finished trials alone",
            )
            figure.legend(loc="outside upper right", ncols=2, fontsize=9)
        axes.set_yticks(places, [each.key for each in shares])
        axes.set_xlabel("share of the objective's variance, %")
        axes.grid(axis="y", visible=False)
    return figure


@dataclass(frozen=True)
class Coordinate:
    """One axis of a parallel-coordinates plot.

    Attributes:
        values: a number or text per line; None where the line has no value.
        log: numbers on a log scale.
    """

    label: str
    values: tuple[float | str | None, ...]
    log: bool = False

    @staticmethod
    def of_texts(label: str, texts: Sequence[str | None]) -> Coordinate:
        """Read numbers where all are; rates, and what spans orders of magnitude, on a log axis."""
        numbers = [None if text is None else _number(text) for text in texts]
        values = [number for number in numbers if number is not None]
        if len(values) < sum(text is not None for text in texts) or not values:
            return Coordinate(label, tuple(texts))
        log = min(values) > 0 and (label in RATES or max(values) / min(values) > _WIDE)
        return Coordinate(label, tuple(numbers), log)

    def places(self) -> tuple[FloatArray, list[tuple[float, str]]]:
        """Compute the place of each line and tick on the axis.

        Returns:
            (lines,) heights from 0 to 1, NaN without a value; height and text of each tick.
        """
        present = [value for value in self.values if value is not None]
        if any(isinstance(value, str) for value in present):
            names = sorted({str(value) for value in present}, key=_in_order)
            at = {n: k / max(len(names) - 1, 1) if names[1:] else 0.5 for k, n in enumerate(names)}
            heights = [math.nan if value is None else at[str(value)] for value in self.values]
            return np.array(heights), [(place, name) for name, place in at.items()]
        numbers = np.array([math.nan if v is None else float(v) for v in self.values])
        scaled = np.log10(numbers) if self.log else numbers
        low, high = float(np.nanmin(scaled)), float(np.nanmax(scaled))
        if high == low:
            return np.where(np.isnan(numbers), np.nan, 0.5), [(0.5, f"{present[0]:g}")]
        distinct = sorted({float(v) for v in present})
        if len(distinct) <= 5:
            marks = distinct
        else:
            marks = [float(10**v if self.log else v) for v in np.linspace(low, high, 5)]
            if all(value.is_integer() for value in distinct):
                marks = [float(round(mark)) for mark in marks]
        places = [((math.log10(v) if self.log else v) - low) / (high - low) for v in marks]
        kept = [0]
        for k in range(1, len(places) - 1):  # the ends stay, what would overprint goes
            if places[k] - places[kept[-1]] > _APART and 1 - places[k] > _APART:
                kept.append(k)
        kept.append(len(places) - 1)
        return (scaled - low) / (high - low), [(places[k], f"{marks[k]:.3g}") for k in kept]


def _in_order(text: str) -> tuple[bool, float, str]:
    """Return a key that sorts numbers by size, before words."""
    number = _number(text)
    return number is None, number or 0.0, text


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def parallel_coordinates(
    coordinates: Sequence[Coordinate],
    objective: str,
    values: Sequence[float],
    faint: Sequence[bool] = (),
) -> Figure:
    """Draw a line for each run or trial through its params to its objective.

    A better objective is higher up.

    Args:
        values: of the objective, one a line.
        faint: lines to be drawn thin, such as pruned trials.
    """
    result = np.array(values, dtype=float)
    order = np.argsort(np.argsort(result))
    first, last = _SHADES
    shades = mpl.colormaps["viridis"](first + (last - first) * order / max(len(result) - 1, 1))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 4.4))
        figure.subplots_adjust(left=0.02, right=0.99, top=0.95, bottom=0.17)
        axes = figure.subplots()
        drawn = [c.places() for c in coordinates]
        low, high = float(np.nanmin(result)), float(np.nanmax(result))
        end = Coordinate(objective, tuple(values)).places()
        if high > low:
            end = 1 - end[0], [(1 - place, text) for place, text in end[1]]
        lines = np.array([heights for heights, _ in [*drawn, end]])
        absent = bool(np.isnan(lines).any())
        lines = np.where(np.isnan(lines), _NOWHERE, lines)
        best = int(np.nanargmin(result))
        x = np.arange(len(lines))
        for k in sorted(range(len(result)), key=lambda k: (k == best, -order[k])):
            light = bool(faint) and faint[k]
            axes.plot(
                x,
                lines[:, k],
                color=COLOURS[1] if k == best else shades[k],
                linewidth=2.6 if k == best else 0.6 if light else 1.2,
                linestyle="--" if light else "-",
                alpha=1.0 if k == best else 0.5 if light else 0.8,
                zorder=3 if k == best else 2,
            )
        for place, (heights, ticks) in enumerate([*drawn, end]):
            _axis(axes, place, ticks, bool(np.isnan(heights).any()))
        labels = [
            *(c.label.replace(".", ".\n") for c in coordinates),
            f"{objective}\n(up is better)",
        ]
        axes.set_xticks(x, labels, fontsize=8)
        axes.yaxis.set_major_locator(FixedLocator([]))
        axes.grid(visible=False)
        axes.spines[["left", "bottom"]].set_visible(False)
        axes.tick_params(axis="x", length=0, pad=8)
        axes.set_xlim(-0.3, len(lines) - 0.4)
        axes.set_ylim(_NOWHERE - 0.05 if absent else -0.05, 1.05)
    return figure


def _tick(text: str) -> str:
    """Shorten a label to end before the next axis: on two lines, or cut."""
    if len(text) > 12 and "_" in text[1:-1]:
        text = text.replace("_", "_\n", 1)
    return "\n".join(line if len(line) <= 18 else f"{line[:17]}…" for line in text.split("\n"))


def _axis(axes: Axes, place: int, ticks: Sequence[tuple[float, str]], absent: bool) -> None:
    axes.plot([place, place], [0, 1], color="#000000", linewidth=0.8, zorder=1)
    marks = [*ticks, *([(_NOWHERE, "not set")] if absent else [])]
    for height, text in marks:
        axes.annotate(
            _tick(text),
            (place, height),
            xytext=(3, 1),
            textcoords="offset points",
            fontsize=7.5,
            zorder=4,
            bbox={"facecolor": PAPER, "edgecolor": "none", "alpha": 0.7, "pad": 0.6},
        )


def search_coordinates(search: SearchRecord, trials: Sequence[Trial]) -> list[Coordinate]:
    """Make an axis for each parameter of a search."""

    def value(trial: Trial, key: str, parameter: Parameter) -> Any:
        if key not in trial.values:
            return None
        own = trial.values[key]
        return value_text(own) if parameter.type == "categorical" else own

    axes = [
        Coordinate(key, tuple(value(trial, key, parameter) for trial in trials), parameter.log)
        for key, parameter in search.space.parameters.items()
    ]
    return [axis for axis in axes if any(value is not None for value in axis.values)][:MAX_AXES]


def run_coordinates(texts: Sequence[dict[str, str]], keys: Sequence[str]) -> list[Coordinate]:
    """Make an axis for each param that differs, at most :data:`MAX_AXES` - 1.

    Params that most runs have, and of those the most varied, are chosen first.
    """

    def rank(key: str) -> tuple[Any, ...]:
        values = [params[key] for params in texts if key in params]
        return -len(values), -len(set(values)), key

    chosen = sorted(keys, key=rank)[: MAX_AXES - 1]
    return [
        Coordinate.of_texts(key, [params.get(key) for params in texts]) for key in sorted(chosen)
    ]
