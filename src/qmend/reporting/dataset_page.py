"""Write a dataset as a self-contained HTML page without scripts: tables, plots, circuits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qmend.datasets.description import Description, Distances, read_circuits
from qmend.reporting import dataset_figures, figures
from qmend.reporting.circuit_drawing import MAX_QUBITS, circuit_svg, left_out
from qmend.reporting.dataset_table import NOTE, DatasetSummary
from qmend.reporting.html import write_page
from qmend.types import IntArray


@dataclass(frozen=True)
class DrawnCircuit:
    """A circuit of the page: its kind, figures and drawing."""

    kind: str
    caption: str
    svg: str


def write_dataset_page(
    path: Path, description: Description, distances: Distances, summary: DatasetSummary
) -> None:
    """Write the page, never half. Equal data give equal pages."""
    plots = {
        "histograms": dataset_figures.histograms(description, distances),
        "noise": dataset_figures.noise_against_depth(description, distances),
        "calibrations": dataset_figures.calibrations(description),
    }
    write_page(
        path,
        "dataset_page",
        title=f"Dataset {summary.title}",
        facts=summary.facts,
        quantiles=summary.quantiles,
        groups=summary.groups,
        note=NOTE,
        plots={
            name: figures.namespaced(figures.svg(figure), name)
            for name, figure in plots.items()
            if figure is not None
        },
        moments=len({c.time for c in description.calibrations.values()}),
        circuits=drawn_circuits(description, distances),
        max_qubits=MAX_QUBITS,
    )


def drawn_circuits(description: Description, distances: Distances) -> list[DrawnCircuit]:
    """Draw a simple, a median, a deep and a low-signal circuit."""
    narrow = np.flatnonzero(description.column("n_qubits") <= MAX_QUBITS)
    kinds = typical_circuits(
        narrow,
        description.column("depth")[narrow],
        description.column("n_two_qubit")[narrow],
        distances.signal[narrow],
    )
    chosen = list(kinds.values())
    rows = read_circuits(description.folder, description.manifest, chosen)
    return [
        _drawn(kind, row, distances.signal[k], distances.noise[k])
        for kind, row, k in zip(kinds, rows, chosen, strict=True)
    ]


def typical_circuits(
    rows: IntArray, depth: IntArray, gates: IntArray, signal: np.ndarray
) -> dict[str, int]:
    """Choose one of ``rows`` for each kind, each once; fewer kinds where there are fewer rows.

    Simple: the fewest two-qubit gates. Deep: the greatest depth. Low signal: the ideal
    distribution nearest to the uniform one. Median: nearest to the median in depth, gates and
    signal, by rank.
    """
    levels = np.array([_rank(depth), _rank(gates), _rank(np.nan_to_num(signal))])
    order = {
        "simple": np.lexsort((rows, depth, gates)),
        "median": np.lexsort((rows, np.abs(levels - 0.5).max(axis=0))),
        "deep": np.lexsort((rows, -gates, -depth)),
        "low signal": np.lexsort((rows, np.where(np.isnan(signal), np.inf, signal))),
    }
    kinds: dict[str, int] = {}
    for kind, candidates in order.items():
        free = [k for k in rows[candidates].tolist() if k not in kinds.values()]
        if free:
            kinds[kind] = free[0]
    return kinds


def _rank(values: np.ndarray) -> np.ndarray:
    """Compute the share of smaller values, plus half the share of equal ones."""
    ordered = np.sort(values)
    low = np.searchsorted(ordered, values, side="left")
    high = np.searchsorted(ordered, values, side="right")
    return (low + high) / (2.0 * max(len(values), 1))


def _drawn(kind: str, row: dict[str, Any], signal: float, noise: float) -> DrawnCircuit:
    instructions = [(i["gate"], i["first"], i["second"], i["angle"]) for i in row["instructions"]]
    layout: Sequence[int] = row["layout"] or range(row["n_qubits"])
    figures_of = [
        f"{name} {value:.3f}"
        for name, value in (("signal", signal), ("noise", noise))
        if not np.isnan(value)
    ]
    parts = [
        f"{row['family']} on {row['device']}",
        f"{row['n_qubits']} qubits",
        f"depth {row['depth']}",
        f"{row['n_two_qubit']} two-qubit gates",
        *figures_of,
        f"circuit {str(row['circuit_id'])[:12]}",
    ]
    missing = left_out(instructions)
    if missing:
        parts.append(f"the last {missing} columns not drawn")
    title = f"{kind}: {', '.join(parts)}"
    svg = circuit_svg(instructions, layout, row["measured"], title)
    return DrawnCircuit(kind, ", ".join(parts), svg)
