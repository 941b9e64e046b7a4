"""Draw the L1RC of a run's circuits, and its learning curves."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from qmend.metrics import improved_pct, median_l1rc
from qmend.plots.quartiles import binned_quartiles
from qmend.plots.style import COLOURS, STYLE
from qmend.types import AnyArray, FloatArray

_BINS = 8
_INCHES = (9.0, 3.4)
_MARGINS = {"left": 0.08, "right": 0.98, "bottom": 0.16, "top": 0.88, "wspace": 0.22}


def l1rc_of_circuits(l1rc: FloatArray, n_two_qubit: AnyArray) -> Figure:
    """Draw the distribution of L1RC over circuits, and its quartiles by two-qubit gates.

    Args:
        l1rc: (N,) below 0 is better than unmitigated; NaN for circuits without noisy error,
            which are left out.
        n_two_qubit: (N,) gates of the compiled circuit.
    """
    scored = ~np.isnan(l1rc)
    values, gates = l1rc[scored], n_two_qubit[scored]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=_INCHES)
        figure.subplots_adjust(**_MARGINS)
        share, by_gates = figure.subplots(1, 2)
        if not len(values):
            share.set_title("no circuit with noisy error", fontsize=10)
        share.set(xlabel="L1RC of a circuit", ylabel="% of circuits up to it", ylim=(0, 100))
        by_gates.set(xlabel="two-qubit gates in the compiled circuit", ylabel="L1RC")
        if len(values):
            median = median_l1rc(values)
            up_to = 100 * np.arange(1, len(values) + 1) / len(values)
            share.step(np.sort(values), up_to, where="post", color=COLOURS[0])
            share.axvline(0, color="grey", linewidth=0.8)
            share.plot(median, 50, "o", color=COLOURS[1])
            # The worst hundredth would squeeze all others.
            low, high = np.quantile(values, [0.0, 0.99])
            margin = 0.05 * (high - low) + 1e-3
            share.set_xlim(low - margin, max(high, 0.0) + margin)
            share.set_title(
                f"median {median:+.3f}, {improved_pct(values):.1f} % improved (below 0)",
                fontsize=10,
            )
            centres, low, middle, high = binned_quartiles(gates, values, _BINS)
            by_gates.fill_between(centres, low, high, color=COLOURS[0], alpha=0.2, linewidth=0)
            by_gates.plot(centres, middle, "o-", color=COLOURS[0], markersize=4)
            by_gates.axhline(0, color="grey", linewidth=0.8)
            by_gates.set_title("median and quartiles", fontsize=10)
    return figure


def learning_curves(history: Mapping[str, Sequence[float]]) -> Figure:
    """Draw training and validation loss, and validation median L1RC, by epoch.

    Args:
        history: ``train/loss``, ``val/loss``, ``val/l1rc_median``: one value an epoch.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=_INCHES)
        figure.subplots_adjust(**_MARGINS)
        loss, change = figure.subplots(1, 2)
        for name, axes, line in (
            ("train/loss", loss, "-"),
            ("val/loss", loss, "--"),
            ("val/l1rc_median", change, "-"),
        ):
            values = history.get(name, ())
            axes.plot(np.arange(1, len(values) + 1), values, line, label=name, color=COLOURS[0])
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        change.axhline(0, color="grey", linewidth=0.8)
        loss.set(xlabel="epoch", ylabel="loss")
        loss.legend()
        change.set(xlabel="epoch", ylabel="validation median L1RC")
    return figure


def png(figure: Figure) -> bytes:
    """Convert a figure to a PNG 900 pixels wide."""
    buffer = io.BytesIO()
    with mpl.rc_context(STYLE):
        figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()
