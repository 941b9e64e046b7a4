"""Simulated measurements, imported as if they came from elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from qmend.circuits.statevector import to_bit_order
from qmend.datasets.table import Dataset
from qmend.gates import GATES
from qmend.importing.importer import import_file
from qmend.importing.rows import ImportOptions


def measured_records(data: Dataset, calibrated: bool = True) -> list[dict[str, Any]]:
    """Write the circuits of a dataset of one size as records of an import, in native gates."""
    circuits = data.rows.circuits
    table = circuits.instructions
    counts = to_bit_order(circuits.noisy, circuits.measured) * circuits.shots[:, None]
    records = []
    for row in range(len(circuits)):
        lines = [f"qreg q[{circuits.n_qubits}]; creg c[{circuits.n_measured}];"]
        for k in np.flatnonzero(table.circuit_index == row):
            gate, a, b = GATES[table.gate[k]], int(table.first[k]), int(table.second[k])
            angle = f"({float(table.angle[k])!r})" if gate == "rz" else ""
            lines.append(f"{gate}{angle} q[{a}]" + (f",q[{b}];" if b >= 0 else ";"))
        lines += [f"measure q[{p}] -> c[{k}];" for k, p in enumerate(circuits.measured[row])]
        calibration, layout = circuits.chains[circuits.calibration_index[row]]
        record = {
            "id": f"r{row}",
            "qasm": 'OPENQASM 2.0; include "qelib1.inc";' + "\n".join(lines),
            "circuit_stage": "executed",
            "device": calibration.device,
            "job_id": str(data.rows.job_id[row]),
            "physical_qubits": list(layout),
            "counts": {
                format(outcome, f"0{circuits.n_measured}b"): round(float(count))
                for outcome, count in enumerate(counts[row])
                if count
            },
        }
        if calibrated:
            record["calibration"] = calibration.model_dump(mode="json")
        records.append(record)
    return records


def import_records(records: list[dict[str, Any]], folder: Path, seed: int = 0) -> Path:
    """Import records as a dataset in a directory that does not exist yet."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    path = folder.with_suffix(".jsonl")
    path.write_text("\n".join(map(json.dumps, records)))
    import_file(path, folder, ImportOptions(folder.name, seed=seed))
    return folder
