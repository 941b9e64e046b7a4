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

from qmend.benchmarks.alternating import alternate, one_core
from qmend.benchmarks.simulator import ALGIERS, SHOTS, aer_simulator, with_readout
from qmend.circuits.families import build_family
from qmend.datasets.config import DatasetConfig
from qmend.datasets.table import load_dataset
from qmend.devices.device import load_device
from qmend.generation.generate import generate

_BATCH = 300


def bench_datagen(circuits: int, repeats: int) -> tuple[Table, dict[str, Any]]:
    """Draw, compile, simulate, sample, write: ours with both compilers, and plain Qiskit.

    Ours also proves every label and hashes every file.
    """
    # A dataset has at least three jobs, one a split.
    batch = max(1, min(_BATCH, circuits // 3))
    circuits = max(circuits // batch, 3) * batch
    two_qubit: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        runs = iter(range(1_000_000))

        def ours(compiler: str) -> None:
            place = folder / f"{compiler}-{next(runs)}"
            generate(_config(circuits, batch, compiler), ALGIERS, place, workers=1)
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
    table = Table(title=f"{circuits} circuits written, one core", title_justify="left")
    for heading in ("program", "ms a circuit", "against plain Qiskit", "median two-qubit gates"):
        table.add_column(heading, justify="left" if heading == "program" else "right")
    for name in timings.seconds:
        speed = timings.median("plain qiskit") / timings.median(name)
        table.add_row(
            name,
            f"{1e3 * timings.median(name) / circuits:.2f}",
            "-" if name == "plain qiskit" else f"{speed:.1f}x",
            f"{two_qubit.get(name.removeprefix('qmend '), two_qubit['qiskit']):.0f}",
        )
    ratio, low, high = timings.ratio("plain qiskit", "qmend direct")
    summary = {
        "bench": "datagen",
        "ratio": round(ratio, 1),
        "ratio_lo": round(low, 1),
        "ratio_hi": round(high, 1),
        "ratio_qiskit_compiler": round(timings.ratio("plain qiskit", "qmend qiskit")[0], 1),
        "two_qubit_median_direct": two_qubit["direct"],
        "two_qubit_median_qiskit": two_qubit["qiskit"],
        "circuits": circuits,
    }
    return table, summary


def _config(circuits: int, batch: int, compiler: str) -> DatasetConfig:
    return DatasetConfig.model_validate(
        {
            "name": "bench",
            "family": {"name": "pauli", "n_qubits": 5},
            "circuits": circuits,
            "job_size": batch,
            "shots": SHOTS,
            "compiler": {"name": compiler},
        }
    )


def plain_qiskit(circuits: int, batch_size: int, path: Path) -> None:
    """Transpile, Aer's density matrix in batches, statevector, one Parquet file."""
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
