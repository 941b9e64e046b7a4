"""Figures of several rows as dots with intervals."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes

from qmend.metrics import Interval
from qmend.plots.style import COLOURS


def draw_dots(axis: Axes, figures: Mapping[str, Mapping[str, Interval]]) -> list[str]:
    """Draw figures of rows, row by row from the top, a colour for each name.

    Args:
        figures: row -> name -> figure; a row may lack some names.

    Returns:
        The names, in the order of their colours.
    """
    rows = list(figures)
    names = list(dict.fromkeys(name for row in figures.values() for name in row))
    for k, name in enumerate(names):
        at = [place for place, row in enumerate(rows) if name in figures[row]]
        each = [figures[rows[place]][name] for place in at]
        height = np.array(at) + 0.12 * (k - (len(names) - 1) / 2)
        axis.errorbar(
            [one.value for one in each],
            height,
            xerr=np.array([one.arms for one in each]).T,
            fmt="o",
            ms=4,
            color=COLOURS[k % len(COLOURS)],
            label=name,
        )
    axis.axvline(0, color="0.6", lw=0.8)
    axis.set_yticks(range(len(rows)), rows)
    axis.set_ylim(len(rows) - 0.5, -0.5)
    return names
