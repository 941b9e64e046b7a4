"""A whole simulated dataset against the sensible plain Qiskit program."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from qiskit import QuantumCircuit
from qiskit.quantum_info import Statevector
from qiskit.transpiler import CouplingMap, generate_preset_pass_manager
from rich.table import Table

from qmend.benchmarks.alternating import alternate, empty_table, one_core
from qmend.benchmarks.circuits import ALGIERS, SHOTS, generate_pauli, whole_jobs
from qmend.benchmarks.simulator import aer_simulator, with_readout
from qmend.circuits.families import build_family
from qmend.datasets.table import load_dataset
from qmend.devices.device import load_device

_BATCH = 300


def bench_datagen(circuits: int, repeats: int) -> tuple[Table, dict[str, Any]]:
    """Measure dataset generation with both compilers, and with plain Qiskit.

    Ours also proves every label and hashes every file.
    """
    circuits, batch = whole_jobs(circuits, _BATCH)
    two_qubit: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        runs = iter(range(1_000_000))

        def ours(compiler: str) -> None:
            place = folder / f"{compiler}-{next(runs)}"
            generate_pauli(place, circuits, batch, compiler)
            if compiler not in two_qubit:
                data = load_dataset(place)
                two_qubit[compiler] = float(np.median(data.rows.n_two_qubit))

        with one_core():
            timings = alternate(
                {
                    "qmend direct": lambda: ours("direct"),
                    "qmend qiskit": lambda: ours("qiskit"),
                    "plain qiskit": lambda: plain_qiskit(
                        circuits, batch, folder / f"plain-{next(runs)}.parquet"
                    ),
                },
                repeats,
            )
    title = f"{circuits} circuits written, one core"
    headings = ("program", "ms a circuit", "against plain Qiskit", "median two-qubit gates")
    table = empty_table(title, *headings)
    for name in timings.seconds:
        speed = timings.median("plain qiskit") / timings.median(name)
        table.add_row(
            name,
            f"{1e3 * timings.median(name) / circuits:.2f}",
            "-" if name == "plain qiskit" else f"{speed:.1f}x",
            f"{two_qubit.get(name.removeprefix('qmend '), two_qubit['qiskit']):.0f}",
        )
    summary = {
        "bench": "datagen",
        **timings.rounded_ratio("ratio", "plain qiskit", "qmend direct", 1),
        "ratio_qiskit_compiler": round(timings.ratio("plain qiskit", "qmend qiskit")[0], 1),
        "two_qubit_median_direct": two_qubit["direct"],
        "two_qubit_median_qiskit": two_qubit["qiskit"],
        "circuits": circuits,
    }
    return table, summary


def plain_qiskit(circuits: int, batch_size: int, path: Path) -> None:
    """Write the same dataset with Qiskit, Aer's density matrix and one Parquet file."""
    device = load_device(ALGIERS)
    n = device.n_qubits
    passes = generate_preset_pass_manager(
        optimization_level=1,
        basis_gates=[*device.native_gates, "measure"],
        coupling_map=CouplingMap([list(e) for e in device.edges]),
        initial_layout=list(range(n)),
        seed_transpiler=0,
    )
    simulator = aer_simulator(with_readout(device))
    family = build_family({"name": "pauli", "n_qubits": n})
    counts: list[dict[str, int]] = []
    ideal: list[np.ndarray] = []
    for start in range(0, circuits, batch_size):
        batch = []
        for seed in range(start, start + batch_size):
            circuit = QuantumCircuit(n, n)
            circuit.compose(family.draw(np.random.default_rng(seed)).circuit, inplace=True)
            circuit.measure(range(n), range(n))
            batch.append(passes.run(circuit))
        result = simulator.run(batch, shots=SHOTS, seed_simulator=start).result()
        counts += [result.get_counts(i) for i in range(len(batch))]
        for circuit in batch:
            bare = circuit.remove_final_measurements(inplace=False)
            ideal.append(Statevector(bare).probabilities())
    dense = np.zeros((circuits, 2**n), dtype=np.int64)
    for row, circuit_counts in enumerate(counts):
        for bits, number in circuit_counts.items():
            dense[row, int(bits, 2)] = number
    pq.write_table(pa.table({"counts": list(dense), "ideal": ideal}), path)
