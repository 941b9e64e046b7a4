"""What a dataset holds, as text: facts, quantiles, kinds of circuits; rich tables of the three."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from rich import box
from rich.table import Table
from rich.text import Text

from qmend.datasets.card import calibration_text
from qmend.datasets.description import QUANTILES, Description, Distances, quantiles
from qmend.types import AnyArray

QUANTILE_HEADINGS = tuple(f"{q} %" for q in QUANTILES)
GROUP_HEADINGS = ("circuits", "jobs", "shots", "depth", "two-qubit gates", "signal", "noise")
NOTE = (
    "Signal: total variation distance of the ideal distribution from the uniform one. "
    "Noise: of the measured frequencies from the ideal distribution, shot noise included."
)
#: Kinds of circuits beyond this many are not listed.
_MOST_GROUPS = 20


@dataclass(frozen=True)
class DatasetSummary:
    """All text of the tables.

    Attributes:
        facts: (label, value) pairs.
        quantiles: (quantity, values at :data:`QUANTILES`).
        groups: (kind of circuits, :data:`GROUP_HEADINGS`); empty where all are of one kind.
    """

    title: str
    facts: list[tuple[str, str]]
    quantiles: list[tuple[str, list[str]]]
    groups: list[tuple[str, list[str]]]


def summarise(found: Description, far: Distances) -> DatasetSummary:
    """The figures of a dataset as text."""
    manifest = found.manifest
    whole = ("depth", "two-qubit gates", "shots")
    measures: list[tuple[str, AnyArray]] = [
        ("depth", found.column("depth")),
        ("two-qubit gates", found.column("n_two_qubit")),
        ("shots", found.column("shots")),
        ("signal", far.signal),
        ("noise", far.noise),
    ]
    rows = []
    for name, values in measures:
        levels = quantiles(values)
        if levels is not None:
            digits = 0 if name in whole else 3
            rows.append((name, [f"{v:,.{digits}f}" for v in levels]))
    facts = [
        ("circuits", f"{len(found):,}"),
        ("splits", _counted(found.splits)),
        ("jobs", f"{found.jobs:,}"),
        ("families", _counted(found.counts("family"))),
        ("devices", _counted(found.counts("device"))),
        ("qubits", _counted(found.sizes)),
        ("source", _counted(found.counts("source"))),
        ("calibration", calibration_text(found)),
        ("size", _bytes(found.size_bytes)),
        ("dataset hash", manifest.dataset_sha),
    ]
    if found.others:
        facts.append(("other tables, not shown", ", ".join(found.others)))
    return DatasetSummary(manifest.name, facts, rows, _groups(found, far))


def dataset_tables(summary: DatasetSummary) -> list[Table]:
    """For the terminal."""
    style = {"box": box.SIMPLE_HEAD, "pad_edge": False, "show_edge": False, "title_justify": "left"}
    facts = Table(title=summary.title, show_header=False, **style)  # type: ignore[arg-type]
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    for label, value in summary.facts:
        facts.add_row(label, Text(value))
    tables = [facts, _figures("per circuit", QUANTILE_HEADINGS, summary.quantiles, style)]
    if summary.groups:
        tables.append(_figures("circuits", GROUP_HEADINGS, summary.groups, style))
    tables[-1].caption = NOTE
    tables[-1].caption_justify = "left"
    return tables


def _figures(
    first: str,
    headings: tuple[str, ...],
    rows: list[tuple[str, list[str]]],
    style: dict[str, object],
) -> Table:
    table = Table(**style)  # type: ignore[arg-type]
    table.add_column(first, overflow="fold")
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for name, values in rows:
        table.add_row(Text(name), *values)
    return table


def _groups(found: Description, far: Distances) -> list[tuple[str, list[str]]]:
    if len(found.groups) < 2:
        return []
    jobs = np.array(found.table["job_id"].to_pylist())
    columns = [found.column(name) for name in ("shots", "depth", "n_two_qubit")]
    listed = []
    for label, rows in found.groups[:_MOST_GROUPS]:
        cells = [f"{len(rows):,}", f"{len(set(jobs[rows].tolist())):,}"]
        cells += [f"{np.median(column[rows]):,.0f}" for column in columns]
        for values in (far.signal[rows], far.noise[rows]):
            known = values[~np.isnan(values)]
            cells.append(f"{np.median(known):.3f}" if len(known) else "-")
        listed.append((label, cells))
    left = found.groups[_MOST_GROUPS:]
    if left:
        others = sum(len(members) for _, members in left)
        blank = ["-"] * (len(GROUP_HEADINGS) - 1)
        listed.append((f"{len(left)} more kinds", [f"{others:,}", *blank]))
    return listed


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
