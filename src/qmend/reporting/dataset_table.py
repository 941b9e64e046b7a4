"""Tables of a dataset's contents: facts, quantiles, kinds of circuits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from qmend.datasets.card import calibration_text
from qmend.datasets.description import QUANTILES, Description, Distances, quantiles
from qmend.reporting.table import Column, Row, Table, facts_table
from qmend.types import AnyArray

_GROUP_HEADINGS = ("circuits", "jobs", "shots", "depth", "two-qubit gates", "signal", "noise")
NOTE = (
    "Signal: total variation distance of the ideal distribution from the uniform one. "
    "Noise: of the measured frequencies from the ideal distribution, shot noise included."
)
#: Kinds of circuits beyond this many are not listed.
_MOST_GROUPS = 20


@dataclass(frozen=True)
class DatasetSummary:
    """Figures of a dataset as text.

    Attributes:
        facts: (label, value) pairs.
        quantiles: of the figures of single circuits.
        groups: a row for each kind of circuits; None where all are of one kind.
    """

    title: str
    facts: list[tuple[str, str]]
    quantiles: Table
    groups: Table | None

    @property
    def tables(self) -> list[Table]:
        """All of it, for a terminal."""
        tables = [facts_table(self.title, self.facts), self.quantiles]
        tables += [] if self.groups is None else [self.groups]
        return [*tables[:-1], replace(tables[-1], caption=NOTE)]


def summarise(description: Description, distances: Distances) -> DatasetSummary:
    """Summarise a dataset."""
    manifest = description.manifest
    whole = ("depth", "two-qubit gates", "shots")
    measures: list[tuple[str, AnyArray]] = [
        ("depth", description.column("depth")),
        ("two-qubit gates", description.column("n_two_qubit")),
        ("shots", description.column("shots")),
        ("signal", distances.signal),
        ("noise", distances.noise),
    ]
    rows = []
    for name, values in measures:
        levels = quantiles(values)
        if levels is not None:
            digits = 0 if name in whole else 3
            rows.append((name, [f"{v:,.{digits}f}" for v in levels]))
    facts = [
        ("circuits", f"{len(description):,}"),
        ("splits", _counted(description.splits)),
        ("jobs", f"{description.jobs:,}"),
        ("families", _counted(description.counts("family"))),
        ("devices", _counted(description.counts("device"))),
        ("qubits", _counted(description.sizes)),
        ("source", _counted(description.counts("source"))),
        ("calibration", calibration_text(description)),
        ("size", _bytes(description.size_bytes)),
        ("dataset hash", manifest.dataset_sha),
    ]
    if description.others:
        facts.append(("other tables, not shown", ", ".join(description.others)))
    headings = [f"{q} %" for q in QUANTILES]
    table = _figures(Column("quantile", "per circuit", words=True, long="fold"), headings, rows)
    return DatasetSummary(manifest.name, facts, table, _groups(description, distances))


def _figures(
    first: Column, headings: Sequence[str], rows: Sequence[tuple[str, list[str]]]
) -> Table:
    columns = (first, *map(Column.number, headings))
    return Table(columns, (tuple(Row.of([name, *values]) for name, values in rows),))


def _groups(description: Description, distances: Distances) -> Table | None:
    if len(description.groups) < 2:
        return None
    jobs = np.array(description.table["job_id"].to_pylist())
    columns = [description.column(name) for name in ("shots", "depth", "n_two_qubit")]
    listed = []
    for label, rows in description.groups[:_MOST_GROUPS]:
        cells = [f"{len(rows):,}", f"{len(set(jobs[rows].tolist())):,}"]
        cells += [f"{np.median(column[rows]):,.0f}" for column in columns]
        for values in (distances.signal[rows], distances.noise[rows]):
            values = values[~np.isnan(values)]
            cells.append(f"{np.median(values):.3f}" if len(values) else "-")
        listed.append((label, cells))
    left = description.groups[_MOST_GROUPS:]
    if left:
        others = sum(len(members) for _, members in left)
        blank = ["-"] * (len(_GROUP_HEADINGS) - 1)
        listed.append((f"{len(left)} more kinds", [f"{others:,}", *blank]))
    first = Column("medians", "circuits", words=True, long="fold")
    return _figures(first, _GROUP_HEADINGS, listed)


def _counted(counts: dict[str, int] | dict[object, int]) -> str:
    """``ghz (30), grover (30)``, or the only name alone."""
    if len(counts) == 1:
        return str(next(iter(counts)))
    shown = [f"{'unknown' if k is None else k} ({v:,})" for k, v in list(counts.items())[:12]]
    return ", ".join(shown) + (f" and {len(counts) - 12} more" if len(counts) > 12 else "")


def _bytes(size: int) -> str:
    value, unit = float(size), "B"
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            break
        value /= 1000
    return f"{value:.3g} {unit}"
