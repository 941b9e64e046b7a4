"""A dataset as hardware imports leave it: every row of another kind."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from qmend.datasets.manifest import FileEntry, Manifest, write_manifest
from qmend.datasets.schema import SCHEMA, SCHEMA_VERSION, calibrations_table
from qmend.devices.calibration import Calibration

#: (register, measured positions, layout known, calibration known, sparse)
KINDS: dict[str, tuple[int, list[int], bool, bool, bool]] = {
    "walker": (4, [3, 1], True, True, False),
    "grover": (3, [0, 1, 2], False, False, False),
    "ghz": (14, list(range(14)), True, True, True),
}
_START = datetime(2021, 2, 1, 9, tzinfo=UTC)


def mixed_rows(calibrations: list[Calibration], count: int = 90) -> list[dict[str, Any]]:
    """Rows of all kinds in turn, two of five jobs without anything but the circuits."""
    rng = np.random.default_rng(3)
    rows = []
    for k in range(count):
        family = list(KINDS)[k % 3]
        n, measured, placed, calibrated, sparse = KINDS[family]
        gates = [("sx", q, -1, 0.0) for q in range(n)]
        for _ in range(int(rng.integers(1, 12))):
            a = int(rng.integers(n - 1))
            gates += [("cx", a, a + 1, 0.0), ("rz", a + 1, -1, float(rng.uniform(-4, 4)))]
        bits = len(measured)
        outcomes = [0, 3, 2**bits - 1] if sparse else None
        size = 3 if sparse else 2**bits
        ideal = np.array([0.5, 0.0, 0.5]) if sparse else rng.dirichlet(np.full(size, 0.5))
        shots = int(rng.integers(500, 4000))
        counts = rng.multinomial(shots, 0.8 * ideal + 0.2 / size)
        calibration = calibrations[k % len(calibrations)] if calibrated else None
        rows.append(
            {
                "circuit_id": hashlib.sha256(str(k).encode()).hexdigest()[:32],
                "family": family,
                "family_params": "{}",
                "seed": None,
                "n_qubits": n,
                "device": calibration.device if calibration else "rigetti_cepheus",
                "calibration_id": calibration.calibration_id if calibration else None,
                "layout": list(range(n)) if placed else [],
                "instructions": [
                    {"gate": g, "first": a, "second": b, "angle": t} for g, a, b, t in gates
                ],
                "measured": measured,
                "circuit_stage": "executed" if placed else "submitted",
                "depth": len(gates),
                "n_two_qubit": sum(g == "cx" for g, *_ in gates),
                "shots": shots,
                "outcomes": outcomes,
                "counts": counts.tolist(),
                "noisy_exact": None,
                "ideal": ideal.tolist(),
                "source": "hardware",
                "job_id": f"job-{k // 5}",
                "executed_at": calibration.time if calibration else None,
                "split": ("train", "val", "test")[(k // 5) % 3],
            }
        )
    return rows


def drifting(calibration: Calibration, moments: int) -> list[Calibration]:
    """A snapshot and later ones whose T1 wander; one qubit's T2 is missing throughout."""
    rng = np.random.default_rng(0)
    found = []
    for k in range(moments):
        plain = calibration.model_dump(mode="json")
        plain["time"] = (_START + timedelta(hours=31 * k)).isoformat()
        for qubit in plain["qubits"]:
            qubit["t1_us"] *= float(rng.uniform(0.7, 1.3))
            if qubit["qubit"] == 1:
                qubit["t2_us"] = None
        found.append(Calibration.model_validate(plain))
    return found


def write_mixed(
    folder: Path, rows: list[dict[str, Any]], calibrations: list[Calibration]
) -> Manifest:
    """Two shards, another table that the manifest names too, and the manifest."""
    folder.mkdir(parents=True)
    half = len(rows) // 2
    tables = {
        "circuits-00000.parquet": pa.Table.from_pylist(rows[:half], SCHEMA),
        "circuits-00001.parquet": pa.Table.from_pylist(rows[half:], SCHEMA),
        "expectations.parquet": pa.table({"circuit_id": ["a"], "noisy_z": [0.5]}),
        "calibrations.parquet": calibrations_table(calibrations),
    }
    entries = {}
    for name, table in tables.items():
        pq.write_table(table, folder / name)
        digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        entries[name] = FileEntry(file=name, rows=table.num_rows, sha256=digest)
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        name="mixed",
        origin="imported",
        recipe={"imported": json.loads('{"from": "a public repository"}')},
        recipe_sha="0" * 16,
        rows=len(rows) + 1,
        shards=[entry for name, entry in entries.items() if name != "calibrations.parquet"],
        calibrations=entries["calibrations.parquet"],
        packages={},
    )
    write_manifest(folder, manifest)
    return manifest
