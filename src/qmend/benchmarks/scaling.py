"""How the simulator's cost grows with qubits, depth and batch size."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.table import Table

from qmend.benchmarks.alternating import one_core
from qmend.benchmarks.circuits import pauli_table
from qmend.circuits.instructions import InstructionTable
from qmend.devices.device import Device, DeviceConfig, load_device
from qmend.noise.device_noise import DeviceNoise
from qmend.simulation.outputs import probabilities

_CHAIN = (0, 1, 2, 3, 5, 8, 11, 14)
_QUBITS = tuple(range(2, 9))
_COPIES = (1, 2, 4, 8)
_BATCHES = (1, 3, 10, 30, 100, 300, 1000)


def bench_scaling(circuits: int, repeats: int, plot: Path) -> tuple[Table, dict[str, Any]]:
    """Measure milliseconds a circuit by qubits, depth and batch, and plot them."""
    with one_core():
        by_qubits = {n: _cost(*_setup(n, circuits), repeats) for n in _QUBITS}
        device, table = _setup(5, circuits)
        by_depth = {}
        for copies in _COPIES:
            longer = InstructionTable.from_circuits(
                5, [table.circuit(i) * copies for i in range(len(table))]
            )
            gates = int(np.median(longer.count("cx")))
            by_depth[gates] = _cost(device, longer, repeats)
        by_batch = {
            size: _cost(device, table.select(np.arange(size) % len(table)), repeats)
            for size in _BATCHES
        }
    _draw(by_qubits, by_depth, by_batch, plot)
    rows = Table(title="Exact noisy probabilities, one core", title_justify="left")
    for heading in ("by", "value", "ms a circuit"):
        rows.add_column(heading, justify="right")
    for name, costs in (("qubits", by_qubits), ("CX", by_depth), ("batch", by_batch)):
        for value, cost in costs.items():
            rows.add_row(name, str(value), f"{cost:.4f}")
        rows.add_section()
    summary = {
        "bench": "scaling",
        "ms_by_qubits": {str(k): round(v, 4) for k, v in by_qubits.items()},
        "ms_by_cx": {str(k): round(v, 4) for k, v in by_depth.items()},
        "ms_by_batch": {str(k): round(v, 4) for k, v in by_batch.items()},
        "plot": str(plot),
    }
    return rows, summary


def _setup(n: int, circuits: int) -> tuple[Device, InstructionTable]:
    device = load_device(DeviceConfig(name="chain", backend="FakeAlgiers", layout=_CHAIN[:n]))
    # Large registers are slow enough to be measured on fewer circuits.
    return device, pauli_table(device, max(circuits // 4 ** max(0, n - 6), 8), "direct")


def _cost(device: Device, table: InstructionTable, repeats: int) -> float:
    noise = DeviceNoise(device.calibration, device.layout)
    probabilities(noise.program(table))
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        probabilities(noise.program(table))
        seconds.append(time.perf_counter() - started)
    return 1e3 * float(np.median(seconds)) / len(table)


def _draw(
    by_qubits: dict[int, float], by_depth: dict[int, float], by_batch: dict[int, float], path: Path
) -> None:
    figure = Figure(figsize=(10, 3.2), layout="constrained")
    panels = figure.subplots(1, 3)
    for axes, costs, label in zip(
        panels,
        (by_qubits, by_depth, by_batch),
        ("qubits", "two-qubit gates (5 qubits)", "circuits in a batch (5 qubits)"),
        strict=True,
    ):
        axes.plot(list(costs), list(costs.values()), "o-", color="#0072B2")
        axes.set_xlabel(label)
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("ms a circuit, one core")
    panels[0].set_yscale("log")
    panels[2].set_xscale("log")
    for axes in panels[1:]:
        axes.set_ylim(bottom=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
