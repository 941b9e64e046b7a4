"""Draw plots of a dataset: distributions of circuits, noise by depth, calibrations in time."""

from __future__ import annotations

from datetime import datetime

import matplotlib as mpl
import matplotlib.dates as mdates
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from qmend.datasets.description import Description, Distances
from qmend.devices.calibration import Calibration
from qmend.plots.quartiles import binned_quartiles
from qmend.plots.style import COLOURS, STYLE
from qmend.types import AnyArray, IntArray

#: Kinds of circuits with a colour of their own; the rest share grey.
_COLOURED = 6
#: Circuits drawn as dots at most, so that the page stays small.
_DOTS = 1500
_BINS = 30
_DEPTH_BINS = 12
#: More lines than this have one colour per device.
_MOST_LINES = 12


def coloured_groups(description: Description) -> list[tuple[str, IntArray, str]]:
    """List label, rows and colour of each kind of circuit; small kinds together as ``others``."""
    shown = [
        (label, rows, colour)
        for (label, rows), colour in zip(description.groups[:_COLOURED], COLOURS, strict=False)
    ]
    rest = [rows for _, rows in description.groups[_COLOURED:]]
    return [*shown, ("others", np.concatenate(rest), "#999999")] if rest else shown


def histograms(description: Description, distances: Distances) -> Figure:
    """Draw two-qubit gates, depth, signal and noise, stacked by kind of circuit."""
    groups = coloured_groups(description)
    panels: tuple[tuple[str, AnyArray], ...] = (
        ("two-qubit gates", description.column("n_two_qubit")),
        ("depth", description.column("depth")),
        ("signal (TV distance of ideal from uniform)", distances.signal),
        ("noise (TV distance of measured from ideal)", distances.noise),
    )
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 5.6), layout="constrained")
        grid: list[Axes] = list(figure.subplots(2, 2).flat)
        for axes, (label, values) in zip(grid, panels, strict=True):
            present = ~np.isnan(values)
            axes.set(xlabel=label, ylabel="circuits")
            if not present.any():
                axes.text(0.5, 0.5, "not known", transform=axes.transAxes, ha="center")
                continue
            axes.hist(
                [values[rows[present[rows]]] for _, rows, _ in groups],
                bins=_edges(values[present]).tolist(),
                stacked=True,
                color=[colour for _, _, colour in groups],
                label=[name for name, _, _ in groups],
            )
            axes.grid(axis="x", visible=False)
            axes.set_axisbelow(True)
        if len(groups) > 1:
            handles, labels = grid[0].get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside lower center", ncols=min(len(groups), 4))
    return figure


def noise_against_depth(description: Description, distances: Distances) -> Figure:
    """Draw circuits as dots (a sample of many), and the median with quartiles by depth."""
    depth = description.column("depth")
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 4.2), layout="constrained")
        axes = figure.subplots()
        groups = coloured_groups(description)
        step = max(1, -(-len(description) // _DOTS))
        for label, rows, colour in groups:
            rows = rows[~np.isnan(distances.noise[rows])]
            if not len(rows):
                continue
            some = rows[::step]
            axes.plot(
                depth[some], distances.noise[some], ".", color=colour, alpha=0.25, markersize=4
            )
            centres, low, middle, high = binned_quartiles(
                depth[rows], distances.noise[rows], _DEPTH_BINS
            )
            axes.fill_between(centres, low, high, color=colour, alpha=0.18, linewidth=0)
            axes.plot(centres, middle, "o-", color=colour, markersize=4, label=label)
        axes.set(xlabel="depth of the compiled circuit", ylabel="noise (TV distance from ideal)")
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if len(groups) > 1 and axes.get_legend_handles_labels()[0]:
            axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def calibrations(description: Description) -> Figure | None:
    """Draw T1, T2, two-qubit error and readout error of the qubits in use.

    A line for each qubit over the dates of the snapshots, or a bar for each qubit of one date; None
    without snapshots.
    """
    used = _used(description)
    if not used:
        return None
    panels = (
        ("T1 (µs)", [_qubits(c, qubits, "t1_us", 1.0) for c, qubits in used]),
        ("T2 (µs)", [_qubits(c, qubits, "t2_us", 1.0) for c, qubits in used]),
        ("two-qubit gate error (%)", [_pairs(c, qubits) for c, qubits in used]),
        ("readout error (%)", [_qubits(c, qubits, "readout_error", 100.0) for c, qubits in used]),
    )
    times = [c.time for c, _ in used]
    devices = [c.device for c, _ in used]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 6.2), layout="constrained")
        for axes, (label, values) in zip(figure.subplots(2, 2).flat, panels, strict=True):
            if len(set(times)) > 1:
                _over_time(axes, times, devices, values)
            else:
                _by_qubit(axes, values)
            axes.set_ylabel(label)
            axes.set_ylim(bottom=0)
    return figure


