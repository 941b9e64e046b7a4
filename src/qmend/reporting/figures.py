"""Draw the plots of a report with matplotlib, as figures and as SVG text."""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from qmend.datasets.table import LabelledCircuits
from qmend.plots.quartiles import binned_quartiles
from qmend.plots.style import COLOURS, STYLE
from qmend.runs.reading import ScoredRun

#: Nearly white: what lies over lines, in the colour of the page.
PAPER = "#fefefe"


def colours(names: list[str]) -> dict[str, str]:
    """Give each mitigator a colour, the same in every plot of a report."""
    return {name: COLOURS[k % len(COLOURS)] for k, name in enumerate(names)}


def svg(figure: Figure) -> str:
    """Convert a figure to an ``<svg>`` element without a date."""
    buffer = io.StringIO()
    with mpl.rc_context(STYLE):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def save(figure: Figure, stem: Path) -> None:
    """Save a figure as PNG and as SVG."""
    with mpl.rc_context(STYLE):
        figure.savefig(stem.with_suffix(".png"), dpi=110, metadata={"Software": None})
    stem.with_suffix(".svg").write_text(svg(figure))


def themed(text: str) -> str:
    """Let an SVG take text colour and background from its page."""
    text = re.sub(r"(fill|stroke): ?#000000", r"\1: currentColor", text)
    text = re.sub(r"fill: ?#ffffff", "fill: none", text).replace(PAPER, "var(--paper)")
    return text.replace("<svg ", '<svg fill="currentColor" ', 1)


def namespaced(text: str, prefix: str) -> str:
    """Make the ids of an SVG unique in a page that holds several."""
    text = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}-\1"', text)
    text = re.sub(r'href="#([^"]+)"', rf'href="#{prefix}-\1"', text)
    return re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}-\1)", text)


@dataclass(frozen=True)
class Curves:
    """The learning curves of one training.

    Attributes:
        name: of its configuration.
        history: metric -> one value an epoch.
    """

    name: str
    history: Mapping[str, Sequence[float]]


#: Learning curves show median L1RC up to this, and all last values.
_WORST = 0.3
#: Colour of curves whose name has none of its own.
_OTHERS = "#9AA5B1"


def legend_name(name: str) -> str:
    """Shorten a name to its first words, at most 32 letters."""
    return textwrap.shorten(name, 32, placeholder=" …")


def training_curves(trainings: Sequence[Curves], colour_of: Mapping[str, str]) -> Figure:
    """Draw training and validation loss, and validation median L1RC, by epoch.

    Trainings of one name (seeds) share a colour and a line of the legend; a name without a colour
    is drawn thin and grey.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 3.4), layout="constrained")
        loss, change = figure.subplots(1, 2)
        labelled: set[str] = set()
        for entry in sorted(trainings, key=lambda t: t.name in colour_of):
            epochs = np.arange(1, len(entry.history.get("train/loss", [])) + 1)
            if not len(epochs):
                continue
            labels = entry.name in colour_of and entry.name not in labelled
            look = {
                "color": colour_of.get(entry.name, _OTHERS),
                "linewidth": 1.5 if entry.name in colour_of else 0.7,
                "label": legend_name(entry.name) if labels else None,
            }
            labelled |= {entry.name} & set(colour_of)
            curves = [(loss, "train/loss", "-"), (loss, "val/loss", "--")]
            for axes, metric, style in [*curves, (change, "val/l1rc_median", "-")]:
                values = entry.history.get(metric, [])
                axes.plot(np.arange(1, len(values) + 1), values, linestyle=style, **look)
        for axes in (loss, change):
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        loss.set(xlabel="epoch", ylabel="loss (each its own)", yscale="log")
        loss.set_title("Loss: training solid, validation dashed", fontsize=10)
        change.set(xlabel="epoch", ylabel="median L1RC")
        change.set_title("Validation median L1RC", fontsize=10)
        change.axhline(0, color="grey", linewidth=0.8)
        # A bad start would flatten all that follows.
        ends = [line.get_ydata()[-1] for line in change.lines if len(line.get_ydata())]
        worst = max(_WORST, 1.1 * float(np.nanmax(ends)))
        if change.get_ylim()[1] > worst:
            change.set_ylim(top=worst)
        if labelled:
            change.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def by_two_qubit_gates(
    data: LabelledCircuits,
    runs: Sequence[ScoredRun],
    colour_of: Mapping[str, str],
    bins: int = 8,
) -> Figure:
    """Draw median L1RC and quartiles in bins of equally many circuits, for coloured names."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 3.8), layout="constrained")
        axes = figure.subplots()
        for run in [run for run in runs if run.name in colour_of]:
            colour = colour_of[run.name]
            centres, low, middle, high = binned_quartiles(data.n_two_qubit, run.scores.l1rc, bins)
            axes.plot(
                centres, middle, "o-", color=colour, label=legend_name(run.name), markersize=4
            )
            axes.fill_between(centres, low, high, color=colour, alpha=0.12, linewidth=0)
        axes.axhline(0, color="grey", linewidth=0.8)
        axes.set(xlabel="two-qubit gates in the compiled circuit", ylabel="L1RC")
        axes.set_title("Median and quartiles; below 0 is better than unmitigated", fontsize=10)
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def example_circuits(data: LabelledCircuits, run: ScoredRun) -> Figure:
    """Draw the ideal, noisy and mitigated distributions of four circuits.

    They are at the 12, 37, 62 and 87 percentile of noisy error.
    """
    assert run.mitigated is not None
    error = np.abs(data.ideal - data.circuits.noisy).sum(axis=1)
    order = np.argsort(error)
    chosen = [order[int(q * (len(order) - 1))] for q in (0.125, 0.375, 0.625, 0.875)]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 6.4), layout="constrained")
        grid: list[Axes] = list(figure.subplots(2, 2, sharex=True).flat)
        for axes, k in zip(grid, chosen, strict=True):
            x = np.arange(data.ideal.shape[1])
            bars = (
                ("ideal", data.ideal[k], "#BBBBBB"),
                ("noisy", data.circuits.noisy[k], COLOURS[1]),
                ("mitigated", run.mitigated[k], COLOURS[0]),
            )
            for offset, (label, heights, colour) in zip((-0.28, 0.0, 0.28), bars, strict=True):
                axes.bar(x + offset, heights, width=0.28, color=colour, label=label)
            axes.set_title(
                f"{data.n_two_qubit[k]} two-qubit gates: L1 error {error[k]:.2f} "
                f"→ {np.abs(data.ideal[k] - run.mitigated[k]).sum():.2f}",
                fontsize=10,
            )
            axes.set_ylabel("probability")
            axes.grid(axis="x", visible=False)
        n = data.circuits.n_qubits
        for axes in grid[2:]:
            ticks = np.arange(0, 2**n, max(1, 2**n // 8))
            axes.set_xticks(ticks, [f"{t:0{n}b}" for t in ticks], rotation=45)
            axes.set_xlabel("outcome (chain order, position 0 rightmost)")
        handles, labels = grid[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
    return figure
