"""Independent constructions that the tests compare with: Qiskit and raw Parquet only."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from qiskit import QuantumCircuit
from qiskit.quantum_info import Statevector

Gates = Sequence[tuple[str, int, int, float]]


def qiskit_circuit(gates: Gates, n_qubits: int, wires: Sequence[int] | None = None):
    """Native gates as a ``QuantumCircuit``; position ``k`` on wire ``wires[k]``."""
    wires = range(n_qubits) if wires is None else wires
    circuit = QuantumCircuit(max(wires) + 1)
    for gate, first, second, angle in gates:
        arguments = [angle] if gate == "rz" else []
        arguments += [wires[first]] + ([wires[second]] if second >= 0 else [])
        getattr(circuit, gate)(*arguments)
    return circuit


def measured_probabilities(circuit: QuantumCircuit, measured: Sequence[int]) -> np.ndarray:
    """Noiseless distribution with classical bit ``k`` read from qubit ``measured[k]``."""
    return Statevector(circuit).probabilities(qargs=list(measured))


def move_bits(n: int, measured: Sequence[int]) -> np.ndarray:
    """(2^n,) index with bit ``measured[k]`` set where the argument has bit ``k`` set."""
    return np.array([sum(((s >> k) & 1) << measured[k] for k in range(n)) for s in range(2**n)])


def stored_rows(folder: Path) -> list[dict[str, Any]]:
    """All rows of a dataset folder as plain Python values, in the order of the file names."""
    rows: list[dict[str, Any]] = []
    for path in sorted(folder.glob("circuits-*.parquet")):
        rows += pq.read_table(path).to_pylist()
    for row in rows:
        row["gates"] = [
            (i["gate"], i["first"], i["second"], i["angle"]) for i in row["instructions"]
        ]
    return rows


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a folder, hidden ones too."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def rewrite_shard(folder: Path, number: int, changes: dict[str, list[Any]]) -> None:
    """Replace columns of one shard and make the manifest's hash fit again."""
    path = sorted(folder.glob("circuits-*.parquet"))[number]
    table = pq.read_table(path)
    for name, values in changes.items():
        field = table.schema.field(name)
        index = table.schema.get_field_index(name)
        table = table.set_column(index, field, pa.array(values, field.type))
    pq.write_table(table, path)
    manifest = json.loads((folder / "manifest.json").read_text())
    for entry in manifest["shards"]:
        if entry["file"] == path.name:
            entry["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))