def _edges(values: AnyArray) -> AnyArray:
    """Choose bin edges; whole numbers get bins of a whole width around them."""
    low, high = values.min(), values.max()
    if values.dtype.kind == "f":
        return np.linspace(min(low, 0.0), high if high > low else low + 1.0, _BINS + 1)
    width = max(1, -(-int(high - low + 1) // _BINS))
    return np.arange(low, high + width + 1, width) - 0.5


def _used(description: Description) -> list[tuple[Calibration, list[int]]]:
    """List snapshots by time, with the qubits that circuits ran on; all if unknown.

    The qubits are the same for all snapshots of a device: their medians can be compared.
    """
    qubits: dict[str, set[int]] = {}
    for name, layout in description.chains:
        if name in description.calibrations:
            qubits.setdefault(description.calibrations[name].device, set()).update(layout)
    used = []
    for calibration in description.calibrations.values():
        reported = {q.qubit for q in calibration.qubits}
        used.append(
            (calibration, sorted(reported & qubits.get(calibration.device, reported) or reported))
        )
    return sorted(used, key=lambda pair: (pair[0].time, pair[0].device))


def _qubits(
    calibration: Calibration, qubits: list[int], field: str, scale: float
) -> dict[str, float]:
    """Return qubit -> value, NaN where the snapshot has none."""
    values = {q: getattr(calibration.qubit(q), field) for q in qubits}
    return {str(q): np.nan if v is None else scale * v for q, v in values.items()}


def _pairs(calibration: Calibration, qubits: list[int]) -> dict[str, float]:
    """Compute each pair's error, the mean of both directions, in per cent."""
    inside, rates = set(qubits), dict[tuple[int, ...], list[float]]()
    for gate in calibration.gates:
        if len(gate.qubits) == 2 and inside.issuperset(gate.qubits) and gate.error is not None:
            rates.setdefault(tuple(sorted(gate.qubits)), []).append(gate.error)
    return {f"{a}-{b}": 100.0 * float(np.mean(v)) for (a, b), v in sorted(rates.items())}


def _by_qubit(axes: Axes, values: list[dict[str, float]]) -> None:
    names = list(dict.fromkeys(name for snapshot in values for name in snapshot))
    x = np.arange(len(names))
    table = np.array([[snapshot.get(name, np.nan) for name in names] for snapshot in values])
    if len(values) == 1:
        axes.bar(x, np.nan_to_num(table[0]), width=0.6, color=COLOURS[0])
        axes.set_axisbelow(True)
    else:
        axes.plot(x, table.T, ".", color=COLOURS[0], alpha=0.4)
        present = ~np.isnan(table).all(axis=0)
        middle = np.nanmedian(table[:, present], axis=0)
        axes.plot(x[present], middle, "_", color="black", markersize=14)
    every = max(1, len(names) // 16)
    axes.set_xticks(x[::every], names[::every])
    axes.set_xlabel("physical qubits")
    axes.grid(axis="x", visible=False)


def _over_time(
    axes: Axes, times: list[datetime], devices: list[str], values: list[dict[str, float]]
) -> None:
    named = list(dict.fromkeys(devices))
    series = {
        (device, name): None
        for device, snapshot in zip(devices, values, strict=True)
        for name in snapshot
    }
    few = len(named) == 1 and len(series) <= _MOST_LINES
    seen: set[str] = set()
    for k, (device, name) in enumerate(series):
        points = {
            time: snapshot[name]
            for time, d, snapshot in zip(times, devices, values, strict=True)
            if d == device and not np.isnan(snapshot.get(name, np.nan))
        }
        if not points:
            continue  # after its turn in colours: a qubit has the same in every panel
        label = name if few else device
        axes.plot(
            mdates.date2num(list(points)),  # type: ignore[no-untyped-call]
            list(points.values()),
            marker="." if len(points) < 40 else "",
            linewidth=1.2 if few else 0.8,
            alpha=1.0 if few else 0.5,
            color=COLOURS[(k if few else named.index(device)) % len(COLOURS)],
            linestyle=("-", "--")[k // len(COLOURS) % 2] if few else "-",
            label=None if label in seen else label,
        )
        seen.add(label)
    if not few:
        by_time: dict[datetime, list[float]] = {}
        for time, snapshot in zip(times, values, strict=True):
            present = [value for value in snapshot.values() if not np.isnan(value)]
            by_time.setdefault(time, []).extend(present)
        middle = {time: float(np.median(v)) for time, v in sorted(by_time.items()) if v}
        days = mdates.date2num(list(middle))  # type: ignore[no-untyped-call]
        axes.plot(days, list(middle.values()), color="black", linewidth=2)
    locator = mdates.AutoDateLocator(minticks=3)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(mdates.ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    if 1 < len(seen) <= _MOST_LINES:
        axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5), title="")
