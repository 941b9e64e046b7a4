"""Encoding and loading against plain loops over Qiskit circuits and a bare Parquet reader."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from qiskit import QuantumCircuit
from rich.table import Table

from qmend.benchmarks.alternating import Timings, alternate, empty_table, one_core
from qmend.benchmarks.circuits import generate_pauli, whole_jobs
from qmend.datasets.table import load_dataset
from qmend.devices.calibration import Calibration
from qmend.encodings import ENCODINGS
from qmend.encodings.token import MAX_QUBITS, TOKEN_FEATURES
from qmend.gates import GATES
from qmend.noise.aer import aer_circuit
from qmend.types import AnyArray

_JOB = 100
#: Program -> the plain one that it is compared with.
_RIVALS = {
    "paper": "paper, plain loop",
    "token": "token, plain loop",
    "load": "load, pyarrow alone",
}


def bench_data(circuits: int, repeats: int) -> tuple[Table, dict[str, Any]]:
    """Encode and load Pauli circuits (T uniform on 3..9, Qiskit level 1) of one dataset.

    The encoding ``paths``, a Monte Carlo sum, stands alone: a plain loop takes minutes.
    Ours go from the stored instruction table to all arrays that a network reads; the plain
    loops from Qiskit circuits, built beforehand, to the circuits' part alone.
    """
    circuits, job = whole_jobs(circuits, _JOB)
    processor: dict[str, list[float]] = {}

    def clocked(name: str, program: Callable[[], object]) -> Callable[[], object]:
        """Also note the processor's time, which a busy machine stretches less."""

        def run() -> None:
            started = time.process_time()
            program()
            processor.setdefault(name, []).append(time.process_time() - started)

        return run

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "bench"
        generate_pauli(folder, circuits, job)
        data = load_dataset(folder)
        batch = data.rows.circuits
        table, (calibration, layout) = batch.instructions, batch.chains[0]
        plain = [aer_circuit(table, i) for i in range(len(table))]
        paper, token, paths = (ENCODINGS[name]().fit(batch) for name in ("paper", "token", "paths"))
        programs: dict[str, Callable[[], object]] = {
            "paper": lambda: paper(batch),
            "paper, plain loop": lambda: [plain_layers(c) for c in plain],
            "token": lambda: token(batch),
            "token, plain loop": lambda: [plain_tokens(c, calibration, layout) for c in plain],
            "paths": lambda: paths(batch),
            "load": lambda: load_dataset(folder),
            "load, pyarrow alone": lambda: [
                pq.read_table(folder / entry.file) for entry in data.manifest.shards
            ],
        }
        with one_core():
            timings = alternate({n: clocked(n, p) for n, p in programs.items()}, repeats)
        difference = max(
            _difference(paper(batch).tokens.numpy(), [plain_layers(c) for c in plain]),
            _difference(
                token(batch).tokens.numpy(), [plain_tokens(c, calibration, layout) for c in plain]
            ),
        )
    rate = {name: circuits / float(np.median(seconds[1:])) for name, seconds in processor.items()}
    summary: dict[str, Any] = {"bench": "data"}
    for name, rival in _RIVALS.items():
        digits = 3 if name == "load" else 1
        summary |= timings.rounded_ratio(f"ratio_{name}", rival, name, digits)
        summary[f"{name}_per_second"] = round(rate[name])
    summary |= {
        "paths_per_second": round(rate["paths"]),
        "max_abs_diff": difference,
        "two_qubit_median": float(np.median(data.rows.n_two_qubit)),
        "circuits": circuits,
    }
    return _table(timings, rate, circuits), summary


def plain_layers(circuit: QuantumCircuit) -> AnyArray:
    """(L, n * 5) float32 of one circuit, gate by gate; the meaning of ``encode_layers``."""
    n = circuit.num_qubits
    free = [0] * n
    cells: list[tuple[int, int, int, float]] = []
    for instruction in circuit.data:
        gate = instruction.operation
        qubits = [circuit.find_bit(q).index for q in instruction.qubits]
        if gate.name == "rz":
            value = np.mod(gate.params[0] / np.pi, 2.0) / 2.0
            if value in (0.0, 1.0):
                continue
        elif gate.name == "id":
            continue
        at = max(free[q] for q in qubits)
        for q in qubits:
            free[q] = at + 1
        if gate.name == "rz":
            cells.append((at, qubits[0], 2, value))
        elif gate.name == "cx":
            control, target = qubits
            cells += [(at, control, 3, -(1 + target)), (at, target, 3, 1 + control)]
        else:
            cells.append((at, qubits[0], 0 if gate.name == "x" else 1, 1.0))
    out = np.zeros((max(free) + 1, n, 5), dtype=np.float32)
    for layer, qubit, channel, value in cells:
        out[layer, qubit, channel] = value
    out[-1, :, 4] = 1.0
    return out.reshape(len(out), -1)


def plain_tokens(
    circuit: QuantumCircuit, calibration: Calibration, layout: tuple[int, ...]
) -> AnyArray:
    """(L, features) float32 of one circuit, gate by gate; the meaning of ``TokenEncoding``."""
    free = [0] * circuit.num_qubits
    layers: list[int] = []
    out = np.zeros((len(circuit.data), TOKEN_FEATURES), dtype=np.float32)
    physics = len(GATES) + 2 * MAX_QUBITS
    for row, instruction in zip(out, circuit.data, strict=True):
        gate = instruction.operation
        qubits = [circuit.find_bit(q).index for q in instruction.qubits]
        at = max(free[q] for q in qubits)
        layers.append(at)
        for place, q in enumerate(qubits):
            free[q] = at + 1
            row[len(GATES) + place * MAX_QUBITS + q] = 1.0
        row[GATES.index(gate.name)] = 1.0
        if gate.name == "rz":
            row[physics : physics + 2] = np.cos(gate.params[0]), np.sin(gate.params[0])
            continue
        physical = [layout[q] for q in qubits]
        reported = calibration.gate(gate.name, physical)
        length = calibration.value(reported, "length_ns") * 1e-3
        properties = [calibration.qubit(q) for q in physical]
        rates = [
            100.0 * float(np.mean([length / calibration.value(q, field) for q in properties]))
            for field in ("t1_us", "t2_us")
        ]
        row[physics + 3 :] = [100.0 * calibration.value(reported, "error"), length, *rates]
    out[:, physics + 2] = (max(free) - np.array(layers)) / 10.0
    return out


def _difference(padded: AnyArray, rows: list[AnyArray]) -> float:
    """Largest difference between a padded array and its circuits, zeros behind each included."""
    expected = np.zeros_like(padded)
    for k, row in enumerate(rows):
        expected[k, : len(row)] = row
    return float(np.abs(padded - expected).max())


def _table(timings: Timings, rate: dict[str, float], circuits: int) -> Table:
    headings = ("program", "ms a circuit", "circuits a second of processor", "speed")
    table = empty_table(f"{circuits} Pauli circuits, one core", *headings)
    for name in timings.seconds:
        rival = _RIVALS.get(name)
        speed = timings.median(rival) / timings.median(name) if rival else 1.0
        table.add_row(
            name,
            f"{1e3 * timings.median(name) / circuits:.4f}",
            f"{rate[name]:,.0f}",
            f"{speed:.3g}x" if rival else "-",
        )
    return table
