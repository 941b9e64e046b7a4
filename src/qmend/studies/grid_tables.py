"""Tables and plots of networks and tests, a column for each test."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from qmend.studies.base import Study, plain_figures, write_table

if TYPE_CHECKING:  # MLflow, matplotlib
    from qmend.metrics import Interval
    from qmend.reporting.table import Table
    from qmend.runs.configurations import Configuration

#: Figures that are written for programs.
KEPT = ("l1rc_median", "improved_pct", "harmed_pct", "tv", "tv_change_pct", "applied_pct")
#: Test -> row -> figure.
Figures = dict[str, dict[str, dict[str, "Interval"]]]


def figures_of(scored: Mapping[str, Mapping[str, Configuration]]) -> Figures:
    """Take the figures of all tests and rows."""
    return {
        test: {name: dict(row.figures) for name, row in rows.items()}
        for test, rows in scored.items()
    }


def grid_table(figures: Figures, title: str, row_title: str, caption: str) -> Table:
    """Tabulate median L1RC and harmed share, a column for each test."""
    from qmend.reporting.table import Column, Row, Table

    names = list(dict.fromkeys(name for rows in figures.values() for name in rows))
    lines = []
    for name in names:
        texts = [name]
        for rows in figures.values():
            row = rows.get(name)
            texts.append("" if row is None else median_and_harm(row))
        lines.append(Row.of(texts))
    columns = (Column.text(row_title), *(Column.number(test.replace("_", " ")) for test in figures))
    return Table(columns, (tuple(lines),), title, f"{caption} Median L1RC / harmed %.")


def median_and_harm(row: Mapping[str, Interval]) -> str:
    """Write the median L1RC and the harmed share of a row."""
    return f"{row['l1rc_median'].value:.3f} / {row['harmed_pct'].value:.1f}"


def log_medians(study: Study, figures: Figures, name: str = "") -> None:
    """Log median L1RC and harmed share to the study's run, where MLflow compares them.

    Args:
        name: of the table, the first part of the metrics' names.
    """
    metrics = {}
    for test, rows in figures.items():
        for row, each in rows.items():
            for key in ("l1rc_median", "harmed_pct"):
                if key in each and not math.isnan(each[key].value):
                    place = "/".join(part for part in (name, test, row, key) if part)
                    metrics[re.sub(r"[^\w\-. /]", "", place)] = each[key].value
    study.run.metrics(metrics)


def write_grid(study: Study, table: Table, figures: Figures, name: str) -> None:
    """Write a table as Markdown, its figures as JSON and as a plot, rows from the top.

    Args:
        name: of the directory among the study's files, and of the metrics of its run.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    from qmend.plots.dots import draw_dots
    from qmend.plots.style import STYLE
    from qmend.reporting.figures import save

    folder = study.files / name
    write_table(table, plain_figures(figures, KEPT), folder)
    log_medians(study, figures, name)
    if not figures:
        return
    names = list(dict.fromkeys(name for rows in figures.values() for name in rows))
    shown = {
        name: {test: rows[name]["l1rc_median"] for test, rows in figures.items() if name in rows}
        for name in names
    }
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.5, 1.2 + 0.32 * len(shown)), layout="constrained")
        axis = figure.subplots()
        tests = draw_dots(axis, shown)
        axis.set_xlabel("median L1RC")
        figure.legend(loc="outside upper center", ncols=min(len(tests), 3), fontsize=8)
        save(figure, folder / "figure")
