"""Figures of a run in the form in which MLflow shows them well.

MLflow's tables show every digit of a metric, so that figures are tags too, rounded. Its parallel
coordinates have linear axes only, and draw the lowest value of the last axis as black as the
axes: a rate gets a metric with its logarithm, the objective one with its opposite, the best in red.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from qmend.metrics import Interval, interval_text

#: Params whose order of magnitude counts.
RATES = ("optimizer.lr", "optimizer.weight_decay")


def figure_tags(l1rc_median: Interval, improved_pct: float, harmed_pct: float) -> dict[str, str]:
    """Write the figures of a scored split as tags."""
    return {
        "L1RC": interval_text(l1rc_median),
        "improved": f"{improved_pct:.2f} %",
        "harmed": f"{harmed_pct:.2f} %",
    }


def logarithm(param: str) -> str:
    """Name the metric with a rate's decimal logarithm."""
    return f"log10/{param.rpartition('.')[2]}"


def opposite(objective: str) -> str:
    """Name the metric with the opposite of an objective: more is better."""
    return f"minus/{objective}"


def axis_metrics(params: Mapping[str, str], objective: str, value: float) -> dict[str, float]:
    """Compute the metrics for axes; a rate of zero has none.

    Args:
        params: of the run, as MLflow has them.
        value: of the objective.
    """
    rates = {param: float(params[param]) for param in RATES if param in params}
    logarithms = {logarithm(param): math.log10(rate) for param, rate in rates.items() if rate > 0}
    return {**logarithms, opposite(objective): -value}
