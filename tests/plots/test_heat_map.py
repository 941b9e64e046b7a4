"""Heat maps: rows from the top, every value written, none where there is none."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from qmend.plots.heat_map import draw_heat_map


def test_each_value_is_written_in_its_cell_and_nan_leaves_it_empty() -> None:
    axis = Figure().subplots()
    cells = draw_heat_map(axis, np.array([[-0.9, 0.1], [np.nan, 0.7]]), ["a", "b"], ["c", "d"])
    texts = {text.get_position(): (text.get_text(), text.get_color()) for text in axis.texts}
    assert texts == {
        (0.5, 0.5): ("-0.90", "white"),
        (1.5, 0.5): ("0.10", "black"),
        (1.5, 1.5): ("0.70", "white"),
    }
    assert axis.get_ylim() == (2, 0)
    assert [label.get_text() for label in axis.get_yticklabels()] == ["a", "b"]
    assert cells.get_clim() == (-1, 1)
