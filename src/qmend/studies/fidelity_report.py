"""The fidelity of noise models to a device, as a figure and as tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from qmend.metrics import Interval
from qmend.plots.style import COLOURS, STYLE
from qmend.reporting.figures import svg
from qmend.reporting.table import Column, Row, Table
from qmend.studies.fidelity import (
    BINS,
    DEFAULT,
    FITTED,
    MEASURED,
    SCATTERED,
    SURROGATE,
    Agreement,
    FitReport,
)

_SHOWN = (DEFAULT, SURROGATE, FITTED)


def fidelity_figure(report: FitReport) -> Figure:
    """Draw simulated against measured <Z> for three models, and the slope by gates."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(12.5, 3.6), layout="constrained")
        axes = figure.subplots(1, 4, width_ratios=[1, 1, 1, 1.35])
        rows = {row.name: row for row in report.rows}
        measured = report.values[MEASURED][report.test].ravel()
        sound = np.isin(report.job[report.test], report.faulty, invert=True)
        sound = np.repeat(sound, report.qubit.shape[1])
        for axis, name, colour in zip(axes, _SHOWN, COLOURS, strict=False):
            z = report.values[name][report.test].ravel()
            axis.plot([-1, 1], [-1, 1], color="grey", linewidth=0.8)
            axis.plot(
                z[sound], measured[sound], ".", ms=2, alpha=0.4, color=colour, rasterized=True
            )
            axis.plot(z[~sound], measured[~sound], "x", ms=3, color="black", linewidth=0.5)
            error = rows[name].error_to_measured.value
            axis.set_title(f"{name}\nRMSE {error:.3f}", fontsize=10)
            axis.set(xlabel="simulated <Z>", xlim=(-1, 1), ylim=(-1, 1), aspect="equal")
        axes[0].set_ylabel("measured <Z>")
        last = axes[-1]
        shown = (MEASURED, DEFAULT, SURROGATE, FITTED, SCATTERED)
        colours = (COLOURS[-1], *COLOURS[:4])
        for k, (name, colour) in enumerate(zip(shown, colours, strict=True)):
            slopes = rows[name].slopes
            at = np.arange(len(slopes)) + 0.08 * (k - 2)
            value = np.array([slope.value for slope in slopes])
            bars = np.array([slope.arms for slope in slopes]).T
            style = "-" if name == MEASURED else "--"
            last.errorbar(at, value, bars, fmt="o" + style, ms=3, color=colour, label=name)
        last.set_xticks(range(len(BINS)), [f"{low}-{high}" for low, high in BINS])
        last.set(xlabel="two-qubit gates", ylabel="slope to ideal <Z>", ylim=(0.4, 1.05))
        last.legend(fontsize=8)
    return figure


def save_fidelity_figure(report: FitReport, stem: Path) -> tuple[Path, Path]:
    """Write ``stem``.png and ``stem``.svg."""
    figure = fidelity_figure(report)
    png, vector = stem.with_suffix(".png"), stem.with_suffix(".svg")
    stem.parent.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(STYLE):
        figure.savefig(png, dpi=110, metadata={"Software": None})
    vector.write_text(svg(figure))
    return png, vector


def agreement_table(report: FitReport) -> Table:
    """Tabulate a report for a terminal, without intervals."""
    bins = [f"{low}-{high} CX" for low, high in BINS]
    headings = ("slope", "MAE", "corr.", *bins, "RMSE")
    rows = []
    for row in report.rows:
        own = (row.slope, row.mean_error, row.correlation, *row.slopes)
        to_measured = "" if row.name == MEASURED else f"{row.error_to_measured.value:.3f}"
        rows.append(Row.of([row.name, *(f"{each.value:.3f}" for each in own), to_measured]))
    return Table(
        (Column.text(""), *map(Column.number, headings)),
        (tuple(rows),),
        f"<Z> of {len(report.test):,} circuits that no fit saw",
        "slope, MAE, correlation: to the ideal values; RMSE: to the measured ones",
    )


def fidelity_table(rows: Sequence[Agreement]) -> str:
    """Write Markdown: against ideal, by two-qubit gates, and against the measured values."""
    bins = [f"{low}-{high}" for low, high in BINS]
    head = ["", "slope", "MAE", "correlation", *bins, "RMSE", "median", "correlation"]
    lines = [
        "| | to ideal | | | slope to ideal at two-qubit gates | | | | to measured | | |",
        "|" + "---|" * len(head),
        "|" + "|".join(f" {title} " for title in head) + "|",
    ]
    for row in rows:
        cells = [
            row.name,
            _cell(row.slope),
            _cell(row.mean_error),
            _cell(row.correlation),
            *(_cell(slope) for slope in row.slopes),
        ]
        if row.name == MEASURED:
            cells += ["-"] * 3
        else:
            cells += [_cell(row.error_to_measured), _cell(row.median_to_measured)]
            cells += [_cell(row.correlation_to_measured)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(interval: Interval) -> str:
    if interval.lo == interval.hi:
        return f"{interval.value:.3f}"
    return f"{interval.value:.3f} ({interval.lo:.3f} .. {interval.hi:.3f})"
