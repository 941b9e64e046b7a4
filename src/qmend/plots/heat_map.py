"""A figure of rows and columns as a heat map."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh

from qmend.types import FloatArray

#: Values beyond this, either way, are dark: their text is white.
_DARK = 0.6


def draw_heat_map(
    axis: Axes, values: FloatArray, rows: Sequence[str], columns: Sequence[str]
) -> QuadMesh:
    """Draw values in -1..1, blue below 0 and red above, each written in its cell.

    Args:
        values: (rows, columns); NaN leaves a cell empty.

    Returns:
        The cells, for a colour bar.
    """
    cells = axis.pcolormesh(values, cmap="RdBu_r", vmin=-1, vmax=1, edgecolors="white")
    for (y, x), value in np.ndenumerate(values):
        if not np.isnan(value):
            colour = "white" if abs(value) > _DARK else "black"
            axis.text(x + 0.5, y + 0.5, f"{value:.2f}", ha="center", va="center", color=colour)
    axis.set_xticks(np.arange(len(columns)) + 0.5, columns)
    axis.set_yticks(np.arange(len(rows)) + 0.5, rows)
    axis.set_ylim(len(rows), 0)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    axis.grid(visible=False)
    return cells
