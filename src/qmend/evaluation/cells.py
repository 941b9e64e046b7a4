"""Scores of cells: a source circuit on a device, measured once or often."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qmend import metrics
from qmend.datasets.measured import MeasuredRows
from qmend.metrics import Bootstrap, Interval
from qmend.types import AnyArray, FloatArray, IntArray

#: An ideal outcome of at least this probability: the distribution is a point mass, where any
#: sharpening gains.
POINT_MASS = 1 - 1e-6
#: Before the name of a family, in the name of its figure.
FAMILY = "family/"


@dataclass(frozen=True)
class Cells:
    """The cells of measured rows, which are numbered through all groups.

    Attributes:
        of_row: (N,) cell of each row.
        before: (N,) L1 error of each measured row.
        circuit, device, family: (C,) of each cell.
        spread: (C,) whether the ideal distribution is no point mass.
    """

    of_row: IntArray
    before: FloatArray
    circuit: AnyArray
    device: AnyArray
    family: AnyArray
    spread: AnyArray

    @staticmethod
    def of(groups: Sequence[MeasuredRows]) -> Cells:
        """Find the cells of all rows."""
        names = np.array(
            [pair for group in groups for pair in zip(group.circuit, group.device, strict=True)]
        )
        pairs, first, of_row = np.unique(names, axis=0, return_index=True, return_inverse=True)
        circuit, device = pairs.T
        family = np.concatenate([group.family for group in groups])
        largest = [group.rows.ideal.max(axis=1) for group in groups]
        before = [metrics.l1(group.rows.circuits.noisy, group.rows.ideal) for group in groups]
        return Cells(
            of_row.reshape(-1),
            np.concatenate(before),
            circuit,
            device,
            family[first],
            np.concatenate(largest)[first] < POINT_MASS,
        )

    def __len__(self) -> int:
        return len(self.circuit)

    def medians(self, values: FloatArray) -> FloatArray:
        """(C,) median of (N,) values over the rows of each cell, without NaN."""
        rows = (values[self.of_row == cell] for cell in range(len(self)))
        return np.array([metrics.median_l1rc(each) for each in rows])

    @property
    def typical(self) -> IntArray:
        """(C,) row of each cell whose error before mitigation is the median."""
        rows = (np.flatnonzero(self.of_row == cell) for cell in range(len(self)))
        ordered = (each[np.argsort(self.before[each], kind="stable")] for each in rows)
        return np.array([each[len(each) // 2] for each in ordered])

    def change(self, after: FloatArray) -> FloatArray:
        """(C,) median L1RC of each cell's rows, from the L1 errors (N,) after mitigation."""
        with np.errstate(divide="ignore", invalid="ignore"):
            l1rc = np.where(self.before > 0, after / self.before - 1, np.nan)
        return self.medians(l1rc)


def summarise_cells(
    cells: Cells, after: FloatArray, applied: AnyArray, replicates: int
) -> dict[str, Interval]:
    """Summarise a mitigator's errors, with 95 % intervals from a bootstrap over source circuits.

    The errors are held fixed: neither fits nor devices are drawn again, so the intervals are too
    narrow for new families or devices.

    Args:
        after: (N,) L1 error of each row after mitigation; as before where it is not applied.
        applied: (N,) whether it is applied to the row.
        replicates: of the bootstrap.

    Returns:
        ``all``, ``spread`` and each family behind :data:`FAMILY`: median L1RC of such cells;
        ``harmed_pct``; ``applied_pct``, the mean share of a cell's rows; ``pooled``, the relative
        change of the cells' median L1 errors, summed.
    """
    change = cells.change(after)
    before, remaining = cells.medians(cells.before), cells.medians(after)
    counts = np.bincount(cells.of_row)
    share = 100 * np.bincount(cells.of_row, np.asarray(applied, dtype=np.float64)) / counts
    _, circuits = np.unique(cells.circuit, return_inverse=True)
    bootstrap = Bootstrap(circuits.astype(np.int64), "circuits", replicates)

    families = np.unique(cells.family).tolist()

    def median_where(chosen: AnyArray) -> Interval:
        return bootstrap.interval(lambda index: metrics.median_l1rc(change[index[chosen[index]]]))

    return {
        "all": median_where(np.ones(len(cells), dtype=bool)),
        "spread": median_where(cells.spread),
        **{f"{FAMILY}{name}": median_where(cells.family == name) for name in families},
        "harmed_pct": bootstrap.interval(lambda index: metrics.harmed_pct(change[index])),
        "applied_pct": bootstrap.interval(lambda index: float(share[index].mean())),
        "pooled": bootstrap.interval(
            lambda index: float(remaining[index].sum() / before[index].sum() - 1)
        ),
    }
