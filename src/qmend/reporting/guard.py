"""Table of what a guard does in simulated worlds."""

from __future__ import annotations

from collections.abc import Mapping

from qmend.metrics import HARM_THRESHOLD, interval_text
from qmend.reporting.table import Column, Row, Table
from qmend.runs.guard_worlds import GuardRate


def guard_table(rates: Mapping[str, GuardRate]) -> Table:
    """Tabulate shares applied and harmed by the number of references."""
    columns = (
        Column.text("references"),
        Column.number("worlds"),
        Column.number("applied % [95 %]"),
        Column.number("harmed % of applied [95 %]"),
        Column("median L1RC", "L1RC"),
        Column("harmed %, unguarded", "harmed %,\nunguarded"),
        Column("median L1RC, unguarded", "L1RC,\nunguarded"),
    )
    rows = [
        Row.of(
            [
                name,
                f"{rate.circuits:,}",
                interval_text(rate.applied_pct, 1),
                interval_text(rate.harmed_pct, 1),
                f"{rate.l1rc_median:.3f}",
                f"{rate.unguarded_harmed_pct:.1f}",
                f"{rate.unguarded_median:.3f}",
            ]
        )
        for name, rate in rates.items()
    ]
    caption = (
        "One circuit of each of other simulated worlds; harmed: L1RC > "
        f"{HARM_THRESHOLD}; the guard gives the "
        "input back where it abstains, which counts as 0"
    )
    return Table(columns, (tuple(rows),), "Guard, measured", caption)
